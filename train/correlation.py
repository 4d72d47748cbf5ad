"""Agreement of predicted with rated values: correlations and errors."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def pearson(one: ArrayLike, other: ArrayLike) -> float:
    """Linear correlation (PCC), -1 to 1; 0 where either does not vary.

    Args:
        one, other: (n,).
    """
    first, second = (np.asarray(values, np.float64) for values in (one, other))
    first, second = first - first.mean(), second - second.mean()
    scale = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / scale) if scale > 1e-12 * len(first) else 0.0


def spearman(one: ArrayLike, other: ArrayLike) -> float:
    """Correlation of ranks (SRCC); tied values share the mean of their ranks."""
    return pearson(_ranks(one), _ranks(other))


def rmse(found: ArrayLike, true: ArrayLike) -> float:
    """Root of the mean square error."""
    return float(np.sqrt(np.mean((np.asarray(found, np.float64) - np.asarray(true)) ** 2)))


def rmae(found: ArrayLike, true: ArrayLike) -> float:
    """Root of the mean absolute error, as IC9600's code has it (tinglyfeng/IC9600, utils.py)."""
    return float(np.sqrt(np.mean(np.abs(np.asarray(found, np.float64) - np.asarray(true)))))


def _ranks(values: ArrayLike) -> Floats:
    _, place, counts = np.unique(np.asarray(values, np.float64), return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]
