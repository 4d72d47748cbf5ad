"""What an index chooses and says: tables against the scan, on clustered and on random codes."""

import numpy as np
import pytest

from runtime import index_choice, ops
from runtime.index import HammingIndex

needs_native = pytest.mark.skipif(ops.backend() != "native", reason="the native ops are not built: pip install -e .")


def clustered(n: int, bits: int, seed: int = 0) -> np.ndarray:
    """Codes around n / 100 centres, about three bits away."""
    generator = np.random.default_rng(seed)
    centres = generator.integers(0, 256, (max(1, n // 100), bits // 8), np.uint8)
    flips = generator.random((n, bits)) < 3 / bits
    return centres[generator.integers(0, len(centres), n)] ^ np.packbits(flips, axis=1, bitorder="little")


def filled(codes: np.ndarray, *, named: bool = False) -> HammingIndex:
    index = HammingIndex(8 * codes.shape[1], threads=2)
    index.add(codes, np.arange(len(codes)) * 3 if named else None)
    return index


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("bits", [24, 64, 128])
def test_every_method_gives_the_same_and_says_what_it_was(bits: int, named: bool) -> None:
    index = filled(clustered(2000, bits), named=named)
    queries = clustered(20, bits, seed=1)
    queries[:10] = clustered(2000, bits)[:10]
    expected, ranges = index.search(queries, 7, method="scan"), index.range_search(queries, 6, method="scan")
    assert (expected.method, expected.backend, expected.scanned) == ("scan", ops.hamming_kernels()[0], 0)
    for method in ("mih", "auto"):
        hits, found = index.search(queries, 7, method=method), index.range_search(queries, 6, method=method)
        assert hits.method == found.method == "mih" or method == "auto"
        np.testing.assert_array_equal(hits.ids, expected.ids)
        np.testing.assert_array_equal(hits.distances, expected.distances)
        for ours, theirs in ((found.offsets, ranges.offsets), (found.ids, ranges.ids), (found.distances, ranges.distances)):
            np.testing.assert_array_equal(ours, theirs)


@needs_native
def test_tables_are_chosen_for_near_codes_and_the_scan_for_random_ones() -> None:
    index = filled(clustered(200_000, 64))
    queries = clustered(200_000, 64)[:8]
    assert index.search(queries, 5).method == "scan"  # there are no tables
    assert index.build_tables() > 0
    assert index.search(queries, 5).method == "mih"
    assert index.range_search(queries, 2).method == "mih"
    assert index.range_search(queries, 40).method == "scan"
    assert index.search(queries, 100_000).method == "scan"  # so many neighbours are not near
    random = filled(np.random.default_rng(0).integers(0, 256, (20_000, 32), np.uint8))
    random.build_tables()
    assert random.search(np.zeros((4, 32), np.uint8), 10).method == "scan"


@needs_native
def test_queries_far_from_all_codes_are_scanned_after_all() -> None:
    index = filled(clustered(200_000, 64))
    index.build_tables()
    queries = np.random.default_rng(5).integers(0, 256, (8, 8), np.uint8)
    hits = index.search(queries, 10)
    assert hits.method == "mih"
    assert hits.scanned > 0
    np.testing.assert_array_equal(hits.ids, index.search(queries, 10, method="scan").ids)


def test_tables_are_dropped_with_any_change_and_on_demand() -> None:
    codes = clustered(1000, 64)
    index = filled(codes)
    changes = (lambda: index.add(codes[:1]), lambda: index.remove([1]), lambda: index.add(codes[:1], [1]), index.drop_tables)
    for change in changes:
        index.build_tables()
        change()
        assert index._tables is None
        np.testing.assert_array_equal(index.search(codes[:5], 3, method="mih").ids, index.search(codes[:5], 3).ids)


def test_tables_of_an_empty_index_find_nothing() -> None:
    index = HammingIndex(64)
    index.build_tables()
    none = np.zeros((2, 8), np.uint8)
    for method in index_choice.METHODS:
        assert index.search(none, 3, method=method).ids.shape == (2, 0)
        assert index.range_search(none, 3, method=method).offsets.tolist() == [0, 0, 0]
