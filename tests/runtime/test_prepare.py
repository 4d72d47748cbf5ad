"""Decoding against Pillow's, geometry against torchvision's rule written a second way, and what no image is against its sentence."""

import io
import math
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from runtime import ops
from runtime.prepare import Geometry, UnreadableImage, batch, decode, fit, resize

SIDE = st.integers(1, 90)


def photograph(height: int = 60, width: int = 80) -> np.ndarray:
    """Smooth colours: what JPEG is made for."""
    coarse = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    return ops.resize(coarse, (height, width))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def jpeg(**options: object) -> bytes:
    return encoded(Image.fromarray(photograph()), "JPEG", **options)


FILES = {
    "jpg": jpeg(quality=90),
    "progressive jpg": jpeg(quality=90, progressive=True),
    "png": encoded(Image.fromarray(photograph()), "PNG"),
    "bmp": encoded(Image.fromarray(photograph()), "BMP"),
    "webp": encoded(Image.fromarray(photograph()), "WEBP"),
    "ppm": encoded(Image.fromarray(photograph()), "PPM"),
}


# files


@pytest.mark.parametrize("quality", [50, 75, 95])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("grey", [False, True])
def test_a_jpeg_is_pillows_to_a_level(quality: int, subsampling: int, grey: bool) -> None:
    """Equal where both carry the same libjpeg-turbo; another version may round the colours of a pixel otherwise."""
    data = encoded(
        Image.fromarray(photograph()).convert("L" if grey else "RGB"), "JPEG", quality=quality, subsampling=subsampling
    )
    theirs = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    difference = np.abs(decode(data).astype(int) - theirs)
    assert difference.max() <= 2
    assert difference.mean() < 0.1


@pytest.mark.parametrize("kind", ["png", "bmp", "ppm"])
def test_a_lossless_file_gives_its_pixels(kind: str) -> None:
    np.testing.assert_array_equal(decode(FILES[kind]), photograph())


def test_a_path_a_text_and_bytes_give_the_same(tmp_path: Path) -> None:
    path = tmp_path / "später 100%.jpg"
    path.write_bytes(FILES["jpg"])
    np.testing.assert_array_equal(decode(path), decode(FILES["jpg"]))
    np.testing.assert_array_equal(decode(str(path)), decode(FILES["jpg"]))


def test_grey_becomes_three_equal_channels_and_alpha_is_dropped() -> None:
    grey = photograph()[:, :, 0]
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(grey), "PNG")), np.stack([grey] * 3, axis=2))
    clear = np.dstack([photograph(), np.zeros((60, 80), np.uint8)])
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(clear), "PNG")), photograph())
    np.testing.assert_array_equal(decode(clear), photograph())


def test_of_sixteen_bits_the_upper_eight_stay_in_files_and_in_arrays() -> None:
    deep = np.random.default_rng(0).integers(0, 1 << 16, (9, 7, 3)).astype(np.uint16)
    data = cv2.imencode(".png", deep[:, :, ::-1])[1].tobytes()
    np.testing.assert_array_equal(decode(data), (deep >> 8).astype(np.uint8))
    np.testing.assert_array_equal(decode(deep), (deep >> 8).astype(np.uint8))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_honoured(orientation: int) -> None:
    image = Image.fromarray(photograph())
    exif = image.getexif()
    exif[0x0112] = orientation
    data = encoded(image, "JPEG", quality=95, exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    assert np.abs(decode(data).astype(int) - upright).max() <= 2


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_lacks_its_end_is_refused_wherever_it_was_cut(kind: str) -> None:
    data = FILES[kind]
    for length in {*range(1, len(data), max(1, len(data) // 40)), len(data) - 1, len(data) - 2}:
        with pytest.raises(UnreadableImage):
            decode(data[:length])


def test_a_thumbnail_does_not_hide_that_the_picture_is_cut() -> None:
    thumbnail = jpeg(quality=20)
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    whole = FILES["jpg"][:2] + segment + FILES["jpg"][2:]
    np.testing.assert_array_equal(decode(whole), decode(FILES["jpg"]))
    for length in (len(segment) + 2, len(segment) + 30, len(whole) // 2, len(whole) - 2):
        with pytest.raises(UnreadableImage, match="truncated"):
            decode(whole[:length])


def test_what_a_telephone_appends_after_the_picture_does_no_harm() -> None:
    film = np.random.default_rng(0).integers(0, 256, 400_000, np.uint8).tobytes() + b"\xff\xda film"
    np.testing.assert_array_equal(decode(FILES["jpg"] + film), decode(FILES["jpg"]))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"just some text", "is not an image that OpenCV reads"),
        (FILES["jpg"][:-200], "is truncated"),
        (FILES["png"][:-200], "is truncated"),
    ],
)
def test_a_bad_file_is_named_in_the_sentence(content: bytes, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.jpg"
    path.write_bytes(content)
    with pytest.raises(UnreadableImage, match=f"bad.jpg {sentence}"):
        decode(path)
    with pytest.raises(UnreadableImage, match=f"given as bytes {sentence}"):
        decode(content)


def test_a_folder_and_a_missing_file_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match="is a folder"):
        decode(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"there is no file .*nowhere\.png"):
        decode(tmp_path / "nowhere.png")


# arrays


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_from_0_to_1_become_bytes(dtype: type) -> None:
    levels = np.arange(256).reshape(16, 16)
    np.testing.assert_array_equal(decode((levels / 255).astype(dtype))[:, :, 0], levels)


def test_grey_arrays_of_both_shapes_are_the_same_image() -> None:
    grey = photograph()[:, :, 0]
    np.testing.assert_array_equal(decode(grey), decode(grey[:, :, None]))


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.full((4, 4, 3), np.nan), "not finite"),
        (np.full((4, 4, 3), np.inf), "not finite"),
        (np.full((4, 4, 3), 255.0), "from 255 to 255; expected floats in 0..1"),
        (np.full((4, 4, 3), -0.1), "expected floats in 0..1"),
        (np.zeros((4, 4, 3), np.int64), "type int64"),
        (np.zeros((4, 4, 3), bool), "type bool"),
        (np.zeros((3, 4, 4), np.uint8)[None], "shape"),
        (np.zeros((3, 9, 9), np.uint8), r"\(3, 9, 9\)"),
        (np.zeros((4, 4, 2), np.uint8), "shape"),
        (np.zeros((0, 4, 3), np.uint8), "shape"),
        (np.zeros(4, np.uint8), "shape"),
    ],
)
def test_an_array_that_is_no_image_is_refused_by_a_sentence(array: np.ndarray, sentence: str) -> None:
    with pytest.raises(UnreadableImage, match=sentence):
        decode(array)


# geometry


def cut_out(image: np.ndarray, side: int, interpolation: str) -> np.ndarray:
    """torchvision's Resize(side) and CenterCrop(side), as documented: the long side cut to whole pixels, round half to even."""
    h, w = image.shape[:2]
    long = math.floor(Fraction(side * max(h, w), min(h, w)))
    whole = ops.resize(image, (side, long) if h <= w else (long, side), interpolation)
    top, left = (round(Fraction(length - side, 2)) for length in whole.shape[:2])
    return whole[top : top + side, left : left + side]


@settings(max_examples=150, deadline=None)
@given(SIDE, SIDE, st.integers(1, 40), st.sampled_from(("bicubic", "bilinear")))
def test_crop_is_torchvisions_resize_and_centre_crop(height: int, width: int, side: int, interpolation: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    geometry = Geometry((side, side), "crop", interpolation)
    np.testing.assert_array_equal(fit(image, geometry), cut_out(image, side, interpolation))


@settings(max_examples=100, deadline=None)
@given(SIDE, SIDE, st.tuples(st.integers(1, 40), st.integers(1, 40)), st.sampled_from(("crop", "squash")))
def test_every_image_fits_every_geometry(height: int, width: int, size: tuple[int, int], mode: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    found = fit(image, Geometry(size, mode))
    assert found.shape == (*size, 3)
    if mode == "squash":
        np.testing.assert_array_equal(found, resize(image, size))


def test_a_batch_is_its_images_with_channels_first() -> None:
    geometry = Geometry((8, 8))
    images = [photograph(20, 30), photograph(9, 9)]
    found = batch(images, geometry)
    assert found.shape == (2, 3, 8, 8)
    assert found.dtype == np.uint8
    for row, image in zip(found, images, strict=True):
        np.testing.assert_array_equal(row.transpose(1, 2, 0), fit(image, geometry))
    assert batch([], geometry).shape == (0, 3, 8, 8)


@given(st.tuples(SIDE, SIDE), st.sampled_from(("crop", "squash")), st.sampled_from(("bicubic", "bilinear")))
def test_a_geometry_survives_its_plain_values(size: tuple[int, int], mode: str, interpolation: str) -> None:
    geometry = Geometry(size, mode, interpolation)
    assert Geometry.from_dict(geometry.to_dict()) == geometry


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"size": 224, "mode": "crop", "interpolation": "bicubic"},
        {"size": [224, 0], "mode": "crop", "interpolation": "bicubic"},
        {"size": [224, 224], "mode": "pad", "interpolation": "bicubic"},
        {"size": [224, 224], "mode": "crop", "interpolation": "lanczos"},
    ],
)
def test_values_that_are_no_geometry_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="is not a geometry"):
        Geometry.from_dict(values)
