"""PSNR and SSIM of luma against scikit-image, and a case worked by hand."""

from __future__ import annotations

import math

import numpy as np
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from train.fidelity import luma, psnr, ssim


def pair(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = np.random.default_rng(seed)
    first = np.cumsum(generator.normal(0, 6, (40, 53)), axis=1) + 128
    second = first + generator.normal(0, 4 + seed, first.shape)
    return tuple(torch.from_numpy(image.clip(0, 255).round())[None] for image in (first, second))  # type: ignore[return-value]


def test_psnr_and_ssim_are_scikit_images() -> None:
    for seed in range(3):
        first, second = pair(seed)
        one, other = first[0].numpy(), second[0].numpy()
        assert math.isclose(float(psnr(first, second)), peak_signal_noise_ratio(one, other, data_range=255), rel_tol=1e-12)
        expected = structural_similarity(
            one, other, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        assert math.isclose(float(ssim(first, second)), expected, rel_tol=1e-9)


def test_one_grey_level_apart_is_48_decibels() -> None:
    first = torch.full((1, 20, 20), 100.0, dtype=torch.float64)
    assert math.isclose(float(psnr(first, first + 1)), 20 * math.log10(255), rel_tol=1e-12)
    assert math.isinf(float(psnr(first, first))) and math.isclose(float(ssim(first, first)), 1.0)


def test_luma_leaves_the_edges_out_and_weighs_green_most() -> None:
    image = torch.zeros(1, 3, 12, 14)
    image[:, 1] = 255
    assert luma(image, 2).shape == (1, 8, 10)
    assert math.isclose(float(luma(image)[0, 0, 0]), 255 * 129.057 / 256, rel_tol=1e-9)
