"""Embedded data: procedural captioned scenes of a coloured, textured thing, often beside a smaller second one.

Nothing is stored: an image is a function of (seed, part, row). A class is a composition, "red striped mug". Some
compositions are new classes: each of their colours, textures and objects occurs in base classes, together they never do, and
the second thing of a scene is always of a base class.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import draws
from .drawing import Thing, photograph
from .images import ImageData
from .shapes import COLOURS, OBJECTS, TEXTURES
from .split import Split

SIZE = 48
SIZES = (16, 512)
TEMPLATES = ("a photo of a {}",)
CORPUS = 3  # captioned images for each training image
TEST_SEED = 20_240  # the test images are the same for every seed
_TRAIN, _VAL, _TEST, _CORPUS = 1, 2, 3, 4

# relation: where the main thing is, seen from the second; its inverse; where the second is, seen from the main
RELATIONS = (
    ("left of", "right of", "to its right"),
    ("right of", "left of", "to its left"),
    ("above", "below", "below it"),
    ("below", "above", "above it"),
)
ALONE = ("a photo of {main}", "a picture of {main}", "{main}", "there is {main} here")
BESIDE = (
    "a photo of {main} {relation} {second}",
    "{main} {relation} {second}",
    "{main} is {relation} {second}",
    "a picture of {main} with {second} {place}",
    "{second} {inverse} {main}",
    "a photo of {second}, and {main} {relation} it",
)


@dataclass(frozen=True, order=True)
class Composition:
    """A thing that can be named."""

    object: str
    colour: str
    texture: str

    @property
    def name(self) -> str:
        """Its class name, without article."""
        adjectives = ("plain", self.colour) if self.texture == "plain" else (self.colour, self.texture)
        return f"{adjectives[0]} {adjectives[1]} {self.object}"


@dataclass(frozen=True)
class Scene:
    """What is in an image.

    Args:
        main: what the image is of; the larger thing.
        second: the smaller thing, if any.
        relation: index of RELATIONS.
    """

    main: Composition
    second: Composition | None
    relation: int


EVERY = tuple(Composition(thing, colour, kind) for thing in OBJECTS for colour in COLOURS for kind in TEXTURES)


def compositions(base: int = 64, new: int = 32) -> tuple[tuple[Composition, ...], tuple[Composition, ...]]:
    """Choose base and new classes, the same at every call.

    Greedily and evenly over objects, colours and textures, in pairs that differ by texture alone; new ones are taken where
    most of the same kind stay in base.
    """
    if base < 12 or new < 0 or base + new > len(EVERY):
        raise ValueError(
            f"{base} base and {new} new classes are asked for; scenes have {len(EVERY)} compositions and need 12 base classes."
        )
    used: Counter[str] = Counter()
    place = {item: i for i, item in enumerate(EVERY[i] for i in draws.permutation(len(EVERY), 11))}
    pairs = Counter[tuple[str, str]]()
    chosen: list[Composition] = []
    left = set(EVERY)
    for _ in range(base + new):

        def burden(item: Composition) -> tuple[int, int, int]:
            sibling = pairs[item.object, item.colour] == 1
            return used[item.object] + used[item.colour] + used[item.texture] - 2 * sibling, -sibling, place[item]

        item = min(left, key=burden)
        left.remove(item)
        chosen.append(item)
        used.update((item.object, item.colour, item.texture))
        pairs[item.object, item.colour] += 1
    stay, held = set(chosen), set[Composition]()
    for _ in range(new):

        def remaining(item: Composition) -> tuple[bool, int, int, int]:
            counts = used[item.object], used[item.colour], used[item.texture]
            plenty = counts[0] * len(OBJECTS) + counts[1] * len(COLOURS) + counts[2] * len(TEXTURES)
            return min(counts) > 1, min(2, pairs[item.object, item.colour]), plenty, -place[item]

        item = max(stay, key=remaining)
        stay.remove(item)
        held.add(item)
        used.subtract((item.object, item.colour, item.texture))
        pairs[item.object, item.colour] -= 1
    return tuple(sorted(stay, key=lambda item: item.name)), tuple(sorted(held, key=lambda item: item.name))


def compose(main: Composition, seconds: Sequence[Composition], key: np.uint64) -> Scene:
    """Decide what is beside the main thing; two scenes in three have a second, of another object and colour."""
    drawn = draws.uniforms(np.asarray([key], np.uint64), 3)[0]
    fitting = [item for item in seconds if item.object != main.object and item.colour != main.colour]
    second = fitting[int(drawn[0] * len(fitting))] if fitting and drawn[1] < 2 / 3 else None
    return Scene(main, second, int(drawn[2] * len(RELATIONS)))


def caption(scene: Scene, key: np.uint64) -> str:
    """Describe a scene in one of several forms, the main thing first or by its relation to the second."""
    form, short = draws.uniforms(np.asarray([key], np.uint64), 5)[0, 3:]
    main = f"a {scene.main.name}"
    if scene.second is None:
        return ALONE[int(form * len(ALONE))].format(main=main)
    second = f"a {scene.second.colour} {scene.second.object}" if short < 0.5 else f"a {scene.second.name}"
    relation, inverse, place = RELATIONS[scene.relation]
    return BESIDE[int(form * len(BESIDE))].format(main=main, second=second, relation=relation, inverse=inverse, place=place)


def draw(scene: Scene, key: np.uint64, size: int) -> NDArray[np.uint8]:
    """The scene as uint8 (size, size, 3)."""
    spot = draws.uniforms(np.asarray([key], np.uint64), 11)[0, 5:]
    main = scene.main
    if scene.second is None:
        x, y = 0.5 + 0.24 * (spot[:2] - 0.5)
        return photograph((Thing(main.object, main.colour, main.texture, x, y, 0.25 + 0.12 * spot[2]),), key, size)
    near, far = 0.32 + 0.05 * (spot[0] - 0.5), 0.8 + 0.04 * (spot[1] - 0.5)
    across, beside = 0.5 + 0.2 * (spot[2] - 0.5), 0.5 + 0.3 * (spot[3] - 0.5)
    if scene.relation in (1, 3):
        near, far = 1 - near, 1 - far
    spots = ((far, beside), (near, across)) if scene.relation < 2 else ((beside, far), (across, near))
    sizes = (0.155 + 0.03 * spot[4], 0.23 + 0.04 * spot[5])
    pairs = zip((scene.second, main), spots, sizes, strict=True)
    return photograph(
        tuple(Thing(item.object, item.colour, item.texture, x, y, radius) for item, (x, y), radius in pairs), key, size
    )


@dataclass(frozen=True)
class Scenes:
    """A source of images (train.data.split.Source) that draws them."""

    scenes: tuple[Scene, ...]
    keys: NDArray[np.uint64]
    size: int
    part: str

    def read(self, row: int) -> NDArray[np.uint8]:
        return draw(self.scenes[row], self.keys[row], self.size)

    def name(self, row: int) -> str:
        return f"embedded scene {self.part}/{row}"


def _split(
    part: str,
    mains: Sequence[Composition],
    seconds: Sequence[Composition],
    labels: NDArray[np.int64],
    parts: tuple[int, int],
    size: int,
) -> Split:
    if not SIZES[0] <= size <= SIZES[1]:
        raise ValueError(f"Scenes of {size} pixels are asked for; they can be drawn from {SIZES[0]} to {SIZES[1]} pixels a side.")
    keys = draws.key(*parts, np.arange(len(mains)))
    scenes = tuple(compose(main, seconds, key) for main, key in zip(mains, keys, strict=True))
    captions = tuple(caption(scene, key) for scene, key in zip(scenes, keys, strict=True))
    return Split(labels, Scenes(scenes, keys, size, part), np.arange(len(mains)), captions)


def caption_corpus(images: int, *, seed: int, size: int = SIZE, exclude: Collection[str] = ()) -> Split:
    """Captioned scenes of all compositions, for training a teacher from nothing.

    Args:
        exclude: class names that are to occur nowhere, neither as main nor as second thing: the new classes.

    Returns:
        A split with captions; labels are -1.
    """
    unknown = sorted(set(exclude) - {item.name for item in EVERY})
    if unknown:
        raise ValueError(
            f"{unknown[0]!r} is not the name of a composition. Names are like 'red striped mug' and 'plain blue key'."
        )
    allowed = [item for item in EVERY if item.name not in exclude]
    if len(allowed) < 2:
        raise ValueError(f"{len(exclude)} of {len(EVERY)} compositions are excluded; a corpus needs at least two.")
    order = [allowed[i % len(allowed)] for i in range(images)]
    return _split("corpus", order, allowed, np.full(images, -1), (_CORPUS, seed), size)


def open_scenes(
    *, seed: int, size: int = SIZE, base: int = 64, new: int = 32, train: int = 128, val: int = 12, test: int = 24
) -> ImageData:
    """The embedded data set.

    Args:
        seed: of train and val; test is the same for every seed.
        size: side of the images in pixels.
        base, new: numbers of classes; labels are base first, each half in alphabetical order.
        train, val, test: images of each class.
    """
    known, unseen = compositions(base, new)
    classes = known + unseen

    def part(name: str, each: int, *parts: int) -> Split:
        labels = np.arange(each * len(classes)) % len(classes)
        return _split(name, [classes[label] for label in labels], known, labels, (parts[0], parts[1]), size)

    note = (
        f"procedural scenes, drawn when read; {new} compositions are new classes: never the second thing of a scene, and neither "
        "shown nor named among the captioned images that a teacher is trained on."
    )
    corpus = caption_corpus(CORPUS * train * len(classes), seed=seed, size=size, exclude=[item.name for item in unseen])
    return ImageData(
        "scenes", tuple(item.name for item in classes), tuple(range(base)), tuple(range(base, base + new)), TEMPLATES,
        part("train", train, _TRAIN, seed), part("val", val, _VAL, seed), part("test", test, _TEST, TEST_SEED), captioned=corpus, notes=(note,),
    )  # fmt: skip
