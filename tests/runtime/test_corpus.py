"""A corpus in shards against one index of all its items; killed, resumed and encoded by Ray, against an unbroken run's files."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from runtime import corpus as corpora
from runtime.corpus import Corpus, encode_corpus
from runtime.index import HammingIndex

ROOT = Path(__file__).parents[2]
ITEMS = [f"part {place}" for place in range(95)]
BAD = {"part 3", "part 4", "part 41", *ITEMS[60:70]}


def toy() -> Callable[[Sequence[str]], np.ndarray]:
    """Codes are hashes of names; nested, so that Ray pickles it by value."""
    bad = BAD

    def encode(items: Sequence[str]) -> np.ndarray:
        for item in items:
            if item in bad:
                raise ValueError(f"{item} cannot be read")
        return np.array([list(hashlib.sha256(item.encode()).digest()[:2]) for item in items], np.uint8)

    return encode


def run(out: Path, items: Sequence[str] = ITEMS, **changed: object) -> Corpus:
    return encode_corpus(
        items, **{"encode": toy(), "out": out, "bits": 16, "maker": "m1", "shard_size": 10, "batch_size": 8, **changed}
    )  # type: ignore[arg-type]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def whole() -> HammingIndex:
    good = [place for place, item in enumerate(ITEMS) if item not in BAD]
    index = HammingIndex(16)
    index.add(toy()([ITEMS[place] for place in good]), good)
    return index


def test_a_search_over_shards_is_that_of_one_index(tmp_path: Path) -> None:
    found, index = run(tmp_path / "new" / "corpus"), whole()
    assert found.finished
    assert (len(found), found.failed, found.items) == (len(index), len(BAD), 95)
    assert [shard.codes for shard in found.shards] == [8, 10, 10, 10, 9, 10, 0, 10, 10, 5]
    queries = np.random.default_rng(0).integers(0, 256, (6, 2), np.uint8)
    for k in (1, 20, 200):
        hits, right = found.search(queries, k), index.search(queries, k)
        np.testing.assert_array_equal(hits.ids, right.ids)
        np.testing.assert_array_equal(hits.distances, right.distances)
    numbers = np.random.default_rng(1).normal(size=(6, 16)).astype(np.float32)
    for more in ({}, {"candidates": 60}):
        hits, right = found.search(queries, 7, rerank=numbers, **more), index.search(queries, 7, rerank=numbers, **more)  # type: ignore[arg-type]
        assert hits.scores is not None
        assert right.scores is not None
        np.testing.assert_array_equal(hits.ids, right.ids)
        np.testing.assert_array_equal(hits.distances, right.distances)
        np.testing.assert_array_equal(hits.scores, right.scores)
    assert corpora.read(found.folder) == found
    assert found.names(hits.ids[0]) == [ITEMS[place] for place in hits.ids[0]]
    assert [(bad.id, bad.path, bad.error) for bad in found.failures()] == [
        (place, item, f"{item} cannot be read") for place, item in enumerate(ITEMS) if item in BAD
    ]
    chunks = list(found.rows().chunks())
    assert [name for chunk in chunks for name in chunk.names or []] == [item for item in ITEMS if item not in BAD]
    with pytest.raises(KeyError, match="no id 100"):
        found.names([100])


@pytest.mark.parametrize(("size", "batch"), [(7, 1), (30, 64), (10, 3), (95, 10), (1000, 64)])
def test_sizes_of_shards_and_batches_do_not_show(tmp_path: Path, size: int, batch: int) -> None:
    told: list[int] = []
    found = run(tmp_path, shard_size=size, batch_size=batch, advance=told.append)
    assert sum(told) == 95
    assert len(found.shards) == -(-95 // size)
    queries = np.random.default_rng(0).integers(0, 256, (3, 2), np.uint8)
    np.testing.assert_array_equal(found.search(queries, 30).ids, whole().search(queries, 30).ids)


def test_a_run_that_stopped_goes_on_and_leaves_the_files_of_an_unbroken_one(tmp_path: Path) -> None:
    seen: list[str] = []

    def failing(items: Sequence[str]) -> np.ndarray:
        seen.extend(items)
        if "part 57" in items:
            raise RuntimeError("the device is gone")
        return toy()(items)

    with pytest.raises(RuntimeError, match="the device is gone"):
        run(tmp_path / "broken", encode=failing)
    half = corpora.read(tmp_path / "broken")
    assert not half.finished
    assert len(half.shards) == 5
    for ask in (lambda: half.search(np.zeros((1, 2), np.uint8), 1), half.rows, lambda: list(half.failures())):
        with pytest.raises(ValueError, match="is not finished: 5 of 10 shards are done"):
            ask()
    again: list[str] = []

    def counting(items: Sequence[str]) -> np.ndarray:
        again.extend(items)
        return toy()(items)

    told: list[int] = []
    assert run(tmp_path / "broken", encode=counting, advance=told.append).finished
    assert min(int(item.split()[1]) for item in again) == 50
    assert (told[0], sum(told)) == (50, 95)
    run(tmp_path / "unbroken")
    assert files(tmp_path / "broken") == files(tmp_path / "unbroken")
    again.clear()
    run(tmp_path / "broken", encode=counting)
    assert again == []


KILLED = """
import sys, time
import numpy as np
from runtime.corpus import encode_corpus
def encode(items):
    time.sleep(0.002)
    return np.array([[int(item) % 256, int(item) // 256] for item in items], np.uint8)
encode_corpus([str(place) for place in range(2000)], encode, sys.argv[1], bits=16, maker="m", shard_size=40, batch_size=7)
"""


def test_a_run_that_is_killed_at_any_moment_goes_on(tmp_path: Path) -> None:
    random, before = np.random.default_rng(0), -1
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path / "killed")], cwd=ROOT)
        time.sleep(float(random.uniform(0.4, 0.9)))
        process.kill()
        process.wait()
        if (tmp_path / "killed" / corpora.MANIFEST).exists():
            done = len(corpora.read(tmp_path / "killed").shards)
            assert done >= before
            before = done
    for name in ("killed", "unbroken"):
        subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / name)], cwd=ROOT, check=True)
    left = {name: data for name, data in files(tmp_path / "killed").items() if not name.startswith(".")}
    assert left == files(tmp_path / "unbroken")


CHANGES: list[tuple[dict[str, object], str]] = [
    ({"maker": "m2"}, "begun with maker = m1, and m2 was given"),
    ({"bits": 24}, "begun with bits = 16, and 24 was given"),
    ({"shard_size": 20}, "begun with shard_size = 10, and 20 was given"),
    ({"items": [*ITEMS, "more"]}, "begun with items = 95, and 96 was given"),
    ({"items": [*ITEMS[:44], "other", *ITEMS[45:]]}, "begun with others as items 40 to 49"),
    ({"items": [*ITEMS[:-2], ITEMS[-1], ITEMS[-2]]}, "begun with others as items 90 to 94"),
    ({"items": []}, "no items were given"),
    ({"shard_size": 0}, "shard_size = 0 was given"),
    ({"batch_size": 0}, "batch_size = 0 was given"),
    ({"bits": 12}, "bits = 12 was given"),
]


@pytest.mark.parametrize(("changed", "sentence"), CHANGES)
def test_what_was_changed_is_refused_by_name_and_nothing_is_touched(
    tmp_path: Path, changed: dict[str, object], sentence: str
) -> None:
    run(tmp_path)
    before = files(tmp_path)
    with pytest.raises(ValueError, match=sentence):
        run(tmp_path, **changed)
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("codes", "sentence"),
    [
        (np.zeros((3, 2), np.uint8), "gave 3 codes for 8 items"),
        (np.zeros((8, 3), np.uint8), r"expected uint8 \(n, 2\)"),
        (np.zeros((8, 16), np.uint8), "packbits"),
    ],
)
def test_an_encoder_that_gives_something_else_is_told(tmp_path: Path, codes: np.ndarray, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        run(tmp_path, encode=lambda items: codes)


def test_a_damaged_corpus_is_refused_by_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is no corpus"):
        corpora.read(tmp_path)
    run(tmp_path / "a")
    run(tmp_path / "b", maker="m2")
    manifest, shard = tmp_path / "a" / corpora.MANIFEST, tmp_path / "a" / "shard-00001.hidx"
    text, data = manifest.read_text(), shard.read_bytes()
    shard.write_bytes((tmp_path / "b" / "shard-00002.hidx").read_bytes())
    with pytest.raises(ValueError, match=r"shard-00001\.hidx is not the shard"):
        corpora.read(tmp_path / "a")
    shard.unlink()
    with pytest.raises(FileNotFoundError, match="is missing, which"):
        run(tmp_path / "a")
    shard.write_bytes(data)
    for wrong, sentence in (
        ("{", "is damaged"),
        ("[]", "is damaged"),
        (json.dumps({"schema": 9}), "has schema 9"),
        (json.dumps({**json.loads(text), "items": 195}), "do not fit each other"),
        (json.dumps({**json.loads(text), "more": 1}), "is damaged"),
    ):
        manifest.write_text(wrong)
        with pytest.raises(ValueError, match=sentence):
            corpora.read(tmp_path / "a")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Ray's of its own options
def test_ray_data_writes_the_same_files_and_goes_on_with_a_broken_run(tmp_path: Path) -> None:
    ray = pytest.importorskip("ray", reason="Ray Data is not installed: pip install 'ray[data]'")
    run(tmp_path / "here")

    def failing(items: Sequence[str]) -> np.ndarray:
        if "part 33" in items:
            raise RuntimeError("the device is gone")
        return toy()(items)

    with pytest.raises(RuntimeError, match="the device is gone"):
        run(tmp_path / "ray", encode=failing)
    assert len(corpora.read(tmp_path / "ray").shards) == 3
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        with pytest.raises(RuntimeError, match="in one of Ray's workers: RuntimeError: the device is gone"):
            run(tmp_path / "ray", encode=failing, ray=True, workers=1)
        assert ray.is_initialized()  # what the caller started stays
    finally:
        ray.shutdown()
    run(tmp_path / "ray", ray=True, workers=2)
    assert not ray.is_initialized()
    assert files(tmp_path / "ray") == files(tmp_path / "here")
