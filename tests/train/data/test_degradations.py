"""Degradations against their definitions a second way: convolution with explicit kernels, MATLAB's published numbers, libjpeg."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from train.data.degradations import (
    NUMBERS,
    TAPS,
    Degradations,
    bicubic,
    bicubic_up,
    blur,
    degrade,
    draw,
    fixed,
    kernels,
    published,
    reduce_blurred,
    reduction,
)
from train.data.jpeg import jpeg

SETTINGS = ("isotropic", "anisotropic", "mixed")


def photo(n: int = 2, h: int = 48, w: int = 64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    rough = torch.rand(n, 3, h // 8, w // 8, generator=generator)
    smooth = F.interpolate(rough, (h, w), mode="bicubic", align_corners=False)
    return (255 * (smooth + 0.1 * torch.rand(n, 3, h, w, generator=generator))).round().clamp(0, 255)


def test_the_kernel_is_the_gaussian_written_with_its_covariance() -> None:
    spread, angle = torch.tensor([[2.5, 0.8]]), torch.tensor([0.6])
    found = kernels(spread, angle)[0].double().numpy()
    turn = np.array([[np.cos(0.6), -np.sin(0.6)], [np.sin(0.6), np.cos(0.6)]])
    inverse = np.linalg.inv(turn @ np.diag([2.5**2, 0.8**2]) @ turn.T)
    expected = np.zeros((TAPS, TAPS))
    for row in range(TAPS):
        for column in range(TAPS):
            place = np.array([column - TAPS // 2, row - TAPS // 2])
            expected[row, column] = np.exp(-0.5 * place @ inverse @ place)
    assert np.allclose(found, expected / expected.sum(), atol=1e-6)


def test_no_blur_is_the_identity() -> None:
    image = photo()
    assert torch.allclose(blur(image, kernels(torch.zeros(2, 2), torch.zeros(2))), image, atol=1e-4)


def test_blur_and_reduction_in_one_matrix_are_both_in_turn() -> None:
    image, sigma = photo(), torch.tensor([0.7, 3.6])
    slow = bicubic(blur(image, kernels(sigma[:, None].expand(-1, 2), torch.zeros(2))), 4)
    down, across = reduce_blurred(48, 4, sigma), reduce_blurred(64, 4, sigma)
    assert torch.allclose(down[:, None] @ image @ across[:, None].transpose(2, 3), slow, atol=1e-3)


def test_reduction_is_matlabs_antialiased_bicubic() -> None:
    """imresize of 8 samples by 1/2: the widened kernel's eight weights, by hand from Keys's polynomial at 0.25, 0.75, 1.25, 1.75."""
    weights = np.array([-0.01171875, -0.03515625, 0.11328125, 0.43359375])
    expected = np.concatenate([weights, weights[::-1]])
    assert np.allclose(reduction(16, 2)[4, 5:13].numpy(), expected)
    assert np.allclose(reduction(16, 2).sum(1).numpy(), 1)


def test_reduction_mirrors_the_edges() -> None:
    line = torch.arange(12.0, dtype=torch.float64)
    mirrored = torch.cat([line.flip(0), line, line.flip(0)])
    assert torch.allclose(reduction(12, 3) @ line, (reduction(36, 3) @ mirrored)[4:8])


def test_enlargement_keeps_ramps_inside() -> None:
    ramp = torch.arange(10.0).expand(1, 3, 10, 10)
    found = bicubic_up(ramp, 2)[0, 0, 10]
    assert torch.allclose(found[6:14], (torch.arange(6, 14) + 0.5) / 2 - 0.5, atol=1e-5)


def test_a_side_that_is_no_multiple_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be reduced by 4"):
        bicubic(torch.zeros(1, 3, 12, 14), 4)


@pytest.mark.parametrize("setting", SETTINGS)
def test_draws_stay_in_the_settings_ranges(setting: str) -> None:
    how = draw(setting, torch.rand(500, NUMBERS), (0.2, 4.0))  # type: ignore[arg-type]
    blurred = how.spread[how.spread[:, 0] > 0]
    assert float(blurred.min()) >= 0.2 and float(blurred.max()) <= 4.0
    assert float(how.noise.min()) >= 0 and float(how.noise.max()) <= 30 and float(how.quality.max()) <= 95
    if setting == "mixed":
        shares = [(part > 0).float().mean() for part in (how.spread[:, 0], how.noise, how.quality)]
        assert all(0.4 < float(share) < 0.6 for share in shares)
    if setting == "isotropic":
        assert torch.equal(how.spread[:, 0], how.spread[:, 1]) and not bool(how.noise.any())


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_degraded_image_is_smaller_and_on_the_grid_of_8_bits(setting: str) -> None:
    how = draw(setting, torch.rand(2, NUMBERS), (0.2, 4.0))  # type: ignore[arg-type]
    low = degrade(photo().to(torch.uint8), how, 4)
    assert low.shape == (2, 3, 12, 16) and float(low.min()) >= 0 and float(low.max()) <= 1
    assert torch.allclose((255 * low).round(), 255 * low, atol=1e-4)


def test_rows_do_not_meet() -> None:
    how = Degradations(
        torch.tensor([[1.0, 1.0], [3.0, 2.0]]), torch.tensor([0.0, 0.5]), torch.zeros(2), torch.tensor([0.0, 60.0])
    )
    both = degrade(photo(), how, 4)
    for row in range(2):
        alone = Degradations(
            how.spread[row : row + 1], how.angle[row : row + 1], how.noise[row : row + 1], how.quality[row : row + 1]
        )
        assert torch.allclose(both[row : row + 1], degrade(photo()[row : row + 1], alone, 4), atol=1.5 / 255)


def test_noise_has_its_deviation_and_repeats_with_its_generator() -> None:
    flat = torch.full((1, 3, 64, 64), 128.0)
    first = degrade(flat, fixed(noise=10.0), 2, torch.Generator().manual_seed(3))
    assert abs(255 * float(first.std()) - 10) < 0.5
    assert torch.equal(first, degrade(flat, fixed(noise=10.0), 2, torch.Generator().manual_seed(3)))


def test_the_papers_test_cases_are_all_there() -> None:
    assert list(published("isotropic")) == ["sigma1.2", "sigma2.4", "sigma3.6"]
    assert len(published("anisotropic")) == 18 and len(published("mixed")) == 8


@pytest.mark.parametrize("quality", [40, 60, 95])
def test_jpeg_is_about_libjpegs(quality: int) -> None:
    image = photo(1)
    ours = jpeg(image, torch.tensor([float(quality)]))[0].permute(1, 2, 0).numpy()
    pixels = image[0].permute(1, 2, 0).numpy().astype(np.uint8)
    _, content = cv2.imencode(".jpg", pixels[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    theirs = cv2.imdecode(content, cv2.IMREAD_COLOR)[:, :, ::-1].astype(float)
    damage = np.abs(theirs - pixels).mean()
    assert np.abs(ours - theirs).mean() < 0.25 * damage + 0.7
    assert 0.8 < np.abs(ours - pixels).mean() / damage < 1.25
