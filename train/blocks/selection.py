"""Selection of local descriptors and the image-to-class score as functions of tensors: `runtime.ops.descriptors` with gradients.

The choice of a descriptor is not differentiable; gradients flow through the chosen ones and through the weights of queries. Rows are
unit rows in float32 (`unit`), whatever the precision of the run: cosines near 1 differ by less than half precision can tell.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

CHUNK = 1 << 24  # similarities that are held at a time
RATIO_FLOOR = 1e-6  # below the ratio


class Kept(NamedTuple):
    """The descriptors of each class that were kept: (c, n, d), and which of them count: (c, n); all where `counts` is None."""

    rows: Tensor
    counts: Tensor | None


def unit(rows: Tensor) -> Tensor:
    """Rows of norm 1 in float32; zero rows stay zero."""
    return F.normalize(rows.float(), dim=-1, eps=1e-12)


def contrast(support: Tensor, images: int, *, ratio: bool = False, other_images: bool = False) -> Tensor:
    r"""How much nearer each support descriptor is to its own class than to the others.

    $\frac{1}{m-1} \sum_{j \in c, j \ne i} u_i u_j - \frac{1}{(C-1)m} \sum_{j \notin c} u_i u_j$, or the first over the second and a
    millionth; a mean of nothing is 0. Zero rows score minus infinity.

    Args:
        support: (c, m, d), unit rows, image by image.
        images: of each class.
        other_images: the first mean leaves out the descriptor's whole image.

    Returns:
        (c, m)
    """
    c, m, d = support.shape
    sums = support.sum(1)  # (c, d)
    inter = torch.einsum("cmd,cd->cm", support, (sums.sum(0) - sums) / max((c - 1) * m, 1))
    if other_images:
        by_image = support.reshape(c, images, m // images, d)
        others = m - m // images
        own = (sums[:, None] - by_image.sum(2)) / max(others, 1)  # (c, images, d)
        intra = torch.einsum("cild,cid->cil", by_image, own).reshape(c, m)
    else:
        itself = support.square().sum(2)  # (c, m): 1, of zero rows 0
        intra = (torch.einsum("cmd,cd->cm", support, sums) - itself) / max(m - 1, 1)
    score = intra / (inter + RATIO_FLOOR) if ratio else intra - inter
    return score.masked_fill(support.abs().amax(2) == 0, -torch.inf)


def best(score: Tensor, count: int) -> Tensor:
    """Places of the `count` largest of each row, ascending; of equals the earlier: (n, m) -> (n, count).

    An exported graph has TopK instead, which ONNX defines to take the earlier of equals; only their order differs.
    """
    if torch.compiler.is_exporting():
        return score.topk(count, dim=1).indices
    return score.argsort(dim=1, descending=True, stable=True)[:, :count].sort(1).values


def keep(support: Tensor, score: Tensor, count: int) -> Kept:
    """The `count` best rows of each class."""
    return Kept(support.gather(1, best(score, count)[:, :, None].expand(-1, -1, support.shape[2])), None)


def keep_above(support: Tensor, score: Tensor, threshold: float | None) -> Kept:
    """The rows of each class that reach the threshold (None: the class's mean over rows that are not zero), and its best one.

    All rows stay in place; `counts` tells which are kept.
    """
    finite = score > -torch.inf
    if threshold is None:
        total = score.masked_fill(~finite, 0.0).sum(1, keepdim=True)
        bound = total / finite.sum(1, keepdim=True).clamp(min=1)  # (c, 1)
    else:
        bound = torch.full_like(score[:, :1], threshold)
    first = F.one_hot(score.argmax(1), score.shape[1]).bool()
    return Kept(support, (finite & (score >= bound)) | first)


def margin(query: Tensor, kept: Kept) -> Tensor:
    r"""How much nearer each query descriptor is to its best class than to the others, by mean cosines: (n, l, d) -> (n, l).

    $\max_c r_{i,c}$ less the mean of the others, r being the mean cosine to the kept rows of class c; with one class r itself. Zero
    rows have minus infinity.
    """
    if kept.counts is None:
        means = kept.rows.mean(1)  # (c, d)
    else:
        weight = kept.counts.to(kept.rows.dtype)
        means = (kept.rows * weight[:, :, None]).sum(1) / weight.sum(1, keepdim=True)  # (c, d)
    relevance = query @ means.T  # (n, l, c)
    top = relevance.amax(2)
    others = kept.rows.shape[0] - 1
    found = top - (relevance.sum(2) - top) / others if others else top
    return found.masked_fill(query.abs().amax(2) == 0, -torch.inf)


def image_to_class(query: Tensor, kept: Kept, weight: Tensor | None, k: int, *, chunk: int | None = CHUNK) -> Tensor:
    r"""Weighted sums of each query descriptor's k largest cosines in each class (DN4's measure): (n, c).

    $\sum_i a_i \sum_{\text{top } k} q_i s_{c,j}$, j over the kept rows of class c. Similarities are made in chunks and dropped: what
    stays for the backward pass are the places of the largest.

    Args:
        query: (n, l, d), unit rows.
        weight: (n, l), a; None is 1 for each.
        k: where a class keeps fewer, all of them.
        chunk: similarities in a chunk; None makes all at once, as a graph that is exported must.
    """
    n, locations, _ = query.shape
    c, rows, _ = kept.rows.shape
    flat, columns = query.flatten(0, 1), kept.rows.flatten(0, 1).T  # (n l, d), (d, c s)
    pieces = (flat,) if chunk is None else torch.split(flat, max(chunk // (c * rows), 1))
    near = torch.cat([_nearest(piece, columns, kept, k) for piece in pieces]).reshape(n, locations, c)
    return near.sum(1) if weight is None else (near * weight[:, :, None]).sum(1)


def _nearest(query: Tensor, columns: Tensor, kept: Kept, k: int) -> Tensor:
    """(rows, d), (d, c s) -> (rows, c)"""
    c, s, _ = kept.rows.shape
    similarity = (query @ columns).reshape(-1, c, s)  # (rows, c, s)
    if kept.counts is None:
        return similarity.topk(min(k, s), dim=2).values.sum(2)
    near = similarity.masked_fill(~kept.counts, -2.0).topk(min(k, s), dim=2).values
    return near.masked_fill(near < -1.5, 0.0).sum(2)


def density(kept: Kept, k: int) -> Tensor:
    r"""How near a class's kept rows are to one another: the mean over them of the sum of the k largest cosines to the others, (c,).

    A class that covers its own part of the space densely takes queries from the others; this is by how much.
    """
    _, s, _ = kept.rows.shape
    similarity = kept.rows @ kept.rows.transpose(1, 2)  # (c, s, s)
    absent = torch.eye(s, dtype=torch.bool, device=similarity.device)[None]
    if kept.counts is not None:
        absent = absent | ~kept.counts[:, None, :]
    near = similarity.masked_fill(absent, -2.0).topk(min(k, s), dim=2).values
    sums = near.masked_fill(near < -1.5, 0.0).sum(2)  # (c, s)
    if kept.counts is None:
        return sums.mean(1)
    weight = kept.counts.to(sums.dtype)
    return (sums * weight).sum(1) / weight.sum(1)
