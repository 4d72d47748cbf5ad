"""The graph that is deployed: all read-outs of one image in one pass."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from .network import LinearHead, ScoreHead, activation, embedding, normalised, regions

HIGHEST = 100.0  # of a score


class ComplexityGraph(nn.Module):
    """uint8 image -> activation (n,), component (n,), embedding (n, d), map (n, h, w), and with a head the score (n,) in 0..100.

    Args:
        center, spread: (d,), mean and deviation of the embedding, for the component and the head.
        direction: (d,), along which the standardised embedding is the component.
    """

    center: Tensor
    spread: Tensor
    direction: Tensor

    def __init__(
        self, encoder: nn.Module, head: LinearHead | ScoreHead | None, center: Tensor, spread: Tensor, direction: Tensor
    ) -> None:
        super().__init__()
        self.encoder, self.head = copy.deepcopy(encoder), copy.deepcopy(head)
        self.register_buffer("center", center.clone())
        self.register_buffer("spread", spread.clone())
        self.register_buffer("direction", direction.clone())
        self.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """(n, 3, h, w)"""
        maps = self.encoder(normalised(image.float() / 255))
        features = embedding(maps)
        standardised = (features - self.center) / self.spread
        found = (activation(maps), standardised @ self.direction, features, regions(maps))
        if self.head is None:
            return found
        score, _ = self.head(maps, standardised)
        return (*found, HIGHEST * score.clamp(0, 1))
