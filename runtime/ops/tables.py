"""Multi-index hashing, exact Hamming search that looks only where near codes can be: the dispatcher and the NumPy twin.

A code's bits are cut into m substrings, and a table for each lists the codes by its value. If substrings 0 .. j have been
looked up to a differing bits and the others up to a - 1, a code that was not met is more than m a + j bits away (Norouzi, Punjani,
Fleet 2012, "Fast Search in Hamming Space with Multi-Index Hashing"). The search widens a and j until nothing unmet can matter.
"""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from .backend import native, usable_threads
from .hamming import Codes, Distances, Rows, check, hamming_range_numpy, hamming_topk_numpy

_MOST_SUBSTRING_BITS = 24
_PROBE_COST, _CANDIDATE_COST = 25.0, 2.0  # the native op's, in nanoseconds
_ROW_BITS = 48


class HammingTables:
    """Tables over packed codes (n, w), which must not change while they are used.

    Args:
        substrings: m; 0 takes as many as make buckets of about one code.
        threads: that build them; None takes the cores this process may use.
    """

    def __init__(self, codes: Codes, substrings: int = 0, *, threads: int | None = None) -> None:
        check(codes, codes)
        if substrings < 0:
            raise ValueError(f"substrings = {substrings} was given; expected 1 or more, or 0 for the usual number")
        self.codes = np.ascontiguousarray(codes)
        compiled = native()
        kind = HammingTablesNumpy if compiled is None else compiled.HammingTables
        self._tables = kind(self.codes, substrings, usable_threads(threads))

    @property
    def substrings(self) -> int:
        """The number of tables."""
        return int(self._tables.substrings)

    @property
    def bytes(self) -> int:
        """The memory they take."""
        return int(self._tables.bytes)

    def topk(
        self, queries: Codes, k: int, *, budget: float = math.inf, threads: int | None = None
    ) -> tuple[Distances, Rows, int]:
        """What `hamming_topk` finds, and how many of the queries were scanned after all.

        Args:
            budget: nanoseconds, about, that a query may cost in the tables before it is scanned instead.
        """
        check(self.codes, queries)
        if k < 1:
            raise ValueError(f"k = {k} was given; expected 1 or more")
        found: tuple[Distances, Rows, int]
        found = self._tables.topk(self.codes, np.ascontiguousarray(queries), k, budget, usable_threads(threads))
        return found

    def range(
        self, queries: Codes, radius: int, *, budget: float = math.inf, threads: int | None = None
    ) -> tuple[Rows, Distances, Rows, int]:
        """What `hamming_range` finds, and how many of the queries were scanned after all."""
        check(self.codes, queries)
        if radius < 0:
            raise ValueError(f"radius = {radius} was given; expected 0 or more")
        found: tuple[Rows, Distances, Rows, int]
        found = self._tables.range(self.codes, np.ascontiguousarray(queries), radius, budget, usable_threads(threads))
        return found

    def costs(self, queries: Codes, k: int, budget: float = math.inf) -> NDArray[np.float64]:
        """Nanoseconds, about, that each query costs in the tables, (q,); infinity where it is more than the budget."""
        check(self.codes, queries)
        if k < 1:
            raise ValueError(f"k = {k} was given; expected 1 or more")
        found: NDArray[np.float64] = self._tables.costs(np.ascontiguousarray(queries), k, budget)
        return found

    def range_cost(self, radius: int) -> float:
        """Nanoseconds, about, that a query of this radius costs in the tables, were the codes spread evenly."""
        bits, m = 8 * self.codes.shape[1], self.substrings
        cost = 0.0
        for step in range(min(radius, bits) + 1):
            a, j = divmod(step, m)
            length = bits // m + (j < bits % m)
            if a <= length:
                cost += math.comb(length, a) * (_PROBE_COST + _CANDIDATE_COST * len(self.codes) / 2**length)
        return cost


class HammingTablesNumpy:
    """The twin of the native `HammingTables`."""

    def __init__(self, codes: Codes, substrings: int, threads: int) -> None:
        count, width = codes.shape
        self._bits, self._codes = 8 * width, codes
        if substrings == 0:
            length = min(max(8, (count - 1).bit_length() if count > 1 else 0), _MOST_SUBSTRING_BITS)
            substrings = (self._bits + length // 2) // length
        self.substrings = min(max(substrings, -(-self._bits // _MOST_SUBSTRING_BITS)), self._bits)
        longer, whole = self._bits % self.substrings, self._bits // self.substrings
        self._lengths = [whole + (place < longer) for place in range(self.substrings)]
        keys = self._keys(codes)  # (n, m)
        self._orders = [np.argsort(column, kind="stable") for column in keys.T]
        self._sorted = [column[order] for column, order in zip(keys.T, self._orders, strict=True)]
        self.bytes = sum(part.nbytes for part in (*self._orders, *self._sorted))

    def topk(self, codes: Codes, queries: Codes, k: int, budget: float, threads: int) -> tuple[Distances, Rows, int]:
        """Rows and distances (q, min(k, n)), and how many queries were scanned."""
        k = min(k, len(codes))
        if k == 0:
            return *hamming_topk_numpy(codes, queries, k), 0
        distances, rows = np.empty((len(queries), k), np.int32), np.empty((len(queries), k), np.int64)
        scanned = 0
        for place, query in enumerate(queries):
            hits, _ = self._search(query, k, self._bits, budget)
            if hits is None:
                scanned += 1
                distances[place], rows[place] = (part[0] for part in hamming_topk_numpy(codes, query[None], k))
            else:
                distances[place], rows[place] = hits[:k] >> _ROW_BITS, hits[:k] & (1 << _ROW_BITS) - 1
        return distances, rows, scanned

    def range(self, codes: Codes, queries: Codes, radius: int, budget: float, threads: int) -> tuple[Rows, Distances, Rows, int]:
        """Offsets (q + 1,), distances and rows, and how many queries were scanned."""
        offsets, scanned = np.zeros(len(queries) + 1, np.int64), 0
        distances, rows = [np.empty(0, np.int32)], [np.empty(0, np.int64)]
        for place, query in enumerate(queries):
            hits, _ = self._search(query, None, min(radius, self._bits), budget) if len(codes) else (np.empty(0, np.int64), 0.0)
            if hits is None:
                scanned += 1
                _, near, where = hamming_range_numpy(codes, query[None], radius)
            else:
                near, where = (hits >> _ROW_BITS).astype(np.int32), hits & (1 << _ROW_BITS) - 1
            distances.append(near)
            rows.append(where)
            offsets[place + 1] = offsets[place] + len(near)
        return offsets, np.concatenate(distances), np.concatenate(rows), scanned

    def costs(self, queries: Codes, k: int, budget: float) -> NDArray[np.float64]:
        """(q,)"""
        found = (self._search(query, min(k, len(self._codes)), self._bits, budget) for query in queries)
        return np.array([math.inf if hits is None else cost for hits, cost in found], np.float64)

    def _keys(self, codes: Codes) -> NDArray[np.int64]:
        """The substrings of codes (n, w) as numbers, (n, m)."""
        bits = np.unpackbits(codes, axis=1, bitorder="little").astype(np.int64)
        ends = np.cumsum(self._lengths)
        parts = [bits[:, end - length : end] @ (1 << np.arange(length)) for end, length in zip(ends, self._lengths, strict=True)]
        return np.stack(parts, axis=1)

    def _search(self, query: Codes, k: int | None, radius: int, budget: float) -> tuple[NDArray[np.int64] | None, float]:
        """Hits in order, None where they would cost more than the budget; and what was spent."""
        keys, m = self._keys(query[None])[0], self.substrings
        met, spent = np.empty(0, np.int64), 0.0  # sorted, each once
        for step in range(m * (self._bits // m + 1)):
            a, j = divmod(step, m)
            if a <= self._lengths[j]:
                probes = math.comb(self._lengths[j], a)
                if spent + probes * _PROBE_COST > budget:
                    return None, spent
                rows = self._bucket(j, keys[j], a)
                spent += probes * _PROBE_COST + len(rows) * _CANDIDATE_COST
                distances = np.unpackbits(self._codes[rows] ^ query, axis=1).sum(axis=1, dtype=np.int64)
                near = distances <= radius
                met = np.union1d(met, distances[near] << _ROW_BITS | rows[near])
            reach = radius if k is None or len(met) < k else min(radius, int(met[k - 1] >> _ROW_BITS))
            if reach <= step:
                return met, spent
            if spent > budget:
                return None, spent
        return met, spent

    def _bucket(self, j: int, key: np.int64, a: int) -> NDArray[np.int64]:
        """Rows whose substring j differs from the key in exactly `a` bits."""
        flips = np.array([sum(1 << bit for bit in chosen) for chosen in combinations(range(self._lengths[j]), a)], np.int64)
        begins = np.searchsorted(self._sorted[j], key ^ flips, "left")
        ends = np.searchsorted(self._sorted[j], key ^ flips, "right")
        parts = [self._orders[j][begin:end] for begin, end in zip(begins, ends, strict=True) if end > begin]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)
