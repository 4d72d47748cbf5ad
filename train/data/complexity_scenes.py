"""Drawn images of known complexity: more and more shapes on a plain ground, or more and more octaves of noise.

Nothing is stored: an image is a function of (seed, row). Of row r the kind is KINDS[r % 2] and the level (r // 2) % LEVELS. Only what
the level counts changes with it:

- shapes: SHAPES[level] ellipses, rectangles and triangles, each in a colour of its own, one over the other;
- octaves: 1 to log2(size) octaves of smooth noise, each twice as fine as the one before and of the same amplitude, so that both detail
  and spread grow; between two whole numbers the finest octave is fainter.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import draws
from .complexity import HIGHEST, Rated

KINDS = ("shapes", "octaves")
LEVELS = 10
SHAPES = tuple(round(2 ** (0.7 * level)) for level in range(LEVELS))  # 1, 2, 3, 4, 7, 11, 18, 30, 49, 79
SIZES = (16, 512)
_AMPLITUDE = 22.0  # of an octave, grey levels
_PART, _NOISE = 50, 51  # first parts of the keys here

Draw: TypeAlias = Callable[[], float]


@dataclass(frozen=True)
class Levels:
    """The source of such images (split.Source)."""

    size: int
    seed: int

    def read(self, row: int) -> NDArray[np.uint8]:
        kind, level = KINDS[row % len(KINDS)], row // len(KINDS) % LEVELS
        return _shapes(level, row, self) if kind == "shapes" else _octaves(level, row, self)

    def name(self, row: int) -> str:
        kind, number = KINDS[row % len(KINDS)], row // len(KINDS)
        return f"{kind}/level {number % LEVELS}/{number // LEVELS}"


def complexity_scenes(count: int, *, size: int = 64, seed: int = 0) -> Rated:
    """Images whose score is 0 at the lowest level and 100 at the highest; the category is the kind.

    Args:
        count: of images; 20 hold every level of both kinds once.
        size: pixels a side, 16 to 512.

    Raises:
        ValueError: there would be no image, or the size is out of range.
    """
    if count < 1 or not SIZES[0] <= size <= SIZES[1]:
        raise ValueError(f"{count} scenes of {size} pixels were asked for; expected 1 or more of {SIZES[0]} to {SIZES[1]}")
    source, rows = Levels(size, seed), np.arange(count)
    scores = HIGHEST * (rows // len(KINDS) % LEVELS) / (LEVELS - 1)
    kinds = tuple(KINDS[row % len(KINDS)] for row in range(count))
    return Rated(tuple(map(source.name, range(count))), scores, kinds, source)


def _shapes(level: int, row: int, scene: Levels) -> NDArray[np.uint8]:
    import cv2

    count, size = SHAPES[level], scene.size
    numbers = draws.uniforms(np.atleast_1d(draws.key(_PART, scene.seed, row)), 3 + 8 * count)[0]
    image = np.empty((size, size, 3), np.uint8)
    image[:] = (numbers[:3] * 256).astype(np.uint8)
    one = size * 16  # OpenCV's coordinates have 4 fractional bits here
    for kind, x, y, radius, turn, *colour in numbers[3:].reshape(count, 8).tolist():
        corners = (4, 3, 24)[int(kind * 3)]  # 24 are round enough
        angles = 2 * math.pi * (turn + np.arange(corners) / corners)
        reach = (0.06 + 0.1 * radius) * np.stack([np.cos(angles), np.sin(angles)], axis=1)  # (corners, 2)
        points = ((np.array([x, y]) + reach) * one).round().astype(np.int32)
        cv2.fillPoly(image, [points], [int(part * 256) for part in colour], cv2.LINE_AA, 4)
    return image


def _octaves(level: int, row: int, scene: Levels) -> NDArray[np.uint8]:
    import cv2

    size = scene.size
    most = int(math.log2(size))
    octaves = 1 + level * (most - 1) / (LEVELS - 1)
    field = np.zeros((size, size), np.float32)
    for octave in range(math.ceil(octaves)):
        side = 2 ** (octave + 1)
        numbers = draws.uniforms(draws.key(_NOISE, scene.seed, row, octave, np.arange(side)), side)  # (side, side)
        coarse = ((numbers - 0.5) * 2 * _AMPLITUDE * min(octaves - octave, 1.0)).astype(np.float32)
        field += cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    tint = draws.uniforms(np.atleast_1d(draws.key(_NOISE, scene.seed, row)), 3)[0]
    colour = 128 + 40 * (tint - 0.5)
    return np.clip(colour + field[:, :, None], 0, 255).astype(np.uint8)
