"""Random numbers that are a function of integers alone: the same in any order, on any machine, in any process."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Ints: TypeAlias = int | np.integer | NDArray[np.integer]

_ADDED, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB  # SplitMix64's
_STEP = 0xD1342543DE82EF95  # between the numbers of one key


def key(*parts: Ints) -> NDArray[np.uint64]:
    """Hash integers to 64 bits, element by element: one round of SplitMix64 (Steele et al. 2014) for each part.

    Args:
        parts: integers or integer arrays that broadcast.
    """
    state = np.zeros(np.broadcast_shapes(*(np.shape(part) for part in parts)), np.uint64)
    with np.errstate(over="ignore"):
        for part in parts:
            state = _mix(state ^ np.asarray(part).astype(np.int64).astype(np.uint64))
    return state


def _mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    state = state + np.uint64(_ADDED)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(_FIRST)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(_SECOND)
    return state ^ (state >> np.uint64(31))


def uniforms(keys: NDArray[np.uint64], count: int) -> NDArray[np.float64]:
    """`count` numbers in [0, 1) for each key.

    Args:
        keys: (n,).

    Returns:
        (n, count).
    """
    with np.errstate(over="ignore"):
        steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_STEP)
        bits = _mix(keys[:, None] ^ steps[None])  # (n, count)
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def key_there(part: int, keys: Tensor) -> Tensor:
    """`key(part, keys)` where the keys lie, on a GPU too: int64 (n,) -> int64 (n,), of the same bits."""
    return _mix_there(int(key(part).astype(np.int64)) ^ keys)


def uniforms_there(keys: Tensor, count: int) -> Tensor:
    """`uniforms(keys, count)` where the keys lie: int64 (n,) -> float32 (n, count), rounded down so that it stays below 1."""
    steps = torch.arange(1, count + 1, device=keys.device) * _signed(_STEP)
    return _shifted(_mix_there(keys[:, None] ^ steps), 40).float() * 2.0**-24


def _mix_there(state: Tensor) -> Tensor:
    state = state + _signed(_ADDED)
    state = (state ^ _shifted(state, 30)) * _signed(_FIRST)
    state = (state ^ _shifted(state, 27)) * _signed(_SECOND)
    return state ^ _shifted(state, 31)


def _shifted(state: Tensor, places: int) -> Tensor:
    """To the right, with zeros from the left, as an unsigned number's."""
    return (state >> places) & ((1 << 64 - places) - 1)


def _signed(bits: int) -> int:
    return bits - (1 << 64) if bits >> 63 else bits


def permutation(count: int, *parts: int) -> NDArray[np.int64]:
    """An order of `count` items, drawn from the integers in `parts`."""
    return np.argsort(key(*parts, np.arange(count)), kind="stable").astype(np.int64)
