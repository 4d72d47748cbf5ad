"""Hamming indexes as every earlier version and FAISS wrote them, against the codes they were made of."""

from pathlib import Path

import numpy as np
import pytest

from runtime.index import HammingIndex
from runtime.index_file import VERSION

VERSIONS = sorted(Path(__file__).parent.glob("hamming_index_v*"))


def content(path: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    with np.load(path / "content.npz") as stored:
        return stored["codes"], {"numbered": np.arange(len(stored["codes"])), "named": stored["ids"]}


def test_there_is_a_golden_index_of_every_version() -> None:
    assert [path.name for path in VERSIONS] == [f"hamming_index_v{number}" for number in range(1, VERSION + 1)]


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("kind", ["numbered", "named"])
@pytest.mark.parametrize("path", VERSIONS, ids=lambda path: path.name)
def test_an_old_index_still_holds_its_codes(path: Path, kind: str, mmap: bool) -> None:
    codes, ids = content(path)
    index = HammingIndex.load(path / f"{kind}.index", mmap=mmap)
    assert len(index) == len(codes)
    np.testing.assert_array_equal([index.reconstruct(code_id) for code_id in ids[kind]], codes)


@pytest.mark.parametrize("kind", ["numbered", "named"])
def test_a_faiss_file_is_read_and_written_byte_for_byte(kind: str) -> None:
    codes, ids = content(VERSIONS[0])
    data = (VERSIONS[0] / f"{kind}.faiss").read_bytes()
    index = HammingIndex.from_faiss(data)
    np.testing.assert_array_equal([index.reconstruct(code_id) for code_id in ids[kind]], codes)
    assert index.to_faiss() == data


@pytest.mark.parametrize("kind", ["numbered", "named"])
def test_this_version_writes_the_golden_bytes(kind: str, tmp_path: Path) -> None:
    codes, ids = content(VERSIONS[-1])
    index = HammingIndex(40)
    index.add(codes, ids[kind])
    index.save(tmp_path / "again.index")
    assert (tmp_path / "again.index").read_bytes() == (VERSIONS[-1] / f"{kind}.index").read_bytes()
