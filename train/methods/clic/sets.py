"""What a run trains on and is measured by: photographs without labels, and images with people's ratings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from train.data.complexity import Rated, has_ratings, rated
from train.data.complexity_scenes import complexity_scenes
from train.data.files import is_image, open_files
from train.data.photos import Photos, PhotoSets, open_photos
from train.data.split import Encoded, Split, hold_out

from .config import Config

TEST_SEED = 20_240  # of drawn test images and of partings: the same for every seed of training
PARTS = ("train", "val", "test")
HELD_OUT = 0.1  # part of the rated training images that is val


@dataclass(frozen=True)
class Sets:
    """Photographs by part, and rated images by part where there are any."""

    photos: PhotoSets
    rated: dict[str, Rated] | None


def open_sets(config: Config, data: Path | None) -> Sets:
    """Photographs below `data` and `further`, ratings of `rated`; `data` may be rated itself; None draws both.

    Raises:
        FileNotFoundError, ValueError: there is nothing there, too little, or ratings that do not hold.
    """
    own = ratings(config, data)
    if data is None:
        drawn = _drawn(config)
        photos = PhotoSets(of_rated(drawn["train"]), of_rated(drawn["val"]), {"scenes": of_rated(drawn["test"])})
    elif has_ratings(data):
        given = parts(config, rated(data))
        photos = PhotoSets(of_rated(given["train"]), of_rated(given["val"]), {"rated": of_rated(given["test"])})
    else:
        photos = open_photos(data, held_out=config.held_out)
    photos = replace(photos, train=joined([photos.train, *(_all(Path(path)) for path in config.further)]))
    return Sets(photos, own)


def ratings(config: Config, data: Path | None) -> dict[str, Rated] | None:
    """The rated images that measures are taken on: data's own before those of `rated`; None where there are none."""
    if data is not None and has_ratings(data):
        return parts(config, rated(data))
    if config.rated:
        return parts(config, rated(Path(config.rated)))
    return _drawn(config) if data is None else None


def parts(config: Config, found: dict[str, Rated]) -> dict[str, Rated]:
    """train, val and test of rated images, parted by name within each category.

    A part "test" of the data's own stays it. Else, with head_categories, all other categories are test; without, and where a head
    is trained, a share of each category. Where no head is trained no rating is used, and all are test.
    """
    train = found.get("train", found.get("all"))
    if train is None:
        raise ValueError("the rated images have a test part and no train part; give train.txt too")
    test = found.get("test")
    if config.head_categories:
        unknown = sorted(set(config.head_categories) - set(train.categories))
        if unknown:
            known = ", ".join(sorted(set(train.categories)))
            raise ValueError(f"head_categories names {', '.join(unknown)}, which no rated image is of; there are {known}")
        inside = np.isin(train.categories, config.head_categories)
        test = test or some(train, np.flatnonzero(~inside))
        train = some(train, np.flatnonzero(inside))
        if not len(test):
            raise ValueError("head_categories names every category, which leaves none to test on; leave one out")
    elif test is None and config.score_head == "none":
        test = train
    elif test is None:
        train, test = parted(train, config.rated_test)
    train, val = parted(train, HELD_OUT)
    return {"train": train, "val": val, "test": test}


def parted(images: Rated, share: float) -> tuple[Rated, Rated]:
    """Images kept and a share of each category that is held out, the same for every seed of training."""
    kept, held = hold_out(images.names, labels(images), share, TEST_SEED)
    return some(images, kept), some(images, held)


def labels(images: Rated) -> NDArray[np.int64]:
    """The categories as numbers."""
    return np.unique(images.categories, return_inverse=True)[1].astype(np.int64)


@dataclass(frozen=True)
class _Rows:
    """Some rows of a source, in an order of their own."""

    images: Rated
    rows: NDArray[np.int64]

    def read(self, row: int) -> NDArray[np.uint8]:
        return self.images.image(int(self.rows[row]))

    def name(self, row: int) -> str:
        return self.images.source.name(int(self.rows[row]))


def some(images: Rated, rows: NDArray[np.int64]) -> Rated:
    """The images at `rows`, in that order."""
    names, categories = (tuple(values[row] for row in rows) for values in (images.names, images.categories))
    return Rated(names, images.scores[rows], categories, _Rows(images, rows))


def split(images: Rated) -> Split:
    """The images as a part that batches are made of; the label is the category."""
    return Split(labels(images), images.source, np.arange(len(images)))


def of_rated(images: Rated) -> Photos:
    """Rated images without their ratings."""
    return Photos(images.names, images.image)


def joined(groups: list[Photos]) -> Photos:
    """The photographs of all groups, one after the other."""
    if len(groups) == 1:
        return groups[0]
    where = [(group, number) for group in groups for number in range(len(group))]
    names = tuple(f"{at}/{name}" for at, group in enumerate(groups) for name in group.names)
    return Photos(names, lambda number: where[number][0].read(where[number][1]))


def _all(path: Path) -> Photos:
    """Every image below a folder or in a zip."""
    files = open_files(path)
    names = tuple(name for name in files.names if is_image(name))
    if not names:
        raise ValueError(f"further={path} holds no image; give a folder or a zip of photographs")
    return Photos(names, Encoded(files, names).read)


def _drawn(config: Config) -> dict[str, Rated]:
    """Images of known complexity: those of test do not depend on the seed."""
    counts = config.scenes, max(config.scenes // 4, 20), max(config.scenes, 20)
    seeds = 2 * config.seed, 2 * config.seed + 1, TEST_SEED
    return {
        part: complexity_scenes(count, size=config.scene_size, seed=seed)
        for part, count, seed in zip(PARTS, counts, seeds, strict=True)
    }
