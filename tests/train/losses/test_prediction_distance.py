"""BYOL's distance against the squared distance of unit vectors."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from train.losses.prediction_distance import prediction_distance


def test_it_is_the_squared_distance_of_unit_vectors() -> None:
    torch.manual_seed(0)
    prediction, target = torch.randn(3, 6, 8), torch.randn(6, 8)
    expected = (F.normalize(prediction, dim=-1) - F.normalize(target, dim=-1)).square().sum(-1).mean()
    assert torch.allclose(prediction_distance(prediction, target), expected, atol=1e-6)


def test_it_is_0_where_they_point_alike_and_4_where_they_are_opposed() -> None:
    target = torch.randn(5, 4)
    assert abs(float(prediction_distance(3 * target, target))) < 1e-5
    assert abs(float(prediction_distance(-target, target)) - 4) < 1e-5
