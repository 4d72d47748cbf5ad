"""Training's views of SAR chips: cut, turned, mirrored, brightened, with noise and speckle; functions of keys alone.

Geometry stays inside the window that was cut at native resolution (runtime.chips), so that no view tells the size of its chip. It is one
bilinear resampling. What the published code of BIDFC draws is the default: the crop's area 0.85 to 1, mirrored half the time, turned
up to 30 degrees for one view in five, brightness and contrast changed by up to 0.4 for two in five, noise for one in five. It names no
deviation of the noise; that, the crop's place anywhere in the window, and speckle are ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from . import draws
from .augment import RATIO

_VIEW, _NOISE, _SPECKLE = 25, 26, 27  # first parts of the keys here


@dataclass(frozen=True)
class Augment:
    """What a view may differ by; shares are of the views.

    Args:
        scale: of the crop's area, in parts of the view's; its sides differ by up to augment.RATIO, and stay inside the window.
        shift: the crop's centre is up to so many whole pixels off the window's, along each axis, as far as the window has room; a view
            of scale 1 that is not turned therefore keeps its pixels, and with them all of the speckle that a device sees.
        flip: share mirrored left to right. (A mirrored target is one seen from the other side; its shadow stays behind it.)
        turn, turn_share: degrees to either side.
        jitter, jitter_share: brightness and contrast are multiplied by 1 - jitter to 1 + jitter.
        noise, noise_share: deviation added to each pixel, in parts of the view's mean.
        looks, speckle_share: magnitudes are multiplied by the root of speckle of so many looks, a gamma variable of mean 1.
    """

    scale: tuple[float, float] = (0.85, 1.0)
    shift: float = math.inf
    flip: float = 0.5
    turn: float = 30.0
    turn_share: float = 0.2
    jitter: float = 0.4
    jitter_share: float = 0.4
    noise: float = 0.3
    noise_share: float = 0.2
    looks: float = 8.0
    speckle_share: float = 0.2

    def __post_init__(self) -> None:
        if not 0 < self.scale[0] <= self.scale[1] or self.shift < 0 or not 0 <= self.jitter <= 1 or self.noise < 0:
            raise ValueError(
                f"scale={self.scale}, shift={self.shift}, jitter={self.jitter} and noise={self.noise} were given; expected two parts of "
                "the area, 0 < low <= high, a shift of 0 or more, a jitter from 0 to 1, and noise of 0 or more"
            )
        shares = self.flip, self.turn_share, self.jitter_share, self.noise_share, self.speckle_share
        if not all(0 <= share <= 1 for share in shares) or self.looks <= 0:
            raise ValueError(f"the shares {shares} and {self.looks} looks were given; expected shares from 0 to 1, looks above 0")


CENTRE = Augment(scale=(1.0, 1.0), shift=0, flip=0, turn_share=0, jitter_share=0, noise_share=0, speckle_share=0)  # evaluation's


def view_keys(seed: int, step: int, count: int, view: int = 0, first: int = 0) -> Tensor:
    """Keys, int64 (count,), of the views number `view` of a batch; a process whose share begins at `first` of the batch has its own."""
    return torch.from_numpy(draws.key(_VIEW, seed, step, view, first + np.arange(count)).astype(np.int64))


def views(windows: Tensor, keys: Tensor, size: int, augment: Augment) -> Tensor:
    """One view of each window, made where the windows lie; a GPU's differs from the CPU's by rounding only.

    Args:
        windows: (n, h, w), uint8 or float32 magnitudes; h and w at least `size`.
        keys: int64 (n,), on the same device; equal keys give equal views.

    Returns:
        (n, 1, size, size), of the same type: uint8 is rounded and cut off at 0 and 255, magnitudes at 0.
    """
    n, h, w = windows.shape
    if min(h, w) < size:
        raise ValueError(f"windows of {h}x{w} pixels were given; views of {size}x{size} are cut from them and not enlarged")
    with torch.autocast(windows.device.type, enabled=False):
        drawn = draws.uniforms_there(keys, 12)
        grid = F.affine_grid(_geometry(drawn, (h, w), size, augment), [n, 1, size, size], align_corners=False)  # (n, s, s, 2)
        found = F.grid_sample(windows[:, None].float(), grid, padding_mode="reflection", align_corners=False)  # (n, 1, s, s)
        found = _jitter(found, drawn[:, 6:9], augment)
        found = _speckle(found, drawn[:, 9], keys, augment)
        found = _noise(found, drawn[:, 10], keys, augment)
    return found.round().clamp(0, 255).to(torch.uint8) if windows.dtype == torch.uint8 else found.clamp(min=0)


def _geometry(drawn: Tensor, sides: tuple[int, int], size: int, augment: Augment) -> Tensor:
    """Where in its window a view's pixels lie, as affine_grid takes it, both from -1 to 1: (n, 2, 3)"""
    h, w = sides
    low, high = augment.scale
    area = size * size * (low + drawn[:, 0] * (high - low))
    ratio = torch.exp(math.log(RATIO[0]) + drawn[:, 1] * (math.log(RATIO[1]) - math.log(RATIO[0])))
    ratio = torch.ones_like(ratio) if low == high == 1 else ratio
    wide, tall = (area * ratio).sqrt().clamp(max=w), (area / ratio).sqrt().clamp(max=h)
    room = [((side - own) / 2).clamp(max=augment.shift) for side, own in ((w, wide), (h, tall))]
    x, y = ((room[axis] * (2 * drawn[:, 2 + axis] - 1)).round() for axis in (0, 1))  # pixels off the middle
    turned = drawn[:, 4] < augment.turn_share
    angle = torch.where(turned, math.radians(augment.turn) * (2 * drawn[:, 4] / max(augment.turn_share, 1e-9) - 1), 0.0)
    mirror = torch.where(drawn[:, 5] < augment.flip, -1.0, 1.0)
    cos, sin = angle.cos(), angle.sin()
    across = torch.stack([cos * wide * mirror, -sin * tall, 2 * x], 1) / w  # (n, 3)
    down = torch.stack([sin * wide * mirror, cos * tall, 2 * y], 1) / h
    return torch.stack([across, down], 1)


def _jitter(images: Tensor, drawn: Tensor, augment: Augment) -> Tensor:
    """Brightness, then contrast about the mean."""
    factor = torch.where(drawn[:, :1] < augment.jitter_share, 1 + augment.jitter * (2 * drawn[:, 1:] - 1), 1.0)  # (n, 2)
    bright = images * factor[:, 0].reshape(-1, 1, 1, 1)
    mean = bright.mean((2, 3), keepdim=True)
    return mean + (bright - mean) * factor[:, 1].reshape(-1, 1, 1, 1)


def _speckle(images: Tensor, drawn: Tensor, keys: Tensor, augment: Augment) -> Tensor:
    """Times the root of a gamma variable, by its cube root's normality (Wilson and Hilferty 1931)."""
    some = (drawn < augment.speckle_share).nonzero()[:, 0]
    spread = 1 / (9 * augment.looks)
    root = (1 - spread + math.sqrt(spread) * _normal(images, keys, some, _SPECKLE)).clamp(min=0)
    return images.index_copy(0, some, images[some] * root**1.5)


def _noise(images: Tensor, drawn: Tensor, keys: Tensor, augment: Augment) -> Tensor:
    some = (drawn < augment.noise_share).nonzero()[:, 0]
    deviation = augment.noise * images[some].mean((2, 3), keepdim=True)
    return images.index_copy(0, some, images[some] + deviation * _normal(images, keys, some, _NOISE))


def _normal(images: Tensor, keys: Tensor, some: Tensor, use: int) -> Tensor:
    """Standard normal numbers for the pixels of some images, by Box and Muller: (m, 1, h, w)"""
    pixels = images[0].numel()
    half = -(-pixels // 2)
    first, second = draws.uniforms_there(draws.key_there(use, keys[some]), 2 * half).reshape(-1, 2, half).unbind(1)  # (m, half)
    radius = (-2 * torch.log1p(-first)).sqrt()
    found = torch.cat([radius * torch.cos(2 * math.pi * second), radius * torch.sin(2 * math.pi * second)], 1)
    return found[:, :pixels].reshape(-1, *images.shape[1:])
