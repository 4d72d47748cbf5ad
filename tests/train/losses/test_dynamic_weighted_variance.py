"""The Dynamic-Weighted Variance loss against its formula with loops, a case worked by hand, and what it does not depend on."""

from __future__ import annotations

import math

import pytest
import torch

from train.losses.dynamic_weighted_variance import dynamic_weighted_variance, ramp


def formula(views: torch.Tensor) -> float:
    total = 0.0
    for sample in views:
        middle = sum(sample) / len(sample)
        total += sum(float(((view - middle) ** 2).sum()) / len(view) for view in sample) / len(sample)
    return total / len(views)


def test_it_is_the_formula() -> None:
    torch.manual_seed(0)
    views = torch.randn(4, 3, 5, dtype=torch.float64)
    assert math.isclose(float(dynamic_weighted_variance(views, 0.3)), 0.3 * formula(views), rel_tol=1e-5)


def test_two_views_two_apart_have_variance_one() -> None:
    assert float(dynamic_weighted_variance(torch.tensor([[[1.0], [3.0]], [[7.0], [5.0]]]), 1.0)) == 1.0


def test_what_samples_have_of_their_own_does_not_count() -> None:
    views = torch.randn(4, 3, 5)
    moved = views + 10 * torch.randn(4, 1, 5)
    assert float(dynamic_weighted_variance(moved, 1.0)) == pytest.approx(float(dynamic_weighted_variance(views, 1.0)), rel=1e-4)
    assert float(dynamic_weighted_variance(torch.randn(4, 1, 5).expand(4, 3, 5), 1.0)) == pytest.approx(0, abs=1e-10)


def test_the_weight_is_zero_then_rises_and_stays() -> None:
    found = [ramp(epoch, 30, 150, 2.0) for epoch in (0, 30, 31, 90, 150, 151, 299)]
    assert found == [0.0, 0.0, 2 / 120, 1.0, 2.0, 2.0, 2.0]
    assert [ramp(epoch, 1, 1, 0.5) for epoch in (1, 2)] == [0.0, 0.5]
