"""Chips as read against the pixels that were stored, windows against slices, and what is no chip against its sentence."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from runtime import chips, ops
from runtime.chips import MEDIAN, batch, convert, is_chip, read_chip, window
from runtime.prepare import UnreadableImage

GREY = np.random.default_rng(0).integers(0, 256, (12, 10), np.uint8)
MAGNITUDE = np.random.default_rng(1).rayleigh(3, (12, 10)).astype(np.float32)


def encoded(array: np.ndarray, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array, **options).save(file, kind)
    return file.getvalue()


def stored(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


# reading


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_eight_bits_are_read_as_stored(tmp_path: Path, kind: str) -> None:
    (tmp_path / "chip").write_bytes(encoded(GREY, kind))
    for source in (tmp_path / "chip", str(tmp_path / "chip"), encoded(GREY, kind), GREY, GREY[:, :, None]):
        found = read_chip(source)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, GREY)


def test_equal_channels_are_one_and_alpha_is_dropped() -> None:
    colour = np.repeat(GREY[:, :, None], 3, 2)
    alpha = np.concatenate([colour, 255 - colour[:, :, :1]], 2)
    for source in (encoded(colour, "PNG"), encoded(alpha, "PNG"), alpha):
        np.testing.assert_array_equal(read_chip(source), GREY)
    cmyk = io.BytesIO()
    Image.fromarray(np.repeat(np.repeat(GREY[::4, ::4], 4, 0), 4, 1)).convert("CMYK").save(cmyk, "JPEG", quality=95)
    assert read_chip(cmyk.getvalue()).dtype == np.uint8


def test_a_grey_jpeg_in_colours_is_one_channel() -> None:
    smooth = ops.resize(GREY[:4, :4, None], (32, 32))[:, :, 0]
    file = io.BytesIO()
    Image.fromarray(smooth).convert("RGB").save(file, "JPEG", quality=90)
    assert np.abs(read_chip(file.getvalue()).astype(int) - smooth).mean() < 3


def test_sixteen_bits_and_floats_are_magnitudes_of_their_unit() -> None:
    wide = GREY.astype(np.uint16) * 200
    for source in (encoded(wide, "PNG"), wide, stored(wide), wide.astype(np.float64), stored(wide.astype(">f8"))):
        found = read_chip(source)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, wide)


def test_of_complex_values_the_magnitude_is_taken(raw_chip: Callable[..., bytes]) -> None:
    turned = MAGNITUDE * np.exp(1j * np.linspace(0, 9, MAGNITUDE.size).reshape(MAGNITUDE.shape))
    for source in (turned, stored(turned.astype(np.complex64)), raw_chip(MAGNITUDE)):
        np.testing.assert_allclose(read_chip(source), MAGNITUDE, rtol=1e-6)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (np.stack([GREY, GREY // 2, 255 - GREY], 2), "is coloured"),
        (encoded(np.stack([GREY, GREY // 2, 255 - GREY], 2), "PNG"), "is coloured"),
        (np.stack([MAGNITUDE, MAGNITUDE, MAGNITUDE + 1], 2), "channels that differ"),
        (-MAGNITUDE, "negative, not finite"),
        (MAGNITUDE + np.nan, "negative, not finite"),
        (np.full((4, 4), 1e200), "beyond float32"),
        (np.full((4, 4), complex(np.inf, 0)), "not finite"),
        (GREY.astype(np.int64), "of type int64"),
        (GREY > 9, "of type bool"),
        (GREY[None, None], "shape"),
        (GREY[:0], "shape"),
        (stored(GREY)[:-20], "no .npy file of numbers, or truncated"),
        (stored(GREY)[:8] + b"{'shape': (9" + stored(GREY)[20:], "no .npy file"),
        (b"", "is empty"),
        (b"some text", "no raw MSTAR file"),
        (encoded(GREY, "PNG")[:-20], "truncated"),
    ],
)
def test_what_is_no_chip_is_refused(source: Any, sentence: str) -> None:
    with pytest.raises(UnreadableImage, match=sentence):
        read_chip(source)


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(UnreadableImage, match=r"no \.npy file"):
        read_chip(tmp_path / "a.npy")
    with pytest.raises(FileNotFoundError):
        read_chip(tmp_path / "none.npy")


def test_names_tell_chips() -> None:
    assert all(map(is_chip, ("a.jpeg", "A.TIF", "b.npy", "HB03787.015")))
    assert not any(map(is_chip, ("README", "a.txt", "HB.1234", "HB015")))


# windows


def test_a_window_is_the_centre_pixel_by_pixel() -> None:
    for chip in (GREY, MAGNITUDE):
        np.testing.assert_array_equal(window(chip, 6, 6), chip[3:9, 2:8])
        np.testing.assert_array_equal(window(chip, 7, 7), chip[2:9, 1:8])
    np.testing.assert_array_equal(window(GREY, 10, 10), GREY[1:11])


def test_a_chip_smaller_than_the_crop_is_refused_and_never_enlarged() -> None:
    with pytest.raises(UnreadableImage, match=r"a\.png has 12x10 pixels, fewer than the 11x11"):
        window(GREY, 11, 11, "a.png")
    with pytest.raises(UnreadableImage, match="1x1"):
        window(GREY[:1, :1], 8, 8)
    with pytest.raises(ValueError, match="give the same number"):
        window(GREY, 8, 6)


def test_the_published_protocol_squeezes_whole_chips_of_eight_bits() -> None:
    np.testing.assert_array_equal(window(GREY, "resize", 6), ops.resize(GREY[:, :, None], (6, 6), "bilinear")[:, :, 0])
    with pytest.raises(ValueError, match="native resolution"):
        window(MAGNITUDE, "resize", 6)


def test_eight_bits_of_a_magnitude_have_the_median_and_are_cut_off() -> None:
    found = convert(MAGNITUDE, "uint8")
    expected = np.minimum(np.rint(MAGNITUDE.astype(np.float64) * MEDIAN / np.median(MAGNITUDE)), 255)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(convert(MAGNITUDE * 7, "uint8"), found)
    point = np.zeros((9, 9), np.float32)
    assert convert(point, "uint8").max() == 0
    point[4, 4] = 3
    assert convert(point, "uint8").max() == 255
    np.testing.assert_array_equal(convert(GREY, "magnitude"), GREY.astype(np.float32))
    assert convert(GREY, "uint8") is GREY
    with pytest.raises(ValueError, match="uint8 or magnitude"):
        convert(GREY, "decibel")


def test_a_batch_is_what_a_graph_takes() -> None:
    found = batch([GREY, MAGNITUDE], 8, 8, "uint8")
    assert found.shape == (2, 1, 8, 8) and found.dtype == np.uint8
    np.testing.assert_array_equal(found[1, 0], window(convert(MAGNITUDE, "uint8"), 8, 8))
    assert batch([GREY, MAGNITUDE], 8, 8, "magnitude").dtype == np.float32
    assert batch([], 8, 8, "magnitude").shape == (0, 1, 8, 8)
    with pytest.raises(UnreadableImage, match="chip 1, counted from 0, has 3x3 pixels"):
        batch([GREY, GREY[:3, :3]], 8, 8, "uint8")
    assert chips.KINDS == ("uint8", "magnitude")
