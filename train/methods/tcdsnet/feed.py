"""Batches of training episodes: a function of the seed and the step."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from runtime.prepare import Geometry
from train.blocks.gather import rank, world_size
from train.contract import Batch
from train.data import draws
from train.data.augment import augment_image, augment_pixels
from train.data.episodes import Episodes
from train.data.loader import SCALE
from train.data.split import Prepared, Split

_AUGMENT = 44  # first part of the keys here


def batches(
    split: Split,
    geometry: Geometry,
    *,
    ways: int,
    shots: Sequence[int],
    queries: int,
    each: int,
    augment: str,
    seed: int,
    start: int,
) -> Iterator[Batch]:
    """This process's episodes of every step from `start` on.

    Args:
        shots: of step after step, in turn.
        each: episodes of a step; a multiple of the number of processes.

    Returns:
        "image": uint8 (episodes, ways, shots + queries, 3, h, w), the shots of a class first.
    """
    mine, left = divmod(each, world_size())
    if left:
        raise ValueError(f"{each} episodes a step cannot be shared by {world_size()} processes; give a multiple of it")
    samplers = [Episodes(split.labels, ways=ways, shots=shot, queries=queries, seed=seed) for shot in shots]
    for step in itertools.count(start):
        sampler = samplers[step % len(samplers)]
        found = []
        for number in range(step * each + rank() * mine, step * each + (rank() + 1) * mine):
            episode = sampler.draw(number)
            rows = np.concatenate([episode.support, episode.query], 1)  # (ways, shots + queries)
            keys = draws.key(_AUGMENT, seed, number, np.arange(rows.size))
            found.append(_images(split, geometry, rows.ravel(), augment, keys).reshape(*rows.shape, 3, *geometry.size))
        yield {"image": torch.from_numpy(np.stack(found))}


def _images(split: Split, geometry: Geometry, rows: np.ndarray, augment: str, keys: np.ndarray) -> np.ndarray:
    """(n, 3, h, w)"""
    if isinstance(split.source, Prepared):
        return augment_pixels(split.source.pixels[split.rows[rows]], augment, keys)
    return np.stack(
        [augment_image(split.read(int(row)), geometry, augment, key, SCALE) for row, key in zip(rows, keys, strict=True)]
    )
