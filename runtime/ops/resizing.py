"""Antialiased resize: the dispatcher and the NumPy twin."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .backend import native

_FRACTION_BITS = 22
_SUPPORT = {"bilinear": 1.0, "bicubic": 2.0}  # half the width of the filter, in samples

Window = tuple[int, int, int, int]  # top, left, height, width


def resize(
    image: NDArray[np.uint8], size: tuple[int, int], interpolation: str = "bicubic", window: Window | None = None
) -> NDArray[np.uint8]:
    """Resize with antialiasing in two passes, horizontal first, in fixed point with 22 fractional bits.

    Bit for bit Pillow's up to version 12. Pillow 13 takes the vertical pass first at some sizes, and rounds differently there.

    Args:
        image: (h, w, c).
        size: (height, width) of the whole result, in pixels.
        interpolation: "bicubic" (a = -0.5) or "bilinear".
        window: compute this part of the result only.

    Returns:
        (height, width, c), or the window's.
    """
    if image.ndim != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ValueError(f"an image of shape {image.shape} and type {image.dtype} was given; expected uint8 (h, w, c), not empty")
    if min(size) < 1:
        raise ValueError(f"a size of {size} was given; expected at least 1 by 1")
    if interpolation not in _SUPPORT:
        raise ValueError(f"interpolation {interpolation!r} was given; expected bicubic or bilinear")
    part = window or (0, 0, *size)
    compiled = native()
    if compiled is None:
        return resize_numpy(image, size, interpolation, part)
    return compiled.resize(np.ascontiguousarray(image), size, interpolation, part)  # type: ignore[no-any-return]


def resize_numpy(image: NDArray[np.uint8], size: tuple[int, int], interpolation: str, window: Window) -> NDArray[np.uint8]:
    """The twin of the native `resize`."""
    top, left, height, width = window
    if not (0 <= top <= size[0] - height and 0 <= left <= size[1] - width and height > 0 and width > 0):
        raise ValueError("the window must lie inside the resized image")
    rows = _weights(interpolation, image.shape[0], size[0], top, top + height)
    columns = _weights(interpolation, image.shape[1], size[1], left, left + width)
    if image.shape[1] == size[1]:
        narrow = image[:, left : left + width]
    else:
        narrow = _pass(image.transpose(1, 0, 2), *columns).transpose(1, 0, 2)
    return np.ascontiguousarray(narrow[top : top + height] if image.shape[0] == size[0] else _pass(narrow, *rows))


def _pass(samples: NDArray[np.uint8], first: NDArray[np.int64], weights: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Weighted sums along the first axis: (n, ...) -> (m, ...); weights (m, taps)."""
    total = np.full((len(first), *samples.shape[1:]), 1 << (_FRACTION_BITS - 1), np.int32)
    for tap in range(weights.shape[1]):
        index = np.minimum(first + tap, len(samples) - 1)  # past the end the weight is 0
        total += samples[index] * weights[:, tap].reshape(-1, *(1,) * (samples.ndim - 1))
    found: NDArray[np.uint8] = np.clip(total >> _FRACTION_BITS, 0, 255).astype(np.uint8)
    return found


def _weights(interpolation: str, size: int, target: int, begin: int, end: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """First input sample and fixed-point weights, (m,) and (m, taps), of output samples [begin, end)."""
    scale = size / target
    widened = max(scale, 1.0)
    support = _SUPPORT[interpolation] * widened
    centre = (np.arange(begin, end) + 0.5) * scale
    first = np.maximum((centre - support + 0.5).astype(np.int64), 0)
    last = np.minimum((centre + support + 0.5).astype(np.int64), size)
    taps = np.arange(math.ceil(support) * 2 + 1)
    distance = np.abs((taps + first[:, None] - centre[:, None] + 0.5) * (1.0 / widened))  # (m, taps)
    exact = np.where(taps < (last - first)[:, None], _filter(interpolation, distance), 0.0)
    sums = np.zeros(len(exact))
    for tap in taps:  # in order, as the native op adds them
        sums += exact[:, tap]
    exact /= np.where(sums == 0, 1.0, sums)[:, None]
    fixed = exact * (1 << _FRACTION_BITS)
    return first, np.trunc(fixed + np.where(exact < 0, -0.5, 0.5)).astype(np.int32)


def _filter(interpolation: str, x: NDArray[np.float64]) -> NDArray[np.float64]:
    if interpolation == "bilinear":
        return np.where(x < 1, 1 - x, 0.0)
    a = -0.5
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))
