"""Drawn images of known complexity: what rises with the level, and that they are functions of seed and row."""

from __future__ import annotations

import numpy as np
import pytest

from train.data.complexity_scenes import KINDS, LEVELS, SHAPES, complexity_scenes


def detail(image: np.ndarray) -> float:
    """Mean absolute difference of neighbours."""
    pixels = image.astype(np.float64)
    return float(np.abs(np.diff(pixels, axis=0)).mean() + np.abs(np.diff(pixels, axis=1)).mean())


def test_every_level_of_both_kinds_has_its_score() -> None:
    found = complexity_scenes(2 * len(KINDS) * LEVELS, size=32)
    assert found.image(0).shape == (32, 32, 3) and found.image(0).dtype == np.uint8
    assert len(set(found.names)) == 40 and found.names[26] == "shapes/level 3/1"
    for kind in KINDS:
        assert found.scores[found.rows(kind)].tolist() == pytest.approx([100 * level / 9 for level in range(10)] * 2)


@pytest.mark.parametrize("kind", KINDS)
def test_detail_rises_with_the_level(kind: str) -> None:
    found = complexity_scenes(6 * len(KINDS) * LEVELS, size=64, seed=3)
    rows = found.rows(kind).reshape(6, LEVELS)
    means = np.array([[detail(found.image(row)) for row in copies] for copies in rows]).mean(0)
    assert (np.diff(means) > 0).all()


def test_the_shapes_are_counted() -> None:
    assert len(SHAPES) == LEVELS and SHAPES[0] == 1 and all(np.diff(SHAPES) > 0)
    simplest = complexity_scenes(1).image(0)
    assert 2 <= len(np.unique(simplest.reshape(-1, 3), axis=0)) < 300  # ground, one shape, and what lies between at its edge


def test_images_are_functions_of_seed_and_row() -> None:
    one, other = complexity_scenes(4, seed=1), complexity_scenes(40, seed=1)
    assert all(np.array_equal(one.image(row), other.image(row)) for row in (3, 0, 2))
    assert not np.array_equal(one.image(0), complexity_scenes(4, seed=2).image(0))
    assert not np.array_equal(other.image(0), other.image(20))


@pytest.mark.parametrize(("count", "size"), [(0, 64), (4, 8), (4, 1024)])
def test_what_cannot_be_drawn_is_refused(count: int, size: int) -> None:
    with pytest.raises(ValueError, match=rf"{count} scenes of {size} pixels.*1 or more of 16 to 512"):
        complexity_scenes(count, size=size)
