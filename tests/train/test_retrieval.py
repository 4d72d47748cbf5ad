"""Retrieval's measures against brute force over every order of ties, cases worked by hand, and permutations of the database."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from train.retrieval import bit_statistics, hamming, mean_average_precision, precision_within, recall_at


def average_precision(relevant: list[bool], top: int) -> float:
    """Of one order, over min(R, top)."""
    hits, total = 0, 0.0
    for rank, right in enumerate(relevant[:top], start=1):
        hits += right
        total += right * hits / rank
    return total / min(sum(relevant), top)


def over_all_orders(distances: list[int], relevant: list[bool], top: int) -> float:
    """Mean over every order that sorts the distances."""
    orders = [order for order in itertools.permutations(range(len(distances))) if is_sorted([distances[row] for row in order])]
    return float(np.mean([average_precision([relevant[row] for row in order], top) for order in orders]))


def is_sorted(values: list[int]) -> bool:
    return all(one <= other for one, other in itertools.pairwise(values))


items = st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=6).filter(
    lambda rows: any(right for _, right in rows)
)


@given(items, st.integers(1, 7))
def test_it_is_the_mean_over_every_order_of_ties(rows: list[tuple[int, bool]], top: int) -> None:
    distances, relevant = [distance for distance, _ in rows], [right for _, right in rows]
    for kind in (np.int16, np.float32):
        found = mean_average_precision(np.array([distances], kind), np.array([relevant]), top)
        assert found == pytest.approx(over_all_orders(distances, relevant, top), abs=1e-12)


@given(st.integers(0, 2**32 - 1), st.sampled_from([None, 1, 5, 50]), st.booleans())
def test_permuting_the_database_changes_nothing(seed: int, top: int | None, whole: bool) -> None:
    generator = np.random.default_rng(seed)
    distances: NDArray[np.number] = generator.integers(0, 9, (4, 60))
    distances = distances if whole else distances / 7
    relevant = generator.random((4, 60)) < 0.3
    relevant[:, 0] = True
    order = generator.permutation(60)
    found = mean_average_precision(distances, relevant, top)
    assert mean_average_precision(distances[:, order], relevant[:, order], top) == found


def test_whole_numbers_and_fractions_with_the_same_ties_agree() -> None:
    generator = np.random.default_rng(0)
    distances, relevant = generator.integers(0, 17, (30, 500)), generator.random((30, 500)) < 0.1
    one, other = (mean_average_precision(values, relevant, 50) for values in (distances, distances / 16))
    assert one == pytest.approx(other, abs=1e-12)


def test_queries_with_nothing_to_find_are_left_out() -> None:
    distances, relevant = np.array([[0, 1], [0, 1]]), np.array([[False, True], [False, False]])
    assert mean_average_precision(distances, relevant) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="no query has a relevant item"):
        mean_average_precision(distances[1:], relevant[1:])


def test_where_all_tie_it_is_near_chance() -> None:
    relevant = np.arange(1000)[None] % 10 == 0
    assert mean_average_precision(np.zeros((1, 1000), int), relevant) == pytest.approx(0.1, abs=0.01)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3\)"):
        mean_average_precision(np.zeros((2, 3), int), np.ones((2, 2), bool))


def test_precision_within_counts_a_query_that_finds_nothing_as_0() -> None:
    distances = np.array([[0, 2, 3, 1], [3, 3, 4, 5]])
    relevant = np.array([[True, False, True, True], [True, True, True, True]])
    assert precision_within(distances, relevant, 2) == pytest.approx((2 / 3 + 0) / 2)


def test_recall_of_the_pair_is_its_chance_among_ties() -> None:
    distances = np.array([[0, 1, 1, 1], [2, 0, 0, 5]])
    first, second = recall_at(distances, np.array([1, 1]), (1, 2))
    assert first == pytest.approx((0 + 1 / 2) / 2) and second == pytest.approx((1 / 3 + 1) / 2)


def test_bits_are_described() -> None:
    codes = np.array([[0, 1, 0, 1], [0, 1, 1, 1], [1, 0, 0, 1], [1, 0, 1, 1]], bool)  # the last is constant
    found = bit_statistics(codes)
    assert found["imbalance"] == pytest.approx(1 / 4) and found["entropy"] == pytest.approx(3 / 4)
    assert found["correlation"] == pytest.approx(1 / 6)  # of six pairs, one is opposite


def test_hamming_counts_bits() -> None:
    generator = np.random.default_rng(1)
    one, other = generator.random((5, 24)) < 0.5, generator.random((7, 24)) < 0.5
    assert np.array_equal(hamming(one, other), (one[:, None] != other[None]).sum(2))
