"""Measures of retrieval that do not depend on how a sort orders equal distances.

A code of 16 bits has 17 distances, so that the order among ties decides most of a ranking; a stable sort over a database that
stands class by class even lets labels leak. Everything here is the expectation over all orders of equal distances, each as likely,
and exact: permuting the database changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

CELLS = 1 << 22  # distances that are sorted at once


def mean_average_precision(distances: NDArray[np.number], relevant: NDArray[np.bool_], top: int | None = None) -> float:
    r"""Mean over queries of the expected average precision, 0..1.

    $\frac{1}{\min(R, k)} \sum_{p \le k} E[\mathrm{rel}(p) \cdot \mathrm{precision}(p)]$ over ranks p. In a tie of c items of which r
    are relevant, after N items of which B are, rank N + i is relevant with probability r/c, and then the relevant ones up to it
    are $B + 1 + (i-1)(r-1)/(c-1)$ on average (McSherry and Najork 2008, sec. 4.1).

    Args:
        distances: (queries, n); integers are 0 or more.
        relevant: (queries, n).
        top: k of mAP@k, whose normaliser is min(R, k), R being all relevant items of the database; None: mAP of the whole ranking.

    Returns:
        The mean over queries that have something relevant in the database.

    Raises:
        ValueError: the shapes differ, or no query has anything relevant.
    """
    _check(distances, relevant)
    queries, n = distances.shape
    last = n if top is None else min(top, n)
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, n + 1))])
    found = []
    for start in range(0, queries, max(CELLS // max(n, 1), 1)):
        rows = slice(start, start + max(CELLS // max(n, 1), 1))
        count, right = _ties(distances[rows], relevant[rows])  # (q, g)
        before, own = np.cumsum(count, 1) - count, np.cumsum(right, 1) - right  # N, B
        taken = np.clip(last - before, 0, count)  # ranks of the tie that count
        reciprocal = harmonic[np.minimum(before + taken, n)] - harmonic[before]  # sum of 1 / (N + i)
        slope = np.where(count > 1, (right - 1) / np.maximum(count - 1, 1), 0.0)
        inner = (own + 1) * reciprocal + slope * (taken - (before + 1) * reciprocal)  # (i - 1) / (N + i) = 1 - (N + 1) / (N + i)
        total = (np.where(right > 0, right / np.maximum(count, 1) * inner, 0.0)).sum(1)
        every = right.sum(1)
        found.append((total / np.minimum(np.maximum(every, 1), last))[every > 0])
    values = np.concatenate(found) if found else np.empty(0)
    if not len(values):
        raise ValueError("no query has a relevant item in the database; there is no average precision to take")
    return float(values.mean())


def _ties(distances: NDArray[np.number], relevant: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many items, and how many relevant ones, stand at each distance, in ascending order: two (queries, g)."""
    queries, n = distances.shape
    if np.issubdtype(distances.dtype, np.integer):
        groups = int(distances.max(initial=0)) + 1
        place = distances.astype(np.int64)
    else:  # a tie is known by the rank of its first item
        order = np.argsort(distances, axis=1)
        ascending, relevant = np.take_along_axis(distances, order, 1), np.take_along_axis(relevant, order, 1)
        first = np.ones((queries, n), bool)
        first[:, 1:] = ascending[:, 1:] != ascending[:, :-1]
        groups = n
        place = np.maximum.accumulate(np.where(first, np.arange(n), 0), axis=1)
    flat = place + groups * np.arange(queries)[:, None]
    count = np.bincount(flat.ravel(), minlength=queries * groups).reshape(queries, groups)
    right = np.bincount(flat[relevant], minlength=queries * groups).reshape(queries, groups)
    return count, right


def precision_within(distances: NDArray[np.number], relevant: NDArray[np.bool_], radius: float = 2) -> float:
    """Mean over queries of the share of relevant items among those within `radius`; a query that finds none there counts 0."""
    _check(distances, relevant)
    near = distances <= radius
    return float(((near & relevant).sum(1) / np.maximum(near.sum(1), 1)).mean())


def recall_at(distances: NDArray[np.number], pair: NDArray[np.integer], counts: Sequence[int] = (1, 10)) -> tuple[float, ...]:
    """For each k, the mean over queries of the chance that the one item that belongs to it is among the first k.

    Args:
        distances: (queries, n).
        pair: (queries,), the row of the database that belongs to each query.
    """
    own = np.take_along_axis(distances, np.asarray(pair, np.int64)[:, None], 1)  # (queries, 1)
    nearer, tied = (distances < own).sum(1), (distances == own).sum(1)
    return tuple(float(np.clip((k - nearer) / tied, 0, 1).mean()) for k in counts)


def bit_statistics(codes: NDArray[np.bool_]) -> dict[str, float]:
    """How well codes use their bits, means over bits or pairs of bits.

    Args:
        codes: (n, bits).

    Returns:
        "imbalance": |share of ones - share of zeros|, 0 at best and 1 for a constant bit; "entropy": of a bit in bits, 1 at best;
        "correlation": |Pearson's r| of two bits, 0 at best, where a constant bit has none with any.
    """
    signs = 2.0 * codes - 1
    ones = (1 + signs.mean(0)) / 2  # (bits,)
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.nansum([share * np.log2(share) for share in (ones, 1 - ones)], axis=0)
    centred = signs - signs.mean(0)
    deviation = np.sqrt((centred**2).mean(0))
    scaled = centred / np.where(deviation > 0, deviation, 1)
    pairs = np.abs(scaled.T @ scaled / len(codes))[np.triu_indices(codes.shape[1], 1)]
    return {
        "imbalance": float(np.abs(signs.mean(0)).mean()),
        "entropy": float(entropy.mean()),
        "correlation": float(pairs.mean()) if len(pairs) else 0.0,
    }


def hamming(queries: NDArray[np.bool_], database: NDArray[np.bool_]) -> NDArray[np.int16]:
    """Bits that differ: (q, bits), (n, bits) -> (q, n)."""
    first, second = (np.where(codes, np.float32(1), np.float32(-1)) for codes in (queries, database))
    return ((first.shape[1] - first @ second.T) / 2).astype(np.int16)  # a sum of signs is exact


def _check(distances: NDArray[np.number], relevant: NDArray[np.bool_]) -> None:
    if distances.ndim != 2 or distances.shape != relevant.shape:
        raise ValueError(
            f"distances of shape {distances.shape} and relevant of {relevant.shape} were given; expected two (queries, n)"
        )
