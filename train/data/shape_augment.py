"""Training's changes of clouds and of their pictures, functions of keys alone. All of it is ours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from . import draws

SCALE = 0.8, 1.25  # of each axis of a cloud
TURN = 15.0  # degrees about the up axis, y
SHIFT = 0.1  # of a cloud, along each axis
JITTER, MOST = 0.01, 0.05  # of each point: deviation, and what it is cut off at
BRIGHTNESS, CONTRAST, TINT = 40.0, 0.4, 20.0  # of a picture: added, part that is multiplied, added to each channel; 0 to 255


def augment_clouds(clouds: NDArray[np.float32], keys: NDArray[np.uint64]) -> NDArray[np.float32]:
    """Stretch each axis, turn about y, shift, and move every point a little: (b, n, 3), keys (b,) -> (b, n, 3)"""
    b, n, _ = clouds.shape
    drawn = draws.uniforms(keys, 7).astype(np.float32)  # (b, 7)
    scale = SCALE[0] * (SCALE[1] / SCALE[0]) ** drawn[:, :3]
    angle = np.radians(TURN) * (2 * drawn[:, 3] - 1)
    turn = np.zeros((b, 3, 3), np.float32)
    turn[:, 0, 0] = turn[:, 2, 2] = np.cos(angle)
    turn[:, 0, 2], turn[:, 2, 0] = np.sin(angle), -np.sin(angle)
    turn[:, 1, 1] = 1
    shift = SHIFT * (2 * drawn[:, 4:] - 1)
    first, second = np.moveaxis(draws.uniforms(draws.key(1, keys.astype(np.int64)), 6 * n).reshape(b, 2, n, 3), 1, 0)
    normal = np.sqrt(-2 * np.log1p(-first)) * np.cos(2 * np.pi * second)  # Box and Muller
    found = (clouds * scale[:, None]) @ turn + shift[:, None] + np.clip(JITTER * normal, -MOST, MOST)
    return found.astype(np.float32)


def augment_images(images: NDArray[np.uint8], keys: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Mirror half of them, and change brightness, contrast and colour: (b, h, w, 3), keys (b,) -> (b, h, w, 3)"""
    drawn = draws.uniforms(keys, 6).astype(np.float32)  # (b, 6)
    mirrored = np.where((drawn[:, 0] < 0.5)[:, None, None, None], images[:, :, ::-1], images)
    contrast = 1 + CONTRAST * (2 * drawn[:, 1] - 1)
    added = BRIGHTNESS * (2 * drawn[:, 2:3] - 1) + TINT * (2 * drawn[:, 3:] - 1)  # (b, 3)
    changed = (mirrored - np.float32(127.5)) * contrast[:, None, None, None] + (127.5 + added)[:, None, None]
    return np.clip(np.rint(changed), 0, 255).astype(np.uint8)
