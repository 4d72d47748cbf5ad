"""Features kept for fixed views are compared with the encoder run afresh on every batch."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import Tensor

from runtime.prepare import Geometry
from train.contract import Batch
from train.data.images import open_images
from train.methods.comkd_clip.feed import Feed

GEOMETRY = Geometry((16, 16), "crop", "bicubic")


def encode(image: Tensor) -> Tensor:
    """Differs with every pixel and place."""
    flat = image.flatten(1).double()
    return torch.stack([(flat * flat.new_tensor(range(flat.shape[1])).sin()).sum(1), flat.sum(1), flat[:, 5]], 1).float()


def refuse(image: Tensor) -> Tensor:
    raise AssertionError("the teacher ran though its features are kept")


def feed(photos: Path, seed: int = 0) -> Feed:
    return Feed(open_images(photos, seed=0).train, GEOMETRY, seed)


def features(
    feed: Feed, cache: Path | str, augment: str = "crop", start: int = 0, teacher: object = encode, digest: str = "a"
) -> Iterator[Batch]:
    return feed.with_features(7, augment, start, 2, teacher, digest, str(cache), torch.device("cpu"))  # type: ignore[arg-type]


@pytest.mark.parametrize("augment", ["none", "crop", "rrc"])
def test_kept_features_are_those_of_the_views_that_a_batch_shows(photos: Path, augment: str) -> None:
    seen = set()
    for batch in islice(features(feed(photos), "", augment), 15):
        torch.testing.assert_close(batch["teacher"], encode(batch["image"]))
        seen |= set(batch["view"].tolist())
    assert seen == {0, 1}


def test_features_on_disk_serve_another_run_of_another_seed(photos: Path, tmp_path: Path) -> None:
    first = next(features(feed(photos), tmp_path / "cache"))
    (file,) = (tmp_path / "cache").iterdir()
    assert file.suffix == ".npy"
    again = next(features(feed(photos), tmp_path / "cache", teacher=refuse))
    assert all(torch.equal(first[name], again[name]) for name in first)
    for batch in islice(features(feed(photos, seed=1), tmp_path / "cache", start=3, teacher=refuse), 3):
        torch.testing.assert_close(batch["teacher"], encode(batch["image"]))


def test_another_teacher_augmentation_or_set_of_images_has_a_file_of_its_own(photos: Path, tmp_path: Path) -> None:
    next(features(feed(photos), tmp_path))
    next(features(feed(photos), tmp_path, digest="b"))
    next(features(feed(photos), tmp_path, augment="flip"))
    fewer = feed(photos)
    next(features(Feed(fewer.split.select(range(9)), GEOMETRY, 0), tmp_path))
    assert len(list(tmp_path.iterdir())) == 4


def test_images_come_in_order_in_memory_and_from_disk(photos: Path) -> None:
    rows = torch.tensor([3, 0, 3])
    held = feed(photos)
    every, some = torch.cat(list(held.images()())), torch.cat(list(held.images()(rows)))
    assert len(every) == len(held) and torch.equal(some, every[rows])
    split = open_images(photos, seed=0).train
    assert held.split.pixels is not None
    read = Feed(split, GEOMETRY, 0)
    read._held = split  # as where the images would not fit in memory
    assert torch.equal(torch.cat(list(read.images()(rows))), some)
