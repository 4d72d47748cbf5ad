"""Embedded data: drawn SAR-like chips, a layout of point scatterers for each class, seen at random azimuths. All of it is ours.

Nothing is stored: a chip is a function of (seed, part, class, row). A target is a box of scatterers, drawn once for each class; a chip
turns it by its azimuth, sums the scatterers' echoes coherently with speckled ground (Rayleigh magnitudes), and lays the box's shadow
behind it. Test chips are seen a little flatter, as MSTAR's are, which shortens them across and lengthens the shadow.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from . import draws
from .sar import Chips

CLASSES = ("bridgelayer", "carrier", "crane", "howitzer", "lorry", "radar", "tank", "tractor")
POINTS = 5, 10  # scatterers of a class, least and most
LENGTH, WIDTH = (18.0, 34.0), (8.0, 15.0)  # pixels of the box
ECHO = 3.0, 9.0  # a scatterer's mean amplitude, where the ground's is 1
SPREAD = 1.1  # deviation of the point response, pixels
SQUINT = 1.0  # how much an echo changes with the azimuth, in the logarithm
SHADOW = 0.35  # of the ground's amplitude, in the shadow
FLATTEN = {"train": 1.0, "test": 0.95}  # across the line of sight
REACH = {"train": 10.0, "test": 11.5}  # of the shadow, pixels
LEVEL = 24.0  # of the ground in 8 bits, whose median is 20 then; the brightest scatterers are cut off
TEST_SEED = 20_240  # the test chips are the same for every seed
_LAYOUT, _CHIP, _SPECKLE = 22, 23, 24  # first parts of the keys here
_PART = {"train": 1, "test": 2}


def draw_chips(*, seed: int, train: int, test: int, size: int = 96, classes: int = len(CLASSES)) -> dict[str, Chips]:
    """Chips by part, `train` and `test` of each class, uint8 (size, size)."""
    if not 2 <= classes <= len(CLASSES) or min(train, test) < 1 or size < 48:
        raise ValueError(
            f"{classes} classes of {train} and {test} chips of {size} pixels were asked for; expected 2 to {len(CLASSES)} classes, 1 chip "
            "or more of each, and 48 pixels or more"
        )

    def part(name: str, each: int) -> Chips:
        labels = np.repeat(np.arange(classes), each)
        names = tuple(f"drawn/{name}/{CLASSES[label]}/{row}" for row, label in enumerate(labels.tolist()))
        own = seed if name == "train" else TEST_SEED
        return Chips(names, labels, CLASSES[:classes], lambda index: draw_chip(int(labels[index]), index, name, own, size))

    return {"train": part("train", train), "test": part("test", test)}


def draw_chip(label: int, row: int, part: str, seed: int, size: int) -> NDArray[np.uint8]:
    """One chip, uint8 (size, size)."""
    echo = draw_echo(label, draws.key(_CHIP, seed, _PART[part], row), size, FLATTEN[part], REACH[part])
    return np.rint(np.minimum(np.abs(echo) * LEVEL, 255)).astype(np.uint8)


def draw_echo(label: int, key: NDArray[np.uint64], size: int, flatten: float, reach: float) -> NDArray[np.complex64]:
    """The complex echo of one target at an azimuth that the key draws: (size, size); range runs down the rows."""
    places, mean, phases, box = _layout(label)
    drawn = draws.uniforms(key[None], 4 + len(places))[0]
    azimuth = 2 * np.pi * drawn[0]
    turn = np.array([[np.cos(azimuth), -np.sin(azimuth)], [np.sin(azimuth), np.cos(azimuth)]])
    centre = (size - 1) / 2 + 6 * (drawn[1:3] - 0.5)  # targets lie up to 3 pixels off the middle
    spots = (places @ turn.T) * (flatten, 1.0) + centre  # (p, 2) as row, column
    strength = mean * np.exp(SQUINT * np.sin(azimuth + phases))
    wave = strength * np.exp(2j * np.pi * drawn[4:])
    grid = np.arange(size)
    rows, columns = (np.exp(-((grid - spots[:, axis, None]) ** 2) / (2 * SPREAD**2)) for axis in (0, 1))  # (p, size)
    target = np.einsum("p,pr,pc->rc", wave, rows, columns)
    ground = _speckle(key, size) * _lit(box, azimuth, centre, size, flatten, reach)
    return (target + ground).astype(np.complex64)


def _layout(label: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], tuple[float, float]]:
    """Of a class: places (p, 2), amplitudes and squint phases (p,), and the box's half sides."""
    drawn = draws.uniforms(draws.key(_LAYOUT, label)[None], 3 + 4 * POINTS[1])[0]
    count = POINTS[0] + int(drawn[0] * (POINTS[1] - POINTS[0] + 1))
    box = tuple((low + part * (high - low)) / 2 for (low, high), part in zip((LENGTH, WIDTH), drawn[1:3], strict=True))
    own = drawn[3:].reshape(POINTS[1], 4)[:count]
    places = (2 * own[:, :2] - 1) * box
    return places, ECHO[0] + own[:, 2] * (ECHO[1] - ECHO[0]), 2 * np.pi * own[:, 3], (box[0], box[1])


def _lit(
    box: tuple[float, float], azimuth: float, centre: NDArray[np.float64], size: int, flatten: float, reach: float
) -> NDArray[np.float64]:
    """1 where the radar sees the ground, SHADOW behind the box: the box swept down the rows by `reach`. (size, size)"""
    row, column = np.meshgrid(np.arange(size) - centre[0], np.arange(size) - centre[1], indexing="ij")
    lit = np.ones((size, size))
    for step in np.linspace(0, reach, 2 * round(reach) + 1):
        along = (row - step) / flatten * np.cos(azimuth) + column * np.sin(azimuth)
        across = -(row - step) / flatten * np.sin(azimuth) + column * np.cos(azimuth)
        lit[(np.abs(along) <= box[0]) & (np.abs(across) <= box[1])] = SHADOW
    return lit


def _speckle(key: NDArray[np.uint64], size: int) -> NDArray[np.complex128]:
    """Complex normal echoes of mean power 1: (size, size)"""
    first, second = draws.uniforms(draws.key(_SPECKLE, key.astype(np.int64))[None], 2 * size * size).reshape(2, size, size)
    return np.sqrt(-np.log1p(-first)) * np.exp(2j * np.pi * second)
