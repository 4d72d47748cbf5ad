"""Geometry in NumPy and OpenCV: decode, resize, crop. Arithmetic (scaling, mean, deviation) is inside the graphs.

Resizing is Pillow's antialiased one (see ops.resize for the versions). Decoding is OpenCV's; both use libjpeg-turbo. EXIF
orientation is honoured (Pillow needs ImageOps.exif_transpose for that), alpha is dropped, grey becomes three equal channels,
of 16 bits the upper 8 stay.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import ops

Source: TypeAlias = str | Path | bytes | NDArray[Any]

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")


_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # of a JPEG; in a scan 00 is an escape and D0 to D7 restart it


class UnreadableImage(ValueError):
    """What was given is no image, or half of one."""


@dataclass(frozen=True)
class Geometry:
    """How an image becomes a graph's input.

    Args:
        size: (height, width) in pixels.
        mode: "crop" brings the shorter side to size and cuts out the centre, as CLIP does; "squash" resizes both sides.
        interpolation: "bicubic" or "bilinear", antialiased.
    """

    size: tuple[int, int]
    mode: Literal["crop", "squash"] = "crop"
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"

    def __post_init__(self) -> None:
        if len(self.size) != 2 or min(self.size) < 1:
            raise ValueError(f"a geometry's size is (height, width), both at least 1; {self.size} was given")
        if self.mode not in ("crop", "squash"):
            raise ValueError(f"a geometry's mode is crop or squash; {self.mode!r} was given")
        if self.interpolation not in ("bicubic", "bilinear"):
            raise ValueError(f"a geometry's interpolation is bicubic or bilinear; {self.interpolation!r} was given")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and checkpoints."""
        return {"size": list(self.size), "mode": self.mode, "interpolation": self.interpolation}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Geometry:
        """The inverse of `to_dict`."""
        try:
            height, width = values["size"]
            return cls((int(height), int(width)), values["mode"], values["interpolation"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{dict(values)} is not a geometry: expected size [h, w], mode and interpolation") from error


def decode(source: Source) -> NDArray[np.uint8]:
    """Read an image: a file's path, its bytes, or an array.

    Args:
        source: an array is (h, w), (h, w, 1), (h, w, 3) in RGB order or (h, w, 4); uint8, uint16, or float in 0..1.

    Returns:
        uint8 (h, w, 3) RGB.

    Raises:
        FileNotFoundError: there is no such file.
        UnreadableImage: it is no image, truncated, or an array of another shape, type or range.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    return _from_bytes(*encoded(source))


def listed(images: Source | Sequence[Source]) -> tuple[bool, list[Source]]:
    """Whether several images were given, and the images: an array (n, h, w, 3) is n of them."""
    if isinstance(images, np.ndarray):
        return images.ndim == 4, list(images) if images.ndim == 4 else [images]
    if isinstance(images, (str, Path, bytes)):
        return False, [images]
    return True, list(images)


def decode_all(images: Sequence[Source]) -> list[NDArray[np.uint8]]:
    """Each as `decode` has it; what is wrong with one that has no path of its own is said of its place among several."""
    found = []
    for place, image in enumerate(images):
        try:
            found.append(decode(image))
        except UnreadableImage as error:
            if len(images) == 1 or isinstance(image, (str, Path)):
                raise
            raise UnreadableImage(f"number {place}, counted from 0: {error}") from error
    return found


def encoded(source: str | Path | bytes) -> tuple[bytes, str]:
    """What a path or bytes hold, with a name for sentences; FileNotFoundError, or UnreadableImage where it is empty or truncated."""
    if isinstance(source, bytes):
        content, name = source, "the image given as bytes"
    else:
        path = Path(source)
        if path.is_dir():
            raise UnreadableImage(f"{path} is a folder; expected an image file")
        if not path.exists():
            raise FileNotFoundError(f"there is no file {path}")
        content, name = path.read_bytes(), str(path)
    if not content:
        raise UnreadableImage(f"{name} is empty")
    if _truncated(content):
        raise UnreadableImage(f"{name} is truncated: its end is missing")
    return content, name


def _from_array(array: NDArray[Any]) -> NDArray[np.uint8]:
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        raise UnreadableImage(
            f"an array of shape {array.shape} was given; expected an image (height, width), (height, width, 3) or (height, width, 4)"
        )
    if array.dtype == np.uint16:
        array = (array >> 8).astype(np.uint8)
    elif np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all():
            raise UnreadableImage("the image holds values that are not finite (NaN or infinity); expected floats in 0..1")
        if array.min() < 0 or array.max() > 1:
            raise UnreadableImage(
                f"the image's values run from {array.min():.4g} to {array.max():.4g}; expected floats in 0..1, or uint8 in 0..255"
            )
        array = np.rint(array * 255).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise UnreadableImage(f"an image of type {array.dtype} was given; expected uint8, uint16, or float in 0..1")
    return np.ascontiguousarray(np.repeat(array, 3, axis=2) if array.shape[2] == 1 else array[:, :, :3])


def _from_bytes(content: bytes, name: str) -> NDArray[np.uint8]:
    cv2 = _opencv()
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:  # such as more pixels than OpenCV allows
        raise UnreadableImage(f"{name} cannot be decoded: {error}") from error
    if image is None:
        raise UnreadableImage(f"{name} is not an image that OpenCV reads, or it is damaged; expected {', '.join(SUFFIXES)}")
    return np.ascontiguousarray(image[:, :, ::-1])


def _truncated(content: bytes) -> bool:
    """Whether the end mark is missing: OpenCV fills the missing half of a JPEG with grey, without a word."""
    if content.startswith(b"\xff\xd8"):
        return not _jpeg_ends(content)
    if content.startswith(b"\x89PNG"):
        return b"IEND" not in content
    if content.startswith(b"RIFF"):
        return len(content) < int.from_bytes(content[4:8], "little") + 8
    return False


def _jpeg_ends(content: bytes) -> bool:
    """Walk from marker to marker: thumbnails lie inside a segment, and telephones append films after the end."""
    at = 2
    while found := _MARKER.search(content, at):
        at = found.end()
        marker = content[at - 1]
        if marker == 0xD9:
            return True
        if marker not in (0x01, 0xD8):  # all others have a length
            at += int.from_bytes(content[at : at + 2], "big")
    return False


def _opencv() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise ModuleNotFoundError(
            f"OpenCV is needed to read image files and cannot be imported ({error}): pip install 'contrastrt[opencv]', "
            "or 'contrastrt[headless]' on a machine without a display",
            name="cv2",
        ) from error
    return cv2


def resize(image: NDArray[np.uint8], size: tuple[int, int], interpolation: str = "bicubic") -> NDArray[np.uint8]:
    """Antialiased (see ops.resize): uint8 (h, w, c) -> (height, width, c)."""
    return ops.resize(image, size, interpolation)


def fit(image: NDArray[np.uint8], geometry: Geometry) -> NDArray[np.uint8]:
    """Bring one image to a geometry: uint8 (h, w, 3) -> (height, width, 3).

    Rounding is torchvision's: the longer side is cut to whole pixels, the crop's corner rounds half to even.
    """
    height, width = geometry.size
    if image.shape[:2] == (height, width):
        return image
    if geometry.mode == "squash":
        return ops.resize(image, geometry.size, geometry.interpolation)
    h, w = image.shape[:2]
    if h * width <= w * height:  # the height is the one to match
        whole = (height, max(int(height * w / h), width))
    else:
        whole = (max(int(width * h / w), height), width)
    top, left = round((whole[0] - height) / 2), round((whole[1] - width) / 2)
    return ops.resize(image, whole, geometry.interpolation, (top, left, height, width))


def batch(images: Sequence[NDArray[np.uint8]], geometry: Geometry) -> NDArray[np.uint8]:
    """Images of any size -> uint8 (n, 3, height, width)."""
    if not images:
        return np.empty((0, 3, *geometry.size), np.uint8)
    return np.stack([fit(image, geometry).transpose(2, 0, 1) for image in images])
