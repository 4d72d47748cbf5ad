"""One part of an image data set: labels, captions, and images that are read when asked for or held in memory."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from runtime.prepare import Geometry, UnreadableImage, decode, fit

from . import draws
from .files import Files

MEMORY_LIMIT = 2 << 30  # bytes that one split's prepared images may take

log = logging.getLogger(__name__)


class Source(Protocol):
    """Where images come from, by row."""

    def read(self, row: int) -> NDArray[np.uint8]:
        """uint8 (h, w, 3) RGB."""

    def name(self, row: int) -> str:
        """What to call the image in a message."""


@dataclass(frozen=True)
class Encoded:
    """Image files."""

    files: Files
    names: tuple[str, ...]

    def read(self, row: int) -> NDArray[np.uint8]:
        try:
            return decode(self.files.read(self.names[row]))
        except (UnreadableImage, OSError) as error:
            raise UnreadableImage(f"{self.name(row)} cannot be read as an image: {error}. Repair or remove the file.") from error

    def name(self, row: int) -> str:
        return self.files.where(self.names[row])


@dataclass(frozen=True)
class Prepared:
    """Images already brought to one geometry.

    Args:
        pixels: uint8 (n, 3, h, w).
        names: of the images, for messages.
    """

    pixels: NDArray[np.uint8]
    geometry: Geometry
    names: tuple[str, ...]

    def read(self, row: int) -> NDArray[np.uint8]:
        return np.ascontiguousarray(self.pixels[row].transpose(1, 2, 0))  # (h, w, 3)

    def name(self, row: int) -> str:
        return self.names[row]


@dataclass(frozen=True)
class Split:
    """Labelled, captioned or bare images.

    Args:
        labels: int64 (n,), index into the data set's classes; -1 where unknown.
        source: where the images come from.
        rows: int64 (n,), the source's row of each image.
        captions: one for each image, or None.
    """

    labels: NDArray[np.int64]
    source: Source
    rows: NDArray[np.int64]
    captions: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, index: int) -> NDArray[np.uint8]:
        """Image `index` as uint8 (h, w, 3) RGB."""
        return self.source.read(int(self.rows[index]))

    def name(self, index: int) -> str:
        """What to call image `index` in a message."""
        return self.source.name(int(self.rows[index]))

    def select(self, indices: Sequence[int] | NDArray[np.integer]) -> Split:
        """The images at `indices`, in that order; nothing is read or copied but the labels."""
        chosen = np.asarray(indices, dtype=np.int64)
        captions = None if self.captions is None else tuple(self.captions[i] for i in chosen)
        return dataclasses.replace(self, labels=self.labels[chosen], rows=self.rows[chosen], captions=captions)

    def restrict(self, classes: Iterable[int]) -> Split:
        """The images whose label is one of `classes`; labels stay as they are."""
        return self.select(np.flatnonzero(np.isin(self.labels, list(classes))))

    def in_memory(self, geometry: Geometry, *, limit: int = MEMORY_LIMIT, workers: int | None = None) -> Split:
        """Read and fit every image once, with a progress bar.

        Returns:
            The same images held as uint8 (n, 3, h, w) in `pixels`; or this split unchanged if they would take more than
            `limit` bytes (then `pixels` stays None, and batches read from disk).
        """
        from tqdm import tqdm

        if isinstance(self.source, Prepared) and self.source.geometry == geometry:
            return self
        height, width = geometry.size
        needed = len(self) * 3 * height * width
        if needed > limit:
            log.info("%d images of %dx%d take %.1f GB, over the limit of %.1f GB: they stay on disk.",
                     len(self), height, width, needed / 1e9, limit / 1e9)  # fmt: skip
            return self
        pixels = np.empty((len(self), 3, height, width), np.uint8)

        def prepare(index: int) -> None:
            pixels[index] = fit(self.read(index), geometry).transpose(2, 0, 1)  # (3, h, w)

        with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
            for _ in tqdm(
                pool.map(prepare, range(len(self)), chunksize=64),
                total=len(self),
                desc="reading images",
                leave=False,
                disable=None,
            ):
                pass
        names = tuple(self.name(index) for index in range(len(self)))
        return dataclasses.replace(self, source=Prepared(pixels, geometry, names), rows=np.arange(len(self)))

    @property
    def pixels(self) -> NDArray[np.uint8] | None:
        """uint8 (n, 3, h, w) of an in-memory split, else None."""
        if not isinstance(self.source, Prepared):
            return None
        whole = len(self) == len(self.source.pixels) and bool((self.rows == np.arange(len(self))).all())
        return self.source.pixels if whole else self.source.pixels[self.rows]


def shuffled(names: Sequence[str], seed: int) -> NDArray[np.int64]:
    """Indices in an order drawn from the seed and each name alone, so that adding a file moves no other."""
    hashes = [hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest() for name in names]
    return np.array(sorted(range(len(names)), key=lambda i: (hashes[i], names[i])), np.int64)


def hold_out(
    names: Sequence[str], labels: NDArray[np.int64], fraction: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Part the images in two, class by class; a class of two or more images is in both.

    Returns:
        Indices kept and indices held out, each sorted.
    """
    assert 0 <= fraction < 1
    held = np.zeros(len(names), bool)
    if fraction > 0:
        order = shuffled(names, seed)
        by_class = order[np.argsort(labels[order], kind="stable")]
        for group in np.split(by_class, np.flatnonzero(np.diff(labels[by_class])) + 1):
            if len(group) > 1:
                held[group[: min(len(group) - 1, max(1, round(fraction * len(group))))]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def few_shot(split: Split, classes: Iterable[int], shots: int, seed: int) -> NDArray[np.int64]:
    """Indices of `shots` images of each class, drawn from the seed; a class with fewer gives all it has."""
    if shots < 1:
        raise ValueError(f"shots is {shots}; a few-shot subset needs at least one image of each class.")
    chosen = []
    for label in classes:
        members = np.flatnonzero(split.labels == label)
        if len(members) == 0:
            raise ValueError(f"No image has label {label}; a few-shot subset can be drawn from the split's own classes only.")
        chosen.append(np.sort(members[draws.permutation(len(members), seed, label)[:shots]]))
    return np.concatenate(chosen) if chosen else np.zeros(0, np.int64)
