"""The complexity-aware loss against a case worked by hand."""

from __future__ import annotations

import torch

from train.losses.complexity_aware import complexity_aware


def test_it_is_the_mean_square_difference() -> None:
    energy = torch.tensor([1.0, 2.0, 5.0], requires_grad=True)
    loss = complexity_aware(energy, torch.tensor([2.0, 2.0, 3.0]))
    loss.backward()
    torch.testing.assert_close(loss.detach(), torch.tensor((1 + 0 + 4) / 3))
    assert energy.grad is not None
    torch.testing.assert_close(energy.grad, torch.tensor([-2.0, 0.0, 4.0]) / 3)
