"""The k nearest out of what stores and shards answer: nearest first, ties by the lower id, as HammingIndex has it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from ..index import HammingIndex
from ..index_checks import Codes, Ids
from . import rows
from .rows import Rows

Found = tuple[NDArray[np.int32], Ids]  # distances and ids of one query (m,), or of each (q, m)


def ordered(distances: NDArray[np.int32], ids: Ids, k: int) -> Found:
    """The first k of each row by distance, then id; rows are the last axis."""
    order = np.lexsort((ids, distances))[..., :k]
    return np.take_along_axis(distances, order, -1), np.take_along_axis(ids, order, -1)


def settled(ask: Callable[[int], Found], k: int) -> Found:
    """The k nearest of a store that leaves open which of equally distant codes it returns.

    More are asked for until one lies beyond the k-th, so that all that tie with it are there.

    Args:
        ask: of m, gives distances and ids of m nearest codes, in any order; fewer only where there are no more.
    """
    wanted = 2 * k + 16
    while True:
        distances, ids = ask(wanted)
        nearest = ordered(distances, ids, k)
        if len(ids) < wanted or nearest[0][-1] < distances.max():
            return nearest
        wanted *= 4


def merged(parts: Iterable[Found], queries: int, k: int) -> Found:
    """The k nearest to each of the queries among those of all parts (q, m)."""
    distances, ids = np.empty((queries, 0), np.int32), np.empty((queries, 0), np.int64)
    for more, those in parts:
        distances, ids = ordered(np.concatenate([distances, more], 1), np.concatenate([ids, those], 1), k)
    return distances, ids


def scanned(source: Rows, queries: Codes, k: int) -> Found:
    """What HammingIndex finds in each chunk, merged: the truth that a store's answers are held against."""

    def parts() -> Iterable[Found]:
        for chunk in source.chunks():
            index = HammingIndex(source.bits)
            index.add(chunk.codes, chunk.ids)
            hits = index.search(queries, k)
            yield hits.distances, hits.ids

    return merged(parts(), len(queries), k)


def differing(source: Rows, ask: Callable[[Codes], Found], queries: int, k: int) -> tuple[int, int]:
    """Search a store for codes of its own; return how many were asked and how many answers differ from `scanned`'s."""
    asked = rows.some(source, queries)
    distances, ids = ask(asked)
    right, those = scanned(source, asked, k)
    if ids.shape != those.shape:
        return len(asked), len(asked)
    return len(asked), int(((distances != right) | (ids != those)).any(axis=1).sum())
