"""SAR chips in the layouts that users have, as train and test; without a path, drawn ones.

- Class folders of 8-bit images or .npy arrays below `train/` and `test/`, as the MSTAR JPEGs in circulation are; or class folders alone.
- MSTAR's raw files, wherever they lie: the class is the header's TargetType, and what was seen from DesiredDepression 17 is train, from
  15 test (standard operating condition); other angles are left out. Where folders called train and test hold them, those part them.
- OpenSARShip: a folder for each Sentinel-1 product with `Patch_Uint8/<Type>_x<column>_y<row>...tif` (beside Patch, Patch_Cal and
  Patch_RGB, which are not read). The data has no parts; products are parted, so that no scene is in both.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from runtime import phoenix
from runtime.chips import RAW, Chip, Crop, convert, is_chip, read_chip, window
from runtime.prepare import UnreadableImage

from . import draws
from .files import Files, open_files
from .images import PARTS, TEST_FRACTION
from .split import hold_out, shuffled

TRAIN_ANGLE, TEST_ANGLE = 17, 15  # degrees of depression: MSTAR's standard operating condition
POLARISATIONS = ("vv", "vh", "hh", "hv")
LEAST = 2  # chips of a class of OpenSARShip in each part, or the class is left out
_LABELLED = 21  # first part of the keys here
_SHIP = re.compile(r"^(?:visual_)?(?P<type>.+?)_x\d+_y\d+(?:_(?P<pol>vv|vh|hh|hv))?\.tiff?$", re.IGNORECASE)

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Chips:
    """Chips with a label each, read when asked for.

    Args:
        names: what to call each in a message.
        labels: int64 (n,), index of `classes`.
        classes: names of all classes, those of the other part too.
        chip: index -> uint8 or float32 (h, w), of its native size.
    """

    names: tuple[str, ...]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    chip: Callable[[int], Chip]

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, indices: Sequence[int] | NDArray[np.integer]) -> Chips:
        """The chips at `indices`, in that order; nothing is read."""
        rows = np.asarray(indices, np.int64).tolist()
        return dataclasses.replace(
            self, names=tuple(self.names[i] for i in rows), labels=self.labels[rows], chip=lambda index: self.chip(rows[index])
        )


@dataclass(frozen=True)
class _Found:
    """A file as listed: its part ("" where the data has none), its class, and a name for sentences."""

    file: str
    part: str
    label: str


def chips(
    path: Path | None, *, seed: int = 0, polarisation: str = "vv", scenes: int = 24, scene_size: int = 96
) -> dict[str, Chips]:
    """Chips by part, "train" and "test"; both have the same classes, in alphabetical order.

    Args:
        path: a folder or a zip of one of the layouts above; None draws chips.
        seed: of the parting of data without parts, and of drawn training chips.
        polarisation: of OpenSARShip's chips, where their names carry one.
        scenes, scene_size: drawn training chips of a class, and pixels a side.

    Raises:
        FileNotFoundError: there is no such folder or zip.
        ValueError: it holds none of the layouts, or a class lacks in a part.
    """
    if path is None:
        from .sar_scenes import draw_chips

        return draw_chips(seed=seed, train=scenes, test=scenes, size=scene_size)
    if polarisation.lower() not in POLARISATIONS:
        raise ValueError(f"polarisation={polarisation!r} was given; expected one of {', '.join(POLARISATIONS)}")
    files = open_files(path)
    ships = [name for name in files.names if "patch_uint8" in name.lower().split("/")[:-1]]
    named = ships or [name for name in files.names if is_chip(name)]
    if not named:
        raise ValueError(
            f"there is no chip among the {len(files.names)} files of {path}; expected class folders of images or .npy arrays, "
            "raw MSTAR files (as HB03787.015), or OpenSARShip's products"
        )
    raw = [] if ships else [name for name in named if RAW.search(name)]
    if ships:
        listed = _ships(ships, polarisation.lower(), seed)
    else:
        listed = _raw(files, raw) if raw else _folders(named, path, seed)
    return _parts(files, _shared(listed, LEAST if ships else 1) if ships or raw else listed)


def _part(name: str) -> tuple[str, list[str]]:
    """The part that a file's folders name ("" for none), and the folders below the one that does."""
    folders = name.split("/")[:-1]
    for place, folder in enumerate(folders):
        if folder.lower() in PARTS:
            return ("test" if PARTS[folder.lower()] == "test" else "train"), folders[place + 1 :]
    return "", folders


def _folders(names: list[str], path: Path, seed: int) -> list[_Found]:
    """Class folders; a val folder joins train, of which methods hold out their own."""
    placed = [(name, *_part(name)) for name in names]
    if any(part for _, part, _ in placed):
        placed = [(name, part, below) for name, part, below in placed if part]
        left = len(names) - len(placed)
        if left:
            log.info("%s: %d chips outside train/ and test/ are left out.", path, left)
        bare = next((name for name, _, below in placed if not below), None)
        if bare is not None:
            raise ValueError(f"{path}/{bare} lies in no class folder; expected train/<class>/ and test/<class>/")
        return [_Found(name, part, below[0]) for name, part, below in placed]
    while all(len(below) > 1 and below[0] == placed[0][2][0] for _, _, below in placed):  # folders that all have in common
        placed = [(name, part, below[1:]) for name, part, below in placed]
    bare = next((name for name, _, below in placed if not below), None)
    if bare is not None:
        raise ValueError(f"{path}/{bare} lies in no class folder; expected <class>/, or train/<class>/ and test/<class>/")
    labels = np.unique([below[0] for _, _, below in placed], return_inverse=True)[1].astype(np.int64)
    test = set(hold_out(names, labels, TEST_FRACTION, seed)[1].tolist())
    log.info("%s has no parts of its own: by file name and seed %d, %d of %d chips are test.", path, seed, len(test), len(names))
    return [_Found(name, "test" if at in test else "train", below[0]) for at, (name, _, below) in enumerate(placed)]


def _raw(files: Files, names: list[str]) -> list[_Found]:
    """Raw MSTAR files by what their headers say; all serial numbers of a target type are one class."""
    found, left = [], 0
    for name in tqdm(names, desc="reading headers", leave=False, disable=None):
        fields = phoenix.header(files.read(name), files.where(name))
        label = fields.get("TargetType", "")
        if not label:
            raise UnreadableImage(f"{files.where(name)}: the Phoenix header has no TargetType, which is the class")
        part, _ = _part(name)
        if not part:
            angle = fields.get("DesiredDepression", "")
            part = {str(TRAIN_ANGLE): "train", str(TEST_ANGLE): "test"}.get(angle.split(".")[0], "")
        if part:
            found.append(_Found(name, part, label))
        else:
            left += 1
    if left:
        log.info("%s: %d chips seen from other angles than %d and %d degrees are left out.",
                 files.root, left, TRAIN_ANGLE, TEST_ANGLE)  # fmt: skip
    return found


def _ships(names: list[str], polarisation: str, seed: int) -> list[_Found]:
    """Ships by type; whole products become test, in an order drawn from the seed, until a fifth of the chips is."""
    chosen: list[tuple[str, str, str]] = []  # file, product, type
    for name in names:
        folder, _, file = name.rpartition("/")
        match = _SHIP.match(file)
        if match and (match["pol"] or polarisation).lower() == polarisation:
            chosen.append((name, folder.lower().rpartition("patch_uint8")[0], match["type"]))
    products = [product for _, product, _ in chosen]
    test: set[str] = set()
    for at in shuffled(sorted(set(products)), seed).tolist():
        if sum(product in test for product in products) >= TEST_FRACTION * len(products):
            break
        test.add(sorted(set(products))[at])
    return [_Found(name, "test" if product in test else "train", label) for name, product, label in chosen]


def _shared(found: list[_Found], least: int) -> list[_Found]:
    """Without the classes that have fewer than `least` chips in a part; says which."""
    count = Counter((item.part, item.label) for item in found)
    labels = sorted({item.label for item in found})
    kept = [label for label in labels if all(count[part, label] >= least for part in ("train", "test"))]
    if len(kept) < len(labels):
        log.info("classes with fewer than %d chips in train or test are left out: %s", least, ", ".join(set(labels) - set(kept)))
    return [item for item in found if item.label in kept]


def _parts(files: Files, found: list[_Found]) -> dict[str, Chips]:
    of = {part: {item.label for item in found if item.part == part} for part in ("train", "test")}
    classes = tuple(sorted(of["train"] | of["test"]))
    for part, labels in of.items():
        if len(labels) < len(classes):
            raise ValueError(
                f"{files.root}: the class {sorted(set(classes) - labels)[0]!r} has no chips in {part}; every class needs some"
            )
    if len(classes) < 2:
        raise ValueError(
            f"{files.root} has {len(classes)} classes of chips in both train and test; a recogniser needs two at least"
        )
    number = {label: at for at, label in enumerate(classes)}
    return {part: _chips(files, [item for item in found if item.part == part], classes, number) for part in of}


def _chips(files: Files, found: list[_Found], classes: tuple[str, ...], number: dict[str, int]) -> Chips:
    names = tuple(files.where(item.file) for item in found)

    def chip(index: int) -> Chip:
        try:
            return read_chip(files.read(found[index].file))
        except (UnreadableImage, OSError) as error:
            raise UnreadableImage(f"{names[index]} cannot be read as a chip: {error}. Repair or remove the file.") from error

    return Chips(names, np.array([number[item.label] for item in found], np.int64), classes, chip)


def windows(chips: Chips, size: int, crop: Crop | None = None, *, kind: str | None = None) -> Chip:
    """The centre of every chip at native resolution, read once with a progress bar.

    Args:
        crop: "resize" squeezes whole chips instead (runtime.chips); None is `size`.
        kind: "uint8" or "magnitude" converts (runtime.chips.convert); None keeps what the files hold.

    Returns:
        (n, size, size), uint8 or float32.

    Raises:
        UnreadableImage: a file is damaged, or a chip smaller than the crop.
        ValueError: some chips are 8 bits and others magnitudes, and no kind is given.
    """

    def one(index: int) -> Chip:
        chip = chips.chip(index)
        return window(chip if kind is None else convert(chip, kind), size if crop is None else crop, size, chips.names[index])

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        read = list(tqdm(pool.map(one, range(len(chips))), total=len(chips), desc="reading chips", leave=False, disable=None))
    if len({chip.dtype for chip in read}) > 1:
        raise ValueError("some chips are of 8 bits and others are magnitudes; say which is wanted by kind=")
    return np.stack(read) if read else np.empty((0, size, size), np.uint8)


def labelled(labels: NDArray[np.int64], share_or_count: float, seed: int) -> NDArray[np.int64]:
    """Rows whose labels may be used: as many of each class as of another, up to one, drawn from the seed.

    Args:
        share_or_count: a share of all rows, above 0 and below 1 (1/32: 86 of MSTAR's 2,746), or a count, at least one for each class;
            1.0 or more is a count.

    Returns:
        Sorted rows. A class that has fewer than its share gives all it has, and the others fill up.
    """
    classes, sizes = np.unique(labels, return_counts=True)
    count = round(share_or_count * len(labels)) if share_or_count < 1 else int(share_or_count)
    if count < len(classes) or count > len(labels):
        raise ValueError(
            f"{share_or_count} of {len(labels)} labels are {count}; expected one for each of the {len(classes)} classes at least, and "
            "no more than there are"
        )
    taken = np.zeros(len(classes), np.int64)
    order = draws.permutation(len(classes), _LABELLED, seed)  # which classes get one more
    while taken.sum() < count:
        open_ = order[taken[order] < sizes[order]]
        lowest = open_[taken[open_] == taken[open_].min()]
        taken[lowest[: count - int(taken.sum())]] += 1
    chosen = []
    for label, most in zip(classes.tolist(), taken.tolist(), strict=True):
        members = np.flatnonzero(labels == label)
        chosen.append(members[draws.permutation(len(members), _LABELLED, seed, label)[:most]])
    return np.sort(np.concatenate(chosen))
