"""Photographs in folders, zips and without any, against what lies there."""

from __future__ import annotations

import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from train.data.photos import Photos, open_photos


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    for place, count in (("hr/train", 8), ("hr/set5", 2)):
        (tmp_path / place).mkdir(parents=True)
        for number in range(count):
            assert cv2.imwrite(str(tmp_path / place / f"{number}.png"), generator.integers(0, 256, (20, 24, 3), dtype=np.uint8))
    return tmp_path


def test_named_folders_are_train_and_test_and_some_are_held_out(folder: Path) -> None:
    found = open_photos(folder, train="train", tests=("set5",), held_out=0.25)
    assert (len(found.train), len(found.val), {name: len(part) for name, part in found.test.items()}) == (6, 2, {"set5": 2})
    assert set(found.train.names) | set(found.val.names) == {f"hr/train/{number}.png" for number in range(8)}
    assert found.test["set5"].read(0).shape == (20, 24, 3)


def test_a_zip_is_as_its_folder(folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for path in sorted((folder / "hr").rglob("*.png")):
            archive.write(path, path.relative_to(folder))
    one, other = (open_photos(path, train="train", tests=("set5",)) for path in (folder, tmp_path / "photos.zip"))
    assert one.train.names == other.train.names
    assert np.array_equal(one.train.read(3), other.train.read(3))


def test_a_plain_folder_is_parted_by_names(folder: Path) -> None:
    found = open_photos(folder / "hr" / "train", held_out=0.25)
    assert (len(found.train), len(found.val), len(found.test["test"])) == (4, 2, 2)
    names = [*found.train.names, *found.val.names, *found.test["test"].names]
    assert len(set(names)) == 8


def test_a_missing_folder_is_named(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no folder 'set14'.*hr/set5"):
        open_photos(folder, train="train", tests=("set14",))


def test_without_data_scenes_are_drawn() -> None:
    found = open_photos(None, count=12, size=32)
    assert len(found.train) == 12 and found.train.read(0).shape == (32, 32, 3) and list(found.test) == ["scenes"]


def numbered() -> Photos:
    image = np.arange(10 * 12 * 3, dtype=np.uint8).reshape(10, 12, 3)
    return Photos(("a",), lambda _: image)


def test_crops_are_pieces_in_all_eight_turns() -> None:
    photos = numbered()
    whole = photos.read(0).transpose(2, 0, 1)
    pieces = {whole[:, y : y + 6, x : x + 6].tobytes() for y in range(5) for x in range(7)}
    seen = set()
    for key in range(200):
        crop = photos.crop(0, 6, np.uint64(key * 7919))
        turns = [np.rot90(crop, k, (1, 2)) for k in range(4)]
        turns += [turn[:, :, ::-1] for turn in turns]
        fitting = [at for at, turn in enumerate(turns) if np.ascontiguousarray(turn).tobytes() in pieces]
        assert fitting
        seen.add(fitting[0])
    assert seen == set(range(8))


def test_a_photograph_smaller_than_the_crop_is_named() -> None:
    with pytest.raises(ValueError, match="a has 12x10 pixels, and crops of 11"):
        numbered().crop(0, 11, np.uint64(1))


def test_what_does_not_fit_into_memory_is_read_again() -> None:
    reads = []

    def load(number: int) -> np.ndarray:
        reads.append(number)
        return np.zeros((4, 4, 3), np.uint8)

    photos = Photos(("a", "b"), load, _room=50)
    for number in (0, 0, 1, 1):
        photos.read(number)
    assert reads == [0, 1, 1]
