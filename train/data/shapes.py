"""The things that embedded scenes are made of, as polygons in a square from -1 to 1 (x right, y down), and their textures."""

from __future__ import annotations

import functools
import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

CUT = 0.0  # the tone of a hole

Points: TypeAlias = NDArray[np.float64]  # (k, 2)
Part: TypeAlias = tuple[float, Points]  # tone (1 is the plain colour, less is darker, CUT removes), outline

OBJECTS = ("ball", "box", "cone", "cross", "fish", "heart", "house", "key", "mug", "ring", "star", "tree")
TEXTURES = ("plain", "striped", "dotted", "checked")
COLOURS = {
    "red": (205, 30, 35),
    "pink": (250, 125, 185),
    "yellow": (245, 220, 40),
    "green": (35, 150, 50),
    "cyan": (60, 210, 215),
    "blue": (35, 65, 195),
    "purple": (135, 45, 165),
    "white": (245, 245, 245),
}
LEVELS = (8, 16, 32, 64, 128)  # pixels from 0 to 1 at which sprites are held
MARGIN = 1.1  # half a sprite's side
REACH = 2.0  # half a texture's side


def oval(x: float, y: float, rx: float, ry: float, begin: float = 0, end: float = 360, count: int = 48) -> Points:
    """Points along an ellipse, from `begin` to `end` degrees, clockwise from the right."""
    angle = np.radians(np.linspace(begin, end, count))
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], axis=1)  # (count, 2)


def rectangle(left: float, top: float, right: float, bottom: float) -> Points:
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def polygon(*points: tuple[float, float]) -> Points:
    return np.array(points)


def _star() -> Points:
    angle = np.radians(np.arange(10) * 36 - 90)
    radius = np.where(np.arange(10) % 2 == 0, 1.0, 0.45)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle) + 0.06], axis=1)  # (10, 2)


def _heart() -> Points:
    t = np.linspace(0, 2 * math.pi, 64)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([x / 17, -(y + 2.5) / 16], axis=1)  # (64, 2)


def parts(thing: str) -> list[Part]:
    """How a thing is drawn: each part over those before it."""
    match thing:
        case "ball":
            return [(1, oval(0, 0, 0.95, 0.95)), (1.25, oval(-0.35, -0.38, 0.2, 0.15))]
        case "box":
            return [
                (1.15, polygon((0, -0.95), (0.85, -0.5), (0, -0.05), (-0.85, -0.5))),
                (0.95, polygon((-0.85, -0.5), (0, -0.05), (0, 0.9), (-0.85, 0.45))),
                (0.65, polygon((0, -0.05), (0.85, -0.5), (0.85, 0.45), (0, 0.9))),
            ]
        case "cone":
            return [(1, np.concatenate([[(0, -0.98)], oval(0, 0.65, 0.72, 0.28, 0, 180)]))]
        case "cross":
            return [(1, rectangle(-0.3, -0.95, 0.3, 0.95)), (1, rectangle(-0.95, -0.3, 0.95, 0.3))]
        case "fish":
            return [
                (0.85, polygon((0.4, 0), (0.98, -0.55), (0.85, 0), (0.98, 0.55))),  # tail
                (0.85, polygon((-0.1, -0.3), (0.25, -0.75), (0.35, -0.2))),  # fin
                (1, oval(-0.2, 0, 0.78, 0.48)),
                (1.6, oval(-0.62, -0.12, 0.13, 0.13)),  # eye
                (0.15, oval(-0.64, -0.12, 0.07, 0.07)),
            ]
        case "heart":
            return [(1, _heart())]
        case "house":
            return [
                (1, rectangle(-0.7, -0.15, 0.7, 0.9)),
                (0.6, polygon((-0.98, -0.1), (0, -0.95), (0.98, -0.1))),  # roof
                (0.3, rectangle(-0.18, 0.3, 0.18, 0.9)),  # door
                (1.5, rectangle(0.32, 0.1, 0.56, 0.36)),  # windows
                (1.5, rectangle(-0.56, 0.1, -0.32, 0.36)),
            ]
        case "key":
            return [
                (1, oval(-0.55, 0, 0.43, 0.43)),
                (CUT, oval(-0.6, 0, 0.17, 0.17)),
                (1, rectangle(-0.2, -0.14, 0.98, 0.14)),
                (1, rectangle(0.42, 0, 0.6, 0.45)),
                (1, rectangle(0.78, 0, 0.98, 0.5)),
            ]
        case "mug":
            return [
                (0.9, oval(0.5, 0.1, 0.46, 0.46)),  # handle
                (CUT, oval(0.5, 0.1, 0.25, 0.26)),
                (1, np.concatenate([[(-0.85, -0.7), (0.5, -0.7)], oval(-0.175, 0.7, 0.675, 0.2, 0, 180)])),
                (0.45, oval(-0.175, -0.7, 0.675, 0.18)),
            ]
        case "ring":
            return [(1, oval(0, 0, 0.95, 0.95)), (CUT, oval(0, 0, 0.5, 0.5))]
        case "star":
            return [(1, _star())]
        case "tree":
            return [
                (0.4, rectangle(-0.14, 0.4, 0.14, 0.98)),  # trunk
                (1, polygon((-0.8, 0.6), (0, -0.2), (0.8, 0.6))),
                (1, polygon((-0.65, 0.15), (0, -0.6), (0.65, 0.15))),
                (1, polygon((-0.48, -0.3), (0, -0.98), (0.48, -0.3))),
            ]
    raise AssertionError(thing)


def level(radius: float) -> int:
    """The smallest sprite that need not be enlarged to this many pixels from centre to edge, if there is one."""
    return next((pixels for pixels in LEVELS if pixels >= radius), LEVELS[-1])


@functools.lru_cache(maxsize=len(OBJECTS) * len(LEVELS))
def sprite(thing: str, pixels: int) -> NDArray[np.uint8]:
    """Coverage and tone of a thing, uint8 (side, side, 2), side 2 * MARGIN * pixels; tone 128 is the plain colour."""
    import cv2

    fine = 4 if pixels < 64 else 2
    side = round(2 * MARGIN * pixels)
    scale, middle = pixels * fine, side * fine / 2
    cover = np.zeros((side * fine, side * fine), np.uint8)
    tone = np.full_like(cover, 128)
    for value, outline in parts(thing):
        corners = [np.round(middle + outline * scale).astype(np.int32)]
        cv2.fillPoly(cover, corners, 0 if value == CUT else 255)
        if value != CUT:
            cv2.fillPoly(tone, corners, min(255, round(128 * value)))
    solid = cover.astype(np.float32) / 255
    soft = cv2.GaussianBlur(solid, (0, 0), scale * 0.2)
    shift = round(scale * 0.12)
    relief = np.roll(soft, (-shift, -shift), (0, 1)) - np.roll(soft, (shift, shift), (0, 1))  # lit from the upper left
    rim = solid - cv2.erode(solid, np.ones((3, 3)), iterations=max(1, round(scale * 0.05)))
    shaded = tone * (1 + 0.35 * relief) * (1 - 0.6 * rim)
    both = np.stack([solid * 255, np.clip(shaded, 0, 255)], axis=2)  # (side * fine, side * fine, 2)
    return np.round(cv2.resize(both, (side, side), interpolation=cv2.INTER_AREA)).astype(np.uint8)


@functools.lru_cache(maxsize=len(TEXTURES) * len(LEVELS))
def texture(name: str, pixels: int) -> NDArray[np.uint8]:
    """Where the second colour shows, uint8 (side, side), side 2 * REACH * pixels."""
    import cv2

    fine = 4
    side = round(2 * REACH * pixels)
    line = (np.arange(side * fine) + 0.5) / (pixels * fine) - REACH
    x, y = np.meshgrid(line, line)
    match name:
        case "plain":
            second = np.zeros(x.shape, bool)
        case "striped":
            second = (x / 0.5) % 1 < 0.42
        case "dotted":
            row = np.floor(y / 0.5)
            second = np.hypot(((x / 0.58 + row / 2) % 1 - 0.5) * 0.58, (y / 0.5 % 1 - 0.5) * 0.5) < 0.165
        case "checked":
            second = (np.floor(x / 0.4) + np.floor(y / 0.4)) % 2 < 0.5
        case _:
            raise AssertionError(name)
    return np.round(cv2.resize(second.astype(np.float32) * 255, (side, side), interpolation=cv2.INTER_AREA)).astype(np.uint8)
