"""The contrastive branch: codes of tiles, predicted from pairs, against a slow copy's codes of whole crops under the same degradation."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from train.blocks.gather import gather
from train.blocks.momentum import Momentum
from train.losses.info_nce import info_nce
from train.losses.prediction_distance import prediction_distance

from .network import Estimator, fast


class Head(nn.Sequential):
    """Two layers with normalisation and GELU between."""

    def __init__(self, dim: int, inner: int, *, normalised: bool) -> None:
        last = [nn.BatchNorm1d(dim)] if normalised else []
        super().__init__(nn.Linear(dim, inner), nn.BatchNorm1d(inner), nn.GELU(), nn.Linear(inner, dim), *last)


class Encoder(nn.Module):
    """Estimator, mean over cells, projector: what the momentum copy copies."""

    def __init__(self, width: int, *, standardise: bool = False) -> None:
        super().__init__()
        self.estimator = Estimator(width, standardise=standardise)
        self.projector = Head(4 * width, 4 * width, normalised=True)

    def forward(self, low: Tensor) -> Tensor:
        """This process's (n, 3, h, w) -> (n, d) of all processes."""
        return self.project(self.codes(low))

    def codes(self, low: Tensor) -> Tensor:
        """(n, 3, h, w) -> (n, d)"""
        return self.estimator(fast(low)).mean((2, 3))  # type: ignore[no-any-return]

    def project(self, codes: Tensor) -> Tensor:
        """Rows of this process -> of all: the normalisation's statistics are the global batch's."""
        return self.projector(gather(codes))  # type: ignore[no-any-return]


class Contrast(nn.Module):
    """Divide and combine (Fast-MoCo): the codes of a crop's tiles are averaged in pairs, projected and predicted.

    Args:
        objective: "infonce" or "byol".
        tiles: a crop is cut into tiles x tiles; 1 leaves it whole.
    """

    def __init__(
        self, width: int, *, objective: str, temperature: float, momentum: float, tiles: int, standardise: bool = False
    ) -> None:
        super().__init__()
        self.objective, self.temperature, self.tiles = objective, temperature, tiles
        self.encoder = Encoder(width, standardise=standardise)
        self.predictor = Head(4 * width, width, normalised=False)
        self.auxiliary = Momentum(self.encoder, momentum)

    def forward(self, low: Tensor) -> Tensor:
        r"""$\frac{1}{D (D - 1) C} \sum_{i \ne j} \sum_c \ell(p_{i,c}, z_j)$ over all rows of all processes.

        Args:
            low: (b, D, 3, h, w); the crops of a row share their degradation.
        """
        views = low.shape[1]
        target = self.auxiliary(low.flatten(0, 1))
        target = target.reshape(-1, views, target.shape[1])  # (b, D, d), b of all processes from here on
        codes = self._codes(low)  # (b, D, C, d)
        prediction = self.predictor(self.encoder.project(codes.flatten(0, 2))).reshape(-1, *codes.shape[1:])  # (b, D, C, d)
        parts = [
            self._loss(prediction[:, i].transpose(0, 1), target[:, j])  # (C, b, d), (b, d)
            for i, j in itertools.permutations(range(views), 2)
        ]
        return torch.stack(parts).mean()

    def _loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        if self.objective == "byol":
            return prediction_distance(prediction, target)
        return info_nce(prediction, target, self.temperature)

    def _codes(self, low: Tensor) -> Tensor:
        """Mean codes of every pair of tiles, (b, D, C, d); with one tile, of the crop."""
        b, views, c, h, w = low.shape
        k = self.tiles
        size = (h // k, w // k)
        cut = low[..., : k * size[0], : k * size[1]].reshape(b, views, c, k, size[0], k, size[1])
        pieces = cut.permute(0, 1, 3, 5, 2, 4, 6).reshape(b * views * k * k, c, *size)
        codes = self.encoder.codes(pieces).reshape(b, views, k * k, -1)
        pairs = list(itertools.combinations(range(k * k), 2)) or [(0, 0)]
        return torch.stack([(codes[:, :, one] + codes[:, :, two]) / 2 for one, two in pairs], 2)

    def follow(self) -> None:
        """Move the auxiliary branch one step."""
        self.auxiliary.follow(self.encoder)
