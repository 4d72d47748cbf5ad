"""open_images: whatever a user has (class folders, a zip, a CoOp layout, bare images, nothing) becomes one ImageData."""

from __future__ import annotations

import logging
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .files import Files, is_image, open_files
from .split import Encoded, Split, few_shot, hold_out
from .templates import PLAIN

__all__ = ["ImageData", "Split", "base_and_new", "few_shot", "open_images"]

TEST_FRACTION = 0.2  # of each class, where the data has no test part of its own
PARTS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}

log = logging.getLogger(__name__)


@dataclass
class ImageData:
    """A data set as methods see it; the caller may replace any field.

    Args:
        name: of the data set.
        classes: display names; labels index them.
        base: labels of the base classes (the first half of the labels, rounded up, as in CoOp).
        new: labels of the others.
        templates: prompts with one {} for the class name.
        train, val, test: val is held out of train, never taken from test.
        unlabelled: further images without labels, if given.
        captioned: images with captions that show no new class, for a teacher trained here; None: train serves.
        notes: how the splits came about, a sentence each.
    """

    name: str
    classes: tuple[str, ...]
    base: tuple[int, ...]
    new: tuple[int, ...]
    templates: tuple[str, ...]
    train: Split
    val: Split
    test: Split
    unlabelled: Split | None = None
    captioned: Split | None = None
    notes: tuple[str, ...] = ()


def base_and_new(classes: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """CoOp's rule: the first half of the labels, rounded up, are the base classes."""
    half = math.ceil(classes / 2)
    return tuple(range(half)), tuple(range(half, classes))


def open_images(
    path: Path | None, *, seed: int, held_out: float = 0.1, unlabelled: Path | None = None, scenes: int = 128
) -> ImageData:
    """Open a data set by what lies at `path`; images are read only when asked for.

    Args:
        path: None for the embedded scenes; a folder or a zip with train/ and test/ (and perhaps val/) of class folders;
            a folder or a zip of class folders; one of CoOp's data set folders or its json; a folder or a zip of bare images.
        seed: of the parting of train and val (and of test, where the data has none).
        held_out: the share of each class's training images that becomes val, where the data has no val, in [0, 1).
        unlabelled: a folder or a zip of further images; whatever folders they lie in, no label is taken from them.
        scenes: training images of each class of the embedded scenes; val and test keep their proportion to them.
    """
    if not 0 <= held_out < 1:
        raise ValueError(f"held_out is {held_out}; it is the share of train that becomes val, at least 0 and below 1.")
    data = _open(path, seed, held_out, scenes)
    if unlabelled is not None:
        files = open_files(unlabelled)
        names = _images(files)
        data.unlabelled = _split(files, names, np.full(len(names), -1))
    for note in data.notes:
        log.info("%s: %s", data.name, note)
    return data


def _open(path: Path | None, seed: int, held_out: float, scenes: int) -> ImageData:
    if path is None:
        from .scenes import open_scenes

        if scenes < 1:
            raise ValueError(f"scenes={scenes} was given; the embedded data needs 1 or more training images of each class")
        return open_scenes(seed=seed, train=scenes, val=max(scenes * 12 // 128, 1), test=max(scenes * 24 // 128, 1))
    from . import coop

    found = coop.find(path)
    if found is not None:
        return coop.open_coop(found, seed=seed, held_out=held_out)
    files = _unwrap(open_files(path))
    _images(files)
    tops = {name.split("/")[0] for name in files.folders}
    parts = {PARTS[top.lower()]: top for top in sorted(tops) if top.lower() in PARTS}
    nested = any(
        name.count("/") > 1 and name.split("/")[0] in parts.values() for name in files.names
    )  # else a class may be "train"
    if {"train", "test"} & set(parts) and (nested or tops == set(parts.values())):
        return _open_parts(path.stem, files, parts, seed, held_out)
    if any("/" in name for name in files.names if is_image(name)):
        return _open_classes(path.stem, files, seed, held_out)
    return _open_bare(path.stem, files, seed, held_out)


def _unwrap(files: Files) -> Files:
    """Step into a lone outer folder, as zips have one; in a zip also if it holds the images themselves."""
    while not any("/" not in name for name in files.names if is_image(name)):
        tops = {name.split("/")[0] for name in (*files.folders, *files.names) if "/" in name or name in files.folders}
        if len(tops) != 1:
            break
        (top,) = tops
        inner = files.under(top)
        bare = any("/" not in name for name in inner.names if is_image(name))
        if top.lower() in PARTS or (bare and files.root.is_dir()):
            break
        files = inner
    return files


def _images(files: Files) -> list[str]:
    names = [name for name in files.names if is_image(name)]
    if not files.names:
        raise ValueError(f"{files.root} is empty. Expected class folders of images, or images.")
    if not names:
        count = len(files.names)
        raise ValueError(
            f"There is no image among the {count} files of {files.root}. Expected .jpg, .png, .bmp, .webp, .tif or .ppm."
        )
    return names


def _split(files: Files, names: list[str], labels: NDArray[np.integer]) -> Split:
    return Split(labels.astype(np.int64), Encoded(files, tuple(names)), np.arange(len(names)))


def display(names: list[str]) -> tuple[str, ...]:
    """Class names for people: underscores become spaces."""
    return tuple(" ".join(name.replace("_", " ").split()) for name in names)


def doubled(classes: tuple[str, ...]) -> list[str]:
    """Names that two classes share, to a text encoder, which ignores case."""
    return [name for name, count in Counter(name.casefold() for name in classes).items() if count > 1]


def _display(folders: list[str], where: Path) -> tuple[str, ...]:
    shown = display(folders)
    for name in doubled(shown):
        same = [folder for folder, other in zip(folders, shown, strict=True) if other.casefold() == name]
        raise ValueError(
            f"The class folders {' and '.join(map(repr, same))} of {where} are both called '{name}'. Rename or merge them."
        )
    return shown


def _classes(files: Files) -> tuple[list[str], list[str], NDArray[np.int64]]:
    """Class folders, their images, and the images' labels."""
    folders = sorted({name.split("/")[0] for name in files.folders})
    images = [name for name in files.names if is_image(name) and "/" in name]
    label = {folder: index for index, folder in enumerate(folders)}
    labels = np.array([label[name.split("/")[0]] for name in images], np.int64)
    for index in sorted(set(range(len(folders))) - set(labels.tolist())):
        raise ValueError(f"The class folder {files.where(folders[index])} has no images. Add some or remove the folder.")
    return folders, images, labels


def _require_two(classes: tuple[str, ...] | list[str], where: Path) -> None:
    if not classes:
        raise ValueError(
            f"{where} has train/ or test/, but no class folders in them. For bare images give the innermost folder itself."
        )
    if len(classes) == 1:
        raise ValueError(f"{where} has one class ({classes[0]!r}); a classifier needs at least two. "
                         "For bare images give the innermost folder itself.")  # fmt: skip


def _open_parts(name: str, files: Files, parts: dict[str, str], seed: int, held_out: float) -> ImageData:
    for part in ("train", "test"):
        if part not in parts:
            given = ", ".join(sorted(parts.values()))
            raise ValueError(f"{files.root} has {given} but no {part}/. Expected train/ and test/ (and perhaps val/) of class "
                             "folders; to have one set parted at random, give the folder of class folders itself.")  # fmt: skip
    read = {part: (files.under(folder), *_classes(files.under(folder))) for part, folder in parts.items()}
    folders = read["train"][1]
    for part, (_, theirs, _, _) in read.items():
        for absent in sorted(set(folders) ^ set(theirs)):
            lacking = part if absent in folders else "train"
            place = f"{files.root}/{parts[lacking]}"
            raise ValueError(f"The class {absent!r} is missing in {place}. Every class needs images in every part.")
    classes = _display(folders, files.root)
    _require_two(classes, files.root)
    splits = {part: _split(below, images, labels) for part, (below, _, images, labels) in read.items()}
    notes: tuple[str, ...] = ()
    if "val" not in splits:
        _, _, images, labels = read["train"]
        kept, held = hold_out(images, labels, held_out, seed)
        splits |= {"train": splits["train"].select(kept), "val": splits["train"].select(held)}
        notes = (f"val is {len(held)} images held out of train (seed {seed}); test is the data's own.",)
    base, new = base_and_new(len(classes))
    return ImageData(name, classes, base, new, PLAIN, splits["train"], splits["val"], splits["test"], notes=notes)


def _open_classes(name: str, files: Files, seed: int, held_out: float) -> ImageData:
    folders, images, labels = _classes(files)
    classes = _display(folders, files.root)
    _require_two(classes, files.root)
    for index in np.flatnonzero(np.bincount(labels) < 2):
        place = files.where(folders[index])
        raise ValueError(f"The class folder {place} has a single image; parting train from test needs two or more.")
    whole = _split(files, images, labels)
    rest, test = hold_out(images, labels, TEST_FRACTION, seed)
    kept, held = hold_out([images[i] for i in rest], labels[rest], held_out, seed + 1)
    train, val = whole.select(rest[kept]), whole.select(rest[held])
    counts = f"{len(train)} images are train, {len(val)} val and {len(test)} test"
    notes: tuple[str, ...] = (f"the data has no parts of its own: by file name and seed {seed}, {counts}.",)
    stray = sum("/" not in image for image in files.names if is_image(image))
    if stray:
        notes += (f"{stray} images outside the class folders are left out.",)
    base, new = base_and_new(len(classes))
    return ImageData(name, classes, base, new, PLAIN, train, val, whole.select(test), notes=notes)


def _open_bare(name: str, files: Files, seed: int, held_out: float) -> ImageData:
    images = _images(files)
    labels = np.full(len(images), -1, np.int64)
    whole = _split(files, images, labels)
    kept, held = hold_out(images, labels, held_out, seed)
    note = f"{len(images)} images without labels; {len(held)} of them are val and there is no test."
    return ImageData(name, (), (), (), PLAIN, whole.select(kept), whole.select(held), whole.select([]), notes=(note,))
