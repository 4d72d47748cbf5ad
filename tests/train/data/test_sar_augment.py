"""Views of SAR chips against the pixels they are cut from, and speckle and noise against their distributions."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from train.data import draws
from train.data.sar_augment import CENTRE, Augment, view_keys, views

SIZE = 16


def windows(n: int = 6, side: int = 24, dtype: torch.dtype = torch.uint8) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (n, side, side))).to(dtype)


def ramps(n: int, side: int = 24) -> Tensor:
    """Column numbers, so that a pixel tells where it came from."""
    return torch.arange(side).float().expand(n, side, side)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_without_changes_a_view_is_the_centre_pixel_by_pixel(dtype: torch.dtype) -> None:
    given = windows(dtype=dtype)
    found = views(given, view_keys(0, 0, len(given)), SIZE, CENTRE)
    assert found.dtype == dtype and found.shape == (6, 1, SIZE, SIZE)
    torch.testing.assert_close(found[:, 0], given[:, 4:20, 4:20], atol=1e-3, rtol=0)


def test_a_view_is_a_function_of_its_key() -> None:
    given = windows()
    whole = views(given, view_keys(3, 7, 6), SIZE, Augment())
    again = views(given[2:5], view_keys(3, 7, 3, first=2), SIZE, Augment())
    assert torch.equal(whole[2:5], again)
    for other in (view_keys(3, 8, 6), view_keys(4, 7, 6), view_keys(3, 7, 6, view=1)):
        assert not torch.equal(whole, views(given, other, SIZE, Augment()))


def test_a_shift_moves_by_at_most_so_many_pixels_and_stays_inside_the_window() -> None:
    for shift, reach in ((0, 0), (2, 2), (100, 4)):  # 24 pixels leave 4 to either side of 16
        found = views(ramps(400), view_keys(0, 0, 400), SIZE, dataclasses.replace(CENTRE, shift=shift))
        moved = found[:, 0, 0, 0] - 4
        assert moved.abs().max() <= reach + 1e-3
        assert moved.abs().max() >= 0.9 * reach


def test_a_crop_is_never_larger_than_its_scale_or_the_window() -> None:
    found = views(ramps(400), view_keys(0, 0, 400), SIZE, dataclasses.replace(CENTRE, scale=(0.85, 1.0), shift=100))
    width = (found[:, 0, 0, -1] - found[:, 0, 0, 0]) * SIZE / (SIZE - 1)
    assert width.min() >= SIZE * (0.85 * 0.75) ** 0.5 and width.max() <= SIZE * (4 / 3) ** 0.5
    assert found.min() >= 0 and found.max() <= 23
    whole = views(ramps(400, SIZE), view_keys(0, 0, 400), SIZE, dataclasses.replace(CENTRE, scale=(0.85, 1.0)))
    assert (whole[:, 0, 0, -1] - whole[:, 0, 0, 0]).max() <= SIZE - 1 + 1e-3


def test_a_flip_mirrors_left_and_right_and_leaves_range_alone() -> None:
    given = windows()
    found = views(given, view_keys(0, 0, 6), SIZE, dataclasses.replace(CENTRE, flip=1.0))
    assert torch.equal(found[:, 0], given[:, 4:20, 4:20].flip(2))


def test_a_turn_keeps_distances_and_reaches_its_angle() -> None:
    found = views(ramps(400, 40), view_keys(0, 0, 400), SIZE, dataclasses.replace(CENTRE, turn=30.0, turn_share=1.0))
    across = (found[:, 0, 8, -1] - found[:, 0, 8, 0]) / (SIZE - 1)  # the cosine
    down = (found[:, 0, -1, 8] - found[:, 0, 0, 8]) / (SIZE - 1)  # minus the sine
    torch.testing.assert_close(across**2 + down**2, torch.ones(400), atol=1e-3, rtol=0)
    degrees = torch.asin(down.clamp(-1, 1)).rad2deg()
    assert degrees.min() < -27 and degrees.max() > 27 and degrees.abs().max() <= 30.1


def test_speckle_has_the_mean_and_variance_of_its_looks() -> None:
    given = torch.full((50, SIZE, SIZE), 100.0)
    for looks in (1.0, 4.0, 16.0):
        found = views(given, view_keys(0, 0, 50), SIZE, dataclasses.replace(CENTRE, looks=looks, speckle_share=1.0))
        power = (found / 100) ** 2  # a gamma variable: mean 1, variance 1 / looks
        assert abs(float(power.mean()) - 1) < 0.03
        assert abs(float(power.var()) * looks - 1) < 0.1


def test_noise_has_its_deviation_and_shares_are_of_the_views() -> None:
    given = torch.full((500, SIZE, SIZE), 100.0)
    found = views(given, view_keys(0, 0, 500), SIZE, dataclasses.replace(CENTRE, noise=0.1, noise_share=0.3))
    deviation = found.std((1, 2, 3))
    noisy = deviation > 1
    assert 0.22 < float(noisy.float().mean()) < 0.38
    assert abs(float(deviation[noisy].mean()) - 10) < 0.3
    assert float(deviation[~noisy].max()) < 1e-3


def test_jitter_changes_brightness_and_contrast_within_its_bounds() -> None:
    given = windows(300, SIZE, torch.float32) / 2 + 64
    plain = views(given, view_keys(0, 0, 300), SIZE, CENTRE)
    found = views(given, view_keys(0, 0, 300), SIZE, dataclasses.replace(CENTRE, jitter=0.4, jitter_share=1.0))
    brightness = found.mean((1, 2, 3)) / plain.mean((1, 2, 3))
    contrast = found.std((1, 2, 3)) / plain.std((1, 2, 3)) / brightness
    for factor in (brightness, contrast):
        assert 0.59 < float(factor.min()) < 0.65 and 1.35 < float(factor.max()) < 1.41


def test_eight_bits_are_cut_off_and_magnitudes_stay_above_zero() -> None:
    loud = Augment(jitter=1.0, jitter_share=1.0, noise=3.0, noise_share=1.0)
    assert views(windows(20), view_keys(0, 0, 20), SIZE, loud).dtype == torch.uint8
    assert views(windows(20, dtype=torch.float32), view_keys(0, 0, 20), SIZE, loud).min() >= 0


def test_no_view_is_enlarged() -> None:
    with pytest.raises(ValueError, match="not enlarged"):
        views(windows(side=12), view_keys(0, 0, 6), SIZE, CENTRE)


@pytest.mark.parametrize("wrong", [{"scale": (0.0, 1.0)}, {"flip": 1.5}, {"looks": 0.0}, {"noise": -1.0}, {"shift": -1}])
def test_impossible_changes_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        dataclasses.replace(CENTRE, **wrong)


def test_numbers_made_where_the_keys_lie_are_those_of_draws() -> None:
    keys = view_keys(5, 6, 7)
    bits = keys.numpy().view(np.uint64)
    assert np.array_equal(draws.key_there(9, keys).numpy().view(np.uint64), draws.key(9, keys.numpy()))
    found = draws.uniforms_there(keys, 50).double()
    expected = torch.from_numpy(draws.uniforms(bits, 50))
    assert float((expected - found).min()) >= 0 and float((expected - found).max()) < 2**-24


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
def test_a_gpu_makes_the_same_views() -> None:
    given, keys = windows(64, dtype=torch.float32), view_keys(1, 2, 64)
    found = views(given.cuda(), keys.cuda(), SIZE, Augment()).cpu()
    torch.testing.assert_close(found, views(given, keys, SIZE, Augment()), atol=0.01, rtol=1e-3)
