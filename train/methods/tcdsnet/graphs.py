"""The two graphs that are deployed: descriptors of images, and the whole answer from descriptors."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from train.blocks.selection import unit

from .head import Threshold, classify
from .network import Conv4, Descriptors, ResNet12
from .rules import Rules


class DescriptorGraph(nn.Module):
    """uint8 image -> unit descriptors (n, l, d); with learned thresholds also those, (n, l)."""

    def __init__(self, backbone: Conv4 | ResNet12, threshold: Threshold | None) -> None:
        super().__init__()
        self.descriptors = Descriptors(copy.deepcopy(backbone))
        self.threshold = copy.deepcopy(threshold)
        self.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """(n, 3, h, w)"""
        found = self.descriptors(image)
        return (found,) if self.threshold is None else (found, self.threshold(found))


class MatcherGraph(nn.Module):
    """Descriptors of the support and of queries -> scores, all rules inside."""

    def __init__(self, how: Rules, images: int) -> None:
        super().__init__()
        self.how, self.images = how, images

    def forward(self, support: Tensor, query: Tensor, threshold: Tensor | None = None) -> tuple[Tensor]:
        """(c, m, d), (n, l, d), (n, l) -> (n, c)"""
        return (classify(unit(support), unit(query), self.how, self.images, threshold=threshold, whole=True),)
