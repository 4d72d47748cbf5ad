"""Images of one split on their way to the towers, with the teacher's features of fixed views computed once."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from runtime.prepare import Geometry, fit
from train.blocks.gather import rank, world_size
from train.contract import Batch
from train.data import loader
from train.data.split import Split

CHUNK = 250  # images of one forward pass outside training

log = logging.getLogger(__name__)


class Feed:
    """One split at one geometry: held in memory where it fits, read from disk where it does not.

    Args:
        seed: of the order of batches and of fresh augmentation.
    """

    def __init__(self, split: Split, geometry: Geometry, seed: int) -> None:
        self.geometry, self.seed = geometry, seed
        self._opened = split
        self._held: Split | None = None

    def __len__(self) -> int:
        return len(self._opened)

    @property
    def split(self) -> Split:
        """The images, prepared at first use."""
        if self._held is None:
            self._held = self._opened.in_memory(self.geometry)
        return self._held

    def batches(self, batch: int, augment: str, start: int, views: int = 0) -> Iterator[Batch]:
        """This process's share of every batch from step `start` on."""
        split = self._opened if augment == "rrc" else self.split
        return loader.batches(
            split,
            self.geometry,
            batch,
            augment=augment,
            views=views,
            seed=self.seed,
            start=start,
            rank=rank(),
            world=world_size(),
        )

    def with_features(
        self,
        batch: int,
        augment: str,
        start: int,
        views: int,
        encode: Callable[[Tensor], Tensor],
        digest: str,
        cache: str,
        device: torch.device,
    ) -> Iterator[Batch]:
        """Batches of fixed views with their "teacher" features, (b, d).

        Args:
            encode: uint8 (n, 3, h, w) -> (n, d), the frozen teacher.
            digest: of the teacher's weights, for the cache's name.
            cache: a folder, or "" to keep the features in memory only.
        """
        features = self._features(augment, views, encode, digest, cache, device)  # (views, images, d)
        for part in self.batches(batch, augment, start, views):
            yield {**part, "teacher": torch.from_numpy(features[part["view"].numpy(), part["index"].numpy()])}

    def _features(
        self, augment: str, views: int, encode: Callable[[Tensor], Tensor], digest: str, cache: str, device: torch.device
    ) -> NDArray[np.float32]:
        path = Path(cache) / f"{self._key(augment, views, digest)}.npy" if cache else None
        if path and path.exists():
            log.info("teacher features read from %s", path)
            return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
        from tqdm import tqdm

        split = self._opened if augment == "rrc" else self.split
        rows = []
        with (
            torch.no_grad(),
            tqdm(total=views * len(split), desc="teacher features", unit="image", leave=False, disable=None) as bar,
        ):
            for number in range(views):
                for start in range(0, len(split), CHUNK):
                    index = np.arange(start, min(start + CHUNK, len(split)))
                    pixels = loader.views(split, self.geometry, index, np.full(len(index), number), augment=augment)
                    rows.append(encode(torch.from_numpy(pixels).to(device)).cpu().numpy())  # (chunk, d)
                    bar.update(len(index))
        features = np.concatenate(rows).reshape(views, len(split), -1)
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(f".{rank()}.{os.getpid()}.tmp")
            try:
                with temporary.open("wb") as file:
                    np.save(file, features)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
        return features

    def _key(self, augment: str, views: int, digest: str) -> str:
        """Changes with the teacher, the images (by their names and order) and their views."""
        found = hashlib.sha256(f"{digest} {augment} {views} {loader.VIEW_SEED} {self.geometry}".encode())
        for index in range(len(self._opened)):
            found.update(self._opened.name(index).encode())
        return found.hexdigest()[:24]

    def images(self) -> Callable[..., Iterator[Tensor]]:
        """A function that yields all images, or those at `rows`, as uint8 (chunk, 3, h, w)."""

        def each(rows: Tensor | None = None) -> Iterator[Tensor]:
            chosen = np.arange(len(self._opened)) if rows is None else rows.numpy()
            pixels = self.split.pixels
            for start in range(0, len(chosen), CHUNK):
                part = chosen[start : start + CHUNK]
                if pixels is not None:
                    yield torch.from_numpy(pixels[part])
                else:
                    images = [fit(self._opened.read(int(index)), self.geometry).transpose(2, 0, 1) for index in part]
                    yield torch.from_numpy(np.stack(images))

        return each
