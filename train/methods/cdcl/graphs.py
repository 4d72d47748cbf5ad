"""The two graphs that are deployed: the trained modules with their normalisation written without transposes."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from .network import ChannelNorm, Estimator, Generator, unfold


class EstimatorGraph(nn.Module):
    """image -> code (n, d), degradation (n, d / 16, h, w), blur (n,) in pixels of the high resolution.

    An estimator that standardises takes the whole image's mean and deviation too, so that tiles of one image agree.

    Args:
        vector: the degradation is the code everywhere, as where a network was trained with code=vector.
    """

    weight: Tensor
    offset: Tensor

    def __init__(self, estimator: Estimator, weight: Tensor, offset: Tensor, *, vector: bool) -> None:
        super().__init__()
        self.estimator, self.vector = copy.deepcopy(estimator), vector
        self.register_buffer("weight", weight.clone())
        self.register_buffer("offset", offset.clone())
        self.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]

    def forward(
        self, image: Tensor, mean: Tensor | None = None, deviation: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(n, 3, h, w) in 0..1, (n,), (n,)"""
        cells = self.estimator(image, mean, None if deviation is None else deviation.clamp(min=0))  # (n, d, h / 4, w / 4)
        code = cells.mean((2, 3))
        if self.vector:
            cells = code[:, :, None, None].expand_as(cells)
        return code, unfold(cells, image.shape[2], image.shape[3]), code @ self.weight + self.offset


class GeneratorGraph(nn.Module):
    """image, code, degradation -> image at `scale` times the size."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = copy.deepcopy(generator)
        for module in self.generator.modules():
            if isinstance(module, ChannelNorm):
                module.plain = True
        self.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]

    def forward(self, image: Tensor, code: Tensor, degradation: Tensor) -> tuple[Tensor]:
        """(n, 3, h, w) in 0..1, (n, d), (n, d / 16, h, w)"""
        return (self.generator(image, code, degradation),)
