"""How far relaxed bits are from bits."""

from __future__ import annotations

import torch
from torch import Tensor


def quantisation(relaxed: Tensor) -> Tensor:
    r"""$\frac{1}{n K} \sum |b - \mathrm{sign}(b)|^2$ with sign(0) = 1; the sign has no gradient.

    Args:
        relaxed: (n, K), in -1..1, such as a tanh.

    Returns:
        ()
    """
    sign = torch.where(relaxed >= 0, 1.0, -1.0)
    return (relaxed.float() - sign).square().mean()
