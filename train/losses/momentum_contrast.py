"""InfoNCE against a queue: MoCo's loss."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def momentum_contrast(query: Tensor, key: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    r"""Pull each query to the key of its row and push it from the negatives, which all queries share.

    $-\frac{1}{n} \sum_i \log \frac{e^{q_i k_i / T}}{e^{q_i k_i / T} + \sum_j e^{q_i m_j / T}}$ with unit rows (He et al. 2020, eq. 1).

    Args:
        query: (n, d), normalised here; carries the gradient.
        key: (n, d), normalised here; row i is the positive of query i.
        negatives: (m, d), unit rows.
        temperature: T, > 0.

    Returns:
        (): the mean over queries.
    """
    query, key = F.normalize(query.float(), dim=1), F.normalize(key.float(), dim=1)
    positive = (query * key).sum(1, keepdim=True)  # (n, 1)
    logits = torch.cat([positive, query @ negatives.float().T], 1) / temperature  # (n, 1 + m)
    return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.int64, device=logits.device))
