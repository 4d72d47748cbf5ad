"""BYOL's loss: a prediction against its target, without negatives."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def prediction_distance(prediction: Tensor, target: Tensor) -> Tensor:
    r"""$\frac{1}{n} \sum_i 2 - 2 \cos(p_i, z_i)$ (Grill et al. 2020, eq. 2).

    Args:
        prediction: (..., n, d), carries the gradient.
        target: (n, d), from the momentum copy.

    Returns:
        (): the mean over all predictions, 0 to 4.
    """
    return (2 - 2 * F.cosine_similarity(prediction.float(), target.float(), dim=-1)).mean()
