"""Baseline JPEG as arithmetic on a batch: what a file of each row's quality gives back, without the entropy coding between."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor
from torch.nn import functional as F

# Annex K of the standard (ITU T.81).
LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55), (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62), (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip
CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99), (18, 21, 26, 66, 99, 99, 99, 99), (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99), *((99,) * 8,) * 4,
)  # fmt: skip
TO_YCBCR = (
    (0.299, 0.587, 0.114),
    (-0.168735892, -0.331264108, 0.5),
    (0.5, -0.418687589, -0.081312411),
)


def jpeg(image: Tensor, quality: Tensor) -> Tensor:
    """Compress and decompress, colour at half resolution (4:2:0); not differentiable.

    Args:
        image: (n, 3, h, w) RGB, whole numbers 0 to 255.
        quality: (n,), 1 to 100, libjpeg's scale.

    Returns:
        (n, 3, h, w), whole numbers 0 to 255.
    """
    h, w = image.shape[2:]
    padded = F.pad(image, (0, -w % 16, 0, -h % 16), mode="replicate")
    matrix = image.new_tensor(TO_YCBCR)
    luma, *chroma = torch.einsum("ij,njhw->nihw", matrix, padded).unbind(1)  # (n, h, w) each; colour around 0
    step = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)  # libjpeg's percentage
    planes = [_quantised(luma - 128, LUMINANCE, step) + 128]
    for plane in chroma:
        half = F.avg_pool2d(plane[:, None], 2)[:, 0]
        small = _quantised(half, CHROMINANCE, step)
        planes.append(F.interpolate(small[:, None], scale_factor=2, mode="bilinear", align_corners=False)[:, 0])
    restored = torch.einsum("ij,njhw->nihw", torch.linalg.inv(matrix), torch.stack(planes, 1))
    return restored[:, :, :h, :w].round().clamp(0, 255)


def _quantised(plane: Tensor, table: tuple[tuple[int, ...], ...], step: Tensor) -> Tensor:
    """(n, h, w), sides multiples of 8, through 8x8 cosines rounded to the table's steps."""
    n, h, w = plane.shape
    steps = ((plane.new_tensor(table) * step[:, None, None] + 50) / 100).floor().clamp(1, 255)  # (n, 8, 8)
    cosines = _cosines().to(plane)
    blocks = plane.reshape(n, h // 8, 8, w // 8, 8).permute(0, 1, 3, 2, 4)  # (n, h / 8, w / 8, 8, 8)
    rounded = (cosines @ blocks @ cosines.T / steps[:, None, None]).round() * steps[:, None, None]
    return (cosines.T @ rounded @ cosines).permute(0, 1, 3, 2, 4).reshape(n, h, w)


@functools.cache
def _cosines() -> Tensor:
    """The orthonormal DCT-II of 8 samples, float64 (8, 8)."""
    frequency, place = torch.meshgrid(
        torch.arange(8.0, dtype=torch.float64), torch.arange(8.0, dtype=torch.float64), indexing="ij"
    )
    found = torch.cos(math.pi * (2 * place + 1) * frequency / 16) / 2
    found[0] /= math.sqrt(2)
    return found
