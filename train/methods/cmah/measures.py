"""CMAH's evaluation: images find shapes and shapes find images, by codes, by the float embedding and by its random hyperplanes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from train import retrieval
from train.data.shapes3d import Shapes

from .feed import channels_first, grouped

ACROSS = ("image_to_shape", "shape_to_image")
TOP = 50  # of the second mAP
DRAWS = 5  # sets of random hyperplanes, whose mean is told
ROWS = 128  # that are encoded at once

Features = dict[str, NDArray[np.float32]]  # "16": logits (n, 16), ..., and "float": (n, d)


@dataclass(frozen=True)
class Side:
    """One modality of some instances.

    Args:
        features: rows are items.
        label: (n,), the family of each.
        instance: (n,), which instance of its set an item shows.
    """

    features: Features
    label: NDArray[np.int64]
    instance: NDArray[np.int64]

    def some(self, keep: NDArray[np.bool_]) -> Side:
        """Those items."""
        return Side({name: rows[keep] for name, rows in self.features.items()}, self.label[keep], self.instance[keep])

    def and_also(self, other: Side) -> Side:
        """The items of both; instances keep their own set's numbers."""
        features = {name: np.concatenate([rows, other.features[name]]) for name, rows in self.features.items()}
        return Side(features, np.concatenate([self.label, other.label]), np.concatenate([self.instance, other.instance]))


@dataclass(frozen=True)
class Encoded:
    """Both modalities of a set: one cloud and some images of each instance."""

    image: Side
    shape: Side

    def some(self, keep: NDArray[np.bool_]) -> Encoded:
        """Those instances."""
        return Encoded(self.image.some(keep[self.image.instance]), self.shape.some(keep[self.shape.instance]))

    def and_also(self, other: Encoded) -> Encoded:
        return Encoded(self.image.and_also(other.image), self.shape.and_also(other.shape))


def encode(
    shapes: Shapes,
    of_image: Callable[[Tensor], dict[str, Tensor]],
    of_points: Callable[[Tensor, Tensor], dict[str, Tensor]],
    *,
    views: int,
    groups: int,
    neighbours: int,
) -> Encoded:
    """Features of all clouds and of the first `views` images of each instance.

    Args:
        of_image: uint8 (n, 3, h, w) -> features by name.
        of_points: (n, G, 3), (n, G, M, 3) -> features by name.
    """
    labels, n = np.asarray(shapes.labels), len(shapes)
    image: list[dict[str, Tensor]] = []
    shape: list[dict[str, Tensor]] = []
    for start in range(0, n, ROWS):
        rows = range(start, min(start + ROWS, n))
        found = grouped(np.stack([shapes.cloud(row) for row in rows]), groups, neighbours)
        shape.append(of_points(found["centres"], found["neighbourhoods"]))
        for view in range(views):
            image.append(of_image(channels_first(np.stack([shapes.image(row, view) for row in rows]))))
    order = np.concatenate([np.tile(np.arange(n)[start : start + ROWS], views) for start in range(0, n, ROWS)])
    return Encoded(Side(_joined(image), labels[order], order), Side(_joined(shape), labels, np.arange(n)))


def _joined(parts: list[dict[str, Tensor]]) -> Features:
    return {name: torch.cat([part[name] for part in parts]).float().cpu().numpy() for name in parts[0]}


def aligned(queries: Encoded, database: Encoded) -> tuple[Encoded, Encoded]:
    """Features of heads that were never trained together: each number brought to mean 0 and deviation 1 over its modality's items
    in the database."""

    def scaled(side: Side, like: Side) -> Side:
        features = {
            name: (rows - like.features[name].mean(0)) / (like.features[name].std(0) + 1e-6)
            for name, rows in side.features.items()
        }
        return replace(side, features=features)

    image, shape = database.image, database.shape
    return (
        Encoded(scaled(queries.image, image), scaled(queries.shape, shape)),
        Encoded(scaled(image, image), scaled(shape, shape)),
    )


def measure(queries: Encoded, database: Encoded, lengths: tuple[int, ...], *, both: bool = True) -> dict[str, float]:
    """Of every way to compare: mAP of the whole ranking, mAP@50 (over min(R, 50)), and precision within radius 2 of codes.

    Relevant is what has the query's family; where no family is known there is nothing to tell. Ties count by expectation (train.retrieval); "chance" is where everything ties.

    Args:
        queries, database: share no instance.
        both: also from shapes to images.
    """
    directions = {"image_to_shape": (queries.image, database.shape)}
    if both:
        directions["shape_to_image"] = (queries.shape, database.image)
    return _ranked(directions, lengths)


def within(queries: Encoded, database: Encoded, lengths: tuple[int, ...]) -> dict[str, float]:
    """The same, without random hyperplanes, of images that ask for images and shapes that ask for shapes."""
    directions = {"image_to_image": (queries.image, database.image), "shape_to_shape": (queries.shape, database.shape)}
    return _ranked(directions, lengths, planes=False)


def _ranked(directions: Mapping[str, tuple[Side, Side]], lengths: tuple[int, ...], *, planes: bool = True) -> dict[str, float]:
    """Measures of rankings by direction, way and measure, of each that has something relevant; `planes`: also by random hyperplanes."""
    found: dict[str, list[float]] = {}
    for direction, (one, other) in directions.items():
        relevant = (one.label[:, None] == other.label[None]) & (one.label[:, None] >= 0)
        if not relevant.any():
            continue
        same = np.zeros(relevant.shape, np.int16)
        found[f"{direction}/chance/map"] = [retrieval.mean_average_precision(same, relevant)]
        for name, distances in _distances(one.features, other.features, lengths, planes=planes):
            values = {
                "map": retrieval.mean_average_precision(distances, relevant),
                f"map{TOP}": retrieval.mean_average_precision(distances, relevant, TOP),
            }
            if name != "float":
                values["precision_r2"] = retrieval.precision_within(distances, relevant, 2)
            for measure_name, value in values.items():
                found.setdefault(f"{direction}/{name}/{measure_name}", []).append(value)
    return {name: float(np.mean(values)) for name, values in found.items()}


def recalls(items: Encoded, lengths: tuple[int, ...]) -> dict[str, float]:
    """Recall at 1 and 10 of the very instance: an image among the clouds of its set, and a cloud among its set's first images."""
    first = items.image.some(np.arange(len(items.image.label)) == _first(items.image.instance))
    pairs = {"image_to_shape": (items.image, items.shape), "shape_to_image": (items.shape, first)}
    found: dict[str, list[float]] = {}
    for direction, (one, other) in pairs.items():
        place = np.empty(int(other.instance.max()) + 1, np.int64)
        place[other.instance] = np.arange(len(other.instance))
        for name, distances in _distances(one.features, other.features, lengths):
            for k, value in zip((1, 10), retrieval.recall_at(distances, place[one.instance], (1, 10)), strict=True):
                found.setdefault(f"{direction}/{name}/r{k}", []).append(value)
    return {name: float(np.mean(values)) for name, values in found.items()}


def bits(items: Encoded, lengths: tuple[int, ...]) -> dict[str, float]:
    """Statistics of the codes of both modalities."""
    return {
        f"{kind}/{length}/{name}": value
        for kind, side in (("image", items.image), ("shape", items.shape))
        for length in lengths
        for name, value in retrieval.bit_statistics(side.features[str(length)] >= 0).items()
    }


def _first(instance: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each row, the first row of its instance."""
    _, where, inverse = np.unique(instance, return_index=True, return_inverse=True)
    return where[inverse]


def _distances(
    one: Mapping[str, NDArray[np.float32]],
    other: Mapping[str, NDArray[np.float32]],
    lengths: tuple[int, ...],
    *,
    planes: bool = True,
) -> list[tuple[str, NDArray[np.number]]]:
    """Named distances: of codes, of the float embedding (1 - cosine), and, with `planes`, of each draw of its random hyperplanes."""
    found: list[tuple[str, NDArray[np.number]]] = []
    for length in lengths:
        if str(length) in one:
            found.append((str(length), retrieval.hamming(one[str(length)] >= 0, other[str(length)] >= 0)))
    if "float" not in one:
        return found
    first, second = (F.normalize(torch.from_numpy(rows["float"]), dim=1).numpy() for rows in (one, other))
    found.append(("float", 1 - first @ second.T))
    for length in lengths if planes else ():
        for draw in range(DRAWS):
            normals = np.random.default_rng((length, draw)).standard_normal((first.shape[1], length), np.float32)
            found.append((f"lsh_{length}", retrieval.hamming(first @ normals >= 0, second @ normals >= 0)))
    return found
