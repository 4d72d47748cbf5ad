"""Batches of crops whose degradations are shared along rows: cyclic-shift sampling, and DASR's crops of one photograph."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from train.blocks.gather import rank, world_size
from train.contract import Batch
from train.data import draws
from train.data.degradations import NUMBERS
from train.data.loader import order
from train.data.photos import Photos

# The first part of every key, so that no two uses of a seed share their draws.
_CROP, _HOW, _SHIFT = 21, 22, 23


def batches(
    photos: Photos,
    *,
    batch: int,
    size: int,
    views: int,
    sampling: Literal["cyclic", "same_image"],
    shifts: int,
    seed: int,
    start: int,
) -> Iterator[Batch]:
    r"""This process's rows of every batch from step `start` on, a function of the seed and the step alone.

    Cyclic: $H[b, 0] = h_b$, $H[b, i] = h_{(b + s_i) \bmod B}$ with distinct shifts drawn for each batch, so that the crops of a row
    share their degradation and never their content. Same image: the crops of a row are cut from one photograph.

    Returns:
        "high": uint8 (rows, views, 3, size, size); "how": (rows, NUMBERS) in [0, 1), of the rows' degradations.
    """
    share, world = divmod(batch, world_size())
    if world:
        raise ValueError(f"The batch of {batch} rows cannot be shared by {world_size()} processes; give a multiple of it.")
    rows = np.arange(rank() * share, (rank() + 1) * share)
    for step in itertools.count(start):
        if sampling == "cyclic":
            source = (rows[:, None] + _shifts(views, min(shifts, batch - 1), seed, step)) % batch  # (rows, views)
            place = step * batch + source
            index = order(len(photos), seed, step * batch, (step + 1) * batch)[0][source]
        else:
            place = (step * batch + rows[:, None]) * views + np.arange(views)
            index = np.repeat(order(len(photos), seed, step * batch, (step + 1) * batch)[0][rows][:, None], views, 1)
        keys = draws.key(_CROP, seed, place)
        high = np.empty((share, views, 3, size, size), np.uint8)
        for at in np.ndindex(share, views):
            high[at] = photos.crop(int(index[at]), size, np.uint64(keys[at]))
        how = draws.uniforms(draws.key(_HOW, seed, step * batch + rows), NUMBERS)  # (rows, NUMBERS)
        yield {"high": torch.from_numpy(high), "how": torch.from_numpy(how.astype(np.float32))}


def _shifts(views: int, largest: int, seed: int, step: int) -> NDArray[np.int64]:
    """0 and views - 1 distinct ones from 1 to `largest`."""
    drawn = draws.permutation(largest, _SHIFT, seed, step)[: views - 1] + 1
    return np.concatenate([[0], drawn])
