"""Momentum contrast (He et al. 2020, arXiv 1911.05722): a query encoder, a copy that follows it, a queue of the copy's keys."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.losses.momentum_contrast import momentum_contrast

from .momentum import Momentum
from .queue import Queue


class Projected(nn.Module):
    """An encoder and a head on the mean of its last map.

    Args:
        encoder: image (n, c, h, w) -> maps of its stages.
        head: (n, encoder.dim) -> (n, d).
    """

    def __init__(self, encoder: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward(self, image: Tensor) -> Tensor:
        """(n, c, h, w) -> unit rows (n, d)"""
        return self.project(self.encoder(image))

    def project(self, maps: tuple[Tensor, ...]) -> Tensor:
        """Maps of the stages -> unit rows (n, d)"""
        return F.normalize(self.head(maps[-1].mean((2, 3))).float(), dim=1)


class MoCo(nn.Module):
    """The contrast of two views of each image: `loss = moco(query, key)`, and `moco.follow()` after each optimizer step.

    Our choice for the keys' batch statistics: they are those of the global batch of keys (`gather.BatchNorm2d`), and views are not
    shuffled among processes. MoCo shuffles because each of its processes has statistics of its own, which tell a query which
    keys it shared a batch with; with global ones there is nothing to tell. The copy's running statistics are its own.

    Args:
        encoder, head: as Projected takes them; they are `moco.query.encoder` and `moco.query.head` from here on.
        dim: d of the head's rows.
        rows: K of the queue.
        momentum: m of the copy.
        temperature: T.
        generator: of the queue's first rows.
    """

    def __init__(
        self,
        encoder: nn.Module,
        head: nn.Module,
        *,
        dim: int,
        rows: int,
        momentum: float,
        temperature: float,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.query = Projected(encoder, head)
        self.key = Momentum(self.query, momentum)
        self.queue = Queue(rows, dim, generator)

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        """Views (n, c, h, w) of the same images -> the loss of this process's rows, ()."""
        return self.contrast(self.query(query), key)

    def contrast(self, query: Tensor, key: Tensor) -> Tensor:
        """As forward, with the query's unit rows (n, d) where the caller has its maps already. The keys join the queue."""
        keys = self.key(key)
        loss = momentum_contrast(query, keys, self.queue(), self.temperature)
        self.queue.enqueue(keys)
        return loss

    def follow(self) -> None:
        """Move the copy one step."""
        self.key.follow(self.query)
