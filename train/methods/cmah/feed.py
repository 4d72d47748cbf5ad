"""Batches of pairs of a cloud and one of its images, with the draws that mask them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from runtime import clouds
from train.blocks.gather import rank, world_size
from train.contract import Batch
from train.data import draws
from train.data.loader import ahead, order
from train.data.shape_augment import augment_clouds, augment_images
from train.data.shapes3d import Shapes

# The first part of every key, so that no two uses of a seed share their draws.
_VIEW, _CLOUD, _IMAGE, _GROUPS, _PATCHES = 41, 42, 43, 44, 45


def batches(
    shapes: Shapes, *, batch: int, groups: int, neighbours: int, tokens: int, steps: int, seed: int, start: int
) -> Iterator[Batch]:
    """This process's rows of every batch from step `start` on, a function of the seed and the step alone.

    Args:
        groups, neighbours: of the clouds' tokens.
        tokens: of an image.
        steps: of the stage, of which "progress" is the part that is done.

    Returns:
        "image": uint8 (rows, 3, h, w); "centres": (rows, G, 3); "neighbourhoods": (rows, G, M, 3); "group_scores": (rows, G) and
        "patch_scores": (rows, tokens), uniform in [0, 1), which say what is masked; "instance": int64 (rows,); "progress": (1,).

    Raises:
        ValueError: the batch cannot be shared by the processes.
    """
    share, rest = divmod(batch, world_size())
    if rest:
        raise ValueError(f"The batch of {batch} rows cannot be shared by {world_size()} processes; give a multiple of it.")

    def at(step: int) -> Batch:
        place = step * batch + rank() * share + np.arange(share)
        index = order(len(shapes), seed, int(place[0]), int(place[-1]) + 1)[0]
        view = (draws.key(_VIEW, seed, place) % np.uint64(shapes.views)).astype(np.int64)
        cloud = augment_clouds(np.stack([shapes.cloud(row) for row in index.tolist()]), draws.key(_CLOUD, seed, place))
        image = np.stack([shapes.image(row, number) for row, number in zip(index.tolist(), view.tolist(), strict=True)])
        found = grouped(cloud, groups, neighbours)
        return {
            "image": channels_first(augment_images(image, draws.key(_IMAGE, seed, place))),
            **found,
            "group_scores": _scores(draws.key(_GROUPS, seed, place), groups),
            "patch_scores": _scores(draws.key(_PATCHES, seed, place), tokens),
            "instance": torch.from_numpy(index),
            "progress": torch.tensor([step / steps]),
        }

    return ahead(at, start)


def grouped(cloud: NDArray[np.float32], groups: int, neighbours: int) -> dict[str, Tensor]:
    """(n, N, 3) -> "centres" (n, G, 3) and "neighbourhoods" (n, G, M, 3)"""
    centres, neighbourhoods = clouds.group(np.ascontiguousarray(cloud, np.float32), groups, neighbours)
    return {"centres": torch.from_numpy(centres), "neighbourhoods": torch.from_numpy(neighbourhoods)}


def channels_first(image: NDArray[np.uint8]) -> Tensor:
    """(n, h, w, 3) -> (n, 3, h, w)"""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(0, 3, 1, 2)))


def _scores(keys: NDArray[np.uint64], count: int) -> Tensor:
    return torch.from_numpy(draws.uniforms(keys, count).astype(np.float32))
