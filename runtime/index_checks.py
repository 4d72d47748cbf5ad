"""What a Hamming index is given: each argument is checked once, and refused by a sentence."""

from __future__ import annotations

import operator

import numpy as np
from numpy.typing import ArrayLike, NDArray

Codes = NDArray[np.uint8]
Ids = NDArray[np.int64]


def codes(name: str, given: ArrayLike, bits: int) -> Codes:
    """Packed rows (n, bits / 8)."""
    rows, width = np.asarray(given), bits // 8
    if rows.ndim == 2 and rows.shape[1] == bits:
        raise ValueError(
            f"{name} of {bits} columns were given, one for each bit; expected packed uint8 (n, {width}): "
            f"np.packbits({name}, axis=1, bitorder='little')"
        )
    if rows.ndim != 2 or rows.shape[1] != width or rows.dtype != np.uint8:
        raise ValueError(
            f"{name} of shape {rows.shape} and type {rows.dtype} were given; expected uint8 (n, {width}): {bits} bits, packed"
        )
    return rows


def ids(given: ArrayLike, count: int | None) -> Ids:
    """Whole numbers of 0 or more (count,), any number of them where it is None."""
    found = np.asarray(given)
    if found.size == 0 and found.dtype.kind == "f":
        found = found.astype(np.int64)  # np.asarray([])
    if found.ndim != 1 or found.dtype.kind not in "iu" or count not in (None, len(found)):
        shape = "(m,)" if count is None else f"({count},)"
        raise ValueError(f"ids of shape {found.shape} and type {found.dtype} were given; expected whole numbers {shape}")
    if len(found) and (int(found.min()) < 0 or int(found.max()) >= 2**63 - 1):
        raise ValueError(f"ids from {found.min()} to {found.max()} were given; expected 0 to {2**63 - 2}")
    return found.astype(np.int64)


def some(chosen: Ids) -> str:
    """The first few, for a sentence."""
    return ", ".join(map(str, chosen[:5].tolist())) + (f" and {len(chosen) - 5} more" if len(chosen) > 5 else "")


def whole(name: str, value: int, least: int) -> int:
    """A whole number of `least` or more; True and False are none."""
    try:
        found = operator.index(value)
    except TypeError:
        raise ValueError(f"{name} = {value!r} was given; expected a whole number of {least} or more") from None
    if isinstance(value, bool) or found < least:
        raise ValueError(f"{name} = {value!r} was given; expected a whole number of {least} or more")
    return found
