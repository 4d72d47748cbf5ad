"""How strange a chip is to what was trained on: by its neighbours among training chips, its class's spread, or its logits."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Kind = Literal["neighbours", "mahalanobis", "energy"]
SHRINKAGE = 0.1  # of the covariance towards its mean variance: few labels make it singular


class Novelty(nn.Module):
    r"""Features and logits -> (n,), larger is stranger. What it compares with is fitted on training chips and saved.

    neighbours: $1 - \cos$ to the k-th nearest training chip, with or without a label, after the mean of all is subtracted (Sun et
    al. 2022, whose features are not centred). mahalanobis: the least $(f - \mu_c)^T \Sigma^{-1} (f - \mu_c) / d$ over classes, with a
    covariance that classes share (Lee et al. 2018), shrunk; it takes labels. energy: $-\log \sum_c e^{l_c}$ (Liu et al. 2020).

    Args:
        dim: d of the features.
        rows: training chips that are compared with.
        classes: that have a mean.
        neighbours: k.
    """

    middle: Tensor
    bank: Tensor
    means: Tensor
    whitening: Tensor

    def __init__(self, kind: Kind, dim: int, rows: int, classes: int, neighbours: int) -> None:
        super().__init__()
        self.kind, self.neighbours = kind, neighbours
        if kind == "neighbours":
            self.register_buffer("middle", torch.zeros(dim))
            self.register_buffer("bank", torch.zeros(rows, dim))
        elif kind == "mahalanobis":
            self.register_buffer("means", torch.zeros(classes, dim))
            self.register_buffer("whitening", torch.eye(dim))

    @torch.no_grad()
    def fit(self, features: Tensor, labelled: Tensor, label: Tensor) -> None:
        """Take training chips as what is known.

        Args:
            features: (rows, d), of chips without labels.
            labelled, label: (m, d), (m,), of those with one.
        """
        if self.kind == "neighbours":
            self.middle.copy_(features.mean(0))
            self.bank.copy_(F.normalize(features - self.middle, dim=1))
        elif self.kind == "mahalanobis":
            for row, mean in enumerate(self.means):
                mean.copy_(labelled[label == row].mean(0))
            apart = (labelled - self.means[label]).double()  # (m, d)
            covariance = apart.T @ apart / len(apart)
            level = covariance.diagonal().mean().clamp(min=1e-12) * torch.eye(len(covariance), device=apart.device)
            factor = torch.linalg.cholesky((1 - SHRINKAGE) * covariance + SHRINKAGE * level)
            inverse = torch.linalg.solve_triangular(factor, torch.eye(len(factor), device=apart.device).double(), upper=False)
            self.whitening.copy_(inverse.T)

    def forward(self, features: Tensor, logits: Tensor) -> Tensor:
        """(n, d), (n, classes) -> (n,)"""
        if self.kind == "energy":
            return -logits.logsumexp(1)
        if self.kind == "neighbours":
            cosine = F.normalize(features - self.middle, dim=1) @ self.bank.T  # (n, rows)
            return 1 - cosine.topk(self.neighbours, dim=1).values[:, -1]
        own, means = features @ self.whitening, self.means @ self.whitening  # (n, d), (classes, d)
        square = own.square().sum(1, keepdim=True) - 2 * own @ means.T + means.square().sum(1)  # (n, classes)
        return square.amin(1) / features.shape[1]


def threshold(known: Tensor, refused: float) -> tuple[float, float]:
    """The least score that at most the share `refused` of known chips is above, and the share that is.

    Args:
        known: (n,), the novelty of chips of known classes that were not trained on.
    """
    ordered = known.double().sort().values
    at = float(ordered[len(ordered) - 1 - int(refused * len(ordered))])
    return at, float((known.double() > at).double().mean())
