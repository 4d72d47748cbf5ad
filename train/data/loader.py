"""Batches without state: what step i yields is a function of the seed and i, whatever came before and on how many processes.

The order is an endless stream of permutations, one for each epoch, cut into batches. Nothing is dropped: a batch runs over
the end of an epoch into the next, and a set smaller than the batch is repeated within it.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from runtime.prepare import Geometry

from . import draws
from .augment import AUGMENTS, augment_image, augment_pixels
from .split import Prepared, Split

SCALE = (0.08, 1.0)  # part of the image's area that "rrc" keeps
VIEW_SEED = 0  # of fixed views: the same in every run, so that what is computed from them serves all seeds
AHEAD = 3  # batches being read while one is used

# The first part of every key, so that no two uses of a seed share their draws.
_ORDER, _STEP, _VIEW, _START = 1, 2, 3, 4

Plan: TypeAlias = Callable[[int], tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint64]]]  # step -> indices, views, keys


@functools.lru_cache(maxsize=4)  # an epoch's order is asked for at each of its steps
def _epoch(count: int, seed: int, number: int) -> NDArray[np.int64]:
    return draws.permutation(count, _ORDER, seed, number)


def order(count: int, seed: int, begin: int, end: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places begin..end of the stream.

    Returns:
        Indices into the data and the epoch of each, both (end - begin,).
    """
    place = np.arange(begin, end)
    epochs = place // count
    index = np.empty(len(place), np.int64)
    for epoch in np.unique(epochs).tolist():
        here = epochs == epoch
        index[here] = _epoch(count, seed, epoch)[place[here] % count]
    return index, epochs


def check(augment: str, scale: tuple[float, float]) -> None:
    """Refuse an unknown augmentation."""
    if augment not in AUGMENTS:
        raise ValueError(f"There is no augmentation {augment!r}. Known: {', '.join(AUGMENTS)}.")
    if not 0 < scale[0] <= scale[1] <= 1:
        raise ValueError(f"The scale of the random crop is {scale}; expected two parts of the area, 0 < low <= high <= 1.")


def _held(split: Split, geometry: Geometry, augment: str) -> bool:
    """Whether batches are cut from memory in one go."""
    if not isinstance(split.source, Prepared):
        return False
    if split.source.geometry != geometry:
        raise ValueError(f"The images in memory were prepared as {split.source.geometry}, and {geometry} is asked for. "
                         "Prepare them again from the split as opened.")  # fmt: skip
    return augment != "rrc"


def _one(
    split: Split, geometry: Geometry, augment: str, scale: tuple[float, float], index: int, key: np.uint64
) -> NDArray[np.uint8]:
    return augment_image(split.read(index), geometry, augment, key, scale)


def _from_memory(split: Split, augment: str, indices: NDArray[np.int64], keys: NDArray[np.uint64]) -> NDArray[np.uint8]:
    assert isinstance(split.source, Prepared)
    return augment_pixels(split.source.pixels[split.rows[indices]], augment, keys)


def views(
    split: Split,
    geometry: Geometry,
    indices: Sequence[int] | NDArray[np.integer],
    view_ids: Sequence[int] | NDArray[np.integer],
    *,
    augment: str,
    scale: tuple[float, float] = SCALE,
    workers: int | None = None,
) -> NDArray[np.uint8]:
    """The pixels that `batches` with views > 0 yields for these images and views, bit for bit.

    Args:
        indices, view_ids: (n,).

    Returns:
        (n, 3, h, w).
    """
    check(augment, scale)
    chosen = np.asarray(indices, np.int64)
    keys = draws.key(_VIEW, VIEW_SEED, chosen, np.asarray(view_ids, np.int64))
    if _held(split, geometry, augment):
        return _from_memory(split, augment, chosen, keys)
    out = np.empty((len(chosen), 3, *geometry.size), np.uint8)
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        one = functools.partial(_one, split, geometry, augment, scale)
        for row, image in enumerate(pool.map(one, chosen.tolist(), keys)):
            out[row] = image
    return out


def view(
    split: Split, geometry: Geometry, index: int, view_id: int, *, augment: str, scale: tuple[float, float] = SCALE
) -> NDArray[np.uint8]:
    """One image of `views`, (3, h, w)."""
    return views(split, geometry, [index], [view_id], augment=augment, scale=scale, workers=1)[0]


def batches(
    split: Split,
    geometry: Geometry,
    batch_size: int,
    *,
    augment: str = "none",
    views: int = 0,
    seed: int = 0,
    start: int = 0,
    rank: int = 0,
    world: int = 1,
    scale: tuple[float, float] = SCALE,
    workers: int | None = None,
) -> Iterator[dict[str, Tensor]]:
    """Yield this process's share of every batch from step `start` on, without end.

    Args:
        split: read in threads with AHEAD batches of look-ahead, or cut from memory after `Split.in_memory`.
        batch_size: of the global batch; process `rank` of `world` gets its contiguous slice.
        augment: "none"; "flip"; "shift" (pad an eighth by reflection, cut out); "crop" (shift and flip); "rrc" (random resized
            crop of the image as read, antialiased, then flip). A flip makes "left of" in a caption untrue.
        views: 0 draws the augmentation afresh at every step; K > 0 gives every image K fixed views, one an epoch in turn,
            so that what is computed from (index, view) can be kept; they are the same for every seed.
        scale: the part of the area that "rrc" keeps.

    Returns:
        Dicts of image uint8 (b, 3, h, w), label int64 (b,), index int64 (b,) into the split, and view int64 (b,), -1 if
        views is 0.
    """
    check(augment, scale)
    if len(split) == 0:
        raise ValueError("There are no images to make batches of.")
    if batch_size < 1 or batch_size % world:
        raise ValueError(f"The batch of {batch_size} images cannot be shared by {world} processes; give a multiple of {world}.")
    share = batch_size // world

    def plan(step: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint64]]:
        begin = step * batch_size + rank * share
        index, epochs = order(len(split), seed, begin, begin + share)
        if views == 0:
            return index, np.full(share, -1), draws.key(_STEP, seed, np.arange(begin, begin + share))
        number = (epochs + (draws.key(_START, seed, index) % np.uint64(views)).astype(np.int64)) % views
        return index, number, draws.key(_VIEW, VIEW_SEED, index, number)

    if _held(split, geometry, augment):
        return _memory_batches(split, augment, plan, start)
    return _disk_batches(
        split, plan, start, workers or min(8, os.cpu_count() or 1), functools.partial(_one, split, geometry, augment, scale)
    )


def _batch(split: Split, image: NDArray[np.uint8], index: NDArray[np.int64], number: NDArray[np.int64]) -> dict[str, Tensor]:
    arrays = {"image": image, "label": split.labels[index], "index": index, "view": number}
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


def ahead(at: Callable[[int], dict[str, Tensor]], start: int, *, workers: int = AHEAD) -> Iterator[dict[str, Tensor]]:
    """The batches of all steps from `start` on, in order, made in threads with AHEAD batches of look-ahead.

    Args:
        at: makes the batch of a step.
        workers: batches that are made at a time.
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="batches") as pool:
        waiting: deque[Future[dict[str, Tensor]]] = deque()
        try:
            for step in itertools.count(start):
                waiting.append(pool.submit(at, step))
                if len(waiting) > AHEAD:
                    yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _memory_batches(split: Split, augment: str, plan: Plan, start: int) -> Iterator[dict[str, Tensor]]:
    for step in itertools.count(start):
        index, number, keys = plan(step)
        yield _batch(split, _from_memory(split, augment, index, keys), index, number)


def _disk_batches(
    split: Split, plan: Plan, start: int, workers: int, one: Callable[[int, np.uint64], NDArray[np.uint8]]
) -> Iterator[dict[str, Tensor]]:
    pool = ThreadPoolExecutor(workers, thread_name_prefix="images")
    waiting: deque[tuple[list[Future[NDArray[np.uint8]]], NDArray[np.int64], NDArray[np.int64]]] = deque()
    try:
        for step in itertools.count(start):
            index, number, keys = plan(step)
            waiting.append(([pool.submit(one, i, key) for i, key in zip(index.tolist(), keys, strict=True)], index, number))
            if len(waiting) > AHEAD:
                reading, index, number = waiting.popleft()
                yield _batch(split, np.stack([image.result() for image in reading]), index, number)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
