"""Blur in pixels, read from a degradation code by a linear map: what the code knows, as a number."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from train.data import draws
from train.data.degradations import NUMBERS, degrade, draw
from train.data.photos import Photos

from .config import Config

SIDE = 256  # pixels of the high resolution that a code is taken from, at most
RIDGE = 1e-3  # of the variance of the codes


def codes(photos: Photos, config: Config, encode: Callable[[Tensor], Tensor], each: int, seed: int) -> tuple[Tensor, Tensor]:
    """Codes of photographs' middles under `each` random degradations of the setting.

    Args:
        encode: (1, 3, h, w) -> (1, d).

    Returns:
        float64 (n, d), and the blurs' standard deviations (n,) in pixels of the high resolution, the mean of both axes.
    """
    found, blurs = [], []
    for number in range(len(photos)):
        high = middle(photos.read(number), SIDE, config.scale)
        numbers = draws.uniforms(draws.key(31, seed, number, np.arange(each)), NUMBERS).astype(np.float32)
        how = draw(config.setting, torch.from_numpy(numbers), (config.sigma_low, config.sigma_high))
        low = degrade(high.expand(each, -1, -1, -1), how, config.scale, torch.Generator().manual_seed(number))
        found.append(encode(low).double().cpu())
        blurs.append(how.spread.mean(1).double())
    return torch.cat(found), torch.cat(blurs)


def middle(image: np.ndarray, side: int, scale: int) -> Tensor:
    """The middle of a photograph, at most side x side, whole multiples of scale: uint8 (1, 3, h, w)."""
    h, w = (min(size, side) // scale * scale for size in image.shape[:2])
    top, left = (image.shape[0] - h) // 2, (image.shape[1] - w) // 2
    return torch.from_numpy(np.ascontiguousarray(image[top : top + h, left : left + w].transpose(2, 0, 1)))[None]


def fit(code: Tensor, blur: Tensor) -> tuple[Tensor, Tensor]:
    """Ridge regression: (n, d), (n,) -> weights (d,) and offset ()."""
    mean = code.mean(0)
    centred = code - mean
    square = centred.T @ centred / len(code)
    square.diagonal().add_(RIDGE * square.diagonal().mean())
    weight = torch.linalg.solve(square, centred.T @ (blur - blur.mean()) / len(code))
    return weight, blur.mean() - mean @ weight


def r_squared(found: Tensor, true: Tensor) -> float:
    """Share of the variance that is explained: 1 - sum of squared errors / sum of squared deviations."""
    return float(1 - (found - true).square().sum() / (true - true.mean()).square().sum())
