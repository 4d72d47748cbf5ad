"""From descriptors to scores with gradients: rules.answer as functions of tensors."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.blocks.selection import Kept, best, contrast, density, image_to_class, keep, keep_above, margin, unit

from .rules import Rules

LEAST = -2.0  # below every margin


class Threshold(nn.Module):
    """A query descriptor's own threshold, from `low` to `low + interval`: ATL-Net's two layers."""

    def __init__(self, dim: int, low: float, interval: float) -> None:
        super().__init__()
        self.low, self.interval = low, interval
        self.layers = nn.Sequential(
            nn.Linear(dim, max(dim // 16, 1)), nn.LeakyReLU(0.2), nn.Linear(max(dim // 16, 1), 1), nn.Sigmoid()
        )

    def forward(self, query: Tensor) -> Tensor:
        """(n, l, d) -> (n, l)"""
        return self.low + self.interval * self.layers(query).squeeze(2)


def classify(
    support: Tensor,
    query: Tensor,
    how: Rules,
    images: int,
    *,
    threshold: Tensor | None = None,
    sharpness: float | None = None,
    whole: bool = False,
) -> Tensor:
    """Scores of queries by class.

    Args:
        support: (c, m, d), unit rows, image by image.
        query: (n, l, d), unit rows.
        images: of each class.
        threshold: (n, l), of query="adaptive".
        sharpness: of the mask of queries in training; None makes it hard, as it is when all is trained.
        whole: similarities are made at once, as a graph that is exported must.

    Returns:
        (n, c)
    """
    if how.prototypes:
        return F.normalize(query.mean(1), dim=1) @ F.normalize(support.mean(1), dim=1).T
    if how.center:
        mean = support.mean((0, 1))
        support, query = unit(support - mean), unit(query - mean)
    kept = _kept(support, how, images)
    weight: Tensor | None = None
    if how.query != "none" and not how.gridded(images):
        gap = margin(query, kept)  # (n, l)
        if how.query == "fraction" and sharpness is None:
            place = best(gap, how_many(how.query_value, gap.shape[1]))  # (n, r)
            query = query.gather(1, place[:, :, None].expand(-1, -1, query.shape[2]))  # (n, r, d)
        else:
            weight = _mask(gap, how, threshold, sharpness)
    chunk = {"chunk": None} if whole else {}
    scores = image_to_class(query, kept, weight, how.neighbours, **chunk)
    if not how.offset:
        return scores
    counts = query.shape[1] if weight is None else weight.sum(1, keepdim=True)  # (n, 1)
    return scores - counts * density(kept, how.neighbours)


def how_many(fraction: float, locations: int) -> int:
    """Query descriptors of an image that a fraction keeps."""
    from runtime.ops.descriptors import share

    return share(fraction, locations)


def _kept(support: Tensor, how: Rules, images: int) -> Kept:
    if how.selection == "none":
        return Kept(support, None)
    if how.gridded(images):
        c, m, d = support.shape
        by_image = support.reshape(c, images, m // images, d)
        return Kept(by_image[:, :, list(how.places)].reshape(c, images * len(how.places), d), None)
    with torch.no_grad():
        if how.selection == "random":
            score = torch.rand(support.shape[:2], device=support.device)
        else:
            score = contrast(support, images, ratio=how.ratio, other_images=how.other_images and images > 1)
    if how.threshold is None:
        return keep(support, score, how.kept(support.shape[1]))
    return keep_above(support, score, None if how.threshold == "mean" else float(how.threshold))


def _mask(gap: Tensor, how: Rules, threshold: Tensor | None, sharpness: float | None) -> Tensor:
    """Weights of query descriptors from their margins, (n, l)."""
    if how.query == "fraction":
        assert sharpness is not None
        least = gap.topk(how_many(how.query_value, gap.shape[1]), dim=1).values[:, -1:].detach()
        return torch.sigmoid(sharpness * (gap - least.clamp(min=LEAST)))
    assert threshold is not None
    if sharpness is not None:
        return torch.sigmoid(sharpness * (gap - threshold))
    first = F.one_hot(gap.argmax(1), gap.shape[1]).bool()
    return ((gap > threshold) | first).to(gap.dtype)
