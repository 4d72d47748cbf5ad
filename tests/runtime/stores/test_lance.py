"""LanceDB in a folder, and in an object store on loopback, against HammingIndex."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from runtime.index import HammingIndex
from runtime.index_names import NamedIndex
from runtime.stores import lance as store
from runtime.stores import rows
from runtime.stores.__main__ import main

lancedb = pytest.importorskip("lancedb", reason="LanceDB is not installed: pip install lancedb")
Filled = Callable[..., HammingIndex]


def same(found: object, hits: object) -> None:
    np.testing.assert_array_equal(found.ids, hits.ids)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(found.distances, hits.distances)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("n", "bits", "values"), [(0, 16, 3), (1, 8, 256), (3, 64, 256), (3000, 16, 3), (500, 24, 256), (100, 4096, 256)]
)
def test_its_answers_are_those_of_the_index(filled: Filled, tmp_path: Path, n: int, bits: int, values: int) -> None:
    index, queries = filled(n, bits, values=values), np.random.default_rng(1).integers(0, values, (5, bits // 8), np.uint8)
    assert store.write(index, tmp_path, "codes") == n
    for k in (1, 7, 100):
        found = store.search(tmp_path, "codes", queries, k)
        same(found, index.search(queries, k))
        assert found.method == "lance"
    assert store.search(tmp_path, "codes", queries[:0], 3).ids.shape == (0, min(n, 3))


def test_a_table_is_refused_replaced_or_added_to_and_names_go_along(
    filled: Filled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "CHUNK", 7)
    index = filled(50)
    keys = [int(key) for ids, _ in index for key in ids]
    store.write(NamedIndex(index, {key: f"{key} \N{SNOWMAN}" for key in keys}, "m"), tmp_path, "parts")
    with pytest.raises(ValueError, match="already; replace it"):
        store.write(index, tmp_path, "parts")
    read = lancedb.connect(tmp_path).open_table("parts").to_arrow()
    assert read["id"].to_pylist() == keys
    assert read["name"].to_pylist() == [f"{key} \N{SNOWMAN}" for key in keys]
    more = HammingIndex(16)
    more.add(np.full((2, 2), 255, np.uint8), [keys[0], 10_000])
    assert store.write(more, tmp_path, "parts", update=True) == 2
    index.remove([keys[0]])
    index.add(np.full((2, 2), 255, np.uint8), [keys[0], 10_000])
    queries = np.random.default_rng(2).integers(0, 256, (4, 2), np.uint8)
    same(store.search(tmp_path, "parts", queries, 20), index.search(queries, 20))
    with pytest.raises(ValueError, match="holds codes of 16 bits, and 24 were given"):
        store.write(filled(3, 24), tmp_path, "parts", update=True)
    store.write(filled(30, 24), tmp_path, "parts", replace=True)
    queries = np.random.default_rng(2).integers(0, 256, (4, 3), np.uint8)
    same(store.search(tmp_path, "parts", queries, 20), filled(30, 24).search(queries, 20))


def test_a_write_that_fails_leaves_the_old_table(filled: Filled, tmp_path: Path) -> None:
    index, query = filled(20), np.zeros((1, 2), np.uint8)
    store.write(index, tmp_path, "kept")

    def broken() -> Iterator[rows.Chunk]:
        yield from rows.of(filled(10, seed=4)).chunks()
        raise OSError("the source ended")

    for how in ({"replace": True}, {"update": True}):
        with pytest.raises(Exception, match="the source ended"):
            store.write(rows.Rows(16, 20, broken), tmp_path, "kept", **how)
        same(store.search(tmp_path, "kept", query, 9), index.search(query, 9))


@pytest.fixture
def object_store() -> Iterator[dict[str, str]]:
    """LanceDB's options for an S3 server on loopback, with the bucket "codes"."""
    if importlib.util.find_spec("moto") is None:
        pytest.skip("no object store can be started: pip install 'moto[s3,server]'")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    place = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(urllib.request.Request(f"{place}/codes", method="PUT")).close()
                break
            except urllib.error.URLError:
                assert process.poll() is None
                time.sleep(0.1)
        keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any", "region": "us-east-1"}
        yield {**keys, "endpoint": place, "allow_http": "true"}
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_the_same_call_writes_to_an_object_store(filled: Filled, tmp_path: Path, object_store: dict[str, str]) -> None:
    index, queries = filled(500), np.random.default_rng(1).integers(0, 3, (3, 2), np.uint8)
    store.write(index, "s3://codes/db", "parts", storage_options=object_store)
    same(store.search("s3://codes/db", "parts", queries, 20, storage_options=object_store), index.search(queries, 20))
    more = HammingIndex(16)
    more.add(np.full((2, 2), 1, np.uint8), [1_000_000, 1_000_001])
    more.save(tmp_path / "more.hidx")
    options = [part for key, value in object_store.items() for part in ("--storage-option", f"{key}={value}")]
    command = ["lance", str(tmp_path / "more.hidx"), "s3://codes/db", "--table", "parts", "--update", *options]
    assert main(command) == 0
    index.add(np.full((2, 2), 1, np.uint8), [1_000_000, 1_000_001])
    same(store.search("s3://codes/db", "parts", queries, 20, storage_options=object_store), index.search(queries, 20))


def test_an_index_of_its_own_does_not_make_answers_approximate(filled: Filled, tmp_path: Path) -> None:
    index, queries = filled(4000, 64, values=256), np.random.default_rng(1).integers(0, 256, (3, 8), np.uint8)
    store.write(index, tmp_path, "codes")
    table = lancedb.connect(tmp_path).open_table("codes")
    table.create_index("code", config=lancedb.index.IvfFlat(distance_type="hamming", num_partitions=128))
    assert [found.columns for found in table.list_indices()] == [["code"]]
    same(store.search(tmp_path, "codes", queries, 30), index.search(queries, 30))


def test_what_cannot_be_is_refused_by_a_sentence(filled: Filled, tmp_path: Path) -> None:
    query = np.zeros((1, 2), np.uint8)
    store.write(filled(5), tmp_path, "small")
    with pytest.raises(ValueError, match="no table nowhere"):
        store.search(tmp_path, "nowhere", query, 1)
    with pytest.raises(ValueError, match=r"expected uint8 \(n, 2\)"):
        store.search(tmp_path, "small", np.zeros((1, 3), np.uint8), 1)
    with pytest.raises(ValueError, match="k = 0"):
        store.search(tmp_path, "small", query, 0)
    with pytest.raises(ValueError, match="replace and update"):
        store.write(filled(5), tmp_path, "small", replace=True, update=True)
    lancedb.connect(tmp_path).create_table("other", data=[{"id": 1, "code": "x"}])
    with pytest.raises(ValueError, match="expected id: int64 and code"):
        store.search(tmp_path, "other", query, 1)
