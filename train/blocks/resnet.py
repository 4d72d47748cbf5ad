"""Convolutional encoders that give the maps of four stages: torchvision's ResNet-18, 34 and 50, and a four-layer network."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from .gather import BatchNorm2d

Stem = Literal["7x7", "3x3"]
WIDTHS = (64, 128, 256, 512)  # of the stages
DEPTHS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3)}


class BasicBlock(nn.Module):
    """Two convolutions of 3x3 (He et al. 2016, fig. 5 left)."""

    expansion = 1

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1 = BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = BatchNorm2d(width)
        self.downsample = _shortcut(channels, width, stride)

    def forward(self, maps: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, width, h/stride, w/stride)"""
        branch = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(maps)))))
        return F.relu(branch + (maps if self.downsample is None else self.downsample(maps)))


class Bottleneck(nn.Module):
    """1x1, 3x3 with the stride, 1x1 (He et al. 2016, fig. 5 right; the stride's place is torchvision's)."""

    expansion = 4

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, self.expansion * width, 1, bias=False)
        self.bn3 = BatchNorm2d(self.expansion * width)
        self.downsample = _shortcut(channels, self.expansion * width, stride)

    def forward(self, maps: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, 4 width, h/stride, w/stride)"""
        branch = F.relu(self.bn1(self.conv1(maps)))
        branch = F.relu(self.bn2(self.conv2(branch)))
        branch = self.bn3(self.conv3(branch))
        return F.relu(branch + (maps if self.downsample is None else self.downsample(maps)))


class ResNet(nn.Module):
    """ResNet without its classifier; parameters are named as torchvision's.

    Args:
        name: a key of DEPTHS.
        stem: "7x7" with stride 2 and a 3x3 maximum, stride 4 in all; "3x3" with neither, for small images.
        in_channels: of the images.
    """

    def __init__(self, name: str, *, stem: Stem = "7x7", in_channels: int = 3) -> None:
        super().__init__()
        block: type[BasicBlock | Bottleneck] = Bottleneck if name == "resnet50" else BasicBlock
        self.stem = stem
        size, stride = (7, 2) if stem == "7x7" else (3, 1)
        self.conv1 = nn.Conv2d(in_channels, WIDTHS[0], size, stride, size // 2, bias=False)
        self.bn1 = BatchNorm2d(WIDTHS[0])
        self.dims = tuple(block.expansion * width for width in WIDTHS)  # channels of the stages' maps
        self.dim = self.dims[-1]
        before = (WIDTHS[0], *self.dims[:-1])
        stages = [
            _stage(block, channels, width, depth, 1 if width == WIDTHS[0] else 2)
            for channels, width, depth in zip(before, WIDTHS, DEPTHS[name], strict=True)
        ]
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        _initialise(self)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(n, c, h, w) -> maps of the four stages, each half as high and wide as the one before"""
        maps = F.relu(self.bn1(self.conv1(image)))
        if self.stem == "7x7":
            maps = F.max_pool2d(maps, 3, 2, 1)
        first = self.layer1(maps)
        second = self.layer2(first)
        third = self.layer3(second)
        return first, second, third, self.layer4(third)


class SmallNet(nn.Module):
    """Four times convolution of 3x3 with stride 2, normalisation, ReLU: 98 thousand weights, for a CPU.

    Args:
        widths: channels of the four stages.
        in_channels: of the images.
    """

    def __init__(self, widths: tuple[int, ...] = (16, 32, 64, 128), *, in_channels: int = 3) -> None:
        super().__init__()
        if len(widths) != 4:
            raise ValueError(f"widths={widths} was given; expected the channels of four stages")
        self.dims, self.dim = tuple(widths), widths[-1]
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            nn.Sequential(nn.Conv2d(before, width, 3, 2, 1, bias=False), BatchNorm2d(width), nn.ReLU())
            for before, width in zip((in_channels, *widths), widths, strict=False)
        )
        _initialise(self)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(n, c, h, w) -> maps of the four stages"""
        first = self.layer1(image)
        second = self.layer2(first)
        third = self.layer3(second)
        return first, second, third, self.layer4(third)


def _stage(block: type[BasicBlock | Bottleneck], channels: int, width: int, depth: int, stride: int) -> nn.Sequential:
    rest = [block(block.expansion * width, width, 1) for _ in range(depth - 1)]
    return nn.Sequential(block(channels, width, stride), *rest)


def _shortcut(channels: int, width: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and channels == width:
        return None
    return nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), BatchNorm2d(width))


def _initialise(net: nn.Module) -> None:
    """He et al. 2015, by the number of outputs, as torchvision does."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
