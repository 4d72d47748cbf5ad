"""Curves on logarithmic or linear axes as a PNG, drawn with OpenCV: no further package."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from runtime.whole import writing

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 960, 600, 90, 300, 50, 60
# blue, green, red; from Okabe and Ito's palette, which colour-blind readers can tell apart
COLOURS = ((178, 114, 0), (0, 159, 230), (115, 158, 0), (0, 94, 213), (167, 121, 204), (233, 180, 86), (66, 228, 240), (0, 0, 0))
INK, GREY = (40, 40, 40), (215, 215, 215)

Curve = Sequence[tuple[float, float]]


def curves(out: Path, title: str, across: str, upwards: str, given: Mapping[str, Curve], *, linear: bool = False) -> None:
    """Draw named curves of points (x, y) and write the picture beside its place and then there.

    Args:
        linear: of both axes; else they are logarithmic, and all values above 0.

    Raises:
        ValueError: there is nothing to draw, or the file's ending is not one that OpenCV writes.
    """
    import cv2

    points = [point for curve in given.values() for point in curve]
    if not points:
        raise ValueError(f"there is nothing to draw in {out}")
    image = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    places = _Places([x for x, _ in points], [y for _, y in points], linear)
    _axes(cv2, image, places, title, across, upwards)
    for at, (name, curve) in enumerate(given.items()):
        again, number = divmod(at, len(COLOURS))  # a colour's second curve is thin, with squares
        colour, thickness = COLOURS[number], 1 if again else 2
        drawn = np.array([places.of(x, y) for x, y in curve], np.int32)
        cv2.polylines(image, [drawn], False, colour, thickness, cv2.LINE_AA)
        row = TOP + 20 + 24 * at
        middle = (WIDTH - RIGHT + 32, row)
        for x, y in [*drawn.tolist(), middle]:
            if again:
                cv2.rectangle(image, (x - 4, y - 4), (x + 4, y + 4), colour, -1)
            else:
                cv2.circle(image, (x, y), 4, colour, -1, cv2.LINE_AA)
        cv2.line(image, (WIDTH - RIGHT + 20, row), (WIDTH - RIGHT + 44, row), colour, thickness, cv2.LINE_AA)
        _write(cv2, image, name, (WIDTH - RIGHT + 52, row + 5), 0.45)
    try:
        whole, content = cv2.imencode(out.suffix, image)
    except cv2.error as error:
        raise ValueError(f"{out} was given for the plot; expected a file that ends with .png") from error
    assert whole
    out.parent.mkdir(parents=True, exist_ok=True)
    with writing(out) as file:
        file.write(content.tobytes())


class _Places:
    """Where a point lies in the picture."""

    def __init__(self, across: Sequence[float], upwards: Sequence[float], linear: bool = False) -> None:
        self.linear = linear
        self.left, self.right = self._room(across)
        self.low, self.high = self._room(upwards)

    def of(self, x: float, y: float) -> tuple[int, int]:
        along = (self._scaled(x) - self.left) / (self.right - self.left)
        up = (self._scaled(y) - self.low) / (self.high - self.low)
        return round(LEFT + along * (WIDTH - LEFT - RIGHT)), round(HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM))

    def ticks(self, low: float, high: float) -> Iterator[float]:
        """Round values within two ends of an axis."""
        return _steps(low, high) if self.linear else _decades(low, high)

    def _room(self, values: Sequence[float]) -> tuple[float, float]:
        """The ends of an axis; of a logarithmic one their logarithms."""
        low, high = self._scaled(min(values)), self._scaled(max(values))
        margin = max(0.05, (high - low) * 0.06)
        return low - margin, high + margin

    def _scaled(self, value: float) -> float:
        return value if self.linear else math.log10(value)


def _steps(low: float, high: float) -> Iterator[float]:
    """Multiples of 1, 2 or 5 times a power of ten, a dozen at most."""
    power = 10.0 ** math.floor(math.log10((high - low) / 4))
    step = next(step for first in (1, 2, 5, 10) if (high - low) / (step := first * power) <= 12)
    for number in range(math.ceil(low / step), math.floor(high / step) + 1):
        yield round(number * step, 10)


def _decades(low: float, high: float) -> Iterator[float]:
    """1, 2 and 5 of each decade within."""
    for power in range(math.floor(low), math.ceil(high) + 1):
        for first in (1, 2, 5):
            if low <= math.log10(first * 10.0**power) <= high:
                yield first * 10.0**power


def _axes(cv2: Any, image: np.ndarray, places: _Places, title: str, across: str, upwards: str) -> None:
    bottom, end = HEIGHT - BOTTOM, WIDTH - RIGHT
    lowest, leftmost = (places.low, places.left) if places.linear else (10**places.low, 10**places.left)
    for tick in places.ticks(places.left, places.right):
        column = places.of(tick, lowest)[0]
        cv2.line(image, (column, TOP), (column, bottom), GREY, 1)
        _write(cv2, image, f"{tick:g}", (column - 8, bottom + 20), 0.45)
    for tick in places.ticks(places.low, places.high):
        row = places.of(leftmost, tick)[1]
        cv2.line(image, (LEFT, row), (end, row), GREY, 1)
        _write(cv2, image, f"{tick:g}", (12, row + 5), 0.45)
    cv2.rectangle(image, (LEFT, TOP), (end, bottom), INK, 1)
    _write(cv2, image, title, (LEFT, 28), 0.6)
    _write(cv2, image, across, ((LEFT + end) // 2 - 30, HEIGHT - 12), 0.5)
    _write(cv2, image, upwards, (12, TOP - 8), 0.45)


def _write(cv2: Any, image: np.ndarray, text: str, place: tuple[int, int], size: float) -> None:
    cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, INK, 1, cv2.LINE_AA)
