"""SAR chips in NumPy: read 8-bit images, magnitudes, complex values and MSTAR's raw files, and cut the centre at native resolution.

Training and edge both prepare chips here. Nothing is resized: MSTAR's chips have class-specific sizes, so that resizing a whole chip
tells the class by its size. `crop="resize"` is that published protocol, kept for comparison.

A chip is uint8, of an unknown linear scale, or float32, the magnitude in the radar's unit. Neither has a level that means anything:
a graph that takes magnitudes divides them by a level of its own window.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import ops, phoenix
from .prepare import SUFFIXES as IMAGES
from .prepare import Source, UnreadableImage, _opencv, encoded

Chip: TypeAlias = NDArray[Any]  # uint8 or float32
Kind: TypeAlias = Literal["uint8", "magnitude"]
Crop: TypeAlias = int | Literal["resize"]

KINDS = ("uint8", "magnitude")
SUFFIXES = (*IMAGES, ".npy")
MEDIAN = (
    20.0  # of a chip in 8 bits: that of the MSTAR JPEGs in circulation, half of which have 17 to 23; their targets are cut off
)
RAW = re.compile(r"\.\d{3}$")  # MSTAR's raw files end in the depression angle or a running number, as HB03787.015
COLOUR = 8  # levels that the channels of a grey image may differ by, as a colour JPEG's do


def is_chip(name: str) -> bool:
    """Whether a file's name is one of a chip: an image, .npy, or a raw file's number."""
    return name.lower().endswith(SUFFIXES) or RAW.search(name) is not None


def read_chip(source: Source) -> Chip:
    """A file's path, its bytes, or an array.

    Args:
        source: a file is an image, a .npy array or a raw MSTAR file, told by its content. An array is (h, w) or (h, w, 1), or (h, w, 3)
            or (h, w, 4) of equal channels; uint8 stays, uint16 and float are magnitudes, of complex values the magnitude is taken.
            Alpha is dropped.

    Returns:
        (h, w), uint8 or float32.

    Raises:
        FileNotFoundError: there is no such file.
        UnreadableImage: it is none of these, truncated, coloured, or has a magnitude that is negative or not finite.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, "the array given")
    content, name = encoded(source)
    if phoenix.is_phoenix(content):
        return phoenix.read(content, name).magnitude
    if content.startswith(b"\x93NUMPY"):
        return _from_array(_read_array(content, name), name)
    return _from_array(_decode(content, name), name)


def _read_array(content: bytes, name: str) -> NDArray[Any]:
    try:
        found: NDArray[Any] = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    except Exception as error:  # a damaged header is read as Python, or promises more than memory holds
        raise UnreadableImage(f"{name} is no .npy file of numbers, or truncated: {error}") from error
    return found


def _decode(content: bytes, name: str) -> NDArray[Any]:
    """As stored: 16 bits and floats stay, and no EXIF turns it."""
    cv2 = _opencv()
    try:
        found: NDArray[Any] | None = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:  # such as more pixels than OpenCV allows
        raise UnreadableImage(f"{name} cannot be decoded: {error}") from error
    if found is None:
        raise UnreadableImage(
            f"{name} is no image that OpenCV reads, no .npy file and no raw MSTAR file, or it is damaged; expected "
            f"{', '.join(SUFFIXES)}, or a Phoenix header"
        )
    return found


def _from_array(array: NDArray[Any], name: str) -> Chip:
    if array.ndim == 3 and array.shape[2] in (1, 3, 4) and array.size:
        array = _grey(array, name)
    if array.ndim != 2 or array.size == 0:
        raise UnreadableImage(f"{name} has shape {array.shape}; expected a chip (height, width)")
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype.kind not in "fc" and array.dtype != np.uint16:
        raise UnreadableImage(f"{name} is of type {array.dtype}; expected uint8, or uint16, float or complex magnitudes")
    with np.errstate(over="ignore", invalid="ignore"):
        found = (np.abs(array) if array.dtype.kind == "c" else array).astype(np.float32)
    if not np.isfinite(found).all() or found.min() < 0:
        raise UnreadableImage(f"{name} holds magnitudes that are negative, not finite or beyond float32; expected 0 or more")
    return np.ascontiguousarray(found)


def _grey(array: NDArray[Any], name: str) -> NDArray[Any]:
    """The one channel that colour channels repeat: (h, w, c) -> (h, w)"""
    colours = array[:, :, :3]
    if array.dtype == np.uint8 and array.shape[2] > 1:
        if int((colours.max(2) - colours.min(2)).max()) > COLOUR:
            raise UnreadableImage(f"{name} is coloured; expected a chip of one channel, its backscatter in grey")
        return np.asarray(np.rint(colours.mean(2)).astype(np.uint8))
    if not (colours == colours[:, :, :1]).all():
        raise UnreadableImage(f"{name} has channels that differ; expected a chip of one channel, its backscatter")
    return np.asarray(colours[:, :, 0])


def window(chip: Chip, crop: Crop, size: int, name: str = "the chip") -> Chip:
    """The centre of a chip at native resolution, or with "resize" all of it, squeezed: (h, w) -> (size, size)

    Raises:
        UnreadableImage: the chip is smaller than the crop.
        ValueError: a crop that is not the size, or "resize" of magnitudes.
    """
    if crop == "resize":
        if chip.dtype != np.uint8:
            raise ValueError('crop="resize" is the published protocol of 8-bit chips; cut magnitudes at native resolution')
        return ops.resize(np.asarray(chip, np.uint8)[:, :, None], (size, size), "bilinear")[:, :, 0]
    if crop != size:
        raise ValueError(f"crop={crop} and size={size} were given; chips are cut at native resolution: give the same number")
    h, w = chip.shape
    if min(h, w) < size:
        raise UnreadableImage(f"{name} has {h}x{w} pixels, fewer than the {size}x{size} cut from its centre; it is not enlarged")
    top, left = (h - size) // 2, (w - size) // 2
    return np.ascontiguousarray(chip[top : top + size, left : left + size])


def convert(chip: Chip, kind: str) -> Chip:
    """A whole chip as a graph takes it.

    To 8 bits a magnitude is brought linearly, its chip's median to MEDIAN, and cut off at 255; where the median is 0, its largest goes
    to 255. 8 bits are taken as magnitudes of another unit.
    """
    if kind not in KINDS:
        raise ValueError(f"input {kind!r} was given; expected {' or '.join(KINDS)}")
    if kind == "magnitude":
        return chip.astype(np.float32)
    if chip.dtype == np.uint8:
        return chip
    exact = chip.astype(np.float64)
    median = float(np.median(exact))
    scale = MEDIAN / median if median > 0 else 255 / (float(exact.max()) or 1.0)
    return np.rint(np.minimum(exact * scale, 255)).astype(np.uint8)


def batch(chips: Sequence[Chip], crop: Crop, size: int, kind: str, names: Sequence[str | Path] = ()) -> Chip:
    """What a recognizer's graph takes of chips as read: (n, 1, size, size), uint8 or float32; as `convert` and `window`.

    Args:
        names: of the chips, for sentences.
    """
    shown = names or [f"chip {place}, counted from 0," if len(chips) > 1 else "the chip" for place in range(len(chips))]
    found = [window(convert(chip, kind), crop, size, str(name)) for chip, name in zip(chips, shown, strict=True)]
    dtype = np.uint8 if kind == "uint8" else np.float32
    return np.stack(found)[:, None].astype(dtype) if found else np.empty((0, 1, size, size), dtype)
