"""Corpora and FAISS shards as every earlier version wrote them, against what they were made of."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from runtime import corpus
from runtime.stores import faiss_shards

HERE = Path(__file__).parent
VERSIONS = sorted(HERE.glob("corpus_v*"))


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_corpus", HERE / "make_corpus.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_is_a_golden_corpus_of_every_version() -> None:
    last = max(corpus.SCHEMA, faiss_shards.SCHEMA)
    assert [path.name for path in VERSIONS] == [f"corpus_v{number}" for number in range(1, last + 1)]


@pytest.mark.parametrize("path", VERSIONS, ids=lambda path: path.name)
def test_old_ones_are_still_read_and_searched(path: Path, maker: ModuleType) -> None:
    found = corpus.read(path / "corpus")
    assert (found.finished, found.maker, len(found), found.items) == (True, "golden", 18, 20)
    assert [(bad.id, bad.path, bad.error) for bad in found.failures()] == [
        (place, maker.ITEMS[place], "it has no points") for place in (3, 17)
    ]
    good = [item for place, item in enumerate(maker.ITEMS) if place not in (3, 17)]
    assert np.concatenate([chunk.codes for chunk in found.rows().chunks()]).tolist() == maker.codes(good).tolist()
    assert found.names(found.search(maker.codes(good), 1).ids[:, 0]) == good
    shards = faiss_shards.search(path / "shards", maker.codes(good), 5)
    np.testing.assert_array_equal(shards.ids, found.search(maker.codes(good), 5).ids)


def test_this_version_writes_the_golden_bytes(maker: ModuleType, tmp_path: Path) -> None:
    maker.main(tmp_path)
    again = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert again == {path.relative_to(VERSIONS[-1]): path.read_bytes() for path in VERSIONS[-1].rglob("*") if path.is_file()}
