"""Measures of classification; each states its protocol."""

from __future__ import annotations

import torch
from torch import Tensor


def accuracy(logits: Tensor, label: Tensor, k: int = 1) -> float:
    """Share of rows in percent whose label is among the k largest logits (k is capped at the number of classes).

    Args:
        logits: (n, classes).
        label: (n,), int64.
    """
    best = logits.topk(min(k, logits.shape[1]), dim=1).indices  # (n, k)
    return 100.0 * (best == label[:, None]).any(1).double().mean().item()


def harmonic_mean(base: float, new: float) -> float:
    """2ab/(a+b), 0 where both are 0: the summary of base-to-new generalisation (Xian et al. 2017)."""
    return 2 * base * new / (base + new) if base + new else 0.0


def calibration_error(probability: Tensor, label: Tensor, bins: int = 15) -> float:
    """Expected calibration error in percent: |accuracy - confidence| over equal-width bins of the top probability,
    weighted by their share (Guo et al. 2017, eq. 3; 15 bins as there).

    Args:
        probability: (n, classes), rows sum to 1.
        label: (n,), int64.
    """
    confidence, guess = probability.double().max(1)
    right = (guess == label).double()
    bin_of = (confidence * bins).long().clamp(max=bins - 1)
    gap = torch.zeros(bins, dtype=torch.float64).index_add(0, bin_of.cpu(), (right - confidence).cpu())
    return 100.0 * gap.abs().sum().item() / len(label)


def auroc(known: Tensor, strange: Tensor) -> float:
    """How often in percent a strange row's score is above a known row's, equal scores counting half: the area under the ROC curve.

    Args:
        known, strange: (n,), (m,) scores of which strange rows should have the larger; both at least 1.
    """
    ranked = known.double().sort().values
    strange = strange.double().contiguous()
    below = torch.searchsorted(ranked, strange) + torch.searchsorted(ranked, strange, right=True)
    return 50.0 * below.double().mean().item() / len(ranked)
