"""Chamfer distance of point sets."""

from __future__ import annotations

import torch
from torch import Tensor


def chamfer(first: Tensor, second: Tensor) -> Tensor:
    r"""$\frac{1}{n} \sum_i \min_j |x_i - y_j|^2 + \frac{1}{m} \sum_j \min_i |x_i - y_j|^2$, the L2 form that Point-MAE minimises.

    Args:
        first: (..., n, 3).
        second: (..., m, 3).

    Returns:
        (): the mean over sets.
    """
    distance = (first[..., :, None, :].float() - second[..., None, :, :].float()).square().sum(-1)  # (..., n, m)
    return torch.mean(distance.amin(-1)) + torch.mean(distance.amin(-2))
