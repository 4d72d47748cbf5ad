"""Correlations and errors against NumPy's, against ranks counted one by one, and against cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from train.correlation import pearson, rmae, rmse, spearman


def ranks(values: np.ndarray) -> np.ndarray:
    """Of each value: how many are below it, and half of those that are equal."""
    return np.array([(values < value).sum() + ((values == value).sum() - 1) / 2 for value in values], float)


def test_they_are_numpys_with_and_without_ties() -> None:
    generator = np.random.default_rng(0)
    one = generator.normal(size=40)
    for other in (one + generator.normal(size=40), generator.integers(0, 4, 40).astype(float)):
        assert pearson(one, other) == pytest.approx(np.corrcoef(one, other)[0, 1])
        assert spearman(one, other) == pytest.approx(np.corrcoef(ranks(one), ranks(other))[0, 1])


def test_ranks_alone_decide_on_srcc() -> None:
    values = np.array([1.0, 2.0, 3.0, 10.0])
    assert spearman(values, np.exp(values)) == pytest.approx(1) and spearman(values, -(values**3)) == pytest.approx(-1)
    assert pearson(values, np.exp(values)) < 0.99


def test_what_does_not_vary_correlates_with_nothing() -> None:
    assert pearson([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) == 0 and spearman([1.0, 2.0, 3.0], [5.0, 5.0, 5.0]) == 0


def test_errors_by_hand() -> None:
    assert rmse([0.0, 1.0], [0.0, 0.5]) == pytest.approx(np.sqrt(0.125))
    assert rmae([0.0, 1.0], [0.5, 0.5]) == pytest.approx(np.sqrt(0.5))
