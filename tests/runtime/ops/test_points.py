"""Farthest point sampling and nearest points: every native kernel, the NumPy twin and the slow definitions against each other."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from runtime import ops
from runtime.ops.backend import native as find_native

native: Any = find_native()
needs_native = pytest.mark.skipif(native is None, reason="the native ops are not built: pip install -e .")
KERNELS = ["portable"] if native is None else native.point_kernels()
SEED = st.integers(0, 9999)
CLOUDS = st.tuples(st.integers(0, 4), st.one_of(st.integers(1, 300), st.sampled_from((64, 128, 1024))))
COUNT = st.one_of(st.integers(1, 80), st.sampled_from((64, 65, 400)))


def draw(shape: tuple[int, int], seed: int) -> np.ndarray:
    """Noise; some seeds on a grid, of one point alone, of few different points, of extreme scale or far away."""
    generator = np.random.default_rng(seed)
    b, n = shape
    points = generator.standard_normal((b, n, 3), np.float32)
    if seed % 3 == 0:
        points = np.round(points)
    if seed % 5 == 0:
        points = points[:, generator.integers(0, max(n // 9, 1), n)]
    if seed % 7 == 0:
        points *= np.float32(10.0) ** np.float32(generator.integers(-44, 38))
    if seed % 11 == 0:
        points += np.float32(1e4)
    return np.ascontiguousarray(np.clip(points, np.float32(-3e38), np.float32(3e38)))


def slow_farthest(cloud: np.ndarray, count: int) -> list[int]:
    """One point and one distance at a time, in float64 of whole coordinates, so that nothing is rounded."""
    exact = [tuple(map(float, point)) for point in cloud]
    centre = tuple(sum(axis) / len(exact) for axis in zip(*exact, strict=True))

    def square(a: tuple[float, ...], b: tuple[float, ...]) -> float:
        return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))

    chosen = [max(range(len(exact)), key=lambda i: square(exact[i], centre))]
    while len(chosen) < count:
        chosen.append(max(range(len(exact)), key=lambda i: min(square(exact[i], exact[j]) for j in chosen)))
    return chosen


@needs_native
@pytest.mark.parametrize("kernels", KERNELS)
@settings(max_examples=80, deadline=None)
@given(CLOUDS, SEED, COUNT, st.integers(1, 20), st.integers(1, 3))
def test_the_native_ops_equal_their_twins_bit_for_bit(
    kernels: str, shape: tuple[int, int], seed: int, count: int, centres: int, threads: int
) -> None:
    points = draw(shape, seed)
    places = draw((shape[0], centres), seed + 1) if seed % 2 else np.ascontiguousarray(points[:, :centres])
    np.testing.assert_array_equal(
        native.farthest_points(points, count, threads, kernels), ops.farthest_points_numpy(points, count)
    )
    np.testing.assert_array_equal(
        native.nearest_points(points, places, count, threads, kernels), ops.nearest_points_numpy(points, places, count)
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), SEED, st.integers(1, 12))
def test_farthest_points_are_those_of_the_definition(n: int, seed: int, count: int) -> None:
    points = np.random.default_rng(seed).integers(-9, 9, (1, n, 3)).astype(np.float32)
    points -= np.round(points.mean(1))  # the centroid is near 0; it decides the first point, which is compared by its distance
    found = ops.farthest_points(points, count)[0]
    slow = slow_farthest(points[0], count)
    centre = points[0].astype(np.float64).mean(0)
    far = ((points[0] - centre) ** 2).sum(1)
    np.testing.assert_allclose(far[found[0]], far[slow[0]], rtol=1e-5)
    if found[0] == slow[0]:
        np.testing.assert_array_equal(found, slow)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 200), SEED, st.integers(1, 250))
def test_nearest_points_are_those_of_a_stable_sort_and_repeat(n: int, seed: int, k: int) -> None:
    generator = np.random.default_rng(seed)
    points = generator.integers(-5, 5, (2, n, 3)).astype(np.float32)
    centres = generator.integers(-5, 5, (2, 4, 3)).astype(np.float32)
    exact = ((centres[:, :, None].astype(np.float64) - points[:, None]) ** 2).sum(-1)
    order = np.argsort(exact, axis=-1, kind="stable")
    np.testing.assert_array_equal(ops.nearest_points(points, centres, k), order[..., np.arange(k) % n])


def clear(points: np.ndarray) -> bool:
    """Whether at every step one point is farther than all others by more than rounding; of equally far ones the first would be chosen."""
    exact = points.astype(np.float64)
    near = ((exact - exact.mean(0)) ** 2).sum(1)
    for step in range(len(points)):
        last, first = np.partition(near, -2)[-2:]
        if first and first - last < 1e-5 * first:
            return False
        own = ((exact - exact[near.argmax()]) ** 2).sum(1)
        near = own if step == 0 else np.minimum(near, own)
    return True


@settings(max_examples=60, deadline=None)
@given(st.integers(3, 300), SEED)
def test_the_order_of_the_points_does_not_change_which_are_chosen(n: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    points = generator.standard_normal((1, n, 3), np.float32)
    order = generator.permutation(n)
    assume(clear(points[0]))
    there, here = ops.farthest_points(points, n)[0], ops.farthest_points(np.ascontiguousarray(points[:, order]), n)[0]
    np.testing.assert_array_equal(there, order[here])


def test_each_point_is_chosen_once_before_the_first_repeats() -> None:
    points = draw((3, 50), 1)
    chosen = ops.farthest_points(points, 60)
    for row in chosen:
        assert sorted(row[:50]) == list(range(50))
        assert not row[50:].any()


def test_equal_points_are_the_first_again_and_again() -> None:
    points = np.ones((2, 7, 3), np.float32)
    assert not ops.farthest_points(points, 9).any()
    assert ops.nearest_points(points, points[:, :1], 9)[0, 0].tolist() == [0, 1, 2, 3, 4, 5, 6, 0, 1]


def test_views_are_read_as_they_are_seen_and_no_cloud_gives_none() -> None:
    points = draw((2, 60), 1)
    np.testing.assert_array_equal(ops.farthest_points(points[:, ::2], 9), ops.farthest_points(points[:, ::2].copy(), 9))
    turned = np.asfortranarray(points)
    np.testing.assert_array_equal(ops.nearest_points(turned, turned[:, :3], 4), ops.nearest_points(points, points[:, :3], 4))
    assert ops.farthest_points(points[:0], 4).shape == (0, 4)
    assert ops.nearest_points(points[:0], points[:0, :5], 4).shape == (0, 5, 4)


@pytest.mark.parametrize("twin", [False, True])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused(bad: float, twin: bool) -> None:
    points = draw((2, 70), 1)
    spoilt = points.copy()
    spoilt[1, 69, 2] = bad
    farthest, nearest = (
        (ops.farthest_points_numpy, ops.nearest_points_numpy) if twin else (ops.farthest_points, ops.nearest_points)
    )
    with pytest.raises(ValueError, match="points must be finite"):
        farthest(spoilt, 3)
    with pytest.raises(ValueError, match="points must be finite"):
        nearest(spoilt, points, 3)
    with pytest.raises(ValueError, match="centres must be finite"):
        nearest(points, spoilt, 3)


def test_mistakes_are_told() -> None:
    points = draw((2, 10), 1)
    for wrong in (points[0], points[..., :2], points.astype(np.float64), points[:, :0]):
        with pytest.raises(ValueError, match=r"expected float32 \(clouds, points, 3\)"):
            ops.farthest_points(wrong, 1)
        with pytest.raises(ValueError, match=r"expected float32 \(clouds, points, 3\)"):
            ops.nearest_points(points, wrong, 1)
    with pytest.raises(ValueError, match="2 clouds of points and 1 of centres"):
        ops.nearest_points(points, points[:1], 1)
    with pytest.raises(ValueError, match="count = 0"):
        ops.farthest_points(points, 0)
    with pytest.raises(ValueError, match="k = 0"):
        ops.nearest_points(points, points, 0)
    with pytest.raises(ValueError, match="threads = 0"):
        ops.farthest_points(points, 1, threads=0)
