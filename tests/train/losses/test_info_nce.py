"""InfoNCE against its formula with loops, a case worked by hand, and what it does not depend on."""

from __future__ import annotations

import math

import torch

from train.losses.info_nce import info_nce


def formula(query: torch.Tensor, key: torch.Tensor, temperature: float) -> float:
    total = 0.0
    for i in range(len(query)):
        cosines = [float(query[i] @ key[j] / query[i].norm() / key[j].norm()) / temperature for j in range(len(key))]
        total -= cosines[i] - math.log(sum(math.exp(value) for value in cosines))
    return total / len(query)


def test_it_is_the_formula() -> None:
    torch.manual_seed(0)
    query, key = torch.randn(5, 8, dtype=torch.float64), torch.randn(5, 8, dtype=torch.float64)
    for temperature in (0.1, 1.0):
        assert math.isclose(float(info_nce(query, key, temperature)), formula(query, key, temperature), rel_tol=1e-5)


def test_further_axes_of_queries_are_averaged_over() -> None:
    torch.manual_seed(1)
    query, key = torch.randn(3, 5, 8), torch.randn(5, 8)
    parts = [info_nce(part, key, 0.5) for part in query]
    assert torch.allclose(info_nce(query, key, 0.5), torch.stack(parts).mean())


def test_equal_keys_say_nothing() -> None:
    key = torch.ones(4, 3)
    assert math.isclose(float(info_nce(torch.randn(4, 3), key, 0.1)), math.log(4), rel_tol=1e-5)
