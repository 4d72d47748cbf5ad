"""InfoNCE among the rows of a batch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def info_nce(query: Tensor, key: Tensor, temperature: float) -> Tensor:
    r"""Pull each query to the key of its row and push it from the keys of the other rows.

    $-\frac{1}{n} \sum_i \log \frac{e^{q_i k_i / T}}{\sum_j e^{q_i k_j / T}}$ with unit rows (van den Oord et al. 2018, eq. 4).

    Args:
        query: (..., n, d), normalised here; carries the gradient.
        key: (n, d), normalised here; row i is the positive of each query i.
        temperature: T, > 0.

    Returns:
        (): the mean over all queries.
    """
    logits = F.normalize(query.float(), dim=-1) @ F.normalize(key.float(), dim=-1).T / temperature  # (..., n, n)
    n = key.shape[0]
    own = torch.arange(n, device=key.device).expand(logits.shape[:-1])
    return F.cross_entropy(logits.reshape(-1, n), own.reshape(-1))
