"""Farthest point sampling and nearest neighbours of point clouds: the dispatchers and the NumPy twins.

A square distance is (dx dx + dy dy) + dz dz, each operation rounded to float32: no fused multiply-add in C++, where the compiler is
told not to contract, nor in NumPy, which takes one operation at a time. Both therefore give the same bits, and the same indices.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .backend import native, usable_threads

Points = NDArray[np.float32]
_MOST = 2**31 - 1  # points of a cloud
_DISTANCES = 1 << 20  # that the twin holds at once


def farthest_points(points: Points, count: int, *, threads: int | None = None) -> NDArray[np.int32]:
    """Farthest point sampling: each next point is the one farthest from those chosen so far.

    The first is the one farthest from the cloud's centroid, so that what is chosen does not depend on the order of the points, save
    between equals, of which the lower index is taken. The centroid is summed in whole steps of the largest coordinate's last bit,
    which no order of summation changes. Where fewer points are different than asked for, the rest is index 0.

    Args:
        points: (b, n, 3), n at least 1; b may be 0.
        count: how many of each cloud, 1 or more; it may exceed n.
        threads: they share the clouds; None takes the cores this process may use. The result does not depend on it.

    Returns:
        (b, count): indices into each cloud, in the order of choice.

    Raises:
        ValueError: type, shape or count is wrong, or a coordinate is NaN or infinite.
    """
    _check("points", points)
    if count < 1:
        raise ValueError(f"count = {count} was given; expected 1 or more")
    crew = usable_threads(threads)
    compiled = native()
    if compiled is not None:
        return compiled.farthest_points(np.ascontiguousarray(points), count, crew, "")  # type: ignore[no-any-return]
    return farthest_points_numpy(points, count)


def nearest_points(points: Points, centres: Points, k: int, *, threads: int | None = None) -> NDArray[np.int32]:
    """The k points nearest to each centre, nearest first, of equals the lower index; where k exceeds n they repeat from the first on.

    Args:
        points: (b, n, 3), n at least 1; b may be 0.
        centres: (b, g, 3), in the points' frame.
        k: 1 or more.
        threads: they share the clouds; None takes the cores this process may use. The result does not depend on it.

    Returns:
        (b, g, k): indices into each cloud.

    Raises:
        ValueError: type, shape or k is wrong, or a coordinate is NaN or infinite.
    """
    _check("points", points)
    _check("centres", centres)
    if len(centres) != len(points):
        raise ValueError(f"{len(points)} clouds of points and {len(centres)} of centres were given; expected the same number")
    if k < 1:
        raise ValueError(f"k = {k} was given; expected 1 or more")
    crew = usable_threads(threads)
    compiled = native()
    if compiled is not None:
        contiguous = np.ascontiguousarray(points), np.ascontiguousarray(centres)
        return compiled.nearest_points(*contiguous, k, crew, "")  # type: ignore[no-any-return]
    return nearest_points_numpy(points, centres, k)


def farthest_points_numpy(points: Points, count: int) -> NDArray[np.int32]:
    """The twin of the native `farthest_points`."""
    _finite("points", points)
    chosen = np.zeros((len(points), count), np.int32)
    if len(points) == 0:
        return chosen
    rows = np.arange(len(points))
    axes = np.ascontiguousarray(points.transpose(2, 0, 1))  # (3, b, n)
    with np.errstate(over="ignore"):  # what is too far for float32 is infinitely far
        chosen[:, 0] = _squares(axes, np.stack([_centroid(cloud) for cloud in points])).argmax(1)
        nearest = np.full(points.shape[:2], np.inf, np.float32)  # to any chosen one, (b, n)
        for place in range(1, count):
            np.minimum(nearest, _squares(axes, points[rows, chosen[:, place - 1]]), out=nearest)
            chosen[:, place] = nearest.argmax(1)
    return chosen


def nearest_points_numpy(points: Points, centres: Points, k: int) -> NDArray[np.int32]:
    """The twin of the native `nearest_points`."""
    _finite("points", points)
    _finite("centres", centres)
    b, n, _ = points.shape
    found = np.empty((b, centres.shape[1], k), np.int32)
    kept = min(k, n)
    block = max(1, _DISTANCES // n)
    order = np.arange(n, dtype=np.int64)
    for cloud, places, rows in zip(points, centres, found, strict=True):
        for begin in range(0, len(places), block):
            some = places[begin : begin + block]
            with np.errstate(over="ignore"):
                distances = _squares(cloud.T[:, None], some)  # (g, n)
            keys = distances.view(np.int32).astype(np.int64) << 32 | order  # floats of 0 or more are in the order of their bits
            if kept < n:
                keys = np.partition(keys, kept - 1, axis=1)[:, :kept]
            keys.sort(axis=1)
            rows[begin : begin + block] = (keys & _MOST)[:, np.arange(k) % kept]
    return found


def _squares(axes: Points, centres: Points) -> Points:
    """Square distances (b, n) of points, as axes (3, b or 1, n), to centres (b, 3)."""
    dx, dy, dz = (axis - centre[:, None] for axis, centre in zip(axes, centres.T, strict=True))
    dx *= dx
    dy *= dy
    dz *= dz
    dx += dy
    dx += dz
    return dx


def _centroid(points: Points) -> Points:
    """The mean of points (n, 3) in whole steps of a power of two, 2^23 to 2^24 of which make the largest coordinate."""
    scale = math.ldexp(1.0, min(24 - math.frexp(float(np.abs(points).max()))[1], 127))
    steps = (points * np.float32(scale)).astype(np.int32)
    return (steps.sum(0, dtype=np.int64) / len(points) / scale).astype(np.float32)


def _check(name: str, points: Points) -> None:
    if points.ndim != 3 or points.shape[2] != 3 or points.dtype != np.float32 or not 1 <= points.shape[1] <= _MOST:
        raise ValueError(
            f"{name} of shape {points.shape} and type {points.dtype} were given; expected float32 (clouds, points, 3), "
            "at least one point a cloud"
        )


def _finite(name: str, points: Points) -> None:
    if not np.isfinite(points).all():
        raise ValueError(f"{name} must be finite: NaN or an infinity was given")
