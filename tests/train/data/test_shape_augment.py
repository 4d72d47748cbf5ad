"""Changes of clouds and pictures against what they may and may not change."""

from __future__ import annotations

import numpy as np

from train.data import draws
from train.data.shape_augment import BRIGHTNESS, MOST, SCALE, SHIFT, TINT, augment_clouds, augment_images

KEYS = draws.key(1, np.arange(200))


def test_a_cloud_is_changed_by_its_key_alone() -> None:
    clouds = np.random.default_rng(0).standard_normal((200, 16, 3)).astype(np.float32)
    found = augment_clouds(clouds, KEYS)
    assert found.dtype == np.float32 and found.shape == clouds.shape
    assert np.array_equal(augment_clouds(clouds[7:9], KEYS[7:9]), found[7:9])


def test_clouds_are_stretched_turned_and_shifted_within_bounds() -> None:
    axes = np.tile(np.concatenate([np.zeros((1, 3)), np.eye(3)]).astype(np.float32), (200, 1, 1))
    found = augment_clouds(axes, KEYS)
    origin, along = found[:, 0], found[:, 1:] - found[:, :1]
    length = np.linalg.norm(along, axis=2)
    assert np.abs(origin).max() <= SHIFT + MOST and np.abs(origin).max() > 0.9 * SHIFT
    assert length.min() > SCALE[0] - 4 * MOST and length.max() < SCALE[1] + 4 * MOST and length.std() > 0.05
    assert np.abs(along[:, 1, [0, 2]]).max() < 4 * MOST  # up stays up


def test_pictures_are_mirrored_half_the_time_and_their_colours_move_within_bounds() -> None:
    image = np.full((200, 2, 2, 3), 127, np.uint8)
    image[:, :, 0] = 0
    found = augment_images(image, KEYS).astype(int)
    mirrored = found[:, 0, 0, 0] > found[:, 0, 1, 0]
    assert 0.35 < mirrored.mean() < 0.65
    grey = np.where(mirrored[:, None], found[:, 0, 0], found[:, 0, 1])
    assert np.abs(grey - 127).max() <= BRIGHTNESS + TINT + 2 and grey.std() > 10
    assert np.array_equal(augment_images(image[3:4], KEYS[3:4]), found[3:4])
