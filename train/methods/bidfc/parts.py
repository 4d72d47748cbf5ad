"""What is trained on, what is held out of it, and what is tested on: windows of chips, in memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from train.data import draws
from train.data.sar import Chips, chips, labelled, windows

from .config import Config

_VAL = 53  # first part of the keys here
LEAST = 3  # training chips of a class: one for validation, two to learn from


@dataclass(frozen=True)
class Part:
    """Windows with their labels.

    Args:
        pixels: uint8 or float32 (n, side, side).
        labels: int64 (n,), index of the trained classes; -1 for a class that was held out.
    """

    pixels: NDArray[np.uint8] | NDArray[np.float32]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Part:
        return Part(self.pixels[rows], self.labels[rows])

    def middle(self, size: int) -> Part:
        """What a device cuts from the middle of the same chips."""
        edge = (self.pixels.shape[1] - size) // 2
        return Part(self.pixels[:, edge : edge + size, edge : edge + size], self.labels)


@dataclass(frozen=True)
class Parts:
    """Training chips of the trained classes, those held out of training (with all of the classes that are), test chips."""

    classes: tuple[str, ...]
    train: Part
    val: Part
    test: Part

    def labelled(self, labels: float, seed: int) -> NDArray[np.int64]:
        """Rows of `train` that have a label: as many of each class. A part below 1 counts the chips of `val` too."""
        known = len(self.train) + int((self.val.labels >= 0).sum())
        count = round(labels * known) if labels < 1 else int(labels)
        if not len(self.classes) <= count <= len(self.train):
            raise ValueError(
                f"labels={labels:g} was given, which is {count} of {len(self.train)} training chips; expected at least one for "
                f"each of {len(self.classes)} classes, and no more than there are"
            )
        return labelled(self.train.labels, count, seed)


def open_parts(config: Config, data: Path | None) -> Parts:
    """Read all chips of a data set, parted.

    Validation chips are the same for every seed, so that a run which starts from another's encoder holds out what that one did.

    Raises:
        ValueError: `held_out` names a class that is not there, or fewer than two classes or too few chips are left.
    """
    found = chips(data, scenes=config.scenes, scene_size=max(config.window, 48))  # seed 0 parts them, whatever training's seed
    train, test = found["train"], found["test"]
    strange = [name for name in config.held_out if name not in train.classes]
    if strange:
        raise ValueError(f"held_out={','.join(strange)} was given; the classes are: {', '.join(train.classes)}")
    classes = tuple(name for name in train.classes if name not in config.held_out)
    if len(classes) < 2:
        raise ValueError(f"{len(classes)} classes are left to train on; expected 2 at least, so hold out fewer")
    places = np.array([classes.index(name) if name in classes else -1 for name in train.classes])
    held = _held(places[train.labels], config.val, classes)
    read = _part(train, places, config)
    return Parts(classes, read.select(~held), read.select(held), _part(test, places, config))


def _held(labels: NDArray[np.int64], share: float, classes: tuple[str, ...]) -> NDArray[np.bool_]:
    """Which training chips are for validation: a share of each trained class, one at least, and all of the others."""
    held = labels < 0
    for label, name in enumerate(classes):
        rows = np.flatnonzero(labels == label)
        if len(rows) < LEAST:
            raise ValueError(f"the class {name!r} has {len(rows)} training chips; expected {LEAST} at least")
        count = max(round(share * len(rows)), 1)
        held[rows[draws.permutation(len(rows), _VAL, label)[:count]]] = True
    return held


def _part(of: Chips, places: NDArray[np.int64], config: Config) -> Part:
    pixels = windows(of, config.size, "resize") if config.crop == "resize" else windows(of, config.window)
    return Part(pixels, places[of.labels])
