"""Mosaics against the published counts and scales of their crops, and against the pixels of the image that they are cut from."""

from __future__ import annotations

import numpy as np
import pytest

from train.methods.clic.mosaics import boxes, mosaic, sides


def located(height: int, width: int) -> np.ndarray:
    """An image each of whose pixels says where it stands."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.full_like(rows, 7)], 2).astype(np.uint8)


def keys(count: int) -> list[np.uint64]:
    return [np.uint64(1000 + at) for at in range(count)]


def test_sides_are_parts_of_the_width_or_of_the_short_edge() -> None:
    assert sides(180, 240, "rcm", 3) == (80, 40, 20)
    assert sides(180, 240, "scm", 3) == (60, 30, 15)
    assert sides(240, 180, "rcm", 3) == sides(240, 180, "scm", 3) == (60, 30, 15)
    assert sides(50, 400, "rcm", 3) == (50, 50, 33)  # a panorama is no higher than it is
    assert sides(1, 1, "rcm", 3) == (1, 1, 1)


@pytest.mark.parametrize("crops", [1, 3, 4])
def test_there_are_c_large_2c_medium_and_4c_small_crops_within_the_image(crops: int) -> None:
    found = boxes(90, 120, "rcm", crops, np.uint64(5))
    assert [len(scale) for scale in found] == [crops, 2 * crops, 4 * crops]
    for scale, side in zip(found, sides(90, 120, "rcm", crops), strict=True):
        assert (scale[:, 2] == side).all() and (scale[:, :2] >= 0).all()
        assert (scale[:, 0] + side <= 90).all() and (scale[:, 1] + side <= 120).all()


def test_places_are_uniform() -> None:
    tops = np.concatenate([boxes(100, 100, "scm", 4, key)[2][:, 0] for key in keys(200)])  # of 94 possible ones
    assert 0 <= tops.min() < 3 and 91 < tops.max() <= 94 and abs(tops.mean() - 47) < 2


def test_a_mosaic_holds_two_neighbouring_crops_of_one_scale_as_they_are() -> None:
    image = located(90, 120)
    for key in keys(12):
        made = mosaic(image, "rcm", 3, key)
        side = made.shape[0] // 2
        assert made.shape == (2 * side, 2 * side, 3)
        (scale,) = [scale for scale in boxes(90, 120, "rcm", 3, key) if scale[0, 2] == side]
        quarters = [made[top : top + side, left : left + side] for top in (0, side) for left in (0, side)]
        crops = [image[top : top + side, left : left + side] for top, left, _ in scale]
        whole = {at for at, crop in enumerate(crops) if any(np.array_equal(crop, quarter) for quarter in quarters)}
        assert any({at, (at + 1) % len(scale)} <= whole for at in range(len(scale)))


def test_every_mosaic_is_as_likely_and_their_order_changes() -> None:
    image = located(96, 96)
    made = [mosaic(image, "scm", 3, key) for key in keys(210)]
    counts = {side: sum(len(one) == 2 * side for one in made) for side in (32, 16, 8)}
    assert 12 <= counts[32] <= 50 and 40 <= counts[16] <= 82 and 95 <= counts[8] <= 145  # 30, 60, 120 expected


def test_it_is_a_function_of_its_key() -> None:
    image = located(40, 60)
    assert np.array_equal(mosaic(image, "rcm", 3, np.uint64(3)), mosaic(image, "rcm", 3, np.uint64(3)))
    assert len({mosaic(image, "rcm", 3, key).tobytes() for key in keys(5)}) == 5


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (3, 2)])
def test_the_smallest_images_have_mosaics(shape: tuple[int, int]) -> None:
    assert mosaic(located(*shape), "rcm", 3, np.uint64(1)).shape == (2, 2, 3)
