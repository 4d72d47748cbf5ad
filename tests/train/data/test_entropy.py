"""Grey entropy against its values for images whose histograms are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from train.data.entropy import grey_entropy


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
