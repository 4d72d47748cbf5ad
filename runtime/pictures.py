"""Pictures as they are: grey, colour or with alpha, 8 or 16 bits; read, enlarged to any size, written whole or not at all."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .prepare import SUFFIXES, Source, UnreadableImage, _opencv, encoded
from .whole import writing

_TAPS = 3  # of Lanczos's kernel, each way
_BAND = 256  # rows that are worked on at a time


@dataclass(frozen=True)
class Picture:
    """Pixels of one image.

    Args:
        colour: (h, w, 3) RGB or (h, w, 1) grey, uint8 or uint16.
        alpha: (h, w, 1) of the same type, or None.
        flat: it was given as (h, w), and is to be given back so.
    """

    colour: NDArray[Any]
    alpha: NDArray[Any] | None
    flat: bool = False

    @property
    def peak(self) -> int:
        """What white is: 255 or 65535."""
        return int(np.iinfo(self.colour.dtype).max)

    def planes(self, rows: slice, columns: slice) -> NDArray[np.float32]:
        """A part as a graph takes it: float32 (1, 3, h, w), 0 to 1."""
        part = self.colour[rows, columns].transpose(2, 0, 1)[None].astype(np.float32) / np.float32(self.peak)
        return np.ascontiguousarray(np.repeat(part, 3, axis=1) if part.shape[1] == 1 else part)

    def moments(self) -> tuple[float, float]:
        """Mean and deviation of all colour values, 0 to 1, in one pass of bounded memory."""
        total = squares = 0.0
        for start in range(0, len(self.colour), _BAND):
            part = self.colour[start : start + _BAND].astype(np.float64) / self.peak
            total, squares = total + float(part.sum()), squares + float(np.square(part).sum())
        mean = total / self.colour.size
        return mean, math.sqrt(max(squares / self.colour.size - mean**2, 0.0))

    def joined(self) -> NDArray[Any]:
        """(h, w), (h, w, 3) or (h, w, 4)."""
        if self.alpha is not None:
            colour = np.repeat(self.colour, 3, axis=2) if self.colour.shape[2] == 1 else self.colour
            return np.concatenate([colour, self.alpha], axis=2)
        return self.colour[:, :, 0] if self.flat else self.colour


def read(source: Source) -> Picture:
    """A file's path, its bytes, or an array (h, w), (h, w, 1), (h, w, 3) or (h, w, 4) of uint8, uint16 or float in 0..1.

    Floats become 16 bits. EXIF's orientation is honoured.

    Raises:
        FileNotFoundError: there is no such file.
        UnreadableImage: it is empty, truncated or no image, or an array of another shape, type or range.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    return _from_bytes(*encoded(source))


def _from_array(array: NDArray[Any]) -> Picture:
    flat = array.ndim == 2
    array = array[:, :, None] if flat else array
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        raise UnreadableImage(
            f"an array of shape {array.shape} was given; expected (height, width), or (height, width, c) with 1, 3 or 4 channels"
        )
    if np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all():
            raise UnreadableImage("the image holds values that are not finite (NaN or infinity); expected floats in 0..1")
        if array.min() < 0 or array.max() > 1:
            raise UnreadableImage(f"the image's values run from {array.min():.4g} to {array.max():.4g}; expected floats in 0..1")
        array = np.rint(array * 65535).astype(np.uint16)
    if array.dtype not in (np.uint8, np.uint16):
        raise UnreadableImage(f"an image of type {array.dtype} was given; expected uint8, uint16, or float in 0..1")
    return Picture(array[:, :, :3], array[:, :, 3:] if array.shape[2] == 4 else None, flat)


def _from_bytes(content: bytes, name: str) -> Picture:
    cv2 = _opencv()
    data = np.frombuffer(content, np.uint8)
    try:
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
        if image is not None and (image.ndim == 2 or image.shape[2] == 3):
            image = cv2.imdecode(data, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR)  # the flags that turn by EXIF, and drop alpha
    except cv2.error as error:  # such as more pixels than OpenCV allows
        raise UnreadableImage(f"{name} cannot be decoded: {error}") from error
    if image is None:
        raise UnreadableImage(f"{name} is not an image that OpenCV reads, or it is damaged; expected {', '.join(SUFFIXES)}")
    if image.dtype not in (np.uint8, np.uint16):
        raise UnreadableImage(f"{name} holds {image.dtype} pixels; expected 8 or 16 bits")
    if image.ndim == 2:
        return Picture(image[:, :, None], None, flat=True)
    turned = np.ascontiguousarray(image[:, :, 2::-1])
    return Picture(turned, np.ascontiguousarray(image[:, :, 3:]) if image.shape[2] == 4 else None)


def write(path: Path, pixels: NDArray[Any]) -> None:
    """Encode by the name's suffix into a temporary file beside, flush, rename: `path` is the old file or the whole new one.

    Args:
        pixels: (h, w), (h, w, 1), (h, w, 3) RGB or (h, w, 4), uint8 or uint16.

    Raises:
        ValueError: the suffix is unknown, or such files cannot hold the pixels.
        OSError: the folder cannot be written to.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"{path} has the suffix {path.suffix!r}; expected one of {', '.join(SUFFIXES)}")
    lossy = suffix in (".jpg", ".jpeg", ".bmp", ".webp")
    if lossy and pixels.dtype == np.uint16:
        raise ValueError(f"{path}: {suffix} files hold 8 bits and the picture has 16; write .png or .tif")
    if suffix in (".jpg", ".jpeg", ".bmp", ".ppm", ".pgm") and pixels.ndim == 3 and pixels.shape[2] == 4:
        raise ValueError(f"{path}: {suffix} files hold no transparency; write .png")
    cv2 = _opencv()
    turned = pixels
    if pixels.ndim == 3 and pixels.shape[2] >= 3:
        turned = pixels[:, :, [2, 1, 0, *range(3, pixels.shape[2])]]
    options = [cv2.IMWRITE_JPEG_QUALITY, 95] if suffix in (".jpg", ".jpeg") else []
    try:
        done, content = cv2.imencode(suffix, turned, options)
    except cv2.error as error:  # such as sides beyond what the format counts
        raise ValueError(f"{path} cannot be encoded as {suffix}: {error}") from error
    if not done:
        raise ValueError(f"{path} cannot be encoded as {suffix}: {pixels.shape} {pixels.dtype}")
    with writing(path) as file:
        file.write(content.tobytes())


def lanczos(image: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Resample by Lanczos's kernel of 3 lobes, widened where it reduces (antialiased): (h, w, c) -> (height, width, c).

    The type stays; values are rounded and kept within it. Rows are taken in bands, so that little beside the result is held.
    """
    height, width = size
    rows, row_weights = _weights(image.shape[0], height)
    columns, column_weights = _weights(image.shape[1], width)
    peak = np.iinfo(image.dtype).max
    found = np.empty((height, width, image.shape[2]), image.dtype)
    for start in range(0, height, _BAND):
        part = slice(start, start + _BAND)
        first, last = int(rows[part].min()), int(rows[part].max()) + 1
        band = image[first:last].astype(np.float32)
        across = np.zeros((len(band), width, image.shape[2]), np.float32)
        for tap in range(columns.shape[1]):
            across += band[:, columns[:, tap]] * column_weights[:, tap, None]
        down = np.zeros((len(rows[part]), width, image.shape[2]), np.float32)
        for tap in range(rows.shape[1]):
            down += across[rows[part, tap] - first] * row_weights[part, tap, None, None]
        found[part] = np.rint(down).clip(0, peak).astype(image.dtype)
    return found


def _weights(before: int, after: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Which samples each result takes, (after, taps), and how much of each."""
    step = before / after
    stretch = max(step, 1.0)
    centre = (np.arange(after) + 0.5) * step  # in pixels whose middles lie at halves
    first = np.floor(centre - _TAPS * stretch).astype(np.int64)
    source = first[:, None] + np.arange(int(np.ceil(2 * _TAPS * stretch)) + 1)  # (after, taps)
    place = (source + 0.5 - centre[:, None]) / stretch
    weight = np.where(np.abs(place) < _TAPS, np.sinc(place) * np.sinc(place / _TAPS), 0.0)
    weight[(source < 0) | (source >= before)] = 0.0
    weight /= weight.sum(1, keepdims=True)
    return source.clip(0, before - 1), weight.astype(np.float32)
