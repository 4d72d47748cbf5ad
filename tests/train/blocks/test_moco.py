"""Momentum contrast against what follows from its definition: identical views, gradients, the queue's content."""

from __future__ import annotations

import math

import torch
from torch import nn

from train.blocks.moco import MoCo
from train.blocks.resnet import SmallNet


def moco(temperature: float = 0.2) -> MoCo:
    torch.manual_seed(0)
    net = SmallNet((4, 4, 8, 8))
    return MoCo(net, nn.Linear(net.dim, 6), dim=6, rows=10, momentum=0.5, temperature=temperature)


def test_at_first_query_and_key_of_identical_views_are_equal() -> None:
    model, view = moco(), torch.rand(4, 3, 32, 32)
    query, key = model.query(view), model.key(view)
    assert torch.allclose((query * key).sum(1), torch.ones(4), atol=1e-6)


def test_the_loss_is_that_of_the_queue_before_the_keys_join_it() -> None:
    model, view = moco(), torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        logits = model.query(view) @ model.queue().T / 0.2
        by_hand = -(1 / 0.2 - torch.logsumexp(torch.cat([torch.full((4, 1), 1 / 0.2), logits], 1), 1)).mean()
        assert math.isclose(float(model(view, view)), float(by_hand), rel_tol=1e-5)
    assert torch.allclose(model.queue()[:4], model.key(view), atol=1e-6)


def test_the_key_encoder_gets_no_gradient_and_follows() -> None:
    model, view = moco(), torch.rand(4, 3, 32, 32)
    model(view, view.flip(3)).backward()
    assert all(parameter.grad is None for parameter in model.key.parameters())
    assert all(parameter.grad is not None for parameter in model.query.parameters())
    before = model.key.copy.head.weight.clone()
    with torch.no_grad():
        model.query.head.weight += 1
    model.follow()
    assert torch.allclose(model.key.copy.head.weight, before + 0.5)
