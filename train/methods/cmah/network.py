"""CMAH's networks: tokens of clouds and images, their encoders, hash heads, and the masked autoencoder that is for training only."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.blocks.fusion import Fusion
from train.blocks.gather import BatchNorm2d
from train.blocks.masked_decoder import MaskedDecoder
from train.blocks.masking import pick
from train.blocks.vit import Block, Transformer


class PointTokens(nn.Module):
    """Point-MAE's small PointNet: a neighbourhood -> a token. The perceptrons are 1x1 convolutions over (groups, neighbours).

    The layer on (neighbourhood's maximum, point) is written as a sum of two, so that the maximum's part is computed once a group.
    """

    def __init__(self, inner: int, width: int) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(3, inner, 1, bias=False), BatchNorm2d(inner), nn.ReLU(), nn.Conv2d(inner, 2 * inner, 1)
        )
        self.of_point = nn.Conv2d(2 * inner, 4 * inner, 1, bias=False)
        self.of_group = nn.Conv2d(2 * inner, 4 * inner, 1, bias=False)
        self.second = nn.Sequential(BatchNorm2d(4 * inner), nn.ReLU(), nn.Conv2d(4 * inner, width, 1))

    def forward(self, neighbourhoods: Tensor) -> Tensor:
        """(n, G, M, 3) -> (n, G, width)"""
        maps = self.first(neighbourhoods.permute(0, 3, 1, 2))  # (n, 2i, G, M)
        joint = self.of_point(maps) + self.of_group(maps.amax(3, keepdim=True))  # (n, 4i, G, M)
        return self.second(joint).amax(3).transpose(1, 2)  # type: ignore[no-any-return]


class Encoder(nn.Module):
    """Transformer over tokens that hold their places, and the normalisation after it."""

    def __init__(self, width: int, heads: int, layers: int) -> None:
        super().__init__()
        blocks = nn.ModuleList(Block(width, heads, 0, "gelu", 1e-5, causal=False) for _ in range(layers))
        self.transformer = Transformer(layers, blocks)
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(n, t, c) -> (n, t, c)"""
        return self.norm(self.transformer(tokens, None, 0))  # type: ignore[no-any-return]


class PointEncoder(nn.Module):
    """Clouds, as neighbourhoods around centres."""

    def __init__(self, inner: int, width: int, heads: int, layers: int) -> None:
        super().__init__()
        self.tokens = PointTokens(inner, width)
        self.places = place_of_centre(width)
        self.encoder = Encoder(width, heads, layers)

    def embed(self, centres: Tensor, neighbourhoods: Tensor) -> Tensor:
        """(n, G, 3), (n, G, M, 3) -> (n, G, c)"""
        return self.tokens(neighbourhoods) + self.places(centres)  # type: ignore[no-any-return]

    def forward(self, centres: Tensor, neighbourhoods: Tensor) -> Tensor:
        """(n, G, 3), (n, G, M, 3) -> (n, 2c)"""
        return pool(self.encoder(self.embed(centres, neighbourhoods)))


class ImageEncoder(nn.Module):
    """Images, as patches."""

    def __init__(self, size: int, patch: int, width: int, heads: int, layers: int) -> None:
        super().__init__()
        self.tokens = nn.Conv2d(3, width, patch, patch)
        self.places = nn.Parameter(place_in_grid(size // patch, width))
        self.encoder = Encoder(width, heads, layers)

    def embed(self, pixels: Tensor) -> Tensor:
        """-1..1 (n, 3, h, w) -> (n, t, c)"""
        return self.tokens(pixels).flatten(2).transpose(1, 2) + self.places  # type: ignore[no-any-return]

    def forward(self, pixels: Tensor) -> Tensor:
        """-1..1 (n, 3, h, w) -> (n, 2c)"""
        return pool(self.encoder(self.embed(pixels)))


class Head(nn.Module):
    """Linear, batch normalisation, GELU, linear."""

    def __init__(self, width: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.enter = nn.Linear(width, hidden)
        self.norm = nn.BatchNorm1d(hidden)
        self.leave = nn.Linear(hidden, outputs)

    def forward(self, pooled: Tensor, *, tracked: bool = True) -> Tensor:
        """(n, width) -> (n, outputs)

        Args:
            tracked: False normalises by the batch's own statistics and leaves the running ones as they are, for masked views: what is
                deployed sees whole inputs only.
        """
        inner = self.enter(pooled)
        if tracked:
            inner = self.norm(inner)
        else:
            inner = F.batch_norm(inner, None, None, self.norm.weight, self.norm.bias, training=True, eps=self.norm.eps)
        return self.leave(F.gelu(inner))  # type: ignore[no-any-return]


class Heads(nn.Module):
    """A hash head for each code length, and one for the float embedding."""

    def __init__(self, width: int, hidden: int, bits: Sequence[int], embedding: int) -> None:
        super().__init__()
        self.codes = nn.ModuleDict({str(length): Head(width, hidden, length) for length in bits})
        self.embedding = Head(width, hidden, embedding) if embedding else None

    def forward(self, pooled: Tensor, *, tracked: bool = True) -> dict[str, Tensor]:
        """(n, width) -> "16": tanh of logits (n, 16), ..., and "float": (n, embedding)"""
        found = {name: torch.tanh(head(pooled, tracked=tracked)) for name, head in self.codes.items()}
        if self.embedding is not None:
            found["float"] = self.embedding(pooled, tracked=tracked)
        return found

    def logits(self, pooled: Tensor) -> tuple[Tensor, ...]:
        """(n, width) -> (n, K) of each length"""
        return tuple(head(pooled) for head in self.codes.values())


class Autoencoder(nn.Module):
    """Fusion of the two masked views, and a decoder for each modality. Training only."""

    def __init__(
        self,
        width: int,
        heads: int,
        fusion: int,
        inner: int,
        inner_heads: int,
        layers: int,
        *,
        tokens: int,
        pixels: int,
        neighbours: int,
    ) -> None:
        """
        Args:
            tokens: of an image.
            pixels: numbers of a patch.
            neighbours: points of a cloud's token.
        """
        super().__init__()
        self.fusion = Fusion(width, heads, fusion)
        self.point_places = place_of_centre(inner)
        self.image_places = nn.Parameter(place_in_grid(round(math.sqrt(tokens)), inner))
        self.point_decoder = MaskedDecoder(width, inner, inner_heads, layers, 3 * neighbours)
        self.image_decoder = MaskedDecoder(width, inner, inner_heads, layers, pixels)

    def forward(
        self, points: Tensor, image: Tensor, centres: Tensor, kept: tuple[Tensor, Tensor], masked: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """What stood at the masked places.

        Args:
            points: (n, v, c), the encoder's tokens of the kept groups.
            image: (n, u, c), those of the kept patches.
            centres: (n, G, 3), of all groups.
            kept, masked: places of groups, and of patches.

        Returns:
            (n, m, M, 3) and (n, l, pixels).
        """
        points, image = self.fusion(points, image)
        places = self.point_places(centres)  # (n, G, inner)
        cloud = self.point_decoder(points, pick(places, kept[0]), pick(places, masked[0]))
        places = self.image_places.expand(len(image), -1, -1)
        pixels = self.image_decoder(image, pick(places, kept[1]), pick(places, masked[1]))
        return cloud.unflatten(2, (-1, 3)), pixels


def pool(tokens: Tensor) -> Tensor:
    """Mean and maximum: (n, t, c) -> (n, 2c)"""
    return torch.cat([tokens.mean(1), tokens.amax(1)], 1)


def patches(pixels: Tensor, side: int) -> Tensor:
    """(n, c, h, w) -> (n, t, c * side * side), in the order of the image's tokens"""
    return F.pixel_unshuffle(pixels, side).flatten(2).transpose(1, 2)


def place_of_centre(width: int) -> nn.Sequential:
    """(..., 3) -> (..., width)"""
    return nn.Sequential(nn.Linear(3, 128), nn.GELU(), nn.Linear(128, width))


def place_in_grid(side: int, width: int) -> Tensor:
    """Sines and cosines of row and column: (side * side, width), for a width that is a multiple of 4."""
    rate = 10000 ** -(torch.arange(width // 4) / (width // 4))  # (width / 4,)
    angle = torch.arange(side)[:, None] * rate  # (side, width / 4)
    line = torch.cat([angle.sin(), angle.cos()], 1)  # (side, width / 2)
    rows = line[:, None].expand(-1, side, -1)
    return torch.cat([rows, line[None].expand(side, -1, -1)], 2).flatten(0, 1)  # (side * side, width)
