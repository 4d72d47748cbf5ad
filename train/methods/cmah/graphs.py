"""The two graphs that are deployed: an encoder and its hash heads, with the scaling of pixels inside."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from .network import Heads, ImageEncoder, PointEncoder


class ImageHash(nn.Module):
    """image -> logits of each code length."""

    def __init__(self, encoder: ImageEncoder, heads: Heads) -> None:
        super().__init__()
        self.encoder, self.heads = copy.deepcopy(encoder), copy.deepcopy(heads)
        self.heads.embedding = None

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """uint8 (n, 3, h, w)"""
        return self.heads.logits(self.encoder(scaled(image)))


class PointHash(nn.Module):
    """centres and neighbourhoods -> logits of each code length."""

    def __init__(self, encoder: PointEncoder, heads: Heads) -> None:
        super().__init__()
        self.encoder, self.heads = copy.deepcopy(encoder), copy.deepcopy(heads)
        self.heads.embedding = None

    def forward(self, centres: Tensor, neighbourhoods: Tensor) -> tuple[Tensor, ...]:
        """(n, G, 3), (n, G, M, 3)"""
        return self.heads.logits(self.encoder(centres, neighbourhoods))


def scaled(image: Tensor) -> Tensor:
    """uint8 -> -1..1"""
    return image.float() / 127.5 - 1
