"""The complexity-aware loss against a case worked by hand, and its correlation against NumPy's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from train.losses.complexity_aware import complexity_aware, complexity_correlation


def test_it_is_the_mean_square_difference() -> None:
    energy = torch.tensor([1.0, 2.0, 5.0], requires_grad=True)
    loss = complexity_aware(energy, torch.tensor([2.0, 2.0, 3.0]))
    loss.backward()
    torch.testing.assert_close(loss.detach(), torch.tensor((1 + 0 + 4) / 3))
    assert energy.grad is not None
    torch.testing.assert_close(energy.grad, torch.tensor([-2.0, 0.0, 4.0]) / 3)


def test_the_correlation_is_numpys_whatever_the_unit() -> None:
    generator = torch.Generator().manual_seed(0)
    energy, entropy = torch.randn(2, 6, 3, generator=generator)
    expected = 1 - np.corrcoef(energy.flatten(), entropy.flatten())[0, 1]
    assert float(complexity_correlation(energy, entropy)) == pytest.approx(expected, abs=1e-5)
    assert float(complexity_correlation(5 * energy - 40, entropy)) == pytest.approx(expected, abs=1e-4)
    assert float(complexity_correlation(-entropy, entropy)) == pytest.approx(2, abs=1e-5)


@pytest.mark.parametrize("constant", ["activation", "entropy"])
def test_what_does_not_vary_has_a_finite_gradient(constant: str) -> None:
    energy = torch.full((4,), 2.0) if constant == "activation" else torch.arange(4.0)
    loss = complexity_correlation(energy.requires_grad_(), torch.full((4,), 3.0) if constant == "entropy" else torch.arange(4.0))
    loss.backward()
    assert loss.item() == pytest.approx(1) and energy.grad is not None and bool(energy.grad.isfinite().all())
