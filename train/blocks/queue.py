"""The keys of the batches before, as negatives: MoCo's queue."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .gather import gather


class Queue(nn.Module):
    """Unit rows, of which the oldest are overwritten (He et al. 2020, sec. 3.2); the queue is part of the state and is saved.

    It starts with random unit rows, so that no row is ever zero, which every query would be equally far from.

    Args:
        rows: K.
        dim: d.
        generator: of the first rows; torch's own where there is none.
    """

    rows: Tensor
    place: Tensor

    def __init__(self, rows: int, dim: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        if rows < 1:
            raise ValueError(f"a queue of {rows} rows was asked for; expected 1 or more")
        self.register_buffer("rows", F.normalize(torch.randn(rows, dim, generator=generator), dim=1))
        self.register_buffer("place", torch.zeros((), dtype=torch.int64))

    def forward(self) -> Tensor:
        """The rows as they are now, (K, d): a copy, since a later backward pass reads them and `enqueue` overwrites."""
        return self.rows.clone()

    @torch.no_grad()
    def enqueue(self, keys: Tensor) -> None:
        """Overwrite the oldest rows with the keys of all processes; of more keys than rows the last ones stay.

        Args:
            keys: (n, d), unit rows, the same number in every process; any n.
        """
        keys = gather(keys.detach().to(self.rows.dtype))
        size, count = len(self.rows), len(keys)
        at = (self.place + torch.arange(count, device=keys.device)) % size
        self.rows[at[-size:]] = keys[-size:]
        self.place.add_(count).remainder_(size)
