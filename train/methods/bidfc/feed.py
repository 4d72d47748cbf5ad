"""Batches of views of windows: functions of the seed and the step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from train.blocks.gather import rank, world_size
from train.contract import Batch
from train.data import draws, loader
from train.data.sar_augment import Augment, view_keys, views

from .config import Config
from .discrimination import Plan
from .parts import Part

_EPOCH, _SOME = 52, 54  # first parts of the keys here


def augment(config: Config) -> Augment:
    """What the views of pretraining differ by."""
    return Augment(
        scale=(config.scale, 1.0),
        flip=config.flip,
        turn=config.rotation,
        turn_share=config.rotation_share,
        jitter=config.jitter,
        jitter_share=config.jitter_share,
        noise=config.noise,
        noise_share=config.noise_share,
        looks=config.looks,
        speckle_share=config.speckle_share,
    )


def pretraining(part: Part, config: Config, plan: Plan, start: int) -> Iterator[Batch]:
    """This process's share of every batch of pretraining, from step `start` on; every batch is of distinct chips.

    Returns:
        Dicts of "chip", the views: of discrimination (b, 1, h, w), of the variance (b, K, 1, h, w), of a baseline's contrast
        (b, 2, 1, h, w); "instance" (b,), each row's place in the global batch; "turn" and "weight", (1,), of discrimination only.
    """
    first, share = _share(config.batch, "batch")

    def rows(batch: int) -> NDArray[np.int64]:
        epoch, place = divmod(batch, plan.batches)
        begin = place * config.batch + first
        return draws.permutation(len(part), _EPOCH, config.seed, epoch)[begin : begin + share]

    def seen(batch: int, numbers: range) -> Tensor:
        """Views `numbers` of a batch's chips: (b, V, 1, h, w)"""
        chosen = torch.from_numpy(part.pixels[rows(batch)]).repeat_interleave(len(numbers), 0)
        keys = np.stack([view_keys(config.seed, batch, share, number, first) for number in numbers], 1).reshape(-1)
        found = views(chosen, keys, config.size, augment(config))  # (b V, 1, h, w)
        return found.reshape(share, len(numbers), *found.shape[1:])

    def at(step: int) -> Batch:
        instance = torch.arange(first, first + share)
        if config.pretraining != "bidfc":
            return {"chip": seen(step, range(2)), "instance": instance}
        batch, turn = plan.place(step)
        if turn < plan.repeats:
            chip = seen(batch, range(turn, turn + 1))[:, 0]
        else:
            chip = seen(batch, range(plan.repeats, 2 * plan.repeats))
        return {"chip": chip, "instance": instance, "turn": torch.tensor([turn]), "weight": torch.tensor([plan.weight(batch)])}

    return loader.ahead(at, start, workers=1)


def labelled(part: Part, config: Config, start: int) -> Iterator[Batch]:
    """This process's share of every batch of labelled chips, from step `start` on: "chip" (b, 1, h, w) and "label" (b,)."""
    first, share = _share(config.label_batch, "label_batch")
    seed = 2 * config.seed + 1  # views of its own
    how = replace(
        augment(config), scale=(1.0, 1.0), turn=config.label_rotation, turn_share=config.label_rotation_share,
        jitter_share=0.0, noise_share=0.0, speckle_share=0.0,
    )  # fmt: skip

    def at(step: int) -> Batch:
        begin = step * config.label_batch + first
        rows, _ = loader.order(len(part), config.seed, begin, begin + share)
        chip = views(torch.from_numpy(part.pixels[rows]), view_keys(seed, step, share, 0, first), config.size, how)
        return {"chip": chip, "label": torch.from_numpy(part.labels[rows])}

    return loader.ahead(at, start, workers=1)


def some(count: int, least: int) -> NDArray[np.int64]:
    """`least` of `count` rows in a mixed order, the same in every run."""
    return draws.permutation(count, _SOME)[:least]


def _share(batch: int, field: str) -> tuple[int, int]:
    """Where this process's rows of a batch begin, and how many they are."""
    world = world_size()
    if batch % world:
        raise ValueError(f"{field}={batch} cannot be shared by {world} processes; give a multiple of {world}")
    return rank() * (batch // world), batch // world
