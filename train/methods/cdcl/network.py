"""CdCL's two networks: the estimator, which turns an image into a degradation map, and the generator that it steers."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.blocks.gather import BatchNorm2d

MEAN = (0.4680, 0.4484, 0.4029)  # RGB of DF2K
FLAT = 0.02  # added to an image's deviation: flatter ones are not raised to noise
CELL = 4  # pixels a side that one cell of the degradation map stands for


class Estimator(nn.Sequential):
    """Six convolutions, of which the third and the fifth halve the size: image (n, 3, h, w) -> map (n, 4 width, h / 4, w / 4).

    Sizes are rounded up. The mean of a map over its cells is the image's degradation code.

    Args:
        standardise: an image is brought to mean 0 and deviation 1 first, so that neither its light nor its contrast is in the code; the
            paper's is not.
    """

    def __init__(self, width: int, *, standardise: bool = False) -> None:
        layers: list[nn.Module] = []
        shapes = ((3, 1, 1), (1, 1, 1), (1, 2, 2), (2, 2, 1), (2, 4, 2), (4, 4, 1))
        for number, (before, after, stride) in enumerate(shapes):
            inner = before if number == 0 else before * width
            layers += [nn.Conv2d(inner, after * width, 3, stride, 1), BatchNorm2d(after * width), nn.LeakyReLU(0.1)]
        super().__init__(*layers)
        self.standardise = standardise

    def forward(self, image: Tensor, mean: Tensor | None = None, deviation: Tensor | None = None) -> Tensor:
        """(n, 3, h, w) -> (n, 4 width, h / 4, w / 4); mean and deviation (n,) are those of the images that these are parts of."""
        if self.standardise:
            if mean is None or deviation is None:
                mean, deviation = moments(image)
            image = (image - mean[:, None, None, None]) / (deviation[:, None, None, None] + FLAT)
        return super().forward(image)  # type: ignore[no-any-return,no-untyped-call]


def moments(image: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation over all channels and pixels: (n, 3, h, w) -> (n,), (n,)"""
    mean = image.mean((1, 2, 3))
    return mean, (image - mean[:, None, None, None]).square().mean((1, 2, 3)).sqrt()


def unfold(degradation: Tensor, height: int, width: int) -> Tensor:
    """A map's cells as pixels: (n, 16 c, h / 4, w / 4) -> (n, c, h, w), cut to the image's size."""
    return F.pixel_shuffle(degradation, CELL)[:, :, :height, :width]


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of a map; `plain` writes it without moving them, which spares graphs the transposes."""

    plain = False

    def forward(self, maps: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c, h, w)"""
        if not self.plain:
            return super().forward(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        centred = maps - maps.mean(1, keepdim=True)
        scale = torch.rsqrt(centred.square().mean(1, keepdim=True) + self.eps)
        return centred * scale * self.weight[:, None, None] + self.bias[:, None, None]


class Mixing(nn.Module):
    """ConvNeXt's block: F + gamma PW2(GELU(PW1(LN(DW7(F))))), the pointwise layers as 1x1 convolutions."""

    def __init__(self, width: int, layer_scale: float) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = ChannelNorm(width, eps=1e-6)
        self.wide = nn.Conv2d(width, 2 * width, 1)  # PW1
        self.narrow = nn.Conv2d(2 * width, width, 1)  # PW2
        self.gamma = nn.Parameter(torch.full((width,), layer_scale))

    def forward(self, maps: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c, h, w), without the residual"""
        mixed = self.narrow(F.gelu(self.wide(self.norm(self.depthwise(maps)))))
        return self.gamma[:, None, None] * mixed


class Adaptation(nn.Module):
    """DaDAU: features are gated by the code channel by channel and by the map pixel by pixel, then mixed."""

    def __init__(self, width: int, spatial: int, layer_scale: float) -> None:
        super().__init__()
        self.gate = nn.Sequential(nn.Linear(width, width // 4, bias=False), nn.GELU(), nn.Linear(width // 4, width, bias=False))
        self.pointwise = nn.Conv2d(width, width, 1)
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.place = nn.Sequential(nn.Conv2d(spatial, spatial, 3, padding=1), nn.GELU(), nn.Conv2d(spatial, 1, 3, padding=1))
        self.mixing = Mixing(width, layer_scale)

    def forward(self, maps: Tensor, channel: Tensor, spatial: Tensor) -> Tensor:
        """(n, c, h, w), (n, c), (n, s, h, w) -> (n, c, h, w)"""
        attention = torch.sigmoid(self.gate(maps.mean((2, 3))) + self.gate(channel))[:, :, None, None]
        by_channel = self.depthwise(self.pointwise(attention * maps))
        by_place = torch.sigmoid(self.place(spatial)) * maps
        return maps + self.mixing(F.gelu(by_channel + by_place))  # type: ignore[no-any-return]


class Group(nn.Module):
    """DAG: adaptation units, a plain mixing block, a convolution, and the residual around them."""

    def __init__(self, width: int, blocks: int, spatial: int, layer_scale: float) -> None:
        super().__init__()
        self.units = nn.ModuleList(Adaptation(width, spatial, layer_scale) for _ in range(blocks))
        self.plain = Mixing(width, layer_scale)
        self.last = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, maps: Tensor, channel: Tensor, spatial: Tensor) -> Tensor:
        """(n, c, h, w), (n, c), (n, s, h, w) -> (n, c, h, w)"""
        inner = maps
        for unit in self.units:
            inner = unit(inner, channel, spatial)
        return maps + self.last(inner + self.plain(inner))  # type: ignore[no-any-return]


class Generator(nn.Module):
    """G: low-resolution image, degradation code and map -> image at `scale` times the size.

    Args:
        code: of the degradation: its number of channels; 0 puts learned constants in its place (the network without a code).
        upsampler: "steps" doubles (or triples) features step by step, as the paper's; "direct" makes all pixels from one convolution.
        skip: "nearest" adds the repeated pixels of the image to the result; the paper's has "none".
    """

    mean: Tensor

    def __init__(
        self,
        scale: int,
        width: int,
        groups: int,
        blocks: int,
        code: int,
        *,
        upsampler: Literal["steps", "direct"] = "steps",
        skip: Literal["none", "nearest"] = "none",
        layer_scale: float = 1e-6,
    ) -> None:
        super().__init__()
        self.scale, self.skip = scale, skip
        spatial = code // CELL**2 or 1
        self.regulator = Regulator(code, width) if code else Constant(width)
        self.head = nn.Conv2d(3, width, 3, padding=1)
        self.groups = nn.ModuleList(Group(width, blocks, spatial, layer_scale) for _ in range(groups))
        self.body = nn.Conv2d(width, width, 3, padding=1)
        self.tail = _steps(scale, width) if upsampler == "steps" else _direct(scale, width)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)

    def forward(self, image: Tensor, code: Tensor, degradation: Tensor) -> Tensor:
        """(n, 3, h, w) in 0..1, (n, d), (n, d / 16, h, w) -> (n, 3, s h, s w), about 0..1"""
        channel, spatial = self.regulator(image, code, degradation)
        centred = image - self.mean
        maps = head = self.head(centred)  # (n, c, h, w)
        for group in self.groups:
            maps = group(maps, channel, spatial)
        high = self.tail(self.body(maps) + head)  # (n, 3, s h, s w)
        if self.skip == "nearest":
            high = high + F.interpolate(centred, scale_factor=self.scale, mode="nearest")
        return high + self.mean  # type: ignore[no-any-return]


class Regulator(nn.Module):
    """The code as a bias of every channel gate, and the map as features of every place gate."""

    def __init__(self, code: int, width: int) -> None:
        super().__init__()
        spatial = code // CELL**2
        self.channel = nn.Linear(code, width, bias=False)
        self.spatial = nn.Sequential(
            nn.Conv2d(spatial, width, 3, padding=1), nn.GELU(), nn.Conv2d(width, spatial, 3, padding=1), nn.GELU()
        )

    def forward(self, _image: Tensor, code: Tensor, degradation: Tensor) -> tuple[Tensor, Tensor]:
        """Any, (n, d), (n, d / 16, h, w) -> (n, c), (n, d / 16, h, w)"""
        return F.gelu(self.channel(code)), self.spatial(degradation)


class Constant(nn.Module):
    """Learned numbers that say nothing about the image, where the degradation would stand."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.channel = nn.Parameter(torch.zeros(width))
        self.spatial = nn.Parameter(torch.zeros(1))

    def forward(self, image: Tensor, _code: Tensor, _degradation: Tensor) -> tuple[Tensor, Tensor]:
        n, _, h, w = image.shape
        return self.channel.expand(n, -1), self.spatial[:, None, None].expand(n, -1, h, w)


def _steps(scale: int, width: int) -> nn.Sequential:
    """x2, x4, ... by doubling; x3 at once."""
    layers: list[nn.Module] = []
    for factor in [3] if scale == 3 else [2] * round(math.log2(scale)):
        layers += [nn.Conv2d(width, width * factor**2, 3, padding=1), nn.PixelShuffle(factor)]
    return nn.Sequential(*layers, nn.Conv2d(width, 3, 3, padding=1))


def _direct(scale: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(width, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))


def fast(images: Tensor) -> Tensor:
    """Channels last, which convolutions on a CPU run several times faster on."""
    return images.contiguous(memory_format=torch.channels_last)
