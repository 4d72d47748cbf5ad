"""How near an image is to the one that it should be: PSNR and SSIM of luma, as super-resolution papers take them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

LUMA = (65.738, 129.057, 25.064)  # of RGB, over 256; the offset of 16 is left out, as in CdCL's code


def luma(image: Tensor, shave: int = 0) -> Tensor:
    """8-bit images' Y without `shave` pixels at each edge: (n, 3, h, w), 0 to 255 -> float64 (n, h - 2 shave, w - 2 shave)."""
    weight = torch.tensor(LUMA, dtype=torch.float64, device=image.device) / 256
    found = torch.einsum("c,nchw->nhw", weight, image.double())
    return found[:, shave : found.shape[1] - shave, shave : found.shape[2] - shave]


def psnr(first: Tensor, second: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB with a peak of 255, image by image: (n, h, w), (n, h, w) -> (n,); inf where they are equal."""
    return 10 * torch.log10(255.0**2 / (first - second).square().mean((1, 2)))


def ssim(first: Tensor, second: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004) with a Gaussian window of 11x11 and sigma 1.5, where it fits into the image.

    Args:
        first, second: (n, h, w) on the scale 0 to 255, sides of 11 at least.

    Returns:
        (n,), at most 1.
    """
    place = torch.arange(-5, 6, dtype=first.dtype, device=first.device)
    line = torch.exp(-(place**2) / (2 * 1.5**2))
    line = line / line.sum()

    def mean(values: Tensor) -> Tensor:
        across = F.conv2d(values[:, None], line[None, None, None])
        return F.conv2d(across, line[None, None, :, None])[:, 0]

    one, two = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mu, nu = mean(first), mean(second)
    variance, other = mean(first * first) - mu**2, mean(second * second) - nu**2
    covariance = mean(first * second) - mu * nu
    found = (2 * mu * nu + one) * (2 * covariance + two) / ((mu**2 + nu**2 + one) * (variance + other + two))
    return found.mean((1, 2))
