"""CLIC's complexity-aware loss: the activation of a network should be, or rise with, the image's entropy."""

from __future__ import annotations

from torch import Tensor

LEAST = 1e-12  # of the product of two variances: below it nothing varies, and the correlation is 0


def complexity_aware(activation: Tensor, entropy: Tensor) -> Tensor:
    r"""$\frac{1}{n} \sum_i (A_i - H_i)^2$ (arXiv 2411.12792).

    Args:
        activation: (n,), the sum over stages of their mean activation; carries the gradient.
        entropy: (n,), of the images' grey levels, in nats.
    """
    return (activation.float() - entropy).square().mean()


def complexity_correlation(activation: Tensor, entropy: Tensor) -> Tensor:
    r"""$1 - r(A, H)$ with Pearson's correlation over the batch, 0 to 2: the activation follows entropy in a unit of its own (ours).

    To reach entropy's numbers a network has to raise the gain of all channels alike, which costs what tells them apart; its order it can follow
    without that.

    Args:
        activation: any shape; carries the gradient.
        entropy: the same shape.
    """
    one, other = (values.float() - values.float().mean() for values in (activation, entropy))
    return 1 - (one * other).mean() / (one.square().mean() * other.square().mean()).clamp(min=LEAST).sqrt()
