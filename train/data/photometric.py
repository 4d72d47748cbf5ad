"""Colour jitter, blur, rotation, flips and noise of a batch; every row has its own, by numbers in [0, 1) that the caller draws.

Colour jitter is one affine map of colours for each row: brightness, contrast and saturation as torchvision's ColorJitter has them, in a
random order, and a turn of hue in YIQ in place of HSV's. Values are brought back to 0..1 once, after all four.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

JITTER = 9  # numbers that `jitter` takes of each row
GREY = (0.299, 0.587, 0.114)
# Grey, then two axes of colour without grey: YIQ (NTSC 1953).
YIQ = ((0.299, 0.587, 0.114), (0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135))


def jitter(images: Tensor, numbers: Tensor, strength: tuple[float, float, float, float], share: float) -> Tensor:
    """Change brightness, contrast, saturation by factors in 1 +- strength, and hue by +- its strength of a turn.

    Args:
        images: (n, 3, h, w) in 0..1.
        numbers: (n, JITTER).
        share: of the rows that are changed.
    """
    numbers = numbers.to(images)
    brightness, contrast, saturation, turn = (
        (2 * numbers[:, 1 + at] - 1) * strength[at] + (at < 3) for at in range(4)
    )  # (n,) each
    n, eye, weights = len(images), torch.eye(3, device=images.device), torch.tensor(GREY, device=images.device)
    maps = torch.stack(
        [
            brightness[:, None, None] * eye,
            contrast[:, None, None] * eye,
            saturation[:, None, None] * eye + (1 - saturation)[:, None, None] * weights.expand(3, 3),
            _hue(2 * math.pi * turn),
        ]
    )  # (4, n, 3, 3)
    mean, order, rows = images.mean((2, 3)), numbers[:, 5:].argsort(1), torch.arange(n, device=images.device)
    matrix, offset = eye.repeat(n, 1, 1), torch.zeros(n, 3, device=images.device)
    for step in range(4):
        what = order[:, step]  # (n,)
        grey = ((matrix @ mean[:, :, None])[:, :, 0] + offset) @ weights  # (n,), the mean grey so far
        own = maps[what, rows]  # (n, 3, 3)
        added = torch.where(what == 1, (1 - contrast) * grey, 0.0)
        matrix, offset = own @ matrix, (own @ offset[:, :, None])[:, :, 0] + added[:, None]
    changed = numbers[:, 0] < share
    matrix = torch.where(changed[:, None, None], matrix, eye)
    offset = torch.where(changed[:, None], offset, 0.0)
    return (torch.einsum("nij,njhw->nihw", matrix, images) + offset[:, :, None, None]).clamp(0, 1)


def _hue(angle: Tensor) -> Tensor:
    """(n,) -> (n, 3, 3)"""
    yiq = torch.tensor(YIQ, device=angle.device)
    cosine, sine = angle.cos(), angle.sin()
    turn = torch.zeros(len(angle), 3, 3, device=angle.device)
    turn[:, 0, 0] = 1
    turn[:, 1, 1] = turn[:, 2, 2] = cosine
    turn[:, 1, 2], turn[:, 2, 1] = -sine, sine
    return torch.linalg.inv(yiq) @ turn @ yiq


def blur(images: Tensor, numbers: Tensor, sigma: tuple[float, float], share: float) -> Tensor:
    """Gaussian blur by a standard deviation uniform in `sigma` pixels; edges are reflected.

    Args:
        images: (n, c, h, w).
        numbers: (n, 2).
    """
    rows = (numbers[:, 0] < share).nonzero()[:, 0].to(images.device)
    reach = min(math.ceil(3 * sigma[1]), min(images.shape[2:]) - 1)
    if not len(rows) or reach < 1:
        return images
    spread = sigma[0] + (sigma[1] - sigma[0]) * numbers.to(images)[rows, 1]  # (m,)
    at = torch.arange(-reach, reach + 1, device=images.device)
    taps = torch.softmax(-(at**2) / (2 * spread.clamp(min=1e-3)[:, None] ** 2), 1)  # (m, 2 reach + 1)
    channels = images.shape[1]
    taps = taps.repeat_interleave(channels, 0)[:, None]  # (m c, 1, taps)
    maps = F.pad(images[rows], (reach,) * 4, mode="reflect").flatten(0, 1)[None]  # (1, m c, h', w')
    maps = F.conv2d(maps, taps[:, :, None], groups=len(taps))
    maps = F.conv2d(maps, taps[:, :, :, None], groups=len(taps))
    return images.index_copy(0, rows, maps[0].reshape(len(rows), channels, *images.shape[2:]))


def flip(images: Tensor, numbers: Tensor, axis: int) -> Tensor:
    """Mirror a half of the rows along an axis: 3 from left to right, 2 upside down.

    Args:
        images: (n, c, h, w).
        numbers: (n,).
    """
    return torch.where((numbers.to(images.device) < 0.5)[:, None, None, None], images.flip(axis), images)


def rotate(images: Tensor, numbers: Tensor, degrees: float, share: float) -> Tensor:
    """Turn about the centre by an angle uniform in +- degrees; what comes in from outside is reflected.

    Args:
        images: (n, c, h, w).
        numbers: (n, 2).
    """
    rows = (numbers[:, 0] < share).nonzero()[:, 0].to(images.device)
    if not len(rows):
        return images
    angle = math.radians(degrees) * (2 * numbers.to(images)[rows, 1] - 1)
    h, w = images.shape[2:]
    zero, cosine, sine = torch.zeros_like(angle), angle.cos(), angle.sin()
    theta = torch.stack([cosine, -sine * h / w, zero, sine * w / h, cosine, zero], 1).reshape(-1, 2, 3)
    grid = F.affine_grid(theta, [len(rows), images.shape[1], h, w], align_corners=False)
    turned = F.grid_sample(images[rows], grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return images.index_copy(0, rows, turned)


def noise(images: Tensor, numbers: Tensor, sigma: float, share: float) -> Tensor:
    """Add Gaussian noise, which takes torch's random state, and bring values back to 0..1.

    Args:
        images: (n, c, h, w) in 0..1.
        numbers: (n,).
    """
    noisy = (numbers.to(images.device) < share)[:, None, None, None]
    return torch.where(noisy, (images + sigma * torch.randn_like(images)).clamp(0, 1), images)
