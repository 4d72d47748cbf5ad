"""Descriptor selection and the image-to-class score in PyTorch: as one would write it, and at its best."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

NEAREST, FRACTION = 3, 0.5


def half(count: int) -> int:
    """What FRACTION keeps of so many."""
    return -(-count // 2)


def contrastive_gram(unit: Tensor) -> Tensor:
    """Scores of unit (c, m, d), from the matrix of all similarities."""
    c, m, d = unit.shape
    flat = unit.reshape(c * m, d)
    sums = (flat @ flat.T).view(c, m, c, m).sum(3)  # (c, m, c)
    own = sums.diagonal(dim1=0, dim2=2).T  # (c, m)
    return (own - 1) / (m - 1) - (sums.sum(2) - own) / ((c - 1) * m)


def contrastive_linear(unit: Tensor) -> Tensor:
    """The same by one product a descriptor."""
    c, m, _ = unit.shape
    sums = unit.sum(1)  # (c, d)
    weights = sums / (m - 1) - (sums.sum(0) - sums) / ((c - 1) * m)
    return (unit @ weights[:, :, None]).squeeze(2) - 1 / (m - 1)  # (c, m)


def relevance_gram(query: Tensor, kept: Tensor) -> Tensor:
    """Mean cosines of unit query (n, l, d) to kept (c, s, d): (n, l, c)."""
    return (query @ kept.flatten(0, 1).T).view(*query.shape[:2], *kept.shape[:2]).mean(3)


def relevance_linear(query: Tensor, kept: Tensor) -> Tensor:
    return query @ kept.mean(1).T


def select(support: Tensor, query: Tensor, linear: bool) -> tuple[Tensor, Tensor]:
    """Kept unit descriptors of support (c, s, d), and the indices of kept queries (n, r)."""
    unit = functional.normalize(support.flatten(1, 2), dim=2)  # (c, m, d)
    score = (contrastive_linear if linear else contrastive_gram)(unit)
    index = score.topk(half(unit.shape[1])).indices  # (c, s)
    kept = unit.gather(1, index[:, :, None].expand(-1, -1, unit.shape[2]))  # (c, s, d)
    relevance = (relevance_linear if linear else relevance_gram)(functional.normalize(query, dim=2), kept)  # (n, l, c)
    best = relevance.amax(2)
    margin = best - (relevance.sum(2) - best) / (relevance.shape[2] - 1)  # (n, l)
    return kept, margin.topk(half(query.shape[1])).indices


def nearest(query: Tensor, kept: Tensor, chunk: int | None) -> Tensor:
    """Image-to-class scores (n, c) of query (n, l, d) and unit kept (c, s, d), the similarities whole or `chunk` at a time."""
    (n, locations, _), (c, s, _) = query.shape, kept.shape
    rows = functional.normalize(query, dim=2).flatten(0, 1)  # (n l, d)
    columns = kept.flatten(0, 1).T
    if chunk is None:
        return (rows @ columns).view(n, locations, c, s).topk(NEAREST).values.sum((1, 3))
    size = max(chunk // (c * s), 1)
    found = torch.empty(len(rows), c)
    for start in range(0, len(rows), size):
        part = (rows[start : start + size] @ columns).view(-1, c, s)
        torch.sum(part.topk(NEAREST, sorted=False).values, 2, out=found[start : start + size])
    return found.view(n, locations, c).sum(1)


def line(support: Tensor, query: Tensor, chunk: int | None) -> Tensor:
    """Selection and then the score of what was kept: (n, c)."""
    kept, rows = select(support, query, linear=chunk is not None)
    return nearest(query.gather(1, rows[:, :, None].expand(-1, -1, query.shape[2])), kept, chunk)
