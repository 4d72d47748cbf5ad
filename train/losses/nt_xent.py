"""SimCLR's loss: two views of a sample among all views of the batch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def nt_xent(one: Tensor, other: Tensor, temperature: float) -> Tensor:
    r"""$-\frac{1}{2n} \sum_i \log \frac{e^{z_i z_{j(i)} / T}}{\sum_{k \ne i} e^{z_i z_k / T}}$ over 2n unit rows (Chen et al. 2020, eq. 1).

    Args:
        one, other: (n, d), normalised here; rows i are two views of one sample, n >= 2.
        temperature: T, > 0.

    Returns:
        (): the mean over both views.
    """
    n = len(one)
    rows = F.normalize(torch.cat([one, other]).float(), dim=1)  # (2n, d)
    logits = rows @ rows.T / temperature  # (2n, 2n)
    logits = logits.masked_fill(torch.eye(2 * n, dtype=torch.bool, device=rows.device), -torch.inf)
    return F.cross_entropy(logits, torch.arange(2 * n, device=rows.device).roll(n))
