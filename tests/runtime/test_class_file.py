"""The file of enrolled classes: what is written is read; damage, truncation, newer versions and forged names are refused."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import class_file

MAKER = "ab" * 32
SHAPE = (3, 4)
HEADER = 136


def drawn(*counts: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {f"class {at}": generator.normal(size=(count, *SHAPE)).astype(np.float32) for at, count in enumerate(counts)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "shop.fsc"
    class_file.write(found, drawn(2, 1), SHAPE, MAKER)
    return found


def sealed(data: bytes) -> bytes:
    """With both checksums set right again."""
    data = data[:72] + hashlib.sha256(data[HEADER:]).digest() + data[104:]
    return data[:104] + hashlib.sha256(data[:104]).digest() + data[HEADER:]


def renamed(data: bytes, names: object) -> bytes:
    """With other names, sealed."""
    text = names if isinstance(names, bytes) else json.dumps(names).encode()
    size = int.from_bytes(data[32:40], "little")
    begin = -(-(HEADER + size) // 64) * 64
    padding = bytes(-(HEADER + len(text)) % 64)
    return sealed(data[:32] + struct.pack("<Q", len(text)) + data[40:HEADER] + text + padding + data[begin:])


@pytest.mark.parametrize("counts", [(), (1,), (2, 1), (1, 40, 3)])
def test_what_is_written_is_read(tmp_path: Path, counts: tuple[int, ...]) -> None:
    classes = drawn(*counts)
    class_file.write(tmp_path / "a.fsc", classes, SHAPE, MAKER)
    found = class_file.read(tmp_path / "a.fsc")
    assert found.maker == MAKER and list(found.classes) == list(classes)
    assert all(np.array_equal(found.classes[name], rows) for name, rows in classes.items())
    header = class_file.header(tmp_path / "a.fsc")
    assert (header.locations, header.d, header.classes, header.images) == (*SHAPE, len(counts), sum(counts))
    assert header.maker == MAKER and [item.name for item in tmp_path.iterdir()] == ["a.fsc"]


@settings(max_examples=30, deadline=None)
@given(names=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), unique=True, max_size=5))
def test_any_name_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    path = tmp_path_factory.mktemp("names") / "a.fsc"
    class_file.write(path, {name: np.full((1, *SHAPE), at, np.float32) for at, name in enumerate(names)}, SHAPE, MAKER)
    assert list(class_file.read(path).classes) == names


def test_a_failed_write_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def full(*_: object) -> object:
        raise OSError("no space left")

    monkeypatch.setattr(class_file, "_body", full)
    with pytest.raises(OSError, match="no space left"):
        class_file.write(path, drawn(5), SHAPE, MAKER)
    assert path.read_bytes() == before and [item.name for item in path.parent.iterdir()] == ["shop.fsc"]


def test_no_byte_can_change_unnoticed(path: Path) -> None:
    data = path.read_bytes()
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        with pytest.raises(ValueError, match=r"damaged|newer|no file of enrolled"):
            class_file.read(path)


@pytest.mark.parametrize("size", [0, 7, 8, 11, 12, 135, 136, 150, -1])
def test_a_truncated_file_is_refused(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ValueError, match=r"truncated|no file of enrolled"):
        class_file.read(path)
    with pytest.raises(ValueError, match=r"truncated|no file of enrolled"):
        class_file.header(path)


def test_a_longer_file_is_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ValueError, match="longer than it should be"):
        class_file.header(path)


def test_a_newer_version_is_refused_by_name(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(sealed(data[:8] + struct.pack("<I", 2) + data[12:]))
    with pytest.raises(ValueError, match="has version 2, and this one reads up to 1; install a newer contrastrt"):
        class_file.read(path)


@pytest.mark.parametrize(("at", "value"), [(8, 0), (12, 0), (16, 0), (20, 4)])
def test_a_header_that_states_the_impossible_is_refused(path: Path, at: int, value: int) -> None:
    data = path.read_bytes()
    path.write_bytes(sealed(data[:at] + struct.pack("<I", value) + data[at + 4 :]))
    with pytest.raises(ValueError, match="header that no version wrote"):
        class_file.read(path)


@pytest.mark.parametrize(
    "names",
    [
        [["a", 2]],
        [["a", 2], ["a", 1]],
        [["a", 2], ["b", 2]],
        [["a", 3], ["b", 0]],
        [["a", 4], ["b", -1]],
        [["a", 2.0], ["b", 1]],
        [["a", True], ["b", 2]],
        [["a", 2], [7, 1]],
        [["a", 2], ["b"]],
        {"a": 2, "b": 1},
        7,
        None,
        b"[" * 100_000,
        b"\xff",
    ],
)
def test_names_that_no_version_wrote_are_refused_in_spite_of_their_checksum(path: Path, names: object) -> None:
    path.write_bytes(renamed(path.read_bytes(), names))
    with pytest.raises(ValueError, match="names that no version wrote"):
        class_file.read(path)


def test_descriptors_that_are_no_numbers_are_refused(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(sealed(data[:-4] + struct.pack("<f", float("nan"))))
    with pytest.raises(ValueError, match="holds what is no number"):
        class_file.read(path)


def test_other_things_are_no_file_of_classes(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no file"):
        class_file.read(tmp_path / "none.fsc")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        class_file.header(tmp_path)
    (tmp_path / "a.fsc").write_text("something else")
    with pytest.raises(ValueError, match="is no file of enrolled classes"):
        class_file.read(tmp_path / "a.fsc")
