"""Random geometry of training images; every choice is a function of one 64-bit key for each image."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from runtime.prepare import Geometry, fit, resize

from . import draws

AUGMENTS = ("none", "flip", "shift", "crop", "rrc")
RATIO = (3 / 4, 4 / 3)  # of width to height in "rrc"
TRIES = 10  # of "rrc" before it takes the centre


def flips(keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
    return draws.uniforms(keys, 1)[:, 0] < 0.5


def augment_pixels(pixels: NDArray[np.uint8], augment: str, keys: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Apply any of AUGMENTS but "rrc" to images of one size.

    "shift" pads an eighth of each side by reflection and cuts the old size out at random; "crop" also flips. Both are
    drawn in parts of the padding, so that the same keys at another size give the same view up to a pixel's rounding.

    Args:
        pixels: (n, 3, h, w).
        keys: (n,).
    """
    if augment == "none":
        return pixels
    flip = flips(keys)
    if augment == "flip":
        out = pixels.copy()
        out[flip] = pixels[flip, :, :, ::-1]
        return out
    assert augment in ("shift", "crop")
    h, w = pixels.shape[2:]
    pad_h, pad_w = h // 8, w // 8
    padded = np.pad(pixels, ((0, 0), (0, 0), (pad_h, pad_h), (pad_w, pad_w)), mode="reflect")  # (n, c, h + 2 pad, w + 2 pad)
    shift = draws.uniforms(keys, 3)[:, 1:]  # (n, 2)
    tops = (shift[:, 0] * (2 * pad_h + 1)).astype(int).tolist()
    lefts = (shift[:, 1] * (2 * pad_w + 1)).astype(int).tolist()
    out = np.empty_like(pixels)
    for i, (top, left, mirrored) in enumerate(zip(tops, lefts, (flip & (augment == "crop")).tolist(), strict=True)):
        cut = padded[i, :, top : top + h, left : left + w]
        out[i] = cut[:, :, ::-1] if mirrored else cut
    return out


def rrc_box(key: np.uint64, height: int, width: int, scale: tuple[float, float]) -> tuple[int, int, int, int]:
    """A random part of an image: area uniform in `scale`, shape log-uniform in RATIO (Szegedy et al. 2015, "Inception" crop).

    Returns:
        top, left, height, width in pixels.
    """
    drawn = draws.uniforms(np.asarray([key], np.uint64), 3 + 2 * TRIES)[0]
    low, high = math.log(RATIO[0]), math.log(RATIO[1])
    for area, shape in drawn[3:].reshape(TRIES, 2):
        area = height * width * (scale[0] + area * (scale[1] - scale[0]))
        ratio = math.exp(low + shape * (high - low))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return int(drawn[1] * (height - h + 1)), int(drawn[2] * (width - w + 1)), h, w
    w, h = width, height
    if width / height < RATIO[0]:
        h = round(width / RATIO[0])
    elif width / height > RATIO[1]:
        w = round(height * RATIO[1])
    return (height - h) // 2, (width - w) // 2, h, w


def augment_image(
    image: NDArray[np.uint8], geometry: Geometry, augment: str, key: np.uint64, scale: tuple[float, float]
) -> NDArray[np.uint8]:
    """Fit one image as read, with any augmentation.

    Args:
        image: (h, w, 3).

    Returns:
        (3, h, w) of the geometry's size.
    """
    keys = np.asarray([key], np.uint64)
    if augment != "rrc":
        fitted = fit(image, geometry).transpose(2, 0, 1)[None]  # (1, 3, h, w)
        return augment_pixels(fitted, augment, keys)[0]
    top, left, h, w = rrc_box(key, image.shape[0], image.shape[1], scale)
    view = resize(np.ascontiguousarray(image[top : top + h, left : left + w]), geometry.size, geometry.interpolation)
    return (view[:, ::-1] if flips(keys)[0] else view).transpose(2, 0, 1)
