"""Degradations of a batch: blur at high resolution, antialiased bicubic reduction, noise, JPEG; every row has its own.

The order, the ranges and the 21x21 kernels are those of CdCL's code (Fieldhunter/CdCL, utils/util.py), which takes them from DASR.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .jpeg import jpeg

Setting: TypeAlias = Literal["isotropic", "anisotropic", "mixed"]

TAPS = 21  # of a blur kernel, each way
NUMBERS = 7  # in [0, 1) that one draw takes


@dataclass(frozen=True)
class Degradations:
    """What happens to n images, row by row.

    Args:
        spread: (n, 2), standard deviations of the blur along its axes, in pixels of the high resolution; 0 is no blur.
        angle: (n,), of the first axis, radians.
        noise: (n,), standard deviation on the scale 0 to 255.
        quality: (n,), of JPEG, 1 to 100; 0 is no JPEG.
    """

    spread: Tensor
    angle: Tensor
    noise: Tensor
    quality: Tensor

    def __len__(self) -> int:
        return len(self.angle)

    def to(self, device: torch.device) -> Degradations:
        return Degradations(*(value.to(device) for value in (self.spread, self.angle, self.noise, self.quality)))

    def repeated(self, times: int) -> Degradations:
        """Each row `times` times in succession."""
        parts = (self.spread, self.angle, self.noise, self.quality)
        return Degradations(*(value.repeat_interleave(times, 0) for value in parts))


def fixed(
    spread: tuple[float, float] = (0.0, 0.0), degrees: float = 0.0, noise: float = 0.0, quality: float = 0.0
) -> Degradations:
    """One degradation of known size."""
    return Degradations(
        torch.tensor([spread]), torch.tensor([math.radians(degrees)]), torch.tensor([noise]), torch.tensor([quality])
    )


def draw(setting: Setting, numbers: Tensor, sigma: tuple[float, float]) -> Degradations:
    """Degradations of a setting from uniform numbers.

    isotropic: sigma ~ U[sigma]. anisotropic: both spreads ~ U[sigma], angle ~ U[0, pi], noise ~ U[0, 25]. mixed: sigma ~ U[sigma],
    noise ~ U[1, 30], quality ~ U[40, 95], each left out with probability one half.

    Args:
        numbers: (n, NUMBERS) in [0, 1).
        sigma: smallest and largest standard deviation of the blur; the paper's is (0.2, 4) for x4 and (0.1, 3) where mixed.
    """
    zero = torch.zeros(len(numbers))
    first, second = (sigma[0] + (sigma[1] - sigma[0]) * numbers[:, at] for at in (0, 1))
    if setting == "isotropic":
        return Degradations(torch.stack([first, first], 1), zero, zero, zero)
    if setting == "anisotropic":
        return Degradations(torch.stack([first, second], 1), math.pi * numbers[:, 2], 25 * numbers[:, 3], zero)
    blurred, noisy, compressed = ((numbers[:, at] < 0.5).float() for at in (4, 5, 6))
    spread = (blurred * first)[:, None].expand(-1, 2)  # (n, 2)
    return Degradations(spread, zero, noisy * (1 + 29 * numbers[:, 3]), compressed * (40 + 55 * numbers[:, 2]))


def published(setting: Setting) -> dict[str, Degradations]:
    """The degradations that the paper's tables are measured at, by name."""
    if setting == "isotropic":
        return {f"sigma{value:g}": fixed((value, value)) for value in (1.2, 2.4, 3.6)}
    if setting == "anisotropic":
        shapes = (
            (0, 2, 0.5),
            (10, 2, 1),
            (30, 3.5, 1.5),
            (45, 3.5, 2),
            (90, 3.5, 2),
            (120, 4, 1.5),
            (135, 4, 2),
            (165, 4, 3),
            (180, 4, 4),
        )
        return {
            f"angle{angle}_{first:g}x{second:g}_noise{noise}": fixed((first, second), angle, noise)
            for angle, first, second in shapes
            for noise in (5, 10)
        }
    return {
        f"sigma{sigma}_noise{noise}_jpeg{quality}": fixed((sigma, sigma), 0, noise, quality)
        for sigma in (0, 2)
        for noise in (0, 20)
        for quality in (0, 60)
    }


def degrade(high: Tensor, how: Degradations, scale: int, generator: torch.Generator | None = None) -> Tensor:
    """Reduce images as their rows say; the result lies on the grid of 8 bits.

    Args:
        high: (n, 3, h, w), uint8 or float on the scale 0 to 255, sides multiples of `scale` and at least 11.
        generator: of the noise; None takes torch's global one.

    Returns:
        float32 (n, 3, h / scale, w / scale), 0 to 1.
    """
    high = high.float()
    if bool((how.spread[:, 0] == how.spread[:, 1]).all()):
        down, across = (reduce_blurred(size, scale, how.spread[:, 0]) for size in high.shape[2:])  # (n, h / s, h), (n, w / s, w)
        low = down[:, None] @ high @ across[:, None].transpose(2, 3)  # (n, 3, h / s, w / s)
    else:
        low = bicubic(blur(high, kernels(how.spread, how.angle)), scale)
    if bool(how.noise.any()):
        drawn = torch.randn(low.shape, generator=generator, device=low.device)
        low = low + how.noise[:, None, None, None] * drawn
    if bool(how.quality.any()):
        grid = low.round().clamp(0, 255)
        low = torch.where((how.quality > 0)[:, None, None, None], jpeg(grid, how.quality.clamp(min=1)), low)
    return low.round().clamp(0, 255) / 255


def kernels(spread: Tensor, angle: Tensor) -> Tensor:
    r"""Gaussian kernels $\propto e^{-x^\top \Sigma^{-1} x / 2}$, $\Sigma = R\,diag(\lambda^2)\,R^\top$, summing to 1.

    Args:
        spread: (n, 2), the lambdas; 0 gives the identity.
        angle: (n,).

    Returns:
        (n, TAPS, TAPS).
    """
    place = torch.arange(TAPS, device=spread.device) - TAPS // 2
    y, x = torch.meshgrid(place.float(), place.float(), indexing="ij")
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    along, across = cos * x + sin * y, cos * y - sin * x  # (n, k, k)
    first, second = spread.clamp(min=1e-3).unbind(1)
    weight = torch.exp(-0.5 * ((along / first[:, None, None]) ** 2 + (across / second[:, None, None]) ** 2))
    return weight / weight.sum((1, 2), keepdim=True)


def blur(high: Tensor, kernel: Tensor) -> Tensor:
    """Convolve each image with its kernel, edges reflected: (n, c, h, w), (n, k, k) -> (n, c, h, w)."""
    n, c, h, w = high.shape
    edge = kernel.shape[-1] // 2
    padded = F.pad(high, (edge,) * 4, mode="reflect").reshape(1, n * c, h + 2 * edge, w + 2 * edge)
    weight = kernel.repeat_interleave(c, 0)[:, None]  # (n c, 1, k, k)
    return F.conv2d(padded, weight, groups=n * c).reshape(n, c, h, w)


def bicubic(high: Tensor, scale: int) -> Tensor:
    """MATLAB's imresize by 1 / scale: bicubic, antialiased: (n, c, h, w) -> (n, c, h / scale, w / scale)."""
    down, across = (reduction(size, scale).to(high) for size in high.shape[2:])
    return down @ high @ across.T


def bicubic_up(low: Tensor, scale: int) -> Tensor:
    """MATLAB's imresize by `scale`: bicubic with mirrored edges: (n, c, h, w) -> (n, c, scale h, scale w)."""
    down, across = (enlargement(size, scale).to(low) for size in low.shape[2:])
    return down @ low @ across.T


def reduce_blurred(size: int, scale: int, sigma: Tensor) -> Tensor:
    """`bicubic` after an isotropic `blur` as one matrix for each sigma: both are separable, (n, size / scale, size)."""
    place = torch.arange(TAPS, device=sigma.device) - TAPS // 2
    taps = torch.exp(-0.5 * (place / sigma.clamp(min=1e-3)[:, None]) ** 2)  # (n, k)
    taps = taps / taps.sum(1, keepdim=True)
    source = torch.arange(size, device=sigma.device)[:, None] + place  # (size, k)
    source = torch.where(source < 0, -source, source)
    source = torch.where(source >= size, 2 * (size - 1) - source, source)
    n = len(sigma)
    blurs = torch.zeros(n, size, size, device=sigma.device)
    blurs.scatter_add_(2, source.expand(n, -1, -1), taps[:, None].expand(-1, size, -1))
    return reduction(size, scale).to(blurs) @ blurs


@functools.lru_cache(maxsize=64)
def reduction(size: int, scale: int) -> Tensor:
    """The weights of MATLAB's imresize by 1 / scale along one side, float64 (size / scale, size); edges are mirrored."""
    if size % scale:
        raise ValueError(f"{size} pixels cannot be reduced by {scale}; crop to a multiple of it")
    centre = (np.arange(size // scale) + 0.5) * scale - 0.5
    return _weights(centre, size, scale)


@functools.lru_cache(maxsize=64)
def enlargement(size: int, scale: int) -> Tensor:
    """The weights of MATLAB's imresize by `scale` along one side, float64 (scale size, size); edges are mirrored."""
    return _weights((np.arange(size * scale) + 0.5) / scale - 0.5, size, 1)


def _weights(centre: np.ndarray, size: int, stretch: int) -> Tensor:
    """Of samples at `centre` (out,), by a kernel stretched so many times: (out, size)."""
    source = np.floor(centre - 2 * stretch).astype(np.int64)[:, None] + np.arange(4 * stretch + 2)  # (out, taps)
    weight = _cubic((centre[:, None] - source) / stretch)
    weight /= weight.sum(1, keepdims=True)
    mirrored = source % (2 * size)
    mirrored = np.where(mirrored >= size, 2 * size - 1 - mirrored, mirrored)
    found = np.zeros((len(centre), size))
    np.add.at(found, (np.arange(len(centre))[:, None], mirrored), weight)
    return torch.from_numpy(found)


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys's kernel with a = -0.5."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))
