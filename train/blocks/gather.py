"""Rows of all processes, with gradients: a loss on gathered rows is the loss of the global batch."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


def world_size() -> int:
    """The number of training processes; 1 outside torchrun."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This process's place among them; the first, 0, writes files and prints."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows)
        ctx.rows = rows.shape[0]
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous()
        dist.all_reduce(total)
        start = dist.get_rank() * ctx.rows
        return total[start : start + ctx.rows]


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous()
        dist.all_reduce(total)
        return total


def gather(rows: Tensor) -> Tensor:
    """Concatenate every process's rows in rank order.

    The gradient of each row is summed over the processes that used it. Where each process computes the same global loss, that
    is world_size times the gradient, which the mean over processes in data-parallel training turns into the exact one.

    Args:
        rows: (n, ...), the same shape in every process.

    Returns:
        (world_size * n, ...)
    """
    return rows if world_size() == 1 else _Gather.apply(rows.contiguous())  # type: ignore[no-any-return,no-untyped-call]


class BatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation whose statistics are those of the global batch on any backend (torch's synchronised one needs CUDA)."""

    def forward(self, maps: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c, h, w)"""
        if not self.training or world_size() == 1:
            return super().forward(maps)
        count = maps.numel() // maps.shape[1] * world_size()
        wide = maps.float()
        mean = _sum(wide.sum((0, 2, 3))) / count  # (c,)
        centred = wide - mean[:, None, None]
        variance = _sum(centred.square().sum((0, 2, 3))) / count  # (c,)
        with torch.no_grad():
            momentum = self.momentum if self.momentum is not None else 0.1
            assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(variance * (count / max(count - 1, 1)), momentum)
            self.num_batches_tracked += 1
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(maps.dtype)


def _sum(value: Tensor) -> Tensor:
    return _Sum.apply(value)  # type: ignore[no-any-return,no-untyped-call]
