"""CoOp's layouts of eleven data sets: `split_zhou_<Name>.json` beside an image folder, and the two that have none.

https://github.com/KaiyangZhou/CoOp/blob/main/DATASETS.md. The json holds train, val and test as lists of
[path, label, class name]; its val was held out of the original training part by CoOp's authors. FGVCAircraft keeps its own
lists (`variants.txt`, `images_variant_<part>.txt`). ImageNet is `images/train`, `images/val` and `classnames.txt`; its val
is the test set, as in all published tables, and our val is held out of its train.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .files import Files, is_image, open_files
from .images import ImageData, base_and_new, display, doubled
from .split import Encoded, Split, hold_out
from .templates import COOP

# The json's name for it -> ours, and the folder that its paths start from.
SETS = {
    "Caltech101": ("Caltech101", "101_ObjectCategories"),
    "OxfordPets": ("OxfordPets", "images"),
    "StanfordCars": ("StanfordCars", "."),
    "OxfordFlowers": ("Flowers102", "jpg"),
    "Food101": ("Food101", "images"),
    "SUN397": ("SUN397", "SUN397"),
    "DescribableTextures": ("DTD", "images"),
    "EuroSAT": ("EuroSAT", "2750"),
    "UCF101": ("UCF101", "UCF-101-midframes"),
}
PREFIX = "split_zhou_"

Item = tuple[str, int, str]  # path, label, class name


@dataclass(frozen=True)
class Layout:
    """Where a CoOp data set lies.

    Args:
        name: as in templates.COOP.
        folder: of the data set.
        split: the json; None for FGVCAircraft and ImageNet.
        images: the folder that paths start from.
    """

    name: str
    folder: Path
    split: Path | None
    images: Path


def find(path: Path) -> Layout | None:
    """Recognise a CoOp data set by its json, given or inside the folder; None if it is something else."""
    if path.is_file() and path.suffix == ".json":
        return _by_json(path)
    if not path.is_dir():
        return None
    splits = sorted(path.glob(f"{PREFIX}*.json"))
    if len(splits) > 1:
        raise ValueError(
            f"{path} holds {len(splits)} splits ({', '.join(split.name for split in splits)}). Give the path of one."
        )
    if splits:
        return _by_json(splits[0])
    if (path / "variants.txt").is_file() and (path / "images_variant_train.txt").is_file():
        return Layout("FGVCAircraft", path, None, path / "images")
    if (path / "classnames.txt").is_file() and (path / "images" / "train").is_dir():
        return Layout("ImageNet", path, None, path / "images")
    return None


def open_coop(layout: Layout, *, seed: int, held_out: float) -> ImageData:
    """Open a CoOp data set with its prompt; classes are in the order of their labels."""
    if not layout.images.is_dir():
        raise FileNotFoundError(f"The images of {layout.name} are expected in {layout.images}, which is not there.")
    if layout.name == "ImageNet":
        return _open_imagenet(layout, seed, held_out)
    items = _read_aircraft(layout) if layout.split is None else _read_json(layout.split)
    return _assemble(layout, open_files(layout.images), items, ("val is CoOp's own, held out of train; test is the data's own.",))


def _by_json(path: Path) -> Layout:
    given = path.stem.removeprefix(PREFIX)
    if given in SETS:
        name, images = SETS[given]
        return Layout(name, path.parent, path, path.parent / images)
    if not path.stem.startswith(PREFIX):
        raise ValueError(f"{path} is not named {PREFIX}<Dataset>.json. Give a CoOp split, a folder of images or a zip.")
    return Layout(given, path.parent, path, path.parent / "images")


def _read_json(path: Path) -> dict[str, list[Item]]:
    shape = 'Expected {"train": [[path, label, class name], ...], "val": ..., "test": ...}.'
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not readable as JSON ({error}). {shape}") from error
    try:
        items = {
            part: [(str(name), int(label), str(shown)) for name, label, shown in content[part]]
            for part in ("train", "val", "test")
        }
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is JSON, but not a CoOp split ({type(error).__name__}: {error}). {shape}") from error
    if not items["train"] or not items["test"]:
        raise ValueError(f"{path} lists no images for {'test' if items['train'] else 'train'}. {shape}")
    return items


def _read_aircraft(layout: Layout) -> dict[str, list[Item]]:
    variants = (layout.folder / "variants.txt").read_text(encoding="utf-8").splitlines()
    label = {name.strip(): index for index, name in enumerate(variants)}
    items: dict[str, list[Item]] = {}
    for part in ("train", "val", "test"):
        path = layout.folder / f"images_variant_{part}.txt"
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing; FGVCAircraft has a list of images for each of train, val and test.")
        items[part] = []
        for line in path.read_text(encoding="utf-8").splitlines():
            image, _, name = line.strip().partition(" ")
            if name not in label:
                raise ValueError(f"{path} names the variant {name!r}, which is not in variants.txt.")
            items[part].append((image + ".jpg", label[name], name))
    return items


def _open_imagenet(layout: Layout, seed: int, held_out: float) -> ImageData:
    lines = (layout.folder / "classnames.txt").read_text(encoding="utf-8").splitlines()
    shown = {folder: name for folder, _, name in (line.strip().partition(" ") for line in lines)}
    items: dict[str, list[Item]] = {}
    files = open_files(layout.images)
    folders = sorted({name.split("/")[1] for name in files.names if name.startswith("train/")})
    label = {folder: index for index, folder in enumerate(folders)}
    for folder in folders:
        if folder not in shown:
            raise ValueError(f"{layout.folder / 'classnames.txt'} does not name the class folder {folder}.")
    for part, below in (("train", "train/"), ("test", "val/")):
        images = [name for name in files.names if name.startswith(below) and is_image(name)]
        unknown = next((name for name in images if name.split("/")[1] not in label), None)
        if unknown is not None:
            raise ValueError(f"{files.where(unknown)} belongs to a class that images/train does not have.")
        if not images:
            raise ValueError(f"{layout.images / below} has no images; ImageNet is expected as images/train and images/val.")
        items[part] = [(name, label[name.split("/")[1]], shown[name.split("/")[1]]) for name in images]
    kept, held = hold_out([item[0] for item in items["train"]], np.array([item[1] for item in items["train"]]), held_out, seed)
    items |= {"train": [items["train"][i] for i in kept], "val": [items["train"][i] for i in held]}
    note = f"test is ImageNet's val, as usual; val is {len(held)} images held out of train (seed {seed})."
    return _assemble(layout, files, items, (note,))


def _assemble(layout: Layout, files: Files, items: dict[str, list[Item]], notes: tuple[str, ...]) -> ImageData:
    names: dict[int, str] = {}
    for _, label, name in (item for part in items.values() for item in part):
        if names.setdefault(label, name) != name:
            raise ValueError(
                f"Label {label} of {layout.name} is called both {names[label]!r} and {name!r}; a label needs one name."
            )
    if sorted(names) != list(range(len(names))):
        raise ValueError(f"The labels of {layout.name} are not 0 to {len(names) - 1} without a gap.")
    classes = display([names[label] for label in range(len(names))])
    for label in sorted(set(names) - {label for _, label, _ in items["train"]}):
        raise ValueError(f"The class {classes[label]!r} of {layout.name} has no images in train.")
    if len(classes) < 2:
        raise ValueError(f"{layout.name} has one class; a classifier needs at least two.")
    for name in doubled(classes):  # as in ImageNet, where CLIP's names have "missile" and "sunglasses" twice
        notes += (f"two classes are called {name!r}; no model can tell them apart by name.",)
    there = set(files.names)
    missing = [path for part in items.values() for path, _, _ in part if path not in there]
    if missing:
        raise FileNotFoundError(f"{len(missing)} images of {layout.name} are missing, the first is {files.where(missing[0])}. "
                                "Unpack the images there as CoOp's DATASETS.md says.")  # fmt: skip
    splits = {part: _split(files, listed) for part, listed in items.items()}
    template = (COOP.get(layout.name, "a photo of a {}."),)
    base, new = base_and_new(len(classes))
    return ImageData(layout.name, classes, base, new, template, splits["train"], splits["val"], splits["test"], notes=notes)


def _split(files: Files, items: list[Item]) -> Split:
    labels: NDArray[np.int64] = np.array([label for _, label, _ in items], np.int64)
    return Split(labels, Encoded(files, tuple(path for path, _, _ in items)), np.arange(len(items)))
