"""What is read from the maps of an encoder's four stages, and the heads that people's ratings train."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.blocks.gather import BatchNorm2d
from train.blocks.resnet import ResNet, SmallNet

from .config import Config

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's
REST = 1e-6  # under the root of a variance
MIX = (0.9, 0.1)  # weights of the score and of the map's mean in the head's loss; fine_tuning.py

Maps = tuple[Tensor, ...]


def made(config: Config) -> ResNet | SmallNet:
    """The encoder that a configuration names."""
    return SmallNet() if config.encoder == "small" else ResNet(config.encoder, stem=config.stem)


def stride(config: Config) -> int:
    """Pixels a side that one cell of the last map stands for."""
    return 16 if config.encoder == "small" else 32 if config.stem == "7x7" else 8


def projection(config: Config, width: int) -> nn.Module:
    """The head of the contrast."""
    if config.projection == "linear":
        return nn.Linear(width, config.dim)
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, config.dim))


def normalised(image: Tensor) -> Tensor:
    """(n, 3, h, w) in 0..1 -> ImageNet's mean 0 and deviation 1"""
    mean, deviation = (torch.tensor(values, device=image.device)[:, None, None] for values in (MEAN, DEVIATION))
    return (image - mean) / deviation


def activation(maps: Maps) -> Tensor:
    """The sum over stages of their mean activation (fae of CAL.py): -> (n,), float32"""
    return torch.stack([stage.float().mean((1, 2, 3)) for stage in maps]).sum(0)


def embedding(maps: Maps) -> Tensor:
    """Mean and standard deviation over places of each channel of each stage: -> (n, 2 * channels of all stages)"""
    parts = []
    for stage in maps:
        cells = stage.float().flatten(2)  # (n, c, h w)
        mean = cells.mean(2)
        parts += [mean, ((cells - mean[:, :, None]).square().mean(2) + REST).sqrt()]
    return torch.cat(parts, 1)


def regions(maps: Maps) -> Tensor:
    """The activation by place at the second stage's resolution: -> (n, h, w); its mean is the activation up to resampling"""
    size = maps[1].shape[2:]
    total = torch.zeros((), device=maps[0].device)
    for stage in maps:
        energy = stage.float().mean(1, keepdim=True)  # (n, 1, h', w')
        if energy.shape[2] == 2 * size[0] and energy.shape[3] == 2 * size[1]:
            energy = F.avg_pool2d(energy, 2)
        elif energy.shape[2:] != size:
            energy = F.interpolate(energy, size=(size[0], size[1]), mode="bilinear", align_corners=False)
        total = total + energy
    return total[:, 0]


class LinearHead(nn.Module):
    """A score from the standardised embedding; beside it the score again, where icnet has its map's mean."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, 1)
        nn.init.zeros_(self.linear.weight)
        nn.init.constant_(self.linear.bias, 0.5)

    def forward(self, _: Maps, standardised: Tensor) -> tuple[Tensor, Tensor]:
        """(n, d) -> (n,), (n,), about 0..1"""
        score = self.linear(standardised)[:, 0]
        return score, score


class Gate(nn.Module):
    """A factor in 0..1 for each channel, from all of its places (the SLAM of ICNet, Feng et al. 2022)."""

    def __init__(self, cells: int, inner: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(nn.Linear(cells, inner), nn.ReLU(), nn.Linear(inner, 1), nn.Sigmoid())

    def forward(self, maps: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c, h, w)"""
        return maps * self.weigh(F.avg_pool2d(maps, 2).flatten(2))[:, :, :, None]


class ScoreHead(nn.Module):
    """ICNet's two branches on the encoder's last map (ICNet_ft): a score, and a map whose mean should be the score too.

    Args:
        channels: of the last map.
        width: of the branches.
        cells: rows and columns that the map is brought to; even.
    """

    def __init__(self, channels: int, width: int, cells: int) -> None:
        super().__init__()
        self.cells, inner = cells, min(512, 16 * width)
        self.entry = nn.Sequential(nn.Conv2d(channels, width, 1, bias=False), BatchNorm2d(width), nn.ReLU())
        self.map, self.score = (
            nn.Sequential(
                nn.Conv2d(width, width, 3, padding=1, bias=False),
                BatchNorm2d(width),
                nn.ReLU(),
                Gate((cells // 2) ** 2, inner),
            )
            for _ in range(2)
        )
        self.map_end = nn.Conv2d(width, 1, 1)
        self.score_end = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, maps: Maps, _: Tensor) -> tuple[Tensor, Tensor]:
        """-> score (n,) and mean of the map (n,), both in 0..1"""
        wide = F.interpolate(maps[-1], size=(self.cells, self.cells), mode="bilinear", align_corners=False)
        shared = self.entry(wide)  # (n, width, cells, cells)
        score = self.score_end(self.score(shared).mean((2, 3))).sigmoid()[:, 0]
        return score, self.map_end(self.map(shared)).sigmoid().mean((1, 2, 3))
