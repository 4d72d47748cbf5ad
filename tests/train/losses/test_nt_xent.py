"""NT-Xent against its formula with loops, a case worked by hand, and what it does not depend on."""

from __future__ import annotations

import math

import pytest
import torch

from train.losses.nt_xent import nt_xent


def formula(one: torch.Tensor, other: torch.Tensor, temperature: float) -> float:
    rows = [row / row.norm() for row in [*one, *other]]
    count, total = len(rows), 0.0
    for i, row in enumerate(rows):
        powers = {k: math.exp(float(row @ rows[k]) / temperature) for k in range(count) if k != i}
        total -= math.log(powers[(i + len(one)) % count] / sum(powers.values()))
    return total / count


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_it_is_the_formula(temperature: float) -> None:
    torch.manual_seed(0)
    one, other = torch.randn(2, 5, 8, dtype=torch.float64)
    assert math.isclose(float(nt_xent(one, other, temperature)), formula(one, other, temperature), rel_tol=1e-5)


def test_equal_rows_say_nothing() -> None:
    assert math.isclose(float(nt_xent(torch.ones(4, 3), torch.ones(4, 3), 0.1)), math.log(7), rel_tol=1e-5)


def test_lengths_and_the_order_of_views_do_not_matter() -> None:
    torch.manual_seed(1)
    one, other = torch.randn(2, 6, 4)
    expected = nt_xent(one, other, 0.5)
    assert torch.allclose(nt_xent(3 * other, one / 2, 0.5), expected, atol=1e-6)
