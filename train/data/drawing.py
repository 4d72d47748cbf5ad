"""How a scene becomes a small photograph: background, clutter, things with shadows, and then light, lens, sensor and JPEG."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import draws
from .shapes import COLOURS, MARGIN, REACH, level, sprite, texture

Image: TypeAlias = NDArray[np.float32]  # (s, s, 3) RGB, 0 to 255
Draw: TypeAlias = Callable[[], float]  # the next number in [0, 1)

DRAWS = 160  # numbers that one scene may use
LIGHT = (250.0, 245.0, 230.0)  # the second colour of patterned dark things
DARK = (45.0, 40.0, 45.0)  # and of light ones


@dataclass(frozen=True)
class Thing:
    """An object in a scene; positions and radius in parts of the image's side."""

    object: str
    colour: str
    texture: str
    x: float
    y: float
    radius: float


def photograph(things: tuple[Thing, ...], key: np.uint64, size: int) -> NDArray[np.uint8]:
    """Draw things, later over earlier, with everything else drawn from the key.

    Returns:
        uint8 (size, size, 3) RGB.
    """
    draw = iter(draws.uniforms(np.asarray([key], np.uint64), DRAWS)[0].tolist()).__next__
    ground = _clutter(_background(draw, size), draw, size)
    image = ground.astype(np.float32)
    for thing in things:
        image = _place(image, thing, draw, size)
    if draw() < 0.25:
        image = _occlude(image, things[-1], draw, size)
    return _develop(image, draw, size)


def _between(draw: Draw, low: float, high: float) -> float:
    return low + draw() * (high - low)


def _muted(draw: Draw, low: float, high: float) -> list[float]:
    """A greyish colour, so that only things are colourful."""
    grey = _between(draw, low, high)
    return [grey + _between(draw, -18, 18), grey + _between(draw, -14, 14), grey + _between(draw, -18, 18)]


@functools.cache
def _grain() -> NDArray[np.float32]:
    """A sheet of normal noise to cut pieces from, (521, 521, 3): by Box and Muller from a fixed key."""
    numbers = draws.uniforms(draws.key(7, np.arange(521 * 521 * 3)), 2)  # (n, 2)
    normal = np.sqrt(-2 * np.log1p(-numbers[:, 0])) * np.cos(2 * math.pi * numbers[:, 1])  # (n,)
    return np.asarray(normal, np.float32).reshape(521, 521, 3)


def _noise(draw: Draw, side: int) -> NDArray[np.float32]:
    assert side < 521
    grain = _grain()
    top, left = int(draw() * (521 - side)), int(draw() * (521 - side))
    return grain[top : top + side, left : left + side]  # (side, side, 3)


def _background(draw: Draw, size: int) -> NDArray[np.uint8]:
    """A wall and perhaps a floor, each with its gradient, uneven by low-frequency noise."""
    import cv2

    low = np.empty((6, 6, 3), np.float32)
    first, second = _muted(draw, 75, 165), _muted(draw, 75, 165)
    ramp = np.linspace(0, 1, 6, dtype=np.float32)[:, None, None]
    low[:] = np.asarray(first, np.float32) * (1 - ramp) + np.asarray(second, np.float32) * ramp
    if draw() < 0.5:
        low = low.transpose(1, 0, 2)
    low = low + _noise(draw, 6) * _between(draw, 2, 12)
    image = cv2.resize(low, (size, size), interpolation=cv2.INTER_CUBIC)
    if draw() < 0.5:
        edge = int(_between(draw, 0.55, 0.85) * size)
        image[edge:] = image[edge:] * _between(draw, 0.7, 0.9)
    return np.clip(image, 0, 255).astype(np.uint8)


def _clutter(image: NDArray[np.uint8], draw: Draw, size: int) -> NDArray[np.uint8]:
    """A few sticks and chips in greyish colours."""
    import cv2

    shift = 4  # fractional bits of OpenCV's coordinates
    one = size * (1 << shift)
    for _ in range(int(draw() * 6)):
        x, y, angle, length = draw(), draw(), draw() * 2 * math.pi, _between(draw, 0.04, 0.16)
        colour = _muted(draw, 55, 185)
        dx, dy = length * math.cos(angle), length * math.sin(angle)
        begin, end = (round((x - dx) * one), round((y - dy) * one)), (round((x + dx) * one), round((y + dy) * one))
        if draw() < 0.5:
            cv2.line(image, begin, end, colour, max(1, round(size * _between(draw, 0.01, 0.03))), cv2.LINE_AA, shift)
        else:
            third = (round((x + dy) * one), round((y - dx) * one))
            cv2.fillPoly(image, [np.array([begin, end, third], np.int32)], colour, cv2.LINE_AA, shift)
    return image


def _inverse(thing: Thing, size: int, angle: float, stretch: float, mirrored: bool) -> NDArray[np.float64]:
    """From pixels of the image to the thing's square, (2, 3)."""
    radius = thing.radius * size
    cos, sin = math.cos(angle) / radius, math.sin(angle) / radius
    rows = np.array([[cos / stretch, sin / stretch], [-sin * stretch, cos * stretch]])  # (2, 2)
    if mirrored:
        rows[0] = -rows[0]
    centre = np.array([thing.x * size - 0.5, thing.y * size - 0.5])
    return np.concatenate([rows, -(rows @ centre)[:, None]], axis=1)


def _sample(
    source: NDArray[np.uint8], inverse: NDArray[np.float64], pixels: int, half: float, size: int, border: int
) -> NDArray[np.uint8]:
    """Look a sprite up at every pixel of the image."""
    import cv2

    inverse = inverse * pixels
    inverse[:, 2] += half * pixels - 0.5
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(source, inverse, (size, size), flags=flags, borderMode=border), np.uint8)


def _place(image: Image, thing: Thing, draw: Draw, size: int) -> Image:
    import cv2

    angle, stretch = math.radians(_between(draw, -20, 20)), _between(draw, 0.92, 1.08)
    inverse = _inverse(thing, size, angle, stretch, draw() < 0.5)
    pixels = level(thing.radius * size)
    drawn = _sample(sprite(thing.object, pixels), inverse, pixels, MARGIN, size, cv2.BORDER_CONSTANT)  # (s, s, 2)
    cover = drawn[:, :, 0].astype(np.float32) * (1 / 255)
    colour = np.asarray(COLOURS[thing.colour], np.float32) + np.asarray([_between(draw, -12, 12) for _ in range(3)], np.float32)
    shadow = cv2.GaussianBlur(cover, (0, 0), thing.radius * size * 0.12)
    offset = round(thing.radius * size * 0.16)
    image[offset:, offset:] *= (1 - _between(draw, 0.2, 0.5) * shadow[: size - offset, : size - offset])[:, :, None]
    turn, phase_x, phase_y = math.radians(_between(draw, -40, 40)), draw(), draw()
    if thing.texture == "plain":
        paint = np.broadcast_to(colour, image.shape)
    else:
        rotate = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
        pattern_inverse = rotate @ inverse  # (2, 3)
        pattern_inverse[:, 2] += (0.5 * phase_x - 0.25, 0.5 * phase_y - 0.25)
        second = _sample(texture(thing.texture, pixels), pattern_inverse, pixels, REACH, size, cv2.BORDER_REFLECT)
        share = (second.astype(np.float32) * (0.85 / 255))[:, :, None]  # (s, s, 1)
        other = np.asarray(DARK if thing.colour in ("yellow", "white", "cyan", "pink") else LIGHT, np.float32)
        paint = colour + share * (other - colour)
    tone = drawn[:, :, 1].astype(np.float32) * (1 / 128)
    return np.asarray(image + cover[:, :, None] * (paint * tone[:, :, None] - image), np.float32)


def _occlude(image: Image, thing: Thing, draw: Draw, size: int) -> Image:
    """A greyish bar across the thing's edge."""
    import cv2

    angle = draw() * 2 * math.pi
    away = thing.radius * _between(draw, 0.75, 1.1)
    x, y = thing.x + away * math.cos(angle), thing.y + away * math.sin(angle)
    along = angle + math.pi / 2 + _between(draw, -0.3, 0.3)
    dx, dy = 0.5 * math.cos(along), 0.5 * math.sin(along)
    mask = np.zeros((size, size), np.uint8)
    ends = [(round(a * size * 16), round(b * size * 16)) for a, b in ((x - dx, y - dy), (x + dx, y + dy))]
    cv2.line(mask, ends[0], ends[1], 255, max(1, round(size * thing.radius * _between(draw, 0.15, 0.4))), cv2.LINE_AA, 4)
    share = (mask.astype(np.float32) * (1 / 255))[:, :, None]  # (s, s, 1)
    return image + share * (np.asarray(_muted(draw, 50, 170), np.float32) - image)


def _develop(image: Image, draw: Draw, size: int) -> NDArray[np.uint8]:
    """Light from one side, a colour cast, blur, sensor noise and JPEG."""
    import cv2

    angle, contrast, bright = draw() * 2 * math.pi, _between(draw, 0, 0.3), _between(draw, 0.8, 1.15)
    line = np.linspace(-1, 1, size, dtype=np.float32)
    light = bright + contrast * (line[None, :] * math.cos(angle) + line[:, None] * math.sin(angle))  # (s, s)
    cast = np.asarray([_between(draw, 0.92, 1.08) for _ in range(3)], np.float32)
    image = image * (light[:, :, None].astype(np.float32) * cast)
    if draw() < 0.4:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), _between(draw, 0.4, 0.9) * size / 48), np.float32)
    image = image + _noise(draw, size) * _between(draw, 1, 9)
    out = np.clip(image, 0, 255).astype(np.uint8)
    if draw() < 0.4:
        quality = round(_between(draw, 40, 90))
        _, code = cv2.imencode(".jpg", out[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        out = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)[:, :, ::-1].copy()
    return out
