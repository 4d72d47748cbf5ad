"""Pictures of every kind against what was written; resampling against Pillow; files that are whole or absent."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from runtime.pictures import lanczos, read, write
from runtime.prepare import UnreadableImage

KINDS = [
    ((9, 7), np.uint8),
    ((9, 7), np.uint16),
    ((9, 7, 3), np.uint8),
    ((9, 7, 3), np.uint16),
    ((9, 7, 4), np.uint8),
    ((9, 7, 4), np.uint16),
]


def drawn(shape: tuple[int, ...], kind: type) -> np.ndarray:
    return np.random.default_rng(len(shape)).integers(0, np.iinfo(kind).max, shape, dtype=kind)


@pytest.mark.parametrize(("shape", "kind"), KINDS)
def test_a_png_comes_back_as_it_was_written(shape: tuple[int, ...], kind: type, tmp_path: Path) -> None:
    pixels = drawn(shape, kind)
    write(tmp_path / "a.png", pixels)
    picture = read(tmp_path / "a.png")
    assert picture.peak == np.iinfo(kind).max and (picture.alpha is not None) == (shape[-1] == 4)
    assert np.array_equal(picture.joined(), pixels) and picture.joined().dtype == kind


@pytest.mark.parametrize(("shape", "kind"), KINDS)
def test_an_array_is_a_picture_too(shape: tuple[int, ...], kind: type) -> None:
    pixels = drawn(shape, kind)
    assert np.array_equal(read(pixels).joined(), pixels)
    planes = read(pixels).planes(slice(2, 6), slice(0, 7))
    assert planes.shape == (1, 3, 4, 7) and planes.dtype == np.float32
    assert planes.flags.c_contiguous and 0 <= planes.min() <= planes.max() <= 1


def test_exif_turns_the_picture(tmp_path: Path) -> None:
    image = Image.fromarray(drawn((8, 16, 3), np.uint8))
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    image.save(tmp_path / "a.jpg", exif=exif)
    assert read(tmp_path / "a.jpg").colour.shape == (16, 8, 3)


def test_what_is_no_picture_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("no picture")
    write(tmp_path / "whole.png", drawn((40, 40, 3), np.uint8))
    (tmp_path / "half.png").write_bytes((tmp_path / "whole.png").read_bytes()[:900])
    for name, word in (("empty.png", "is empty"), ("text.png", "not an image"), ("half.png", "truncated")):
        with pytest.raises(UnreadableImage, match=f"{name} {word}|{name} is {word}"):
            read(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=r"no\.png"):
        read(tmp_path / "no.png")
    with pytest.raises(UnreadableImage, match="folder"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("array", "word"),
    [
        (np.full((4, 4), np.nan), "not finite"),
        (np.full((4, 4), 1.5), "run from"),
        (np.zeros((4, 4, 2), np.uint8), "1, 3 or 4 channels"),
        (np.zeros((0, 4, 3), np.uint8), "shape"),
        (np.zeros((4, 4, 3), np.int32), "int32"),
    ],
)
def test_arrays_of_another_kind_are_refused(array: np.ndarray, word: str) -> None:
    with pytest.raises(UnreadableImage, match=word):
        read(array)


def test_floats_become_16_bits() -> None:
    assert np.array_equal(read(np.array([[0.0, 0.5, 1.0]])).joined(), np.array([[0, 32768, 65535]], np.uint16))


def test_files_that_cannot_hold_the_pixels_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    for name, pixels, word in (
        ("a.jpg", drawn((4, 4, 3), np.uint16), "8 bits"),
        ("a.jpg", drawn((4, 4, 4), np.uint8), "transparency"),
        ("a.gif", drawn((4, 4, 3), np.uint8), "suffix"),
    ):
        with pytest.raises(ValueError, match=word):
            write(tmp_path / name, pixels)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.png", drawn((4, 4, 3), np.uint8))
    before = (tmp_path / "a.png").read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write(tmp_path / "a.png", drawn((5, 5, 3), np.uint8))
    assert (tmp_path / "a.png").read_bytes() == before and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("size", [(60, 90), (31, 45), (20, 30), (7, 9), (1, 1)])
def test_resampling_is_pillows_lanczos(size: tuple[int, int]) -> None:
    image = cv2.GaussianBlur(drawn((40, 60, 3), np.uint8), (3, 3), 0)
    expected = np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.LANCZOS), int)
    assert np.abs(lanczos(image, size).astype(int) - expected).max() <= 2


def test_resampling_keeps_a_flat_picture_and_its_type() -> None:
    found = lanczos(np.full((5, 4, 1), 40_000, np.uint16), (300, 13))
    assert found.dtype == np.uint16 and (found == 40_000).all()
