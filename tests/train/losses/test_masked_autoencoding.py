"""The losses of masked autoencoding and of codes against their formulas with loops, cases worked by hand, and properties."""

from __future__ import annotations

import math

import pytest
import torch

from train.losses.bit_balance import bit_balance
from train.losses.chamfer import chamfer
from train.losses.masked_pixels import masked_pixels
from train.losses.quantisation import quantisation


def chamfer_of(first: torch.Tensor, second: torch.Tensor) -> float:
    there = sum(min(float((x - y) @ (x - y)) for y in second) for x in first) / len(first)
    back = sum(min(float((x - y) @ (x - y)) for x in first) for y in second) / len(second)
    return there + back


def test_chamfer_is_the_formula_and_the_mean_over_sets() -> None:
    torch.manual_seed(0)
    first, second = torch.randn(2, 3, 5, 3), torch.randn(2, 3, 4, 3)
    each = [chamfer_of(first[i, j], second[i, j]) for i in range(2) for j in range(3)]
    assert math.isclose(float(chamfer(first, second)), sum(each) / 6, rel_tol=1e-5)


def test_chamfer_by_hand_and_whatever_the_order() -> None:
    first, second = torch.tensor([[0.0, 0, 0], [1, 0, 0]]), torch.tensor([[0.0, 0, 0], [0, 2, 0]])
    assert float(chamfer(first, second)) == pytest.approx((0 + 1) / 2 + (0 + 4) / 2)
    assert float(chamfer(first, first.flip(0))) == 0


def test_masked_pixels_is_the_formula() -> None:
    torch.manual_seed(1)
    prediction, patches = torch.randn(2, 3, 12), torch.rand(2, 3, 12) * 50
    total = 0.0
    for i in range(2):
        for j in range(3):
            mean = sum(patches[i, j].tolist()) / 12
            variance = sum((value - mean) ** 2 for value in patches[i, j].tolist()) / 11
            target = [(value - mean) / math.sqrt(variance + 1e-6) for value in patches[i, j].tolist()]
            total += sum((one - other) ** 2 for one, other in zip(prediction[i, j].tolist(), target, strict=True))
    assert math.isclose(float(masked_pixels(prediction, patches)), total / 72, rel_tol=1e-4)


def test_masked_pixels_neither_see_brightness_nor_contrast_and_bear_a_flat_patch() -> None:
    torch.manual_seed(2)
    prediction, patches = torch.randn(4, 12), torch.rand(4, 12)
    assert torch.allclose(masked_pixels(prediction, patches), masked_pixels(prediction, 3 * patches + 5), atol=1e-4)
    assert float(masked_pixels(torch.zeros(1, 12), torch.ones(1, 12))) == 0


def test_quantisation_by_hand_takes_zero_for_a_one_and_is_0_on_bits() -> None:
    assert float(quantisation(torch.tensor([[0.0, -0.5]]))) == pytest.approx((1 + 0.25) / 2)
    assert float(quantisation(torch.tensor([[1.0, -1.0]]))) == 0


def test_balance_is_0_where_half_are_set_and_1_where_all_are() -> None:
    assert float(bit_balance(torch.tensor([[1.0, -1.0], [-1.0, 1.0]]))) == 0
    assert float(bit_balance(torch.ones(3, 4))) == 1
    assert float(bit_balance(torch.tensor([[1.0, 1.0], [0.0, -1.0]]))) == pytest.approx(0.25 / 2)
