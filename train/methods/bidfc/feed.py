"""Batches of windows and what their views are drawn from: functions of the seed and the step."""

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
        Dicts of "window" (b, side, side) and "keys" (b, V) of the views that `seen` makes of it: one in a step of discrimination, K in
        one of the variance, 2 for a baseline's contrast; "instance" (b,), each row's place in the global batch; of discrimination
        "last", (1,), in the last of a batch's steps only; and of the variance "weight", (1,).
    """
    first, share = _share(config.batch, "batch")

    def rows(batch: int) -> NDArray[np.int64]:
        epoch, place = divmod(batch, plan.batches)
        begin = place * config.batch + first
        return draws.permutation(len(part), _EPOCH, config.seed, epoch)[begin : begin + share]

    def given(batch: int, numbers: range) -> Batch:
        keys = torch.stack([view_keys(config.seed, batch, share, number, first) for number in numbers], 1)
        return {
            "window": torch.from_numpy(part.pixels[rows(batch)]),
            "keys": keys,
            "instance": torch.arange(first, first + share),
        }

    def at(step: int) -> Batch:
        if config.pretraining != "bidfc":
            return given(step, range(2))
        batch, turn = plan.place(step)
        if turn == plan.repeats:
            return given(batch, range(plan.repeats, 2 * plan.repeats)) | {"weight": torch.tensor([plan.weight(batch)])}
        return given(batch, range(turn, turn + 1)) | ({"last": torch.ones(1)} if turn == plan.repeats - 1 else {})

    return loader.ahead(at, start, workers=1)


def seen(batch: Batch, config: Config, how: Augment) -> Tensor:
    """The views of a batch, made where its windows lie: (b, V, 1, h, w)"""
    windows, keys = batch["window"], batch["keys"]
    found = views(windows.repeat_interleave(keys.shape[1], 0), keys.flatten(), config.size, how)  # (b V, 1, h, w)
    return found.reshape(*keys.shape, *found.shape[1:])


def labelled(part: Part, config: Config, start: int) -> Iterator[Batch]:
    """This process's share of every batch of labelled chips, from step `start` on: "window" (b, side, side), the "keys" (b, 1) of one view
    of each, and "label" (b,)."""
    first, share = _share(config.label_batch, "label_batch")
    seed = 2 * config.seed + 1  # views of its own

    def at(step: int) -> Batch:
        begin = step * config.label_batch + first
        rows, _ = loader.order(len(part), config.seed, begin, begin + share)
        keys = view_keys(seed, step, share, 0, first)[:, None]
        return {
            "window": torch.from_numpy(part.pixels[rows]),
            "keys": keys,
            "label": torch.from_numpy(part.labels[rows]),
        }

    return loader.ahead(at, start, workers=1)


def label_augment(config: Config) -> Augment:
    """What the views of training with labels differ by."""
    return replace(
        augment(config), scale=(1.0, 1.0), turn=config.label_rotation, turn_share=config.label_rotation_share,
        jitter_share=0.0, noise_share=0.0, speckle_share=0.0,
    )  # fmt: skip


def some(count: int, least: int) -> NDArray[np.int64]:
    """`least` of `count` rows in a mixed order, the same in every run."""
    return draws.permutation(count, _SOME)[:least]


def _share(batch: int, field: str) -> tuple[int, int]:
    """Where this process's rows of a batch begin, and how many they are."""
    world = world_size()
    if batch % world:
        raise ValueError(f"{field}={batch} cannot be shared by {world} processes; give a multiple of {world}")
    return rank() * (batch // world), batch // world
