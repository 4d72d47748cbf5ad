"""open_classes: images whose classes are parted, so that val and test ask for classes that training never saw."""

from __future__ import annotations

import csv
import hashlib
import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import cifar_fs
from .files import Files, is_image, open_files
from .images import PARTS
from .scenes import open_scenes
from .split import Encoded, Source, Split

SHARES = (0.64, 0.16)  # of the classes, to train and val, where the data has no parts of its own
PART_NAMES = ("train", "val", "test")
TURNS = 4

log = logging.getLogger(__name__)

Members = dict[str, list[str]]  # class -> names of its images


@dataclass(frozen=True)
class ClassSets:
    """Images in parts that share no class.

    Args:
        classes: names; labels index them, and those of train come first.
        notes: how the parts came about, a sentence each.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    val: Split
    test: Split
    notes: tuple[str, ...] = ()

    def part(self, name: str) -> Split:
        """ "train", "val" or "test"."""
        return {"train": self.train, "val": self.val, "test": self.test}[name]


@dataclass(frozen=True)
class Turned:
    """A source of images (split.Source): each of another one four times, turned by 0, 90, 180 and 270 degrees."""

    source: Source

    def read(self, row: int) -> NDArray[np.uint8]:
        return np.ascontiguousarray(np.rot90(self.source.read(row // TURNS), row % TURNS))

    def name(self, row: int) -> str:
        return f"{self.source.name(row // TURNS)}, turned by {90 * (row % TURNS)} degrees"


def open_classes(
    path: Path | None,
    *,
    test_data: Path | None = None,
    turned: bool = False,
    scenes: int = 40,
    scene_classes: int = 72,
    scene_size: int = 48,
    seed: int = 0,
) -> ClassSets:
    """Open a data set whose classes are parted; images are read only when asked for.

    Args:
        path: a folder or a zip of one of these; None draws scenes.
            - `train.csv`, `val.csv` and `test.csv` of "filename,label" rows below a title, beside `images/` (LibFewShot's layout
              of miniImageNet, tieredImageNet, CUB, Stanford Dogs and Cars);
            - `train/`, `test/` and perhaps `val/` with class folders that no two of them share;
            - class folders, or `train/` and `test/` with the same classes: CIFAR-100's classes are parted as CIFAR-FS does, others by a
              hash of their names. A class is a folder that holds images, so that Omniglot's alphabets may stand above it.
        test_data: a further data set, all of whose classes are test, but those that `path` has too; `path` gives train and val.
        turned: the training classes turned by 90, 180 and 270 degrees are further classes (Omniglot).
        scenes, scene_classes, scene_size: images of a drawn class, classes, and pixels a side.
        seed: of the drawn images of train and val.

    Raises:
        FileNotFoundError: there is no such folder, zip or image.
        ValueError: it holds none of the layouts, or two parts share a class.
    """
    if path is None:
        if test_data is not None:
            raise ValueError(f"test_data={test_data} was given without data to train on; give both")
        found = _drawn(scenes, scene_classes, scene_size, seed)
    else:
        files, parts, notes = _parted(path)
        sources = dict.fromkeys(parts, files)
        if test_data is not None:
            sources["test"], parts, note = _elsewhere(parts, test_data)
            notes = (note,)
        found = _sets(path.stem, sources, parts, notes)
    for note in found.notes:
        log.info("%s: %s", found.name, note)
    return _with_turns(found) if turned else found


def _parted(path: Path) -> tuple[Files, dict[str, Members], tuple[str, ...]]:
    files = open_files(path)
    tables = [name for name in files.names if name.rsplit("/", 1)[-1] == "train.csv"]
    if tables:
        folder = min(tables, key=len).rpartition("/")[0]
        below = files.under(folder) if folder else files
        return below, _tables(below), ()
    members = _members(files)
    by_part = _by_part(members, path)
    if by_part is None:
        return files, *_by_names(_shortened(members))
    names = {part: set(own) for part, own in by_part.items()}
    if all(own == names["train"] for own in names.values()):
        merged = {label: [name for own in by_part.values() for name in own[label]] for label in sorted(names["train"])}
        parts, notes = _by_names(merged)
        return files, parts, ("the parts of the data share their classes and are taken together.", *notes)
    if "val" not in by_part:
        by_part = {**_split_by_hash(by_part["train"], ("train", "val"), (0.8,)), "test": by_part["test"]}
        notes = (f"val is {len(by_part['val'])} classes held out of train, by a hash of their names.",)
        return files, _disjoint(by_part, path), notes
    return files, _disjoint(by_part, path), ()


def _tables(files: Files) -> dict[str, Members]:
    """LibFewShot's csv files."""
    known = set(files.names)
    parts: dict[str, Members] = {}
    for part in PART_NAMES:
        table = f"{part}.csv"
        if table not in known:
            raise FileNotFoundError(f"there is no {files.where(table)}; expected train.csv, val.csv and test.csv beside images/")
        rows = csv.reader(io.StringIO(files.read(table).decode("utf-8-sig")))
        next(rows, None)  # the titles
        own: Members = {}
        for line, row in enumerate(rows, 2):
            if len(row) != 2:
                raise ValueError(f"{files.where(table)}, line {line}: {row} was found; expected filename,label")
            name = f"images/{row[0]}"
            if name not in known:
                raise FileNotFoundError(f"there is no {files.where(name)}, which {table}, line {line}, names")
            own.setdefault(row[1], []).append(name)
        if not own:
            raise ValueError(f"{files.where(table)} names no image; expected rows of filename,label below the titles")
        parts[part] = own
    return _disjoint(parts, files.root)


def _members(files: Files) -> Members:
    """Every folder that holds images is a class; its name is its path."""
    found: Members = {}
    for name in files.names:
        if is_image(name) and "/" in name:
            found.setdefault(name.rsplit("/", 1)[0], []).append(name)
    if len(found) < 2:
        raise ValueError(
            f"{files.root} has {len(found)} folders of images; expected class folders, or train.csv, val.csv and test.csv "
            "beside images/"
        )
    return found


def _shortened(members: Members) -> Members:
    """Names without the folders that all have in common."""
    split = [name.split("/") for name in members]
    common = 0
    while all(len(parts) > common + 1 and parts[common] == split[0][common] for parts in split):
        common += 1
    return {"/".join(name.split("/")[common:]): own for name, own in members.items()}


def _by_part(members: Members, path: Path) -> dict[str, Members] | None:
    """The classes below train/, val/ and test/, or None where the data has no such folders."""
    short = _shortened(members)
    tops = {name.split("/")[0] for name in short}
    if not all(top.lower() in PARTS for top in tops) or not all("/" in name for name in short):
        return None
    parts: dict[str, Members] = {}
    for name, own in short.items():
        top, _, label = name.partition("/")
        parts.setdefault(PARTS[top.lower()], {})[label] = own
    if not {"train", "test"} <= set(parts):
        raise ValueError(f"{path} has {', '.join(sorted(tops))}; expected train/ and test/ (and perhaps val/) of class folders")
    return {part: parts[part] for part in PART_NAMES if part in parts}


def _by_names(members: Members) -> tuple[dict[str, Members], tuple[str, ...]]:
    """CIFAR-FS's parts of CIFAR-100's classes; a hash of the names parts others."""
    if set(members) == {label for part in cifar_fs.PARTS.values() for label in part}:
        return {part: {label: members[label] for label in sorted(own)} for part, own in cifar_fs.PARTS.items()}, (
            "the classes are CIFAR-100's, parted as CIFAR-FS does: 64, 16 and 20.",
        )
    parts = _split_by_hash(members, PART_NAMES, SHARES)
    counts = " and ".join(f"{len(own)} {part}" for part, own in parts.items())
    return parts, (f"the data has no parts of its own: by a hash of their names, classes are {counts}.",)


def _split_by_hash(members: Members, parts: Sequence[str], shares: Sequence[float]) -> dict[str, Members]:
    """The last part gets what the shares leave; every part gets one class at least."""
    order = sorted(members, key=lambda name: (hashlib.blake2b(name.encode(), digest_size=8).digest(), name))
    if len(order) < len(parts):
        raise ValueError(f"{len(order)} classes were found; {' and '.join(parts)} need one each at least")
    ends = [round(sum(shares[: at + 1]) * len(order)) for at in range(len(shares))] + [len(order)]
    for at in range(len(ends) - 1):
        ends[at] = min(max(ends[at], at + 1), len(order) - (len(ends) - 1 - at))
    begins = [0, *ends[:-1]]
    return {
        part: {name: members[name] for name in sorted(order[begin:end])}
        for part, begin, end in zip(parts, begins, ends, strict=True)
    }


def _disjoint(parts: dict[str, Members], path: Path) -> dict[str, Members]:
    for at, one in enumerate(parts):
        for other in list(parts)[at + 1 :]:
            shared = sorted(set(parts[one]) & set(parts[other]))
            if shared:
                raise ValueError(
                    f"{path}: the class {shared[0]!r} is in {one} and in {other}, and {len(shared)} are in both; "
                    "few-shot parts share no class"
                )
    return parts


def _elsewhere(parts: Mapping[str, Members], path: Path) -> tuple[Files, dict[str, Members], str]:
    """Train and val of all of the data's classes, test of another data set's."""
    own = {label: names for part in parts.values() for label, names in part.items()}
    files = open_files(path)
    others = _shortened(_members(files))
    test = {label: names for label, names in others.items() if label not in own}
    if not test:
        raise ValueError(f"every class of {path} is in the training data too; expected some that it has not")
    known = _split_by_hash(own, ("train", "val"), (0.8,))
    note = (
        f"{len(known['train'])} classes are train and {len(known['val'])} val, by a hash of their names; test is {len(test)} of "
        f"{path.name}; {len(others) - len(test)} of its classes are left out, which train or val has."
    )
    return files, {**known, "test": test}, note


def _sets(name: str, sources: Mapping[str, Files], parts: Mapping[str, Members], notes: tuple[str, ...]) -> ClassSets:
    classes = tuple(label for part in PART_NAMES for label in parts[part])
    number = {label: at for at, label in enumerate(classes)}

    def split(part: str) -> Split:
        names = [name for own in parts[part].values() for name in own]
        labels = [number[label] for label, own in parts[part].items() for _ in own]
        return Split(np.array(labels, np.int64), Encoded(sources[part], tuple(names)), np.arange(len(names)))

    return ClassSets(name, classes, split("train"), split("val"), split("test"), notes)


def _drawn(each: int, count: int, size: int, seed: int) -> ClassSets:
    """Compositions of scenes; those of test are new, their colours, textures and objects are not."""
    if count < 18 or each < 2:
        raise ValueError(f"scene_classes={count} and scenes={each} were given; expected 18 and 2 at least")
    new = count // 3
    data = open_scenes(seed=seed, size=size, base=count - new, new=new, train=each, val=1, test=each)
    known = (3 * len(data.base)) // 4
    return ClassSets(
        "scenes",
        data.classes,
        data.train.restrict(range(known)),
        data.train.restrict(range(known, len(data.base))),
        data.test.restrict(data.new),
        (f"drawn scenes: {known} compositions are train, {len(data.base) - known} val and {new} test.",),
    )


def _with_turns(found: ClassSets) -> ClassSets:
    """Each training class four times; labels of val and test move behind them."""
    train = found.train
    own = len(np.unique(train.labels))
    extra = (TURNS - 1) * own
    turns = np.arange(len(train) * TURNS) % TURNS
    source_rows = np.repeat(train.rows, TURNS) * TURNS + turns
    turned = Split(np.repeat(train.labels, TURNS) + own * turns, Turned(train.source), source_rows)
    names = found.classes[:own]
    classes = (*names, *(f"{name} turned by {90 * turn}" for turn in range(1, TURNS) for name in names), *found.classes[own:])
    return replace(
        found,
        classes=tuple(classes),
        train=turned,
        val=replace(found.val, labels=found.val.labels + extra),
        test=replace(found.test, labels=found.test.labels + extra),
    )
