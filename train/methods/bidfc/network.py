"""A chip becomes features: the encoder that is pretrained, trained and deployed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from train.blocks.resnet import ResNet, SmallNet, Stem


class Encoder(nn.Module):
    """One of the shared networks on chips of one channel; `dim` is the number of features.

    A SAR chip has one channel. The published code repeats it three times, which a first layer with one channel is equal to, its
    weights being sums of three.
    """

    def __init__(self, backbone: str, stem: Stem, widths: tuple[int, ...], *, standardise: bool) -> None:
        super().__init__()
        self.standardise = standardise
        self.net: ResNet | SmallNet
        if backbone == "small":
            self.net = SmallNet(widths, in_channels=1)
        else:
            self.net = ResNet(backbone, stem=stem, in_channels=1)
        self.dim = self.net.dim

    def forward(self, chip: Tensor) -> tuple[Tensor, ...]:
        """(n, 1, h, w), uint8 or magnitudes -> maps of the stages"""
        return self.net(scaled(chip, self.standardise))  # type: ignore[no-any-return]

    def features(self, chip: Tensor) -> Tensor:
        """(n, 1, h, w) -> (n, d), float32"""
        return self(chip)[-1].mean((2, 3)).float()


def scaled(chip: Tensor, standardise: bool = False) -> Tensor:
    r"""8 bits to -1..1; magnitudes, whose unit means nothing, to $\log(1 + x / \bar x) - 1$ with the mean of the window.

    Args:
        standardise: then to mean 0 and deviation 1 of the window: chips differ in gain, each being scaled by its own peak.
    """
    if chip.dtype == torch.uint8:
        wide = chip.to(torch.float32) / 127.5 - 1
    else:
        wide = torch.log1p(chip / chip.mean((2, 3), keepdim=True).clamp(min=1e-12)) - 1
    if not standardise:
        return wide
    centred = wide - wide.mean((2, 3), keepdim=True)
    return centred / centred.square().mean((2, 3), keepdim=True).sqrt().clamp(min=1e-3)


def projector(dim: int, out: int) -> nn.Sequential:
    """The head that contrast is taken behind (SimCLR, MoCo v2)."""
    return nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, out))
