"""CLIC's complexity-aware loss: the activation of a network should be the image's entropy."""

from __future__ import annotations

from torch import Tensor


def complexity_aware(activation: Tensor, entropy: Tensor) -> Tensor:
    r"""$\frac{1}{n} \sum_i (A_i - H_i)^2$ (arXiv 2411.12792).

    Args:
        activation: (n,), the sum over stages of their mean activation; carries the gradient.
        entropy: (n,), of the images' grey levels, in nats.
    """
    return (activation.float() - entropy).square().mean()
