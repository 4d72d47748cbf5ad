"""An index with names against what was saved: both files or none, and pairs that do not belong together."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from runtime import index_names
from runtime.index import HammingIndex
from runtime.index_names import NamedIndex, names_of


def named(count: int, *, ids: list[int] | None = None, seed: int = 0) -> NamedIndex:
    index = HammingIndex(16)
    index.add(np.random.default_rng(seed).integers(0, 256, (count, 2), dtype=np.uint8), ids)
    return NamedIndex(index, {key: f"models/part {key}.ply" for key in (ids or range(count))}, "maker")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "parts.hidx"
    index_names.save(found, named(3))
    return found


@pytest.mark.parametrize("ids", [None, [2, 5, 9], []])
def test_what_is_saved_is_loaded(tmp_path: Path, ids: list[int] | None) -> None:
    given = named(3 if ids is None else len(ids), ids=ids)
    index_names.save(tmp_path / "a.hidx", given)
    found = index_names.load(tmp_path / "a.hidx")
    assert found.paths == given.paths and found.maker == "maker" and len(found.index) == len(given.index)
    assert index_names.load(tmp_path / "a.hidx", mmap=True).paths == given.paths
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a.hidx", "a.hidx.names"]


def test_any_name_of_a_file_survives(tmp_path: Path) -> None:
    names = {0: "a\nb.ply", 1: "größe/形.ply", 2: os.fsdecode(b"\xff.ply")}
    index_names.save(tmp_path / "a", NamedIndex(named(3).index, names, "m"))
    assert index_names.load(tmp_path / "a").paths == names


def test_names_of_other_ids_are_not_saved(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="2 names and 3 codes"):
        index_names.save(tmp_path / "a", NamedIndex(named(3).index, {0: "a", 1: "b"}, "m"))
    with pytest.raises(ValueError, match="code 1 has id 1 and its name id 2"):
        index_names.save(tmp_path / "a", NamedIndex(named(3).index, {0: "a", 2: "b", 1: "c"}, "m"))
    assert list(tmp_path.iterdir()) == []


def test_an_index_without_its_names_or_with_anothers_is_refused(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.hidx"
    index_names.save(other, named(3, seed=1))
    shutil.copy(names_of(other), names_of(path))
    with pytest.raises(ValueError, match="not written together"):
        index_names.load(path)
    names_of(path).unlink()
    with pytest.raises(FileNotFoundError, match=r"parts\.hidx\.names"):
        index_names.load(path)


@pytest.mark.parametrize("change", ["cut", "swap", "text", "empty", "list"])
def test_damaged_names_are_refused(path: Path, change: str) -> None:
    lines = names_of(path).read_text().splitlines(keepends=True)
    damaged = {
        "cut": "".join(lines)[:-10],
        "swap": "".join([lines[0], lines[2], lines[1], lines[3]]),
        "text": "no names",
        "empty": "",
        "list": "[]\n",
    }[change]
    names_of(path).write_text(damaged)
    with pytest.raises(ValueError, match=r"parts\.hidx\.names"):
        index_names.load(path)


def test_a_missing_line_is_told(path: Path) -> None:
    names_of(path).write_text("".join(names_of(path).read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(ValueError, match="2 names and 3 codes"):
        index_names.load(path)


def test_a_newer_schema_is_refused_by_name(path: Path) -> None:
    lines = names_of(path).read_text().splitlines(keepends=True)
    names_of(path).write_text(json.dumps({**json.loads(lines[0]), "schema": 2}) + "\n" + "".join(lines[1:]))
    with pytest.raises(ValueError, match="has schema 2, and this version reads up to 1"):
        index_names.load(path)


@pytest.mark.parametrize("at", [1, 2])
def test_a_full_disk_leaves_the_old_pair(path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    before = {item.name: item.read_bytes() for item in path.parent.iterdir()}
    flush, calls = os.fsync, []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) >= 2 * at - 1:  # of the first file, then of its folder, then of the second
            raise OSError(28, "No space left on device")
        flush(handle)

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        index_names.save(path, named(5, seed=2))
    assert {item.name: item.read_bytes() for item in path.parent.iterdir()} == before
