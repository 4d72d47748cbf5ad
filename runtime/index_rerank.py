r"""Re-ranking of binary neighbours by the float query: what it lost when it was made binary comes back into the order.

$s_{ij} = \sum_b q_{ib} (2 c_{jb} - 1)$: the inner product of query i with code j, read as -1 and +1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def floats(queries: ArrayLike, bits: int, count: int | None = None) -> NDArray[np.float32]:
    """Float queries (q, bits), checked; `count` is q where it is known."""
    found = np.asarray(queries)
    if found.dtype.kind == "f":
        with np.errstate(over="ignore"):  # what becomes infinite is refused
            found = found.astype(np.float32)
    wrong = found.ndim != 2 or found.shape[1] != bits or count not in (None, len(found))
    if wrong or found.dtype.kind != "f" or not np.isfinite(found).all():
        raise ValueError(
            f"queries of shape {found.shape} and type {found.dtype} were given; "
            f"expected finite floats ({'q' if count is None else count}, {bits})"
        )
    return found


def best(
    codes: NDArray[np.uint8], queries: NDArray[np.float32], rows: NDArray[np.int64], keep: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Scores and places among each query's rows (q, c) of the `keep` highest, (q, keep) each, ties by the lower row."""
    keep = min(keep, rows.shape[1])
    scores, places = np.empty((len(queries), keep), np.float32), np.empty((len(queries), keep), np.int64)
    for i, query in enumerate(queries):
        bits = np.unpackbits(codes[rows[i]], axis=1, bitorder="little")  # (c, bits)
        all_scores = np.where(bits, query, -query).sum(
            axis=1
        )  # not a matrix product, whose last bit may hang on the number of rows
        places[i] = np.lexsort((rows[i], -all_scores))[:keep]
        scores[i] = all_scores[places[i]]
    return scores, places
