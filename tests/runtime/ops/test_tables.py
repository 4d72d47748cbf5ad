"""Multi-index hashing against the scan, and the native tables against their NumPy twin, costs included."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import ops

KINDS = st.sampled_from(("native", "numpy") if ops.backend() == "native" else ("numpy",))
SEED = st.integers(0, 999)
VALUES = st.sampled_from((1, 2, 256))  # a byte's: 1 makes all codes equal, 2 makes heavy ties
needs_native = pytest.mark.skipif(ops.backend() != "native", reason="the native ops are not built: pip install -e .")


def draw(n: int, width: int, values: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, values, (n, width), np.uint8)


def tables(kind: str, codes: np.ndarray, substrings: int) -> ops.HammingTables:
    made = ops.HammingTables(codes, substrings, threads=2)
    if kind == "numpy":
        made._tables = ops.HammingTablesNumpy(codes, substrings, 1)
    return made


def equal(found: tuple, expected: tuple) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@settings(max_examples=150, deadline=None)
@given(KINDS, st.integers(0, 300), st.integers(1, 3), st.integers(0, 5), VALUES, SEED, st.integers(1, 400), st.integers(0, 24))
def test_tables_find_what_the_scan_finds(
    kind: str, n: int, width: int, substrings: int, values: int, seed: int, k: int, radius: int
) -> None:
    codes, queries = draw(n, width, values, seed), draw(4, width, values, seed + 1)
    made = tables(kind, codes, substrings)
    *found, scanned = made.topk(queries, k)
    equal(tuple(found), ops.hamming_topk(codes, queries, k))
    assert scanned == 0
    *found, scanned = made.range(queries, radius)
    equal(tuple(found), ops.hamming_range(codes, queries, radius))
    assert scanned == 0


@needs_native
@settings(max_examples=80, deadline=None)
@given(st.integers(1, 400), st.integers(1, 40), VALUES, SEED, st.integers(1, 9), st.sampled_from((0.0, 300.0, 3e4, 1e6)))
def test_the_native_tables_equal_their_twin_within_any_budget(
    n: int, width: int, values: int, seed: int, k: int, budget: float
) -> None:
    codes, queries = draw(n, width, values, seed), draw(4, width, values, seed + 1)
    queries[0] = codes[0]
    native, twin = tables("native", codes, 0), tables("numpy", codes, 0)
    assert native.substrings == twin.substrings
    np.testing.assert_allclose(native.costs(queries, k, budget), twin.costs(queries, k, budget))
    found = native.topk(queries, k, budget=budget)
    equal(found, twin.topk(queries, k, budget=budget))
    equal(found[:2], ops.hamming_topk(codes, queries, k))
    assert found[2] == np.isinf(native.costs(queries, k, budget)).sum()
    equal(native.range(queries, 3, budget=budget), twin.range(queries, 3, budget=budget))


@pytest.mark.parametrize("width", [8, 9, 16, 32])
def test_clustered_codes_are_found_whatever_the_length_of_the_substrings(width: int) -> None:
    centres = draw(50, width, 256, 0)
    flips = np.random.default_rng(1).random((5000, 8 * width)) < 0.03
    codes = centres[np.arange(5000) % 50] ^ np.packbits(flips, axis=1, bitorder="little")
    fewest = -(-8 * width // 24)
    for substrings in (0, fewest, fewest + 1, fewest + 3):
        *found, scanned = ops.HammingTables(codes, substrings).topk(centres, 10, budget=1e7, threads=2)
        equal(tuple(found), ops.hamming_topk(codes, centres, 10))
        assert scanned == 0


def test_searches_from_several_threads_give_what_one_gives() -> None:
    codes, queries = draw(3000, 8, 4, 0), draw(32, 8, 4, 1)
    made = ops.HammingTables(codes)
    expected = ops.hamming_topk(codes, queries, 5)
    with ThreadPoolExecutor(4) as pool:
        for *found, _ in pool.map(lambda _: made.topk(queries, 5, budget=1e5, threads=2), range(8)):
            equal(tuple(found), expected)


def test_no_queries_are_answered_by_empty_arrays() -> None:
    made = ops.HammingTables(draw(5, 8, 256, 0))
    none = np.zeros((0, 8), np.uint8)
    assert [np.shape(part) for part in made.topk(none, 3)] == [(0, 3), (0, 3), ()]
    assert made.costs(none, 3).shape == (0,)
    assert math.isfinite(made.bytes)


def test_bad_input_is_refused_by_a_sentence() -> None:
    codes = draw(5, 8, 256, 0)
    made = ops.HammingTables(codes)
    with pytest.raises(ValueError, match="substrings = -1 was given"):
        ops.HammingTables(codes, -1)
    with pytest.raises(ValueError, match="k = 0 was given"):
        made.topk(codes, 0)
    with pytest.raises(ValueError, match="k = 0 was given"):
        made.costs(codes, 0)
    with pytest.raises(ValueError, match="radius = -1 was given"):
        made.range(codes, -1)
    with pytest.raises(ValueError, match="8 bytes and queries of 4 bytes"):
        made.topk(codes[:, :4], 1)


@needs_native
def test_tables_are_used_with_their_own_codes_only() -> None:
    from cpp_ext import _ops

    made = _ops.HammingTables(draw(5, 8, 256, 0), 0, 1)
    with pytest.raises(ValueError, match="must be those that the tables were made from"):
        made.topk(draw(6, 8, 256, 0), draw(1, 8, 256, 0), 1, math.inf, 1)
