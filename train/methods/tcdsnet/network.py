"""The backbones: an image becomes a grid of local descriptors."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.blocks.gather import BatchNorm2d
from train.blocks.selection import unit

BLOCKS = 4
DROP_SIZE = 5  # side of the squares that DropBlock takes


def pixels(image: Tensor) -> Tensor:
    """uint8 (n, 3, h, w) -> about -2 to 2"""
    return (image.float() - 127.5) / 64


class Conv4(nn.Module):
    """Four convolutions of 3x3 with normalisation and LeakyReLU(0.2): DN4's Conv64F_Local with pools=(1, 2) and width 64."""

    def __init__(self, width: int, pools: tuple[int, ...]) -> None:
        super().__init__()
        self.pools, self.dim = pools, width
        self.convolutions = nn.ModuleList(
            nn.Conv2d(width if block else 3, width, 3, padding=1, bias=False) for block in range(BLOCKS)
        )
        self.norms = nn.ModuleList(BatchNorm2d(width) for _ in range(BLOCKS))

    def forward(self, image: Tensor) -> Tensor:
        """(n, 3, h, w) -> (n, d, h', w')"""
        maps = image
        for number, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True), 1):
            maps = F.leaky_relu(norm(convolution(maps)), 0.2)
            if number in self.pools:
                maps = F.max_pool2d(maps, 2)
        return maps


class ResNet12(nn.Module):
    """Four residual blocks of three convolutions each, LeakyReLU(0.1), DropBlock in the last two: few-shot learning's ResNet-12."""

    def __init__(self, width: int, pools: tuple[int, ...], drop: float) -> None:
        super().__init__()
        widths = (3, width, 5 * width // 2, 5 * width, 10 * width)
        self.pools, self.dim = pools, widths[-1]
        self.blocks = nn.ModuleList(
            Residual(widths[block], widths[block + 1], drop if block >= BLOCKS - 2 else 0.0) for block in range(BLOCKS)
        )

    def forward(self, image: Tensor) -> Tensor:
        """(n, 3, h, w) -> (n, d, h', w')"""
        maps = image
        for number, block in enumerate(self.blocks, 1):
            maps = block(maps, pooled=number in self.pools)
        return maps


class Residual(nn.Module):
    """Three convolutions and a 1x1 shortcut."""

    def __init__(self, before: int, width: int, drop: float) -> None:
        super().__init__()
        self.drop = drop
        self.convolutions = nn.ModuleList(nn.Conv2d(width if at else before, width, 3, padding=1, bias=False) for at in range(3))
        self.norms = nn.ModuleList(BatchNorm2d(width) for _ in range(3))
        self.shortcut = nn.Sequential(nn.Conv2d(before, width, 1, bias=False), BatchNorm2d(width))

    def forward(self, maps: Tensor, *, pooled: bool) -> Tensor:
        """(n, c, h, w) -> (n, width, h, w), halved where it is pooled"""
        inner = maps
        for at, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            inner = norm(convolution(inner))
            if at < 2:
                inner = F.leaky_relu(inner, 0.1)
        out = F.leaky_relu(inner + self.shortcut(maps), 0.1)
        if pooled:
            out = F.max_pool2d(out, 2)
        return drop_block(out, self.drop) if self.training and self.drop > 0 else out


def drop_block(maps: Tensor, share: float, size: int = DROP_SIZE) -> Tensor:
    """Zero squares of a map, about `share` of it, and scale up the rest (Ghiasi et al. 2018): (n, c, h, w) -> (n, c, h, w)"""
    n, c, h, w = maps.shape
    size = min(size, h, w)
    inside = (h - size + 1, w - size + 1)  # corners of squares that fit
    rate = share * h * w / (size**2 * inside[0] * inside[1])
    corners = (torch.rand(n, c, *inside, device=maps.device) < rate).to(maps.dtype)
    taken = F.max_pool2d(F.pad(corners, (size - 1,) * 4), size, stride=1)  # (n, c, h, w)
    left = 1 - taken
    return maps * left * (left.numel() / left.sum().clamp(min=1))


class Descriptors(nn.Module):
    """uint8 images -> unit descriptors, the backbone's map read row by row."""

    def __init__(self, backbone: Conv4 | ResNet12) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, image: Tensor) -> Tensor:
        """(n, 3, h, w) -> (n, l, d), float32"""
        return unit(self.backbone(pixels(image)).flatten(2).transpose(1, 2))


def grid(size: int, pools: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns of descriptors that an image of `size` pixels a side has."""
    for _ in pools:
        size //= 2
    return size, size
