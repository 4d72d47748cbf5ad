"""Photographs of a folder or a zip as a source of crops; without any, drawn scenes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import draws
from .files import is_image, open_files
from .scenes import open_scenes
from .split import Encoded

HELD = 3 << 30  # bytes of decoded photographs that are kept
_PART = 6  # first part of the keys here


@dataclass
class Photos:
    """Photographs by number, decoded at first use and kept while there is room.

    Args:
        names: of each, unique; the part before the last slash is its folder.
        load: number -> uint8 (h, w, 3).
    """

    names: tuple[str, ...]
    load: Callable[[int], NDArray[np.uint8]]
    _held: dict[int, NDArray[np.uint8]] = field(default_factory=dict)
    _room: int = HELD
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __len__(self) -> int:
        return len(self.names)

    def read(self, number: int) -> NDArray[np.uint8]:
        """uint8 (h, w, 3) RGB; ValueError names a file that cannot be read."""
        found = self._held.get(number)
        if found is None:
            found = self.load(number)
            with self._lock:
                if number not in self._held and found.nbytes <= self._room:
                    self._held[number] = found
                    self._room -= found.nbytes
        return found

    def crop(self, number: int, size: int, key: np.uint64) -> NDArray[np.uint8]:
        """A square of a photograph at a random place, in one of its eight turns and reflections: (3, size, size)."""
        image = self.read(number)
        h, w = image.shape[:2]
        if min(h, w) < size:
            raise ValueError(f"{self.names[number]} has {w}x{h} pixels, and crops of {size} are cut; leave it out or lower patch")
        drawn = draws.uniforms(np.asarray([key], np.uint64), 3)[0]
        top, left, turn = int(drawn[0] * (h - size + 1)), int(drawn[1] * (w - size + 1)), int(drawn[2] * 8)
        piece = image[top : top + size, left : left + size].transpose(2, 0, 1)  # (3, size, size)
        piece = piece[:, :, ::-1] if turn & 1 else piece
        piece = piece[:, ::-1] if turn & 2 else piece
        return piece.transpose(0, 2, 1) if turn & 4 else piece

    def choose(self, numbers: Sequence[int]) -> Photos:
        """Some of them."""
        chosen = tuple(numbers)
        return Photos(tuple(self.names[number] for number in chosen), lambda number: self.read(chosen[number]))


@dataclass(frozen=True)
class PhotoSets:
    """What is trained on, what is held out of it, and the test sets by name."""

    train: Photos
    val: Photos
    test: dict[str, Photos]


def open_photos(
    path: Path | None, *, train: str = "", tests: Sequence[str] = (), held_out: float = 0.05, count: int = 64, size: int = 192
) -> PhotoSets:
    """Photographs below a folder or in a zip.

    Args:
        path: None draws scenes: `count` of them for training, `size` pixels a side.
        train: the folder of the training photographs below `path`; "" is `train` if there is one, else all that are no test.
        tests: folders of test photographs below `path`; none is `test` if there is one, else as many as are held out.
        held_out: part of the training photographs kept for validation, by their names; at least one.

    Raises:
        FileNotFoundError: there is no such folder, zip or subfolder.
        ValueError: there are too few photographs.
    """
    if path is None:
        return _drawn(count, size)
    files = open_files(path)
    folders = set(files.folders)

    def below(folder: str) -> tuple[str, ...]:
        found = [name for name in folders if name == folder or name.endswith("/" + folder)]
        if not found:
            raise FileNotFoundError(f"there is no folder {folder!r} in {path}; it has {', '.join(sorted(folders)) or 'none'}")
        prefix = min(found, key=len) + "/"
        return tuple(name for name in files.names if name.startswith(prefix) and is_image(name))

    def photos(names: Sequence[str]) -> Photos:
        chosen = tuple(names)
        return Photos(chosen, Encoded(files, chosen).read)

    named = {folder: below(folder) for folder in (tests or (["test"] if "test" in folders else []))}
    tested = {name for names in named.values() for name in names}
    root = train or ("train" if "train" in folders else "")
    rest = [name for name in (below(root) if root else files.names) if is_image(name) and name not in tested]
    if len(rest) < 3:
        raise ValueError(f"{path} has {len(rest)} photographs to train on; expected 3 at least")
    order = sorted(rest, key=_hash)
    share = max(1, round(held_out * len(rest)))
    val, order = order[:share], order[share:]
    if not named:
        named, order = {"test": tuple(sorted(order[:share]))}, order[share:]
    return PhotoSets(photos(sorted(order)), photos(sorted(val)), {name: photos(names) for name, names in named.items()})


def _hash(name: str) -> int:
    """Which photographs are held out depends on their own names alone."""
    letters = np.frombuffer(name.rsplit("/", 1)[-1].encode(), np.uint8)
    return int(draws.key(_PART, *letters.tolist()))


def _drawn(count: int, size: int) -> PhotoSets:
    """Scenes of 12 classes, in the parts that the embedded data set has."""
    data = open_scenes(seed=0, size=size, base=12, new=0, train=-(-count // 12), val=1, test=1)

    def part(name: str) -> Photos:
        split = getattr(data, name)
        return Photos(tuple(f"scenes/{name}/{row}" for row in range(len(split))), split.read)

    return PhotoSets(part("train"), part("val"), {"scenes": part("test")})
