"""Pairs of views: a photograph, and a mosaic of its own crops or the photograph again; a function of seed and step."""

from __future__ import annotations

import functools
import itertools
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from runtime.prepare import resize
from train.blocks.gather import rank, world_size
from train.contract import Batch
from train.data import draws
from train.data.augment import rrc_box
from train.data.entropy import ENTROPIES
from train.data.loader import AHEAD, order
from train.data.photometric import JITTER, blur, flip, jitter, noise, rotate
from train.data.photos import Photos

from .config import Config
from .mosaics import mosaic

COLOURS = ((0.4, 0.4, 0.4, 0.1), 0.8)  # of a view: brightness, contrast, saturation, hue, and share; loader.py
SHARPEST, BLURRED = 0.1, 0.5  # smallest deviation of the blur, and share
TURN, TURNED = 30.0, 0.5  # degrees of a key, and share
NOISE, NOISY = 25 / 255, 0.5  # deviation of a key's noise, and share
NUMBERS = JITTER + 7  # that `changed` takes of each row
_QUERY, _KEY, _MOSAIC, _COLOURS = 63, 64, 65, 66  # first parts of the keys here


class Pair(NamedTuple):
    """Two views of one photograph, uint8 (3, size, size), and the entropy that the first should tell."""

    query: NDArray[np.uint8]
    key: NDArray[np.uint8]
    entropy: float


def batches(photos: Photos, config: Config, start: int) -> Iterator[Batch]:
    """This process's rows of every batch from step `start` on.

    Returns:
        "query" and "key": uint8 (rows, 3, size, size), cut and resized; "query_numbers" and "key_numbers": (rows, NUMBERS) in [0, 1)
        for their colours; "entropy": (rows,), nats.
    """
    share, left = divmod(config.batch, world_size())
    if left:
        raise ValueError(f"The batch of {config.batch} rows cannot be shared by {world_size()} processes; give a multiple of it.")
    entropy = (
        functools.cache(lambda number: ENTROPIES[config.entropy](photos.read(number))) if config.entropy_of == "photo" else None
    )

    def one(number: int, place: int) -> Pair:
        return _pair(photos.read(number), config, place, None if entropy is None else entropy(number))

    waiting: deque[tuple[NDArray[np.int64], list[Future[Pair]]]] = deque()
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1), thread_name_prefix="views") as pool:
        for step in itertools.count(start):
            places = step * config.batch + rank() * share + np.arange(share)
            numbers = order(len(photos), config.seed, int(places[0]), int(places[-1]) + 1)[0]
            waiting.append((places, [pool.submit(one, int(n), int(place)) for n, place in zip(numbers, places, strict=True)]))
            if len(waiting) > AHEAD:
                yield _batch(config.seed, *waiting.popleft())


def _batch(seed: int, places: NDArray[np.int64], reading: list[Future[Pair]]) -> Batch:
    pairs = [pair.result() for pair in reading]
    query, key = (draws.uniforms(draws.key(_COLOURS, seed, places, side), NUMBERS).astype(np.float32) for side in (0, 1))
    return {
        "query": torch.from_numpy(np.stack([pair.query for pair in pairs])),
        "key": torch.from_numpy(np.stack([pair.key for pair in pairs])),
        "query_numbers": torch.from_numpy(query),
        "key_numbers": torch.from_numpy(key),
        "entropy": torch.tensor([pair.entropy for pair in pairs], dtype=torch.float32),
    }


def _pair(photo: NDArray[np.uint8], config: Config, place: int, entropy: float | None) -> Pair:
    """One row of a batch; `entropy` is the whole photograph's, None where the view's own is wanted."""
    query, key, mixed = (np.uint64(draws.key(part, config.seed, place)) for part in (_QUERY, _KEY, _MOSAIC))
    first = _cut(photo, config, query)
    other = photo if config.positives == "aug" else mosaic(photo, config.positives, config.crops, mixed)
    told = ENTROPIES[config.entropy](first) if entropy is None else entropy
    return Pair(_resized(first, config.size), _resized(_cut(other, config, key), config.size), told)


def _cut(image: NDArray[np.uint8], config: Config, key: np.uint64) -> NDArray[np.uint8]:
    top, left, h, w = rrc_box(key, image.shape[0], image.shape[1], (config.crop_low, 1.0))
    return np.ascontiguousarray(image[top : top + h, left : left + w])


def _resized(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    return resize(image, (size, size)).transpose(2, 0, 1)


def changed(images: Tensor, numbers: Tensor, softest: float, *, key: bool) -> Tensor:
    """The changes of a view after its cut: jitter, blur, flip; of a key also upside down, turned, noisy.

    Args:
        images: uint8 (n, 3, h, w).
        numbers: (n, NUMBERS).
        softest: largest deviation of the blur, pixels.

    Returns:
        float32 in 0..1.
    """
    with torch.autocast(images.device.type, enabled=False):
        maps = jitter(images.float() / 255, numbers[:, :JITTER], *COLOURS)
        left = numbers[:, JITTER:]  # (n, 7)
        maps = flip(blur(maps, left[:, :2], (min(SHARPEST, softest), softest), BLURRED), left[:, 2], 3)
        if not key:
            return maps
        return noise(rotate(flip(maps, left[:, 3], 2), left[:, 4:6], TURN, TURNED), left[:, 6], NOISE, NOISY)
