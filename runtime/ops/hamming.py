"""Exact Hamming search of packed codes: the dispatchers and the NumPy twins.

A code is a row of bytes; bit j is bit j % 8 of byte j // 8, lowest first, which is FAISS's layout and
`np.packbits(bits, axis=1, bitorder="little")`. Results are ordered by distance, ties by the lower row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .backend import native, usable_threads

MOST_BYTES = 512  # of a code
_ROW_BITS = 48  # a distance and a row share an int64, so that the order of numbers is the order of results
_BLOCK = 1 << 16  # rows whose distances the twin holds at once
_SET_BITS = np.array([value.bit_count() for value in range(256)], np.uint8)

Codes = NDArray[np.uint8]
Distances = NDArray[np.int32]
Rows = NDArray[np.int64]


def hamming_kernels() -> tuple[str, ...]:
    """What this processor can search with, the fastest first; the last is the NumPy twin where the native ops are not built."""
    compiled = native()
    return ("numpy",) if compiled is None else tuple(compiled.hamming_kernels())


def hamming_topk(
    codes: Codes, queries: Codes, k: int, *, threads: int | None = None, kernel: str | None = None
) -> tuple[Distances, Rows]:
    """The k codes nearest to each query, exactly; ties go to the lower row, whatever the threads.

    Args:
        codes: (n, w) packed.
        queries: (q, w) packed.
        k: 1 or more.
        threads: at most so many; None takes the cores this process may use.
        kernel: one of `hamming_kernels()`; None takes the first.

    Returns:
        Distances and rows of codes, (q, min(k, n)) each, nearest first.
    """
    check(codes, queries)
    if k < 1:
        raise ValueError(f"k = {k} was given; expected 1 or more")
    compiled = native()
    if compiled is None:
        return hamming_topk_numpy(codes, queries, k)
    rows, asked = np.ascontiguousarray(codes), np.ascontiguousarray(queries)
    return compiled.hamming_topk(rows, asked, k, usable_threads(threads), kernel)  # type: ignore[no-any-return]


def hamming_range(
    codes: Codes, queries: Codes, radius: int, *, threads: int | None = None, kernel: str | None = None
) -> tuple[Rows, Distances, Rows]:
    """All codes at a distance of `radius` or less from each query, exactly; arguments as for `hamming_topk`.

    Returns:
        Offsets (q + 1,), distances and rows: query i found [offsets[i], offsets[i + 1]) of the two, nearest first.
    """
    check(codes, queries)
    if radius < 0:
        raise ValueError(f"radius = {radius} was given; expected 0 or more")
    compiled = native()
    if compiled is None:
        return hamming_range_numpy(codes, queries, radius)
    rows, asked = np.ascontiguousarray(codes), np.ascontiguousarray(queries)
    return compiled.hamming_range(rows, asked, radius, usable_threads(threads), kernel)  # type: ignore[no-any-return]


def hamming_read(codes: Codes, *, threads: int | None = None, kernel: str | None = None) -> int:
    """The exclusive or of all whole words of 8 bytes: the time it takes is what no search can fall below."""
    check(codes, codes)
    compiled = native()
    if compiled is None:
        return hamming_read_numpy(codes)
    return int(compiled.hamming_read(np.ascontiguousarray(codes), usable_threads(threads), kernel))


def hamming_topk_numpy(codes: Codes, queries: Codes, k: int) -> tuple[Distances, Rows]:
    """The twin of the native `hamming_topk`."""
    k = min(k, len(codes))
    found = np.empty((len(queries), k), np.int64)
    for place, query in enumerate(queries):
        best = np.empty(0, np.int64)
        for begin in range(0, len(codes), _BLOCK):
            best = np.concatenate([best, _hits(codes, query, begin)])
            if len(best) > k:
                best = np.partition(best, k - 1)[:k]
        found[place] = np.sort(best)
    return _distances(found), _rows(found)


def hamming_range_numpy(codes: Codes, queries: Codes, radius: int) -> tuple[Rows, Distances, Rows]:
    """The twin of the native `hamming_range`."""
    above = min(radius, 8 * codes.shape[1]) + 1 << _ROW_BITS
    found = [np.empty(0, np.int64)]
    offsets = np.zeros(len(queries) + 1, np.int64)
    for place, query in enumerate(queries):
        near = [found[0]]
        for begin in range(0, len(codes), _BLOCK):
            hits = _hits(codes, query, begin)
            near.append(hits[hits < above])
        found.append(np.sort(np.concatenate(near)))
        offsets[place + 1] = offsets[place] + len(found[-1])
    together = np.concatenate(found)
    return offsets, _distances(together), _rows(together)


def hamming_read_numpy(codes: Codes) -> int:
    """The twin of the native `hamming_read`."""
    flat = np.ascontiguousarray(codes).reshape(-1)
    return int(np.bitwise_xor.reduce(flat[: flat.size // 8 * 8].view("<u8")))


def _hits(codes: Codes, query: Codes, begin: int) -> NDArray[np.int64]:
    """Distance and row, in one number each, of the block of codes that begins at a row."""
    block = codes[begin : begin + _BLOCK]
    distances = _SET_BITS[block ^ query].sum(axis=1, dtype=np.int64)
    return distances << _ROW_BITS | np.arange(begin, begin + len(block))


def _distances(hits: NDArray[np.int64]) -> Distances:
    return (hits >> _ROW_BITS).astype(np.int32)


def _rows(hits: NDArray[np.int64]) -> Rows:
    return hits & (1 << _ROW_BITS) - 1


def check(codes: Codes, queries: Codes) -> None:
    """ValueError where rows are no packed codes, or not of the same width."""
    for name, rows in (("codes", codes), ("queries", queries)):
        if rows.ndim != 2 or rows.dtype != np.uint8 or not 1 <= rows.shape[1] <= MOST_BYTES:
            raise ValueError(
                f"{name} of shape {rows.shape} and type {rows.dtype} were given; expected packed uint8 (n, bits / 8) "
                f"of 8 to {8 * MOST_BYTES} bits: np.packbits(bits, axis=1, bitorder='little') makes them"
            )
    if codes.shape[1] != queries.shape[1]:
        raise ValueError(
            f"codes of {codes.shape[1]} bytes and queries of {queries.shape[1]} bytes were given; expected the same number"
        )
