"""Things as a point cloud and as pictures, in parts that never share a thing; without a path, parametric families drawn here.

Retrieval is measured as DSAH and UCCH do: queries are things of `test`, the database is `train`; what is chosen by a score is
chosen on `val`. `conditions` holds the things of `test` in pictures of held-out conditions, `unseen` families that were never
trained on (its `halves` are queries and database).
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from runtime import clouds

from . import cad, draws
from .cad_parts import Mesh
from .rendering import HELD_OUT, TRAIN, picture, random_view

OVERSAMPLE = 4  # points that a surface is sampled in for each that is kept, as runtime.clouds.read_cloud does
MEMORY_LIMIT = 4 << 30  # bytes that one part may take
TEST_SEED = 20_240  # the things of test are the same for every seed
_INSTANCE, _VIEW = 12, 13  # first parts of the keys here
_TRAIN, _VAL, _TEST = 1, 2, 3

log = logging.getLogger(__name__)


class Source(Protocol):
    """Where clouds and pictures come from, by row."""

    def cloud(self, row: int) -> NDArray[np.float32]:
        """float32 (points, 3), centred, largest norm 1."""

    def image(self, row: int, view: int) -> NDArray[np.uint8]:
        """uint8 (size, size, 3) RGB."""

    def name(self, row: int) -> str:
        """What to call the thing in a message."""


@dataclass(frozen=True)
class Held:
    """Clouds and pictures in memory.

    Args:
        clouds: float32 (n, points, 3).
        images: uint8 (n, views, size, size, 3).
        names: of the things.
    """

    clouds: NDArray[np.float32]
    images: NDArray[np.uint8]
    names: tuple[str, ...]

    def cloud(self, row: int) -> NDArray[np.float32]:
        return self.clouds[row]

    def image(self, row: int, view: int) -> NDArray[np.uint8]:
        return self.images[row, view]

    def name(self, row: int) -> str:
        return self.names[row]


@dataclass(frozen=True)
class Shapes:
    """Things with a label each.

    Args:
        labels: int64 (n,), index of `families`.
        families: names of all classes, those of other parts too.
        source: where clouds and pictures come from.
        rows: int64 (n,), the source's row of each thing.
        points: of a cloud.
        size: side of a picture in pixels.
        views: pictures of each thing.
    """

    labels: NDArray[np.int64]
    families: tuple[str, ...]
    source: Source
    rows: NDArray[np.int64]
    points: int
    size: int
    views: int

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.source.name(int(row)) for row in self.rows)

    def cloud(self, index: int) -> NDArray[np.float32]:
        """The cloud of thing `index`, float32 (points, 3), centred on its mean, largest norm 1."""
        return self.source.cloud(int(self.rows[index]))

    def image(self, index: int, view: int) -> NDArray[np.uint8]:
        """Picture `view`, 0 to views - 1, of thing `index`, uint8 (size, size, 3) RGB."""
        if not 0 <= view < self.views:
            raise IndexError(f"There is no view {view}: each thing has {self.views}.")
        return self.source.image(int(self.rows[index]), view)

    def select(self, indices: Sequence[int] | NDArray[np.integer]) -> Shapes:
        """The things at `indices`, in that order; nothing is read."""
        chosen = np.asarray(indices, np.int64)
        return dataclasses.replace(self, labels=self.labels[chosen], rows=self.rows[chosen])

    def halves(self) -> tuple[Shapes, Shapes]:
        """Every other thing of each family, and the others: queries and database where there is no training part."""
        odd = np.zeros(len(self), bool)
        for label in np.unique(self.labels):
            odd[np.flatnonzero(self.labels == label)[1::2]] = True
        return self.select(np.flatnonzero(~odd)), self.select(np.flatnonzero(odd))

    def in_memory(self, *, limit: int = MEMORY_LIMIT, workers: int | None = None) -> Shapes:
        """Make or read every cloud and picture once, with a progress bar.

        Returns:
            The same things, held in `clouds` and `images`; or these unchanged if they would take more than `limit` bytes.
        """
        from tqdm import tqdm

        if isinstance(self.source, Held):
            return self
        needed = len(self) * (self.points * 12 + self.views * self.size * self.size * 3)
        if needed > limit:
            log.info("%d things with %d views of %d pixels take %.1f GB, over the limit of %.1f GB: they are made when asked for.",
                     len(self), self.views, self.size, needed / 1e9, limit / 1e9)  # fmt: skip
            return self
        held = Held(
            np.empty((len(self), self.points, 3), np.float32),
            np.empty((len(self), self.views, self.size, self.size, 3), np.uint8),
            self.names,
        )

        def fill(index: int) -> None:
            held.clouds[index] = self.cloud(index)
            for view in range(self.views):
                held.images[index, view] = self.image(index, view)

        with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
            for _ in tqdm(pool.map(fill, range(len(self))), total=len(self), desc="making shapes", leave=False, disable=None):
                pass
        return dataclasses.replace(self, source=held, rows=np.arange(len(self)))

    @property
    def clouds(self) -> NDArray[np.float32] | None:
        """float32 (n, points, 3) where they are in memory, else None."""
        return self.source.clouds[self._taken] if isinstance(self.source, Held) else None

    @property
    def images(self) -> NDArray[np.uint8] | None:
        """uint8 (n, views, size, size, 3) where they are in memory, else None."""
        return self.source.images[self._taken] if isinstance(self.source, Held) else None

    @property
    def _taken(self) -> slice | NDArray[np.int64]:
        """The rows; a slice, which copies nothing, where they are all of what is held."""
        assert isinstance(self.source, Held)
        whole = len(self) == len(self.source.names) and bool((self.rows == np.arange(len(self))).all())
        return slice(None) if whole else self.rows


@dataclass(frozen=True)
class ShapeSets:
    """The parts of a data set; no thing is in two of them, but those of `conditions` are those of `test`.

    Args:
        train: what is trained on, and the database of the queries in test.
        val: things of the training families, for choosing by a score.
        test: queries.
        conditions: test in pictures of held-out conditions; None where pictures come with the data.
        unseen: families that are in no other part; None where there are none.
        notes: what was decided in making the parts.
    """

    name: str
    train: Shapes
    val: Shapes
    test: Shapes
    conditions: Shapes | None
    unseen: Shapes | None
    notes: tuple[str, ...] = ()


def cloud_of(mesh: Mesh, points: int) -> NDArray[np.float32]:
    """A mesh as the runtime makes a cloud of a mesh file: sampled by area, thinned, normalised, (points, 3)."""
    surface = clouds.sample_surface(mesh.vertices.astype(np.float64), mesh.faces.astype(np.int64), points * OVERSAMPLE)
    return clouds.normalise(clouds.resample(surface, points))


@functools.lru_cache(maxsize=32)  # a cloud and several views are made of a mesh, one after the other
def _mesh(family: str, seed: int) -> Mesh:
    return cad.build(family, seed)


@dataclass(frozen=True)
class Drawn:
    """A source of parametric things.

    Args:
        families, seeds: of each row, as in cad.build.
        conditions: of the pictures, as in rendering.random_view.
        part: first word of the names.
    """

    families: tuple[str, ...]
    seeds: tuple[int, ...]
    points: int
    size: int
    conditions: str
    part: str

    def cloud(self, row: int) -> NDArray[np.float32]:
        return cloud_of(_mesh(self.families[row], self.seeds[row]), self.points)

    def image(self, row: int, view: int) -> NDArray[np.uint8]:
        key = np.uint64(draws.key(_VIEW, self.seeds[row], view))
        return picture(_mesh(self.families[row], self.seeds[row]), random_view(key, self.conditions), self.size)

    def name(self, row: int) -> str:
        return f"{self.families[row]}/{self.part}/{row}"


def open_shapes(
    path: Path | None,
    *,
    seed: int,
    size: int = 64,
    points: int = 1024,
    views: int = 4,
    train: int = 96,
    val: int = 8,
    test: int = 24,
    unseen: Sequence[str] | None = None,
    held_out: float = 0.05,
    up: str = "",
) -> ShapeSets:
    """Open a data set of things, or the embedded one.

    Args:
        path: a folder or a zip in one of the layouts of shape_files; None draws parametric families.
        seed: of what is drawn, and of what is held out; test is the same for every seed.
        size: side of the pictures in pixels.
        points: of the clouds.
        views: pictures of each thing.
        train, val, test: things of each family, if they are drawn.
        unseen: families that are held back from training; None is cad.UNSEEN of what is drawn, and none of files.
        held_out: part of the training things kept for validation, where the data has no part for it.
        up: the axis that is up in the files, "y" or "z"; "" is z for ModelNet40's .off files and y otherwise.

    Raises:
        FileNotFoundError: there is no such folder or zip.
        ValueError: it holds none of the layouts, or too few things.
    """
    if size < 8 or points < 1 or views < 1:
        raise ValueError(f"size={size}, points={points}, views={views} were given; expected at least 8, 1 and 1.")
    if up not in ("", "y", "z"):
        raise ValueError(f"up={up!r} was given; expected y or z.")
    if path is None:
        return _drawn(seed, size, points, views, (train, val, test), cad.UNSEEN if unseen is None else tuple(unseen))
    from .shape_files import Wanted, open_files_of_shapes

    return open_files_of_shapes(path, Wanted(seed, size, points, views, held_out, tuple(unseen or ())), up)


def _drawn(seed: int, size: int, points: int, views: int, each: tuple[int, int, int], unseen: tuple[str, ...]) -> ShapeSets:
    unknown = sorted(set(unseen) - set(cad.FAMILIES))
    if unknown:
        raise ValueError(f"There is no family {unknown[0]!r} to hold back. Known: {', '.join(cad.FAMILIES)}.")
    held = tuple(sorted(set(unseen)))
    known = tuple(family for family in cad.FAMILIES if family not in held)
    families = known + held
    if not known or min(each) < 1:
        raise ValueError(f"{len(known)} families with {each} things in train, val and test; expected at least 1 of each.")

    def part(name: str, count: int, key: tuple[int, int], chosen: tuple[str, ...], conditions: str = TRAIN) -> Shapes:
        labels = np.arange(count * len(chosen)) % len(chosen) + families.index(chosen[0])
        seeds = draws.key(_INSTANCE, *key, np.arange(len(labels))).tolist()
        source = Drawn(tuple(families[label] for label in labels), tuple(seeds), points, size, conditions, name)
        return Shapes(labels, families, source, np.arange(len(labels)), points, size, views)

    queries = (_TEST, TEST_SEED)
    return ShapeSets(
        "cad",
        part("train", each[0], (_TRAIN, seed), known),
        part("val", each[1], (_VAL, seed), known),
        part("test", each[2], queries, known),
        part("test", each[2], queries, known, HELD_OUT),
        part("unseen", each[2], (_TEST, TEST_SEED + 1), held) if held else None,
        (f"parametric families, drawn when asked for; never trained on: {', '.join(held) or 'none'}",),
    )
