"""Hamming search: every kernel of this processor against the NumPy twin, and the twin against bits counted one by one."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import ops

KERNEL = st.sampled_from(ops.hamming_kernels())
WIDTH = st.one_of(st.sampled_from((8, 16, 32, 64)), st.integers(1, 80), st.sampled_from((128, 255, 256, 257, 511, 512)))
THREADS = st.sampled_from((1, 2, 3))
SEED = st.integers(0, 999)
# How many values a byte may take: 1 makes all codes equal, 2 makes heavy ties.
VALUES = st.sampled_from((1, 2, 256))
needs_native = pytest.mark.skipif(ops.backend() != "native", reason="the native ops are not built: pip install -e .")


def draw(n: int, width: int, values: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, values, (n, width), np.uint8)


def exact(codes: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """(q, n), from the bits themselves."""
    return np.array([[sum((int(a) ^ int(b)).bit_count() for a, b in zip(c, q, strict=True)) for c in codes] for q in queries])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 9), VALUES, SEED, st.integers(1, 50))
def test_the_twin_sorts_all_distances_and_gives_ties_to_the_lower_row(n: int, w: int, values: int, seed: int, k: int) -> None:
    codes, queries = draw(n, w, values, seed), draw(3, w, values, seed + 1)
    all_distances = exact(codes, queries)
    order = np.argsort(all_distances, axis=1, kind="stable")[:, :k]
    distances, rows = ops.hamming_topk_numpy(codes, queries, k)
    np.testing.assert_array_equal(rows, order)
    np.testing.assert_array_equal(distances, np.take_along_axis(all_distances, order, axis=1))


@needs_native
@settings(max_examples=300, deadline=None)
@given(KERNEL, st.integers(0, 3000), WIDTH, st.integers(0, 40), VALUES, THREADS, SEED, st.integers(1, 200))
def test_the_native_topk_equals_its_twin(
    kernel: str, n: int, width: int, q: int, values: int, threads: int, seed: int, k: int
) -> None:
    codes, queries = draw(n, width, values, seed), draw(q, width, values, seed + 1)
    distances, rows = ops.hamming_topk(codes, queries, k, threads=threads, kernel=kernel)
    expected = ops.hamming_topk_numpy(codes, queries, k)
    np.testing.assert_array_equal(distances, expected[0])
    np.testing.assert_array_equal(rows, expected[1])
    assert (distances.dtype, rows.dtype) == (np.int32, np.int64)


@needs_native
@settings(max_examples=200, deadline=None)
@given(KERNEL, st.integers(0, 3000), WIDTH, st.integers(0, 40), VALUES, THREADS, SEED, st.floats(0, 1.1))
def test_the_native_range_search_equals_its_twin(
    kernel: str, n: int, width: int, q: int, values: int, threads: int, seed: int, part: float
) -> None:
    codes, queries = draw(n, width, values, seed), draw(q, width, values, seed + 1)
    radius = int(part * width * 8)
    found = ops.hamming_range(codes, queries, radius, threads=threads, kernel=kernel)
    for ours, expected in zip(found, ops.hamming_range_numpy(codes, queries, radius), strict=True):
        np.testing.assert_array_equal(ours, expected)


@needs_native
@pytest.mark.parametrize("kernel", ops.hamming_kernels())
@pytest.mark.parametrize("width", [8, 16, 24, 32, 64, 512])
@pytest.mark.parametrize("queries", [1, 7, 1100])  # 1100: more than a thread takes at once
def test_many_tiles_and_blocks_of_queries_give_what_the_twin_gives(kernel: str, width: int, queries: int) -> None:
    codes = draw({1: 13 << 20, 7: 3 << 20, 1100: 3 << 17}[queries] // width, width, 3, 0)  # bytes that are worth several threads
    asked = draw(queries, width, 3, 1)
    some = np.arange(0, queries, max(1, queries // 8))
    expected = ops.hamming_topk_numpy(codes, asked[some], 10)
    for threads in (1, 2, 5):
        distances, rows = ops.hamming_topk(codes, asked, 10, threads=threads, kernel=kernel)
        np.testing.assert_array_equal(distances[some], expected[0])
        np.testing.assert_array_equal(rows[some], expected[1])


@pytest.mark.parametrize("kernel", ops.hamming_kernels())
@pytest.mark.parametrize("width", [1, 8, 13, 16, 32, 33, 64, 100])
def test_nothing_beyond_the_codes_is_found(kernel: str, width: int) -> None:
    """The lanes behind the last code hold something; a query equal to what they might hold finds codes only."""
    for n in (1, 7, 8, 31, 32, 33, 65):
        codes = np.full((n, width), 255, np.uint8)
        distances, rows = ops.hamming_topk(codes, np.zeros((1, width), np.uint8), n + 3, kernel=kernel)
        np.testing.assert_array_equal(distances, np.full((1, n), 8 * width))
        np.testing.assert_array_equal(rows, np.arange(n)[None])


@pytest.mark.parametrize("kernel", ops.hamming_kernels())
def test_all_codes_come_in_order_where_k_is_the_number_of_codes(kernel: str) -> None:
    codes, queries = draw(5000, 8, 2, 3), draw(2, 8, 2, 4)
    _, rows = ops.hamming_topk(codes, queries, 10**12, threads=2, kernel=kernel)
    np.testing.assert_array_equal(rows, ops.hamming_topk_numpy(codes, queries, 5000)[1])


@pytest.mark.parametrize("kernel", ops.hamming_kernels())
@pytest.mark.parametrize("width", [1, 7, 8, 13, 64])
def test_reading_gives_the_exclusive_or_of_all_whole_words(kernel: str, width: int) -> None:
    for n in (0, 1, 40, 999, 40_000):
        for codes in (draw(n, width, 256, n), draw(n + 1, width, 256, n)[1:]):
            expected = ops.hamming_read_numpy(codes)
            assert ops.hamming_read(codes, threads=3, kernel=kernel if ops.backend() == "native" else None) == expected


def test_no_codes_and_no_queries_are_answered_by_empty_arrays() -> None:
    none, some = np.zeros((0, 8), np.uint8), draw(5, 8, 256, 0)
    assert [part.shape for part in ops.hamming_topk(none, some, 3)] == [(5, 0), (5, 0)]
    assert [part.shape for part in ops.hamming_topk(some, none, 3)] == [(0, 3), (0, 3)]
    assert [part.tolist() for part in ops.hamming_range(none, some, 3)] == [[0] * 6, [], []]
    assert [part.tolist() for part in ops.hamming_range(some, none, 3)] == [[0], [], []]


def test_views_and_read_only_arrays_give_what_their_copies_give() -> None:
    codes = draw(400, 32, 256, 0)[::-2, 3:19]
    codes.setflags(write=False)
    queries = draw(8, 32, 256, 1)[1::2, ::2]
    _, rows = ops.hamming_topk(codes, queries, 5)
    np.testing.assert_array_equal(rows, ops.hamming_topk(codes.copy(), queries.copy(), 5)[1])


def test_searches_from_several_threads_give_what_one_gives() -> None:
    codes, queries = draw(30_000, 16, 256, 0), draw(16, 16, 256, 1)
    alone = ops.hamming_topk(codes, queries, 7, threads=1)[1]
    with ThreadPoolExecutor(4) as pool:
        for rows in pool.map(lambda _: ops.hamming_topk(codes, queries, 7, threads=2)[1], range(16)):
            np.testing.assert_array_equal(rows, alone)


@pytest.mark.parametrize(
    ("codes", "queries", "sentence"),
    [
        (np.zeros((4, 8)), np.zeros((1, 8), np.uint8), "codes of shape .* type float64 .*packbits"),
        (np.zeros((4, 8), np.uint8), np.zeros((1, 8), bool), "queries of shape .* type bool .*packbits"),
        (np.zeros(8, np.uint8), np.zeros((1, 8), np.uint8), r"codes of shape \(8,\)"),
        (np.zeros((4, 8), np.uint8), np.zeros((1, 4), np.uint8), "8 bytes and queries of 4 bytes"),
        (np.zeros((4, 513), np.uint8), np.zeros((1, 513), np.uint8), "8 to 4096 bits"),
        (np.zeros((4, 0), np.uint8), np.zeros((1, 0), np.uint8), "8 to 4096 bits"),
    ],
)
def test_what_is_no_code_is_refused_by_a_sentence(codes: np.ndarray, queries: np.ndarray, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        ops.hamming_topk(codes, queries, 1)
    with pytest.raises(ValueError, match=sentence):
        ops.hamming_range(codes, queries, 1)


def test_a_k_a_radius_and_threads_out_of_range_are_refused_by_a_sentence() -> None:
    codes = draw(4, 8, 256, 0)
    for k in (0, -1):
        with pytest.raises(ValueError, match=f"k = {k} was given; expected 1 or more"):
            ops.hamming_topk(codes, codes, k)
    with pytest.raises(ValueError, match="radius = -1 was given; expected 0 or more"):
        ops.hamming_range(codes, codes, -1)


@needs_native
def test_unknown_kernels_and_no_threads_are_refused_by_a_sentence() -> None:
    codes = draw(4, 8, 256, 0)
    with pytest.raises(ValueError, match="hamming_kernels"):
        ops.hamming_topk(codes, codes, 1, kernel="abacus")
    with pytest.raises(ValueError, match="threads = 0 was given"):
        ops.hamming_topk(codes, codes, 1, threads=0)
