"""HammingIndex against a dictionary of codes that is searched by sorting, and against FAISS where it is installed."""

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from runtime.index import HammingIndex

BITS = 16
ROOT = Path(__file__).parents[2]


def draw(n: int, bits: int = BITS, values: int = 3, seed: int = 0) -> np.ndarray:
    """Few values a byte, so that there are many ties."""
    return np.random.default_rng(seed).integers(0, values, (n, bits // 8), np.uint8)


def filled(n: int = 40, *, named: bool = False) -> HammingIndex:
    index = HammingIndex(BITS)
    index.add(draw(n), np.random.default_rng(1).permutation(10 * n)[:n] if named else None)
    return index


def expected(codes: dict[int, bytes], query: np.ndarray) -> list[tuple[int, int]]:
    """(distance, id) of all, in order."""
    return sorted((sum((a ^ int(b)).bit_count() for a, b in zip(code, query, strict=True)), key) for key, code in codes.items())


class Against(RuleBasedStateMachine):
    """The same steps on the index and on a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.index, self.codes, self.seed = HammingIndex(BITS), dict[int, bytes](), 0

    def drawn(self, n: int) -> np.ndarray:
        self.seed += 1
        return draw(n, seed=self.seed)

    @rule(n=st.integers(0, 12))
    def add_numbered(self, n: int) -> None:
        rows = self.drawn(n)
        ids = self.index.add(rows)
        assert ids.tolist() == list(range(max(self.codes, default=-1) + 1, max(self.codes, default=-1) + 1 + n))
        self.codes |= dict(zip(ids.tolist(), (row.tobytes() for row in rows), strict=True))

    @rule(ids=st.lists(st.integers(0, 60), unique=True, max_size=8))
    def add_named(self, ids: list[int]) -> None:
        rows = self.drawn(len(ids))
        if set(ids) & set(self.codes):
            with pytest.raises(ValueError, match="in the index already"):
                self.index.add(rows, ids)
        else:
            assert self.index.add(rows, ids).tolist() == ids
            self.codes |= dict(zip(ids, (row.tobytes() for row in rows), strict=True))

    @rule(ids=st.lists(st.integers(0, 60), max_size=8))
    def remove(self, ids: list[int]) -> None:
        if set(ids) - set(self.codes):
            with pytest.raises(KeyError, match="no code with id"):
                self.index.remove(ids)
        assert self.index.remove(ids, missing_ok=True) == len(set(ids) & set(self.codes))
        self.codes = {key: code for key, code in self.codes.items() if key not in ids}

    @rule(k=st.integers(1, 30), radius=st.integers(0, 17))
    def search(self, k: int, radius: int) -> None:
        queries = self.drawn(2)
        hits, ranges = self.index.search(queries, k), self.index.range_search(queries, radius)
        for place, query in enumerate(queries):
            pairs = expected(self.codes, query)
            assert list(zip(hits.distances[place].tolist(), hits.ids[place].tolist(), strict=True)) == pairs[:k]
            part = slice(ranges.offsets[place], ranges.offsets[place + 1])
            near = list(zip(ranges.distances[part].tolist(), ranges.ids[part].tolist(), strict=True))
            assert near == [pair for pair in pairs if pair[0] <= radius]

    @invariant()
    def holds_the_same(self) -> None:
        assert len(self.index) == len(self.codes)
        found = {int(key): code.tobytes() for ids, codes in self.index.chunks(7) for key, code in zip(ids, codes, strict=True)}
        assert list(found.items()) == sorted(self.codes.items())


TestAgainstADictionary = Against.TestCase
TestAgainstADictionary.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 300), st.sampled_from((8, 24, 64, 128, 256)), st.sampled_from((1, 2, 256)), st.integers(1, 40))
def test_searches_equal_those_of_faiss(n: int, bits: int, values: int, k: int) -> None:
    faiss = pytest.importorskip("faiss")
    codes, queries = draw(n, bits, values), draw(5, bits, values, 1)
    index, flat = HammingIndex(bits), faiss.IndexBinaryFlat(bits)
    index.add(codes)
    flat.add(codes)
    hits = index.search(queries, k)
    np.testing.assert_array_equal(hits.distances, flat.search(queries, k)[0][:, : min(k, n)])
    limits, distances, ids = flat.range_search(queries, bits // 3 + 1)  # FAISS leaves the radius itself out
    ranges = index.range_search(queries, bits // 3)
    np.testing.assert_array_equal(ranges.offsets, limits.astype(np.int64))
    for begin, end in zip(limits[:-1].astype(int), limits[1:].astype(int), strict=True):
        order = np.lexsort((ids[begin:end], distances[begin:end]))
        np.testing.assert_array_equal(ranges.ids[begin:end], ids[begin:end][order])


SAVING = """
import sys
import numpy as np
from runtime.index import HammingIndex
indexes = []
for fill in (1, 2):
    indexes.append(HammingIndex(64))
    indexes[-1].add(np.full((200_000 + fill, 8), fill, np.uint8))
print("ready", flush=True)
while True:
    for index in indexes:
        index.save(sys.argv[1])
"""


def test_a_save_that_is_killed_at_any_moment_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "codes.hidx"
    generator = np.random.default_rng(0)
    seen = set()
    for _ in range(6):
        process = subprocess.Popen([sys.executable, "-c", SAVING, str(path)], stdout=subprocess.PIPE, cwd=ROOT)
        assert process.stdout is not None
        with process.stdout as said:
            assert said.readline() == b"ready\n"
            time.sleep(float(generator.uniform(0.02, 0.2)))
            process.kill()
        process.wait()
        if path.exists():  # a first save may have been killed before its rename
            found = HammingIndex.load(path)
            fill = int(found.reconstruct(0)[0])
            assert len(found) == 200_000 + fill
            seen.add(fill)
    assert seen


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("mmap", [False, True])
def test_a_saved_index_is_loaded_as_it_was(named: bool, mmap: bool, tmp_path: Path) -> None:
    index = filled(named=named)
    index.save(tmp_path / "some.index")
    found = HammingIndex.load(tmp_path / "some.index", mmap=mmap)
    ours, theirs = index.search(draw(3), 50), found.search(draw(3), 50)
    np.testing.assert_array_equal(ours.distances, theirs.distances)
    np.testing.assert_array_equal(ours.ids, theirs.ids)
    found.save(tmp_path / "again.index")
    assert (tmp_path / "again.index").read_bytes() == (tmp_path / "some.index").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.index", "some.index"]


@pytest.mark.parametrize("mmap", [False, True])
def test_an_empty_index_is_saved_loaded_and_searched(mmap: bool, tmp_path: Path) -> None:
    HammingIndex(BITS).save(tmp_path / "none.index")
    found = HammingIndex.load(tmp_path / "none.index", mmap=mmap)
    assert found.bits == BITS
    hits, ranges = found.search(draw(2), 3), found.range_search(draw(2), 3)
    assert (hits.distances.shape, hits.ids.shape) == ((2, 0), (2, 0))
    assert [part.tolist() for part in (ranges.offsets, ranges.distances, ranges.ids)] == [[0, 0, 0], [], []]
    assert list(found) == []


def test_a_loaded_index_grows_and_a_mapped_one_refuses(tmp_path: Path) -> None:
    filled(named=True).save(tmp_path / "some.index")
    found = HammingIndex.load(tmp_path / "some.index")
    assert found.add(draw(1)).tolist() == [max(ids.max() for ids, _ in filled(named=True)) + 1]
    mapped = HammingIndex.load(tmp_path / "some.index", mmap=True)
    changes: list[Callable[[], object]] = [lambda: mapped.add(draw(1)), lambda: mapped.remove([1])]
    for change in changes:
        with pytest.raises(ValueError, match="mmap=True and cannot be changed"):
            change()


def test_a_save_over_a_mapped_file_leaves_the_mapping_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "some.index"
    filled().save(path)
    mapped = HammingIndex.load(path, mmap=True)
    filled(3).save(path)
    assert len(mapped.search(draw(1), 100).ids[0]) == 40
    assert len(HammingIndex.load(path)) == 3


def test_a_save_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "some.index"
    filled(3).save(path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        filled().save(tmp_path / "folder")  # cannot be replaced by a file
    with pytest.raises(OSError):
        filled().save(tmp_path / "missing" / "some.index")
    assert len(HammingIndex.load(path)) == 3
    assert sorted(item.name for item in tmp_path.iterdir()) == ["folder", "some.index"]


@pytest.mark.parametrize("named", [False, True])
def test_no_flipped_byte_goes_unnoticed(named: bool, tmp_path: Path) -> None:
    path = tmp_path / "some.index"
    filled(named=named).save(path)
    content = path.read_bytes()
    for place in [*range(130), *range(130, len(content), 13), len(content) - 1]:
        path.write_bytes(content[:place] + bytes([content[place] ^ 0xA5]) + content[place + 1 :])
        with pytest.raises(ValueError, match=r"damaged|not a Hamming index|install a newer"):
            HammingIndex.load(path)
        if place < 112:
            with pytest.raises(ValueError, match=r"damaged|not a Hamming index|install a newer"):
                HammingIndex.load(path, mmap=True)
        else:
            with pytest.raises(ValueError, match="checksum"):
                HammingIndex.verify(path)


@pytest.mark.parametrize("mmap", [False, True])
def test_a_truncated_file_and_one_that_is_too_long_are_refused(mmap: bool, tmp_path: Path) -> None:
    path = tmp_path / "some.index"
    filled(named=True).save(path)
    content = path.read_bytes()
    for length in (0, 7, 9, 100, 111, 112, 4096, 4100, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"truncated|not a Hamming index"):
            HammingIndex.load(path, mmap=mmap)
    path.write_bytes(content + b"\0")
    with pytest.raises(ValueError, match="longer than it should be"):
        HammingIndex.load(path, mmap=mmap)
    path.write_bytes(content[:8] + b"\2\0\0\0" + content[12:])
    with pytest.raises(ValueError, match="index version 2, and this one reads up to 1; install a newer contrastrt"):
        HammingIndex.load(path, mmap=mmap)
    with pytest.raises(FileNotFoundError, match="there is no index"):
        HammingIndex.load(tmp_path / "missing.index", mmap=mmap)


def test_a_search_answers_from_the_codes_that_were_there_while_others_add_and_remove() -> None:
    """Every code equals its id, so a distance tells whether code and id belong together."""
    index, done = HammingIndex(32), threading.Event()
    queries = np.arange(4, dtype="<u4").view(np.uint8).reshape(4, 4)

    def searches() -> int:
        count = 0
        while not done.is_set() or count < 3:
            hits = index.search(queries, 20)
            differ = hits.ids.astype(np.uint32) ^ np.arange(4, dtype=np.uint32)[:, None]
            np.testing.assert_array_equal(
                np.bitwise_count(differ) if hasattr(np, "bitwise_count") else hits.distances, hits.distances
            )
            count += 1
        return count

    def changes(start: int) -> None:
        for ids in np.arange(start, 4000, 4).reshape(-1, 20):
            index.add(ids.astype("<u4").view(np.uint8).reshape(-1, 4), ids)
            index.remove(ids[::2])

    with ThreadPoolExecutor(6) as pool:
        readers = [pool.submit(searches) for _ in range(2)]
        writers = [pool.submit(changes, start) for start in range(4)]
        for writer in writers:
            writer.result()
        done.set()
        assert all(reader.result() >= 3 for reader in readers)
    assert len(index) == 2000


def test_rerank_orders_by_the_float_query_and_ties_by_the_lower_id() -> None:
    generator = np.random.default_rng(0)
    index = HammingIndex(24)
    codes = draw(60, 24, 256)
    codes[30:] = codes[:30]  # equal scores
    index.add(codes, np.arange(60) * 3)
    queries = generator.standard_normal((4, 24)).astype(np.float32)
    hits = index.search(np.packbits(queries > 0, axis=1, bitorder="little"), 40)
    found = index.rerank(queries, hits.ids, 10)
    signs = np.unpackbits(codes, axis=1, bitorder="little").astype(np.float64) * 2 - 1
    for place in range(4):
        scores = signs[hits.ids[place] // 3] @ queries[place].astype(np.float64)
        order = np.lexsort((hits.ids[place], -scores.round(4)))[:10]
        np.testing.assert_array_equal(found.ids[place], hits.ids[place][order])
        np.testing.assert_allclose(found.scores[place], scores[order], rtol=1e-4, atol=1e-4)
    assert index.rerank(queries, hits.ids).ids.shape == (4, 40)
    binary = np.packbits(queries > 0, axis=1, bitorder="little")
    at_once = index.search(binary, 10, rerank=queries, candidates=40)
    np.testing.assert_array_equal(at_once.ids, found.ids)
    np.testing.assert_array_equal(at_once.scores, found.scores)
    for place in range(4):
        where = [hits.ids[place].tolist().index(key) for key in at_once.ids[place]]
        np.testing.assert_array_equal(at_once.distances[place], hits.distances[place][where])


def test_bit_text_and_milvus_rows_come_back_as_they_were() -> None:
    index = filled(named=True)
    texts = list(index.to_bit_text())
    assert texts[0][1] == "".join(str(bit) for byte in index.reconstruct(texts[0][0]) for bit in (byte >> np.arange(8) & 1))
    wrapped = [{"id": row["id"], "vector": [row["vector"]]} for row in index.to_milvus()]
    for found in (
        HammingIndex.from_bit_text(texts),
        HammingIndex.from_milvus(index.to_milvus()),
        HammingIndex.from_milvus(wrapped),
    ):
        assert [ids.tolist() for ids, _ in found] == [ids.tolist() for ids, _ in index]
        assert [codes.tobytes() for _, codes in found] == [codes.tobytes() for _, codes in index]


def test_every_truncated_faiss_file_is_refused_by_a_sentence() -> None:
    for named in (False, True):
        data = filled(3, named=named).to_faiss()
        for length in range(len(data)):
            with pytest.raises(ValueError, match="FAISS index"):
                HammingIndex.from_faiss(data[:length])
        with pytest.raises(ValueError, match="ends after"):
            HammingIndex.from_faiss(data + b"\0")
        with pytest.raises(ValueError, match=r"kind b'IxFI'.*IndexBinaryFlat"):
            HammingIndex.from_faiss(b"IxFI" + data[4:])


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 200), st.integers(0, 255))
def test_a_flipped_faiss_file_is_read_or_refused_by_a_sentence(place: int, value: int) -> None:
    data = bytearray(filled(5, named=True).to_faiss())
    data[place % len(data)] = value
    with contextlib.suppress(ValueError):
        HammingIndex.from_faiss(bytes(data))


Q = draw(1)
BAD: list[tuple[Callable[[HammingIndex], Any], type[Exception], str]] = [
    (lambda index: HammingIndex(12), ValueError, "bits = 12 was given; expected a multiple of 8 from 8 to 4096"),
    (lambda index: HammingIndex(4104), ValueError, "bits = 4104"),
    (lambda index: HammingIndex(0), ValueError, "bits = 0 was given"),
    (lambda index: HammingIndex(8, threads=0), ValueError, "threads = 0 was given"),
    (lambda index: index.search(draw(1, 24), 1), ValueError, r"shape \(1, 3\).* expected uint8 \(n, 2\)"),
    (lambda index: index.search(np.zeros((1, 16), np.uint8), 1), ValueError, "one for each bit.*packbits"),
    (lambda index: index.add(np.zeros((1, 16), bool)), ValueError, "one for each bit.*packbits"),
    (lambda index: index.add(np.zeros((1, 2))), ValueError, "type float64"),
    (lambda index: index.add(Q[0]), ValueError, r"shape \(2,\)"),
    (lambda index: index.search(Q, 0), ValueError, "k = 0 was given; expected a whole number of 1 or more"),
    (lambda index: index.search(Q, -3), ValueError, "k = -3"),
    (lambda index: index.search(Q, 1.5), ValueError, "k = 1.5"),  # type: ignore[arg-type]
    (lambda index: index.search(Q, True), ValueError, "k = True"),
    (lambda index: index.range_search(Q, -1), ValueError, "radius = -1 was given"),
    (lambda index: index.add(draw(2), [7, 7]), ValueError, "given twice: 7;"),
    (lambda index: index.add(draw(2), [100, 3]), ValueError, "in the index already: 3;"),
    (lambda index: index.add(draw(2), [-1, 100]), ValueError, "ids from -1 to 100 were given"),
    (lambda index: index.add(draw(1), np.array([2**63], np.uint64)), ValueError, "ids from 9223372036854775808"),
    (lambda index: index.add(draw(1), [1.0]), ValueError, "type float64 were given; expected whole numbers"),
    (lambda index: index.add(draw(2), [100]), ValueError, r"expected whole numbers \(2,\)"),
    (lambda index: index.remove([3, 99]), KeyError, "no code with id 99 among the 40"),
    (lambda index: index.search(Q, 1, method="hnsw"), ValueError, "method = 'hnsw' was given; expected one of auto, scan, mih"),
    (lambda index: index.search(Q, 1, threads=0), ValueError, "threads = 0 was given"),
    (lambda index: index.search(Q, 3, rerank=np.zeros((1, 16)), candidates=2), ValueError, "candidates = 2 .* 3 or more"),
    (lambda index: index.search(Q, 3, rerank=np.zeros((2, 16))), ValueError, r"expected finite floats \(1, 16\)"),
    (lambda index: index.reconstruct(99), KeyError, "no code with id 99 among the 40"),
    (lambda index: index.rerank(np.zeros((1, 16)), [[99]]), KeyError, "no code with id 99"),
    (lambda index: index.rerank(np.full((1, 16), np.nan), [[1]]), ValueError, "expected finite floats"),
    (lambda index: index.rerank(np.full((1, 16), 1e300), [[1]]), ValueError, "expected finite floats"),
    (lambda index: index.rerank(np.zeros((2, 16)), [[1]]), ValueError, "a row for each query"),
    (lambda index: list(index.chunks(0)), ValueError, "size = 0 was given"),
    (lambda index: HammingIndex.from_bit_text([(1, "0" * 8), (2, "0" * 16)]), ValueError, "bit string 1 .* of 16 characters"),
    (lambda index: HammingIndex.from_bit_text([(1, "0000000x")]), ValueError, "expected 8 of 0 and 1"),
    (lambda index: HammingIndex.from_bit_text([]), ValueError, "no rows were given"),
    (lambda index: HammingIndex.from_milvus([{"id": 1}]), ValueError, "row 0 has the fields id; expected id and vector"),
    (lambda index: HammingIndex.from_milvus([{"id": 1, "vector": [1, 2]}]), ValueError, "expected as many bytes"),
    (lambda index: HammingIndex.from_milvus([{"id": "a", "vector": b"1"}]), ValueError, "expected whole numbers"),
    (lambda index: HammingIndex.from_milvus([]), ValueError, "no rows were given"),
]


@pytest.mark.parametrize(("call", "kind", "sentence"), BAD)
def test_bad_input_is_refused_by_a_sentence_and_changes_nothing(
    call: Callable[[HammingIndex], Any], kind: type[Exception], sentence: str
) -> None:
    index = filled()
    with pytest.raises(kind, match=sentence):
        call(index)
    assert [codes.tobytes() for _, codes in index] == [codes.tobytes() for _, codes in filled()]


def test_no_queries_and_read_only_strided_arrays_are_taken() -> None:
    index = filled()
    assert index.search(Q[:0], 3).ids.shape == index.search(Q[:0], 3).distances.shape == (0, 3)
    view = draw(20, 64)[::-2, 1:7:3]
    view.setflags(write=False)
    np.testing.assert_array_equal(index.search(view, 4).ids, index.search(view.copy(), 4).ids)
    assert index.add(view).tolist() == list(range(40, 50))
    np.testing.assert_array_equal(index.reconstruct(41), view[1])
