"""Entropy against its values for images whose histograms are known, and place by place against that of each place."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from train.data.entropy import ENTROPIES, Levels, colour_entropy, grey_entropy, local_entropy


def grey(levels: np.ndarray) -> np.ndarray:
    return np.repeat(levels.astype(np.uint8)[:, :, None], 3, 2)


@pytest.mark.parametrize("level", [0, 1, 128, 254, 255])
def test_a_constant_image_has_none(level: int) -> None:
    assert grey_entropy(grey(np.full((5, 7), level))) == 0


def test_all_levels_alike_give_the_logarithm_of_256() -> None:
    assert grey_entropy(grey(np.arange(256).reshape(16, 16))) == pytest.approx(math.log(256), abs=1e-12)
    assert math.log(256) == pytest.approx(5.545, abs=1e-3)


def test_a_quarter_of_white_is_worked_by_hand() -> None:
    assert grey_entropy(grey(np.array([[0, 0], [0, 255]]))) == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))


def test_grey_is_the_mean_of_the_channels() -> None:
    image = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [85, 85, 85]]], np.uint8)
    assert grey_entropy(image) == 0


def test_dark_pixels_count() -> None:
    dark = np.arange(64).reshape(8, 8)  # normalised with ImageNet's mean, most of them would leave the histogram
    assert grey_entropy(grey(dark)) == pytest.approx(math.log(64))


def test_colours_are_told_apart_where_grey_is_not_and_by_four_bits() -> None:
    image = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [85, 85, 85]]], np.uint8)
    assert colour_entropy(image) == pytest.approx(math.log(4))
    assert colour_entropy(np.array([[[16, 0, 0], [31, 15, 15]]], np.uint8)) == 0
    steps = np.arange(0, 256, 16, dtype=np.uint8)
    every = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(64, 64, 3)
    assert colour_entropy(every) == pytest.approx(math.log(4096))


@pytest.mark.parametrize("of", ["grey", "colour"])
def test_each_place_has_the_entropy_of_its_pixels(of: Levels) -> None:
    images = np.random.default_rng(0).integers(0, 64, (2, 25, 17, 3), dtype=np.uint8)  # a rest of 1 pixel each way
    found = local_entropy(torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float32) / 255), 8, of)
    assert found.shape == (2, 3, 2) and found.dtype == torch.float32
    for image, row, column in np.ndindex(2, 3, 2):
        place = images[image, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
        assert float(found[image, row, column]) == pytest.approx(ENTROPIES[of](place), abs=1e-5)
