"""Random Crop and Mix: a mosaic of two local crops of an image and their augmented copies, all of one scale."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from train.data import draws
from train.data.photometric import JITTER, flip, jitter, rotate

Kind = Literal["rcm", "scm"]

SCALES = (1, 2, 4)  # of c: c large crops of side s / c, 2 c medium ones of s / 2 c, 4 c small ones of s / 4 c
CHANGES = ((0.2, 0.2, 0.2, 0.0), 20.0, 0.5)  # of a crop's copy: jitter, degrees, share of both
_BOXES, _MOSAIC, _COPIES = 60, 61, 62  # first parts of the keys here


def sides(height: int, width: int, kind: Kind, crops: int) -> tuple[int, ...]:
    """Pixels a side of each scale's crops, at most what the image has: of s, the width (rcm) or the short edge (scm)."""
    edge = width if kind == "rcm" else min(height, width)
    return tuple(max(min(edge // (crops * scale), height, width), 1) for scale in SCALES)


def boxes(height: int, width: int, kind: Kind, crops: int, key: np.uint64) -> list[NDArray[np.int64]]:
    """Uniformly placed crops: for each scale (c, 2 c or 4 c, 3) of top, left, side."""
    found = []
    for scale, side in zip(SCALES, sides(height, width, kind, crops), strict=True):
        places = draws.uniforms(draws.key(_BOXES, key.astype(np.int64), scale, np.arange(crops * scale)), 2)
        tops = (places[:, 0] * (height - side + 1)).astype(np.int64)
        lefts = (places[:, 1] * (width - side + 1)).astype(np.int64)
        found.append(np.stack([tops, lefts, np.full_like(tops, side)], 1))
    return found


def mosaic(image: NDArray[np.uint8], kind: Kind, crops: int, key: np.uint64) -> NDArray[np.uint8]:
    """One of an image's 7 c mosaics, each as likely: crop i, the next of its scale and a changed copy of each, in random order.

    Args:
        image: (h, w, 3).

    Returns:
        (2 side, 2 side, 3)
    """
    scales = boxes(image.shape[0], image.shape[1], kind, crops, key)
    numbers = draws.uniforms(draws.key(_MOSAIC, key.astype(np.int64), np.arange(1)), 5)[0]
    at = int(numbers[0] * sum(map(len, scales)))
    for placed in scales:
        if at < len(placed):
            break
        at -= len(placed)
    chosen = [placed[at], placed[(at + 1) % len(placed)]]
    cut = np.stack([image[top : top + side, left : left + side] for top, left, side in chosen])  # (2, side, side, 3)
    pieces = np.concatenate([cut, _changed(cut, key)])[np.argsort(numbers[1:])]  # (4, side, side, 3)
    return np.concatenate([np.concatenate([*pieces[:2]], 1), np.concatenate([*pieces[2:]], 1)])


def _changed(cut: NDArray[np.uint8], key: np.uint64) -> NDArray[np.uint8]:
    """Mirrored, turned and coloured copies of crops."""
    strength, degrees, share = CHANGES
    drawn = draws.uniforms(draws.key(_COPIES, key.astype(np.int64), np.arange(len(cut))), 4 + JITTER)
    numbers = torch.from_numpy(drawn.astype(np.float32))
    maps = torch.from_numpy(cut.transpose(0, 3, 1, 2).astype(np.float32) / 255)  # (n, 3, side, side)
    maps = flip(flip(maps, numbers[:, 0], 3), numbers[:, 1], 2)
    maps = rotate(maps, numbers[:, 2:4], degrees, share)
    maps = jitter(maps, numbers[:, 4:], strength, share)
    return (255 * maps).round().clamp(0, 255).numpy().astype(np.uint8).transpose(0, 2, 3, 1)
