"""A copy of modules that follows them slowly: the key encoder of MoCo and BYOL."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class Momentum(nn.Module):
    r"""$\theta' \leftarrow m \theta' + (1 - m) \theta$ over parameters; normalisation statistics are the copy's own.

    The copy is part of the state, so that a resumed run is the same run; it never has gradients.

    Args:
        source: the modules to follow; it is not registered here, so that its weights are saved once.
        momentum: m, 0 to 1.
    """

    def __init__(self, source: nn.Module, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.copy = copy.deepcopy(source).requires_grad_(False)

    @torch.no_grad()
    def forward(self, *inputs: Tensor) -> Tensor:
        """What the copy answers."""
        return self.copy(*inputs)  # type: ignore[no-any-return]

    @torch.no_grad()
    def follow(self, source: nn.Module) -> None:
        """Take one step towards the source."""
        for own, other in zip(self.copy.parameters(), source.parameters(), strict=True):
            own.lerp_(other.to(own.dtype), 1 - self.momentum)
