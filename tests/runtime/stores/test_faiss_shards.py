"""Shards against the index that they are of, and against FAISS reading them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from runtime.index import HammingIndex
from runtime.stores import faiss_shards as store
from runtime.stores import rows

Filled = Callable[..., HammingIndex]


@pytest.mark.parametrize(("n", "size"), [(0, 10), (1, 10), (500, 70), (500, 100), (500, 501)])
def test_the_merge_over_shards_is_the_search_of_the_index(
    filled: Filled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n: int, size: int
) -> None:
    monkeypatch.setattr(rows, "CHUNK", 64)  # shards are cut across chunks
    index, queries = filled(n), np.random.default_rng(1).integers(0, 3, (6, 2), np.uint8)
    made = store.write(index, tmp_path / "new" / "shards", shard_size=size)
    assert len(made) == n
    assert [shard.codes for shard in made.shards] == [min(size, n - begin) for begin in range(0, n, size)]
    assert store.read(tmp_path / "new" / "shards") == made
    for k in (1, 30, 600):
        found, hits = store.search(tmp_path / "new" / "shards", queries, k), index.search(queries, k)
        np.testing.assert_array_equal(found.ids, hits.ids)
        np.testing.assert_array_equal(found.distances, hits.distances)


def test_faiss_reads_each_shard_and_finds_the_same_over_all(filled: Filled, tmp_path: Path) -> None:
    faiss = pytest.importorskip("faiss", reason="FAISS is not installed: pip install faiss-cpu")
    index, queries = filled(400, 64, values=256), np.random.default_rng(1).integers(0, 256, (6, 8), np.uint8)
    over_all = faiss.IndexBinaryShards(64, False, False)  # no threads, ids as they are
    opened = []
    for shard in store.write(index, tmp_path, shard_size=150).shards:
        opened.append(faiss.read_index_binary(str(tmp_path / shard.file)))
        ids = faiss.vector_to_array(opened[-1].id_map)
        assert (opened[-1].ntotal, ids[0], ids[-1]) == (shard.codes, shard.first, shard.last)
        over_all.add_shard(opened[-1])
    distances, ids = over_all.search(queries, 20)
    hits = index.search(queries, 20)
    np.testing.assert_array_equal(distances, hits.distances)
    for row in range(6):
        inside = distances[row] < distances[row, -1]  # which of those that tie at the end FAISS keeps is its own choice
        assert set(ids[row][inside].tolist()) == set(hits.ids[row][inside].tolist())


def test_shards_are_replaced_as_a_whole(filled: Filled, tmp_path: Path) -> None:
    store.write(filled(100), tmp_path, shard_size=30)
    (tmp_path / "mine.faiss").write_bytes(b"not a shard")
    with pytest.raises(FileExistsError, match="replace them with"):
        store.write(filled(100), tmp_path)
    made = store.write(filled(90, seed=3), tmp_path, shard_size=50, replace=True)
    assert {path.name for path in tmp_path.iterdir()} == {store.MANIFEST, "mine.faiss", *(shard.file for shard in made.shards)}

    def broken() -> object:
        yield from list(rows.of(filled(60)).chunks())
        raise OSError("the source ended")

    with pytest.raises(OSError, match="the source ended"):
        store.write(rows.Rows(16, 60, broken), tmp_path, shard_size=20, replace=True)  # type: ignore[arg-type]
    assert store.read(tmp_path) == made
    assert store.search(tmp_path, np.zeros((1, 2), np.uint8), 100).ids.shape == (1, 90)


def test_what_is_missing_or_damaged_is_refused_by_a_sentence(filled: Filled, tmp_path: Path) -> None:
    query = np.zeros((1, 2), np.uint8)
    with pytest.raises(FileNotFoundError, match="holds no FAISS shards, or their writing has not ended"):
        store.search(tmp_path, query, 1)
    with pytest.raises(ValueError, match="shard_size = 0"):
        store.write(filled(5), tmp_path, shard_size=0)
    made = store.write(filled(40), tmp_path, shard_size=25)
    with pytest.raises(ValueError, match=r"expected uint8 \(n, 2\)"):
        store.search(tmp_path, np.zeros((1, 3), np.uint8), 1)
    shard, manifest = tmp_path / made.shards[0].file, tmp_path / store.MANIFEST
    data, text = shard.read_bytes(), manifest.read_text()
    shard.write_bytes(data[:-1] + b"\1")
    with pytest.raises(ValueError, match="is damaged or was changed"):
        store.search(tmp_path, query, 1)
    shard.unlink()
    with pytest.raises(FileNotFoundError, match=r"is missing, which shards\.json lists"):
        store.search(tmp_path, query, 1)
    shard.write_bytes(data)
    manifest.write_text(json.dumps({**json.loads(text), "bits": 24}))
    with pytest.raises(ValueError, match=r"holds 25 codes of 16 bits, shards\.json says 25 of 24"):
        store.search(tmp_path, np.zeros((1, 3), np.uint8), 1)
    for wrong, sentence in (
        ("{", "is damaged"),
        ('{"schema": 9}', "has schema 9"),
        ('{"schema": 1}', "is damaged"),
        ("[]", "is damaged"),
    ):
        manifest.write_text(wrong)
        with pytest.raises(ValueError, match=sentence):
            store.read(tmp_path)
