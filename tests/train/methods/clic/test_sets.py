"""What a run is given against what lies on disk: parts that share no image, folders, ratings, mistakes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from runtime.prepare import UnreadableImage
from train.methods.clic.config import SMOKE
from train.methods.clic.method import CLIC
from train.methods.clic.sets import open_sets

LABEL_FREE = dataclasses.replace(SMOKE, score_head="none")
CATEGORIES = ("indoors", "objects")


def write(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, (24, 20, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs: alpha, 16 bits and grey among them."""
    root = tmp_path_factory.mktemp("photos")
    for number in range(12):
        write(root / f"{number}.png", number)
    generator = np.random.default_rng(0)
    assert cv2.imwrite(str(root / "alpha.png"), generator.integers(0, 256, (20, 20, 4), dtype=np.uint8))
    assert cv2.imwrite(str(root / "deep.png"), generator.integers(0, 65536, (20, 20, 3), dtype=np.uint16))
    assert cv2.imwrite(str(root / "grey.png"), np.full((20, 20), 9, np.uint8))
    assert cv2.imwrite(str(root / "dot.png"), np.full((1, 1, 3), 9, np.uint8))
    return root


@pytest.fixture(scope="module")
def savoias(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("savoias")
    for at, category in enumerate(CATEGORIES):
        lines = [f"{number}.png,{5 * number}" for number in range(20)]
        for number in range(20):
            write(root / category / f"{number}.png", 100 * at + number)
        (root / f"{category}.csv").write_text("image,complexity\n" + "\n".join(lines) + "\n")
    return root


def test_rated_parts_share_no_image_and_every_category_is_in_each(savoias: Path) -> None:
    found = open_sets(SMOKE, savoias)
    assert found.rated is not None
    names = [set(found.rated[part].names) for part in ("train", "val", "test")]
    assert [len(part) for part in names] == [26, 2, 12] and len(set.union(*names)) == 40
    assert all(set(part.categories) == set(CATEGORIES) for part in found.rated.values())
    assert set(found.photos.train.names) == names[0]
    image = found.rated["test"].image(3)
    whole = open_sets(LABEL_FREE, savoias).rated
    assert whole is not None and np.array_equal(
        image, whole["test"].image(whole["test"].names.index(found.rated["test"].names[3]))
    )


def test_partings_do_not_depend_on_the_seed(savoias: Path) -> None:
    one, other = (open_sets(dataclasses.replace(SMOKE, seed=seed), savoias).rated for seed in (0, 1))
    assert one is not None and other is not None and one["test"].names == other["test"].names


def test_without_a_head_all_rated_images_are_test(savoias: Path) -> None:
    found = open_sets(LABEL_FREE, savoias).rated
    assert found is not None and len(found["test"]) == 40


def test_categories_of_the_head_leave_the_others_to_test(savoias: Path) -> None:
    found = open_sets(dataclasses.replace(SMOKE, head_categories=("objects",)), savoias).rated
    assert found is not None
    assert set(found["test"].categories) == {"indoors"} and len(found["test"]) == 20
    assert set(found["train"].categories) == set(found["val"].categories) == {"objects"}
    with pytest.raises(ValueError, match="names sky, which no rated image is of; there are indoors, objects"):
        open_sets(dataclasses.replace(SMOKE, head_categories=("sky",)), savoias)
    with pytest.raises(ValueError, match="leaves none to test on"):
        open_sets(dataclasses.replace(SMOKE, head_categories=CATEGORIES), savoias)


def test_photographs_are_joined_by_further_ones_and_rated_ones_stay_apart(folder: Path, savoias: Path) -> None:
    plain = open_sets(LABEL_FREE, folder)
    assert plain.rated is None
    more = open_sets(dataclasses.replace(SMOKE, further=(str(folder),), rated=str(savoias)), folder)
    assert len(more.photos.train) == len(plain.photos.train) + 16 and more.rated is not None
    assert more.photos.train.read(len(plain.photos.train) + 2).shape == (24, 20, 3)


def test_unusual_images_are_trained_on(folder: Path) -> None:
    method = CLIC(LABEL_FREE, CLIC.prepare(LABEL_FREE, folder))
    (stage,) = method.stages(folder)
    batches = stage.batches(0)
    for _ in range(3):
        loss, _ = stage.loss(next(batches))
        assert bool(loss.isfinite())


def test_an_unreadable_photograph_is_named(folder: Path, tmp_path: Path) -> None:
    for number in range(6):
        write(tmp_path / f"{number}.png", number)
    for number in range(6):
        (tmp_path / f"broken{number}.png").write_bytes(b"no image")
    (stage,) = CLIC(LABEL_FREE, {}).stages(tmp_path)
    with pytest.raises(UnreadableImage, match=r"broken\d\.png cannot be read as an image"):
        next(stage.batches(0))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "score_head=icnet is trained on ratings, which .* has not; give rated=, or score_head=none"),
        ({"further": ("nowhere",)}, "no folder or zip at nowhere"),
        ({"rated": "nowhere"}, "no folder or zip at nowhere"),
        ({"batch": 2}, "in batches of 2; give 3 or more"),
    ],
)
def test_what_is_missing_is_said_before_any_work(fields: dict[str, object], expected: str, folder: Path) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=expected):
        CLIC.prepare(dataclasses.replace(SMOKE, **fields), folder)  # type: ignore[arg-type]
