"""CLIP's ResNet (Radford et al. 2021, sec. 2.4): three-layer stem, blur-pooled strides, attention pooling."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .clip_spec import VisionSpec
from .gather import BatchNorm2d

EXPANSION = 4  # of a bottleneck's output


class Bottleneck(nn.Module):
    """Three convolutions; a stride is an average pooling before the last and before the shortcut's."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * EXPANSION, 1, bias=False)
        self.bn3 = BatchNorm2d(width * EXPANSION)
        nn.init.zeros_(self.bn3.weight)
        self.avgpool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.downsample: nn.Sequential | None = None
        if stride > 1 or channels != width * EXPANSION:
            parts: list[tuple[str, nn.Module]] = [
                ("-1", nn.AvgPool2d(stride)),
                ("0", nn.Conv2d(channels, width * EXPANSION, 1, bias=False)),
                ("1", BatchNorm2d(width * EXPANSION)),
            ]
            self.downsample = nn.Sequential(OrderedDict(parts))

    def forward(self, maps: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, 4*width, h/stride, w/stride)"""
        branch = F.relu(self.bn1(self.conv1(maps)))
        branch = F.relu(self.bn2(self.conv2(branch)))
        branch = self.bn3(self.conv3(self.avgpool(branch)))
        return F.relu(branch + (maps if self.downsample is None else self.downsample(maps)))


class AttentionPool(nn.Module):
    """The mean of the positions asks all of them."""

    def __init__(self, side: int, width: int, heads: int, dim: int) -> None:
        super().__init__()
        self.heads = heads
        self.positional_embedding = nn.Parameter(torch.randn(side**2 + 1, width) * width**-0.5)
        self.k_proj = nn.Linear(width, width)
        self.q_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.c_proj = nn.Linear(width, dim)
        for layer in (self.k_proj, self.q_proj, self.v_proj, self.c_proj):
            nn.init.normal_(layer.weight, std=width**-0.5)

    def forward(self, maps: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, dim)"""
        cells = maps.flatten(2).transpose(1, 2)  # (n, t, c)
        cells = torch.cat([cells.mean(1, keepdim=True), cells], 1) + self.positional_embedding  # (n, 1+t, c)
        asked = (self.q_proj(cells[:, :1]), self.k_proj(cells), self.v_proj(cells))
        query, key, value = (
            torch.unflatten(part, 2, (self.heads, -1)).transpose(1, 2) for part in asked
        )  # (n, heads, t, c/heads)
        pooled = F.scaled_dot_product_attention(query, key, value)  # (n, heads, 1, c/heads)
        return self.c_proj(pooled.transpose(1, 2).flatten(1))  # type: ignore[no-any-return]


class ModifiedResNet(nn.Module):
    """CLIP's ResNet image tower; it takes no prompts."""

    prompts: None = None

    def __init__(self, spec: VisionSpec, prompt_length: int = 0, prompt_depth: int = 0) -> None:
        super().__init__()
        if spec.kind != "resnet" or not isinstance(spec.layers, tuple) or len(spec.layers) != 4:
            raise ValueError(
                f"kind {spec.kind!r} with layers={spec.layers} was given; a ModifiedResNet has kind 'resnet' and four stages"
            )
        if prompt_length and prompt_depth:
            raise ValueError("prompts were asked for in a ResNet image tower; they need the tokens of a vision transformer")
        if spec.image_size % 32:
            raise ValueError(f"image_size={spec.image_size} was given; a ModifiedResNet needs a multiple of 32")
        self.spec = spec
        width = spec.width
        self.conv1 = nn.Conv2d(3, width // 2, 3, 2, 1, bias=False)
        self.bn1 = BatchNorm2d(width // 2)
        self.conv2 = nn.Conv2d(width // 2, width // 2, 3, padding=1, bias=False)
        self.bn2 = BatchNorm2d(width // 2)
        self.conv3 = nn.Conv2d(width // 2, width, 3, padding=1, bias=False)
        self.bn3 = BatchNorm2d(width)
        self.avgpool = nn.AvgPool2d(2)
        channels = [width, *(width * 2**stage * EXPANSION for stage in range(4))]
        stages = [
            _stage(channels[index], width * 2**index, count, 1 if index == 0 else 2) for index, count in enumerate(spec.layers)
        ]
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.attnpool = AttentionPool(spec.image_size // 32, channels[-1], spec.heads, spec.embed_dim)

    def forward(self, image: Tensor, prompted: bool = True) -> Tensor:
        """Features, not of unit length: normalised pixels (n, 3, h, w) -> (n, embed_dim)"""
        maps = F.relu(self.bn1(self.conv1(image)))
        maps = F.relu(self.bn2(self.conv2(maps)))
        maps = self.avgpool(F.relu(self.bn3(self.conv3(maps))))  # (n, width, h/4, w/4)
        maps = self.layer4(self.layer3(self.layer2(self.layer1(maps))))  # (n, 32*width, h/32, w/32)
        return self.attnpool(maps)  # type: ignore[no-any-return]


def _stage(channels: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    rest = [Bottleneck(width * EXPANSION, width, 1) for _ in range(blocks - 1)]
    return nn.Sequential(Bottleneck(channels, width, stride), *rest)
