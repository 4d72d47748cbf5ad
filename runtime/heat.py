"""Pictures of what decided: an image under a grid of numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .ops import resize
from .prepare import Geometry

_SHORTEST, _LONGEST = 256, 768  # side of a picture, pixels
_FOR, _AGAINST = np.array([230.0, 60.0, 20.0]), np.array([40.0, 90.0, 230.0])
_LUMA = np.array([0.299, 0.587, 0.114])  # of ITU-R BT.601
_STRONGEST = 0.75  # how much of the colour covers the image
_DIMMED = 0.3  # brightness of what does not count


def visible(image: NDArray[np.uint8], geometry: Geometry) -> NDArray[np.uint8]:
    """The part of an image (h, w, 3) that a graph of this geometry sees, in the image's own pixels."""
    if geometry.mode == "squash":
        return image
    (h, w), (height, width) = image.shape[:2], geometry.size
    scale = min(h / height, w / width)
    rows, columns = min(max(round(height * scale), 1), h), min(max(round(width * scale), 1), w)
    top, left = (h - rows) // 2, (w - columns) // 2
    return image[top : top + rows, left : left + columns]


def overlay(image: NDArray[np.uint8], heat: NDArray[np.float32], selected: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """An image (h, w, 3) in grey, each cell of a grid (r, c) in red where it speaks for the answer and in blue where against it.

    The colour's strength is relative to the strongest cell. Cells that are not selected are dark.

    Returns:
        uint8 (height, width, 3), of the image's shape about; sides of 256 pixels at least, where that keeps them below 768.
    """
    h, w = image.shape[:2]
    scale = min(max(_SHORTEST / min(h, w), 1.0), _LONGEST / max(h, w))
    size = max(round(h * scale), 1), max(round(w * scale), 1)
    shown = resize(np.ascontiguousarray(image), size, "bilinear") @ _LUMA  # (height, width)
    cells = np.ix_(*(np.arange(side) * count // side for side, count in zip(size, heat.shape, strict=True)))
    largest = float(np.abs(heat).max())
    strength = (heat / largest if largest else np.zeros_like(heat))[cells][:, :, None]  # (height, width, 1)
    colour = np.where(strength > 0, _FOR, _AGAINST)
    cover = _STRONGEST * np.abs(strength)
    grey = shown[:, :, None]
    mixed = np.where(selected[cells][:, :, None], grey * (1 - cover) + colour * cover, grey * _DIMMED)
    return mixed.round().clip(0, 255).astype(np.uint8)
