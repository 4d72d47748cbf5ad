"""The momentum copy against its recursion by hand."""

from __future__ import annotations

import torch
from torch import nn

from train.blocks.momentum import Momentum


def test_it_follows_by_the_recursion() -> None:
    source = nn.Linear(2, 1, bias=False)
    nn.init.constant_(source.weight, 1.0)
    slow = Momentum(source, 0.75)
    nn.init.constant_(source.weight, 5.0)
    slow.follow(source)
    assert torch.allclose(slow.copy.weight, torch.tensor([[2.0, 2.0]]))
    slow.follow(source)
    assert torch.allclose(slow.copy.weight, torch.tensor([[2.75, 2.75]]))


def test_only_its_own_weights_are_saved_and_none_has_a_gradient() -> None:
    source = nn.Linear(2, 3)
    slow = Momentum(source, 0.9)
    assert set(slow.state_dict()) == {"copy.weight", "copy.bias"}
    assert not any(parameter.requires_grad for parameter in slow.parameters())
    assert not slow(torch.ones(1, 2)).requires_grad


def test_normalisation_statistics_are_the_copys_own() -> None:
    source = nn.BatchNorm1d(2)
    slow = Momentum(source, 0.5)
    source.running_mean.fill_(7.0)
    slow.follow(source)
    assert torch.equal(slow.copy.running_mean, torch.zeros(2))
