"""Selection of local descriptors and the image-to-class score: the dispatchers and the NumPy twins.

The paper is TCDSNet (Qiao, Xie, Huang, Li, arXiv 2408.05953). Its abstract and reviews give the two means of the support's score; where
they are silent: the score is their difference; the kept share is a fraction of each class, or what reaches a threshold; a query
descriptor counts by how much more relevant it is to its best class than to the others; the image-to-class score is DN4's.

A descriptor whose norm is under 1e-19 is a zero descriptor: its cosines are 0, and it is kept only where nothing else is left.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .backend import native, usable_threads

MOST_NEAREST = 64  # the largest k of image_to_class
_LARGEST, _LEAST = float(np.finfo(np.float32).max), float(np.finfo(np.float32).tiny)  # of a square norm


class Selection(NamedTuple):
    """What `select_descriptors` kept: (classes, n) in ascending order, -1 behind the last; (classes, images * locations)."""

    rows: NDArray[np.int32]
    score: NDArray[np.float32]


class QuerySelection(NamedTuple):
    """What `select_queries` kept, and by what margin: both (images, locations)."""

    mask: NDArray[np.bool_]
    margin: NDArray[np.float32]


def descriptor_precisions() -> tuple[str, ...]:
    """What `image_to_class` can multiply in here: "fp32" always, "bf16" where the native ops find AVX-512 BF16."""
    compiled = native()
    return ("fp32",) if compiled is None else tuple(compiled.descriptor_precisions())


def select_descriptors(
    support: NDArray[np.float32],
    fraction: float = 0.5,
    *,
    threshold: float | str | None = None,
    other_images: bool = False,
    threads: int | None = None,
) -> Selection:
    r"""Score each support descriptor by its contrast between its class and the others, and keep the best of each class.

    $s_i = \frac{1}{m-1} \sum_{j \in c, j \ne i} \cos(l_i, l_j) - \frac{1}{(C-1)m} \sum_{j \notin c} \cos(l_i, l_j)$, m descriptors
    a class. Cosines are bilinear, so this is one dot product for each descriptor: $u_i w_c - 1/(m-1)$ with $u_i = l_i/|l_i|$,
    $w_c = s_c/(m-1) - (t - s_c)/((C-1)m)$, $s_c$ the sum of class c's $u$ and t that of all. A mean of nothing (one class, one
    descriptor) is 0. A zero descriptor scores minus infinity.

    Args:
        support: (classes, images, locations, d).
        fraction: keep ceil(fraction * m) of each class, at least one; of equal scores the lower row.
        threshold: instead of a fraction, keep the scores of at least this; "mean" is the mean over the class's descriptors that
            are not zero. Every class keeps its best one.
        other_images: the first mean leaves out the whole image of the descriptor, for classes of several images.
        threads: None takes one for each core; the result does not depend on it.

    Raises:
        ValueError: type, shape or an option is wrong, or a value is NaN, infinite or of a norm above 1e19.
    """
    _check_support(support)
    rows = support.shape[1] * support.shape[2]
    count = 1 if threshold is not None else share(fraction, rows)
    crew = usable_threads(threads)
    compiled = native()
    if compiled is None:
        found = Selection(*select_descriptors_numpy(support, count, other_images))
    else:
        found = Selection(*compiled.select_descriptors(np.ascontiguousarray(support), count, other_images, crew, ""))
    return found if threshold is None else _reach(found, threshold)


def select_queries(
    query: NDArray[np.float32],
    support: NDArray[np.float32],
    index: NDArray[np.int32] | None = None,
    fraction: float = 0.5,
    *,
    threshold: float | None = None,
    threads: int | None = None,
) -> QuerySelection:
    r"""Keep the query descriptors that tell the classes apart.

    $r_{i,c}$ is the mean cosine to the kept support descriptors of class c; the margin is $\max_c r_{i,c}$ less the mean of the
    other classes' r, or r itself where there is one class. A zero descriptor has the margin minus infinity.

    Args:
        query: (images, locations, d).
        support: (classes, images, locations, d).
        index: rows of each class as `select_descriptors` gives them; None takes all.
        fraction: keep ceil(fraction * locations) of each image, at least one; of equal margins the lower location.
        threshold: instead of a fraction, keep the margins above this; an image may then keep none.
        threads: None takes one for each core; the result does not depend on it.

    Raises:
        ValueError: type, shape or an option is wrong, or a value is NaN, infinite or of a norm above 1e19.
    """
    _check_support(support)
    _check_query(query, support)
    kept = _check_index(index, support)
    if threshold is not None and math.isnan(threshold):
        raise ValueError("a threshold of nan was given; expected a number")
    count = 1 if threshold is not None else share(fraction, query.shape[1])
    crew = usable_threads(threads)
    compiled = native()
    if compiled is None:
        found = QuerySelection(*select_queries_numpy(query, support, kept, count))
    else:
        contiguous = np.ascontiguousarray(query), np.ascontiguousarray(support)
        found = QuerySelection(*compiled.select_queries(*contiguous, kept, count, crew, ""))
    return found if threshold is None else QuerySelection(found.margin > threshold, found.margin)


def image_to_class(
    query: NDArray[np.float32],
    support: NDArray[np.float32],
    index: NDArray[np.int32] | None = None,
    mask: NDArray[np.bool_] | None = None,
    k: int = 3,
    *,
    precision: str = "fp32",
    threads: int | None = None,
) -> NDArray[np.float32]:
    r"""Score each query image against each class by its descriptors' nearest neighbours there.

    $\sum_{i \in \text{mask}} \sum_{\text{top } k} \cos(q_i, l_{c,j})$, j over the kept descriptors of class c (DN4's measure). The
    native op holds the k largest of a few dozen queries at a time and never the matrix of similarities.

    Args:
        query: (images, locations, d); there may be no image.
        support: (classes, images, locations, d).
        index: rows of each class as `select_descriptors` gives them; None takes all. Others are not read.
        mask: (images, locations) as `select_queries` gives it; None takes all. Others are not read.
        k: neighbours of each, up to 64; where a class keeps fewer, all of them.
        precision: one of `descriptor_precisions()`. "bf16" rounds unit queries and support to 8 significant bits, multiplies them
            in pairs and sums in float32: each cosine is off by 0.004 at most.
        threads: None takes one for each core; the result does not depend on it.

    Returns:
        (images, classes): logits.

    Raises:
        ValueError: type, shape or an option is wrong, or a value is NaN, infinite or of a norm above 1e19.
    """
    _check_support(support)
    _check_query(query, support)
    kept = _check_index(index, support)
    if mask is not None and (mask.dtype != np.bool_ or mask.shape != query.shape[:2]):
        raise ValueError(f"a mask of shape {mask.shape} and type {mask.dtype} was given; expected bool {query.shape[:2]}")
    if not 1 <= k <= MOST_NEAREST:
        raise ValueError(f"k = {k} was given; expected 1 to {MOST_NEAREST}")
    if precision not in (known := descriptor_precisions()):
        raise ValueError(f"precision = {precision!r} was given; expected one of {', '.join(known)}, which is what runs here")
    crew = usable_threads(threads)
    compiled = native()
    if compiled is None:
        return image_to_class_numpy(query, support, kept, mask, k)
    flags = None if mask is None else np.ascontiguousarray(mask)
    return compiled.image_to_class(  # type: ignore[no-any-return]
        np.ascontiguousarray(query), np.ascontiguousarray(support), kept, flags, k, crew, "" if precision == "fp32" else precision
    )


def select_descriptors_numpy(
    support: NDArray[np.float32], count: int, other_images: bool = False
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The twin of the native `select_descriptors`, in double precision: `count` rows of each class, and all scores."""
    classes, images, locations, d = support.shape
    rows = images * locations
    unit = _unit(support.reshape(classes, rows, d), "support")
    sums = unit.sum(1)  # (classes, d)
    others, foreign = rows - (locations if other_images else 1), (classes - 1) * rows
    inter = (sums.sum(0) - sums) / foreign if foreign else np.zeros_like(sums)
    near = np.repeat(sums[:, None], images, axis=1)  # (classes, images, d)
    if other_images:
        near = near - unit.reshape(classes, images, locations, d).sum(2)
    intra = near / others if others else np.zeros_like(near)
    score = _project(unit.reshape(classes, images, locations, d), (intra - inter[:, None])[:, :, None])
    if others and not other_images:
        score -= 1 / others  # a descriptor's cosine to itself
    score = score.reshape(classes, rows)
    score[~unit.any(-1)] = -np.inf
    found = score.astype(np.float32)
    return np.sort(_best(found, count), axis=1).astype(np.int32), found


def select_queries_numpy(
    query: NDArray[np.float32], support: NDArray[np.float32], index: NDArray[np.int32] | None, count: int
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """The twin of the native `select_queries`, in double precision: `count` locations of each image, and all margins."""
    classes = len(support)
    kept = [_unit(rows, "support") for rows in _rows(support, index)]
    means = np.stack([rows.sum(0) / max(len(rows), 1) for rows in kept])  # (classes, d)
    unit = _unit(query, "query")
    relevance = np.stack([_project(unit, mean) for mean in means], axis=-1)  # (images, locations, classes)
    best = relevance.max(-1)
    margin = best - (relevance.sum(-1) - best) / (classes - 1) if classes > 1 else best
    margin[~unit.any(-1)] = -np.inf
    found = margin.astype(np.float32)
    mask = np.zeros(found.shape, np.bool_)
    np.put_along_axis(mask, _best(found, count), True, axis=1)
    return mask, found


def image_to_class_numpy(
    query: NDArray[np.float32],
    support: NDArray[np.float32],
    index: NDArray[np.int32] | None,
    mask: NDArray[np.bool_] | None,
    k: int,
) -> NDArray[np.float32]:
    """The twin of the native `image_to_class`: a matrix of similarities for each image and class."""
    kept = [_unit(rows, "support").astype(np.float32) for rows in _rows(support, index)]
    logits = np.zeros((len(query), len(support)), np.float32)
    for image, descriptors in enumerate(query):
        unit = _unit(descriptors if mask is None else descriptors[mask[image]], "query").astype(np.float32)  # (l, d)
        for c, rows in enumerate(kept):
            similarity = unit @ rows.T  # (l, n)
            if len(rows) > k:
                similarity = np.partition(similarity, len(rows) - k, axis=1)[:, -k:]  # (l, k)
            logits[image, c] = similarity.sum(dtype=np.float64)
    return logits


def share(fraction: float, n: int) -> int:
    """ceil(fraction * n), at least 1; a billionth more is rounding, not a descriptor."""
    if not 0 < fraction <= 1:
        raise ValueError(f"a fraction of {fraction} was given; expected more than 0, and 1 at most")
    return max(1, math.ceil(fraction * n - 1e-9))


def _reach(found: Selection, threshold: float | str) -> Selection:
    """Keep the scores that reach the threshold, and each class's best one; shorter classes end in -1."""
    score = found.score
    if isinstance(threshold, str):
        if threshold != "mean":
            raise ValueError(f'a threshold of {threshold!r} was given; expected a number or "mean"')
        counted = np.isfinite(score)
        sums = np.where(counted, score, 0).sum(1, dtype=np.float64, keepdims=True)
        bound = sums / np.maximum(counted.sum(1, keepdims=True), 1)
    else:
        if math.isnan(threshold):
            raise ValueError('a threshold of nan was given; expected a number or "mean"')
        bound = np.full((len(score), 1), threshold)
    keep = (score >= bound) & np.isfinite(score)
    np.put_along_axis(keep, found.rows.astype(np.int64), True, axis=1)
    counts = keep.sum(1)
    index = np.full((len(score), counts.max()), -1, np.int32)
    for c, n in enumerate(counts):
        index[c, :n] = np.flatnonzero(keep[c])
    return Selection(index, score)


def _best(values: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """The `count` largest of each row, of equals the earlier ones: (n, count)."""
    return np.argsort(-values, axis=1, kind="stable")[:, :count]


def _project(unit: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Dot products along the last axis. A matrix product may round equal rows differently, and equal rows must tie."""
    products: NDArray[np.float64] = (unit * weights).sum(-1)
    return products


def _unit(rows: NDArray[np.float32], what: str) -> NDArray[np.float64]:
    exact = rows.astype(np.float64)
    squares = (exact * exact).sum(-1, keepdims=True)
    if not (squares <= _LARGEST).all():
        raise ValueError(
            f"{what} must be finite, and no descriptor's norm may be 1e19 or more: NaN, an infinity or too large a number was given"
        )
    zero = squares < _LEAST
    return np.where(zero, 0.0, exact / np.sqrt(np.where(zero, 1.0, squares)))


def _rows(support: NDArray[np.float32], index: NDArray[np.int32] | None) -> list[NDArray[np.float32]]:
    """The kept descriptors of each class: (n, d) each."""
    flat = support.reshape(len(support), -1, support.shape[-1])
    return list(flat) if index is None else [rows[chosen[chosen >= 0]] for rows, chosen in zip(flat, index, strict=True)]


def _check_support(support: NDArray[np.float32]) -> None:
    if support.ndim != 4 or support.dtype != np.float32 or support.size == 0:
        raise ValueError(
            f"support of shape {support.shape} and type {support.dtype} was given; "
            "expected float32 (classes, images, locations, d), not empty"
        )


def _check_query(query: NDArray[np.float32], support: NDArray[np.float32]) -> None:
    d = support.shape[-1]
    if query.ndim != 3 or query.dtype != np.float32 or query.shape[1] < 1 or query.shape[2] != d:
        raise ValueError(
            f"a query of shape {query.shape} and type {query.dtype} was given; "
            f"expected float32 (images, locations, {d}) with at least one location"
        )


def _check_index(index: NDArray[np.int32] | None, support: NDArray[np.float32]) -> NDArray[np.int32] | None:
    if index is None:
        return None
    classes, rows = len(support), support.shape[1] * support.shape[2]
    if index.ndim != 2 or index.dtype != np.int32 or len(index) != classes or index.shape[1] < 1:
        raise ValueError(
            f"an index of shape {index.shape} and type {index.dtype} was given; expected int32 ({classes}, n), n >= 1"
        )
    if index.min() < -1 or index.max() >= rows:
        raise ValueError(
            f"an index from {index.min()} to {index.max()} was given; expected rows from 0 to {rows - 1}, or -1 behind them"
        )
    if ((index[:, :-1] < 0) & (index[:, 1:] >= 0)).any():
        raise ValueError("an index with -1 before a row was given; expected -1 only behind a class's rows")
    return np.ascontiguousarray(index)
