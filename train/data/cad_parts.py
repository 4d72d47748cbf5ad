"""What the parametric families are made of: meshes, and boxes, turned, swept and cut parts, y up, faces seen anticlockwise from outside."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import draws

Point: TypeAlias = tuple[float, float, float]
T = TypeVar("T")

DRAWS = 128  # numbers that one mesh may use


@dataclass(frozen=True)
class Mesh:
    """Triangles.

    Args:
        vertices: float32 (v, 3).
        faces: int32 (f, 3), rows of `vertices`.
    """

    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]

    def moved(self, offset: Point) -> Mesh:
        return Mesh(self.vertices + np.asarray(offset, np.float32), self.faces)

    def scaled(self, factors: Point) -> Mesh:
        """Along x, y and z; an odd number of negative factors turns the faces round, so that they stay outside."""
        inside_out = math.prod(factors) < 0
        return Mesh(self.vertices * np.asarray(factors, np.float32), self.faces[:, ::-1] if inside_out else self.faces)

    def turned(self, axis: int, degrees: float) -> Mesh:
        """About axis 0, 1 or 2 through the origin, anticlockwise seen from its positive end."""
        cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        second, third = (axis + 1) % 3, (axis + 2) % 3
        vertices = self.vertices.copy()
        vertices[:, second] = cos * self.vertices[:, second] - sin * self.vertices[:, third]
        vertices[:, third] = sin * self.vertices[:, second] + cos * self.vertices[:, third]
        return Mesh(vertices, self.faces)


class Chance:
    """The choices of one mesh, in the order in which they are asked for."""

    def __init__(self, key: np.uint64) -> None:
        self._next = iter(draws.uniforms(np.asarray([key], np.uint64), DRAWS)[0].tolist()).__next__

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self._next()

    def whole(self, low: int, high: int) -> int:
        """low..high, both included."""
        return low + int(self._next() * (high - low + 1))

    def happens(self, probability: float) -> bool:
        return self._next() < probability

    def pick(self, *choices: T) -> T:
        return choices[int(self._next() * len(choices))]


def join(parts: Sequence[Mesh]) -> Mesh:
    """Parts beside or through one another, as one mesh."""
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])[:-1]
    faces = [part.faces + start for part, start in zip(parts, starts, strict=True)]
    return Mesh(np.concatenate([part.vertices for part in parts]).astype(np.float32), np.concatenate(faces).astype(np.int32))


_BOX = np.array([(x, y, z) for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)], np.float32)
_BOX_FACES = np.array(
    [(0, 1, 3), (0, 3, 2), (4, 6, 7), (4, 7, 5), (0, 4, 5), (0, 5, 1), (2, 3, 7), (2, 7, 6), (0, 2, 6), (0, 6, 4), (1, 5, 7), (1, 7, 3)],
    np.int32,
)  # fmt: skip


def box(size: Point, centre: Point = (0, 0, 0), taper: float = 1.0) -> Mesh:
    """A block; `taper` is how wide its top is, in parts of its foot."""
    vertices = _BOX.copy()
    vertices[_BOX[:, 1] > 0] *= np.array([taper, 1, taper], np.float32)
    return Mesh(vertices * np.asarray(size, np.float32) + np.asarray(centre, np.float32), _BOX_FACES)


def skin(rings: NDArray[np.float64], closed: bool) -> Mesh:
    """Quads between rings of points, each ring anticlockwise seen from the end that the rings go to.

    Args:
        rings: (k, s, 3).
        closed: whether the last ring joins the first; otherwise both ends get a lid.
    """
    k, s, _ = rings.shape
    ring, place = np.meshgrid(np.arange(k if closed else k - 1), np.arange(s), indexing="ij")
    above, beside = (ring + 1) % k, (place + 1) % s
    a, b, c, d = ring * s + place, ring * s + beside, above * s + beside, above * s + place
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    vertices = rings.reshape(-1, 3)
    if not closed:
        around = np.arange(s)
        foot = np.stack([np.full(s, k * s), (around + 1) % s, around], -1)
        lid = np.stack([np.full(s, k * s + 1), (k - 1) * s + around, (k - 1) * s + (around + 1) % s], -1)
        vertices = np.concatenate([vertices, rings[:1].mean(1), rings[-1:].mean(1)])
        faces = np.concatenate([faces, foot, lid])
    return Mesh(vertices.astype(np.float32), faces.astype(np.int32))


def lathe(profile: ArrayLike, segments: int = 24) -> Mesh:
    """A turned part: a profile about the y axis, closed by lids at both ends.

    Args:
        profile: (k, 2), radius and height, from the foot up the outside (and down the inside, for a vessel).
    """
    outline = np.asarray(profile, np.float64)
    angle = -2 * math.pi * np.arange(segments) / segments
    circle = np.stack([np.cos(angle), np.zeros(segments), np.sin(angle)], -1)  # (s, 3)
    rings = outline[:, :1, None] * circle  # (k, s, 3)
    rings[:, :, 1] = outline[:, 1:]
    return skin(rings, closed=False)


def smooth(points: ArrayLike, count: int = 20) -> NDArray[np.float64]:
    """`count` points on a curve through a few, (count, d): Catmull and Rom's, so that a bent part has no corners."""
    knots = np.asarray(points, np.float64)
    padded = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    place = np.linspace(0, len(knots) - 1, count)
    at = np.minimum(place.astype(int), len(knots) - 2)
    t = (place - at)[:, None]
    before, here, there, after = (padded[at + i] for i in range(4))
    return 0.5 * (  # type: ignore[no-any-return]
        2 * here
        + (there - before) * t
        + (2 * before - 5 * here + 4 * there - after) * t**2
        + (3 * here - before - 3 * there + after) * t**3
    )


def tube(path: ArrayLike, radius: float | ArrayLike, segments: int = 10, *, closed: bool = False) -> Mesh:
    """A round part along a path.

    Args:
        path: (k, 3); `closed` joins its end to its beginning.
        radius: of all, or of each point.
    """
    line = np.asarray(path, np.float64)
    radii = np.broadcast_to(np.asarray(radius, np.float64), len(line))
    if closed:
        along = np.roll(line, -1, 0) - np.roll(line, 1, 0)
    else:
        along = np.gradient(line, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-12)
    # across: carried along the path with as little twist as possible, starting from the axis that the path follows least
    across = np.empty_like(along)
    last = np.eye(3)[np.argmin(np.abs(along).mean(0))]
    for i, direction in enumerate(along):
        last = last - direction * (last @ direction)
        last = last / max(math.sqrt(last @ last), 1e-12)
        across[i] = last
    other = np.cross(along, across)
    angle = 2 * math.pi * np.arange(segments) / segments
    circle = np.cos(angle)[:, None] * across[:, None] + np.sin(angle)[:, None] * other[:, None]  # (k, s, 3)
    return skin(line[:, None] + radii[:, None, None] * circle, closed)


def rod(begin: Point, end: Point, radius: float, tip: float | None = None, segments: int = 10) -> Mesh:
    """A straight round part, `tip` wide at its end."""
    return tube([begin, end], [radius, radius if tip is None else tip], segments)


def plate(outline: ArrayLike, thickness: float, inner: ArrayLike | None = None) -> Mesh:
    """A flat part in the x-y plane, `thickness` along z, with a hole if `inner` is given.

    Args:
        outline: (k, 2) anticlockwise, every point of it visible from the middle.
        inner: (k, 2), the hole's edge, point for point with the outline.
    """
    edge = np.asarray(outline, np.float64)

    def ring(points: NDArray[np.float64], z: float) -> NDArray[np.float64]:
        return np.concatenate([points, np.full((len(points), 1), z)], axis=1)

    back, front = ring(edge, -thickness / 2), ring(edge, thickness / 2)
    if inner is None:
        return skin(np.stack([back, front]), closed=False)
    hole = np.asarray(inner, np.float64)
    return skin(np.stack([back, front, ring(hole, thickness / 2), ring(hole, -thickness / 2)]), closed=True)


def oval(rx: float, ry: float, count: int = 24) -> NDArray[np.float64]:
    """An ellipse's points, anticlockwise from the right, (count, 2)."""
    angle = 2 * math.pi * np.arange(count) / count
    return np.stack([rx * np.cos(angle), ry * np.sin(angle)], -1)


def ball(radii: Point, centre: Point = (0, 0, 0), segments: int = 16) -> Mesh:
    """An ellipsoid."""
    angle = np.linspace(-math.pi / 2, math.pi / 2, segments // 2 + 1)
    return lathe(np.stack([np.maximum(np.cos(angle), 1e-3), np.sin(angle)], -1), segments).scaled(radii).moved(centre)


def vessel(outside: ArrayLike, wall: float, floor: float) -> NDArray[np.float64]:
    """A lathe's profile that goes up the outside and down the inside, to `floor` above the lowest point."""
    outer = np.asarray(outside, np.float64)
    inner = outer[::-1] - np.array([wall, 0])
    inner = np.maximum(inner, [1e-3, outer[:, 1].min() + floor])
    return np.concatenate([outer, inner])
