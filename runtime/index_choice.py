"""How an index is searched: a scan of all codes, or tables (multi-index hashing), whichever is estimated to be faster."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import ops

METHODS = ("auto", "scan", "mih")
# Nanoseconds of one thread, fitted to `python -m benchmarks.hamming`: reading a byte, comparing a word with a query's.
_READ, _COMPARE = 0.024, 0.033
_GAIN = 0.7  # tables are chosen where they are estimated to take less than this part of the scan's time
_SAMPLED = (1, 10, 100)  # the numbers of neighbours that are tried when tables are built
_SAMPLES = 32  # codes that are tried


@dataclass(frozen=True)
class Tables:
    """Tables over an index's codes, with what finding each of `_SAMPLED` neighbours typically costs in them.

    `typical` are nanoseconds, infinite where a scan is faster: the median over codes of the index, taken at even steps.
    """

    built: ops.HammingTables
    typical: tuple[float, ...]


def build(codes: NDArray[np.uint8], substrings: int, threads: int | None) -> Tables:
    """Make tables, and try them on some of the codes."""
    built = ops.HammingTables(codes, substrings, threads=threads)
    step = max(1, len(codes) // _SAMPLES)
    sample = np.ascontiguousarray(codes[::step][:_SAMPLES])
    budget = scan_cost(len(codes), codes.shape[1], 1)
    # A code finds itself, which a query does not: one neighbour more is asked for.
    costs = (built.costs(sample, k + 1, budget) for k in _SAMPLED)
    return Tables(built, tuple(float(np.median(cost)) if len(cost) else math.inf for cost in costs))


def scan_cost(count: int, width: int, queries: int) -> float:
    """Nanoseconds of one thread that a scan takes for each of so many queries, about."""
    return count * width * (_READ / max(1, queries) + _COMPARE / 8)


def topk_method(tables: Tables | None, count: int, width: int, queries: int, k: int, threads: int) -> str:
    """ "scan" or "mih", whichever is estimated to find k neighbours sooner."""
    if tables is None or ops.backend() != "native":
        return "scan"
    typical = next((cost for most, cost in zip(_SAMPLED, tables.typical, strict=True) if k <= most), math.inf)
    return _faster(typical, count, width, queries, threads)


def range_method(tables: Tables | None, count: int, width: int, queries: int, radius: int, threads: int) -> str:
    """ "scan" or "mih", whichever is estimated to find all codes within the radius sooner."""
    if tables is None or ops.backend() != "native":
        return "scan"
    return _faster(tables.built.range_cost(radius), count, width, queries, threads)


def _faster(cost: float, count: int, width: int, queries: int, threads: int) -> str:
    """A scan shares each query among the threads; in the tables a thread takes four queries or more."""
    scan = scan_cost(count, width, queries) * queries / threads
    tables = cost * queries / max(1, min(threads, queries // 4))
    return "mih" if tables < _GAIN * scan else "scan"
