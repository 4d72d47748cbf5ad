"""Classes by the local descriptors of a few photos: what of each is kept, and how an image is scored against it.

The scores are those of `ops.select_descriptors`, `ops.select_queries` and `ops.image_to_class`, written for classes that come and go and
have unequal numbers of photos: each class keeps the sums of its descriptors, so that a change costs one product for each descriptor
that is held. Where all classes have as many photos, the same descriptors are selected. Each class counts the same in the mean of the
others, however many photos it has.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import ops
from .ops.descriptors import MOST_NEAREST, share

RATIO_FLOOR = 1e-6  # below the ratio of two means
_EIGHTH = 3  # classes whose numbers of kept descriptors agree in so many binary digits behind the first share an array
_LEAST = float(np.finfo(np.float32).tiny)  # of a square norm that is not zero
_ABSENT = object()
_CHOICES = {
    "score": ("difference", "ratio", "none"),
    "center": ("none", "task"),
    "query": ("none", "fraction", "adaptive"),
    "class_offset": ("none", "support"),
}
_ONE_IMAGE = ("contrast", "grid")


def checkerboard(rows: int, columns: int) -> tuple[int, ...]:
    """Every second place of a grid, ascending: those of a checkerboard's colour that has its first corner."""
    return tuple(row * columns + column for row in range(rows) for column in range(columns) if (row + column) % 2 == 0)


@dataclass(frozen=True)
class Rule:
    """How descriptors are selected and compared.

    Args:
        fraction, threshold, other_images: of the support, as `ops.select_descriptors` takes them. A class of one photo has no other
            images: there the descriptor's own image stays in.
        score: "difference" of the two means, their "ratio", or "none": everything is kept.
        center: "task" subtracts the mean of the classes' mean descriptors from support and query before cosines are taken.
        query: which of an image's descriptors count: all ("none"), the `query_fraction` of largest margin ("fraction"), or those
            whose margin is above the threshold that the graph gives each, and the best one ("adaptive").
        neighbours: k of the image-to-class score.
        class_offset: "support" subtracts from what a descriptor of the query gives to a class what the class's own kept descriptors
            give to it on average.
        one_image_grid: (h, w) of the descriptors: a class of one photo keeps every second place of it, since one photo does not tell what
            its class has in common; and where all classes have one photo, all of a query's count. None selects from one photo as from others.
    """

    fraction: float = 0.5
    threshold: float | str | None = None
    score: str = "difference"
    other_images: bool = False
    center: str = "none"
    query: str = "none"
    query_fraction: float = 1.0
    neighbours: int = 3
    class_offset: str = "none"
    one_image_grid: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for fraction in (self.fraction, self.query_fraction):
            share(fraction, 1)
        if self.threshold not in (None, "mean") and not _number(self.threshold):
            raise ValueError(f'a threshold of {self.threshold!r} was given; expected a number, "mean" or none')
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name} = {getattr(self, name)!r} was given; expected one of {', '.join(known)}")
        if self.score == "none" and (self.fraction != 1 or self.threshold is not None):
            raise ValueError("without a score all descriptors are kept, and a fraction or a threshold was given with it")
        if not 1 <= self.neighbours < MOST_NEAREST:
            raise ValueError(f"neighbours = {self.neighbours} was given; expected 1 to {MOST_NEAREST - 1}")

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Rule:
        """Of an artifact, whose `query` is {"rule": ..., "value": ...}; ValueError where an option is missing or of another kind."""
        query = options.get("query")
        if not isinstance(query, dict):
            raise ValueError(f"the artifact's option 'query' is {query!r}; expected a dict with rule and value")
        value = query.get("value")
        given = {**options, "query": query.get("rule"), "query_fraction": 1.0 if value is None else value}
        one_image = options.get("one_image", _ONE_IMAGE[0])  # artifacts of before say nothing
        if one_image not in _ONE_IMAGE:
            raise ValueError(f"one_image = {one_image!r} was given; expected one of {', '.join(_ONE_IMAGE)}")
        found: dict[str, Any] = {"one_image_grid": grid_of(options) if one_image == "grid" else None}
        for name, default in vars(cls()).items():
            if name in found:
                continue
            value, kind = given.get(name, _ABSENT), type(default)
            sound = _number(value) if kind is float else type(value) is kind
            if value is _ABSENT or not (sound or name == "threshold"):
                shown = "missing" if value is _ABSENT else repr(value)
                raise ValueError(f"the artifact's option {name!r} is {shown}; expected a {kind.__name__}")
            found[name] = float(value) if kind is float else value
        return cls(**found)


def grid_of(options: Mapping[str, Any]) -> tuple[int, int]:
    """(h, w) of an artifact's descriptors; ValueError where its options do not say."""
    found = options.get("grid")
    if not isinstance(found, list) or len(found) != 2 or not all(type(side) is int and side > 0 for side in found):
        raise ValueError(f"the artifact's option 'grid' is {found!r}; expected [h, w], which the descriptors are laid out in")
    return found[0], found[1]


@dataclass(frozen=True, eq=False)
class Class:
    """Unit descriptors (images, locations, d), zero where what was given is zero, and their sums (images, d)."""

    descriptors: NDArray[np.float32]
    sums: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Group:
    """Classes with about as many kept descriptors: places (g,), rows (g, 1, n, d), and which of them are theirs (g, n), None for all."""

    places: NDArray[np.int64]
    rows: NDArray[np.float32]
    index: NDArray[np.int32] | None


@dataclass(frozen=True, eq=False)
class Chosen:
    """What is kept of the classes at one time, ready to be compared with.

    Args:
        names, images: the classes in the order in which they were enrolled, and how many images each has.
        kept: of each class the rows that are kept, ascending, of its images * locations.
        rows: those descriptors, (n, d) each.
        means: (classes, d), of those descriptors.
        offsets: (classes,): what is subtracted from each cosine sum.
        center: (d,), subtracted from queries; None where nothing is.
    """

    names: tuple[str, ...]
    images: tuple[int, ...]
    kept: tuple[NDArray[np.int64], ...]
    rows: tuple[NDArray[np.float32], ...]
    means: NDArray[np.float64]
    offsets: NDArray[np.float32]
    center: NDArray[np.float64] | None
    groups: tuple[_Group, ...]
    rule: Rule

    def centred(self, query: NDArray[np.float32]) -> NDArray[np.float32]:
        """Descriptors (images, locations, d) as they are compared: less the center."""
        return query if self.center is None else (query - self.center).astype(np.float32)

    def select(self, query: NDArray[np.float32], thresholds: NDArray[np.float32] | None = None) -> NDArray[np.bool_]:
        """Which descriptors of a centred query count, (images, locations); thresholds of the same shape where it is adaptive."""
        if self.rule.query == "none" or (self.rule.one_image_grid and max(self.images) == 1):
            return np.ones(query.shape[:2], np.bool_)
        margin = self._margin(query)
        best = np.argsort(-margin, axis=1, kind="stable")
        mask = np.zeros(margin.shape, np.bool_)
        adaptive = self.rule.query == "adaptive"
        count = 1 if adaptive else share(self.rule.query_fraction, query.shape[1])
        np.put_along_axis(mask, best[:, :count], True, axis=1)
        if adaptive:
            assert thresholds is not None
            mask |= margin > thresholds
        return mask

    def logits(
        self, query: NDArray[np.float32], mask: NDArray[np.bool_] | None = None, *, threads: int | None = None
    ) -> NDArray[np.float32]:
        """`ops.image_to_class` of a centred query, less each class's offset for each descriptor that counts: (images, classes)."""
        found = np.empty((len(query), len(self.names)), np.float32)
        for group in self.groups:
            found[:, group.places] = ops.image_to_class(
                query, group.rows, group.index, mask, self.rule.neighbours, threads=threads
            )
        counts = np.full(len(query), query.shape[1]) if mask is None else mask.sum(1)
        return found - (counts[:, None] * self.offsets).astype(np.float32)

    def evidence(self, query: NDArray[np.float32], place: int, *, threads: int | None = None) -> NDArray[np.float32]:
        """What each descriptor of a centred query (locations, d) gives to one class's logit: (locations,)."""
        found = ops.image_to_class(query[:, None], self.rows[place][None, None], k=self.rule.neighbours, threads=threads)
        return found[:, 0] - self.offsets[place]

    def neighbours(self) -> NDArray[np.int64]:
        """How many cosines of each descriptor of the query a class's logit sums: (classes,)."""
        return np.minimum([len(rows) for rows in self.rows], self.rule.neighbours)

    def _margin(self, query: NDArray[np.float32]) -> NDArray[np.float32]:
        """As `ops.select_queries` has it, from the means alone: (images, locations)."""
        unit = unit_rows(query)
        # not a matrix product: BLAS's threads wait for one another where they share a core, a hundred times as long as this takes
        relevance = np.einsum("nld,cd->nlc", unit, self.means)  # (images, locations, classes)
        best = relevance.max(-1)
        others = len(self.names) - 1
        margin: NDArray[np.float64] = best - (relevance.sum(-1) - best) / others if others else best
        margin[~unit.any(-1)] = -np.inf
        return margin.astype(np.float32)


Before: TypeAlias = dict[str, tuple[Class, NDArray[np.int64], np.float32]]  # name -> what an offset was computed from, and it


def choose(classes: Mapping[str, Class], rule: Rule, before: Before) -> tuple[Chosen, Before]:
    """What is kept, and the offsets, of which those of classes that keep the same are taken from before."""
    listed = list(classes.values())
    center = None
    sums = [found.sums for found in listed]
    if rule.center == "task":
        before = {}
        center = np.mean([_mean(found.sums, found.descriptors) for found in listed], axis=0)
        sums = [unit_rows(found.descriptors - center).sum(1) for found in listed]
    means = np.stack([_mean(part, found.descriptors) for part, found in zip(sums, listed, strict=True)])  # (classes, d)
    others = (means.sum(0) - means) / (len(listed) - 1) if len(listed) > 1 else np.zeros_like(means)
    places = np.array(checkerboard(*rule.one_image_grid)) if rule.one_image_grid else None
    kept = tuple(
        places
        if places is not None and len(found.descriptors) == 1
        else _kept(_score(_compared(found, center), part, other, rule), rule)
        for found, part, other in zip(listed, sums, others, strict=True)
    )
    groups = _grouped(listed, kept, center)
    rows: dict[int, NDArray[np.float32]] = {}
    for group in groups:
        rows |= {at: group.rows[inside, 0, : len(kept[at])] for inside, at in enumerate(group.places.tolist())}
    ordered = tuple(rows[at] for at in range(len(listed)))
    offsets = np.zeros(len(listed), np.float32)
    if rule.class_offset == "support":
        for at, (name, found) in enumerate(classes.items()):
            same = before.get(name)
            unchanged = same is not None and same[0] is found and np.array_equal(same[1], kept[at])
            offsets[at] = same[2] if same is not None and unchanged else _offset(ordered[at], rule.neighbours)
    kept_means = np.stack([part.mean(0, dtype=np.float64) for part in ordered])
    images = tuple(len(found.descriptors) for found in listed)
    chosen = Chosen(tuple(classes), images, kept, ordered, kept_means, offsets, center, groups, rule)
    return chosen, {name: (found, kept[at], offsets[at]) for at, (name, found) in enumerate(classes.items())}


def _score(unit: NDArray[np.float32], sums: NDArray[np.float64], others: NDArray[np.float64], rule: Rule) -> NDArray[np.float32]:
    """One class's contrast, (images * locations,): its images' sums (images, d) and the mean of the other classes' means (d,)."""
    images, locations, _ = unit.shape
    if rule.score == "none":
        return np.zeros(images * locations, np.float32)
    leave = rule.other_images and images > 1
    rest = images * locations - (locations if leave else 1)
    near = (sums.sum(0) - sums * leave) / max(rest, 1)  # (images, d)
    itself = 0.0 if leave or not rest else 1 / rest  # a descriptor's cosine to itself
    if rule.score == "ratio":
        score = (_along(unit, near) - itself) / (_along(unit, others[None]) + RATIO_FLOOR)
    else:
        score = _along(unit, near - others) - itself if rest else _along(unit, -others[None])
    score[~unit.any(-1)] = -np.inf
    return score.ravel().astype(np.float32)


def _along(unit: NDArray[np.float32], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Products of unit (images, locations, d) with a vector for each image. Not a matrix product: equal rows must tie."""
    products: NDArray[np.float64] = (unit * weights[:, None]).sum(-1)  # in float64
    return products


def _kept(score: NDArray[np.float32], rule: Rule) -> NDArray[np.int64]:
    """The rows that the rule keeps, ascending."""
    if rule.threshold is None:
        return np.sort(np.argsort(-score, kind="stable")[: share(rule.fraction, len(score))])
    counted = np.isfinite(score)
    bound = rule.threshold
    if isinstance(bound, str):
        bound = float(score[counted].mean(dtype=np.float64)) if counted.any() else 0.0
    keep = counted & (score >= bound)
    keep[score.argmax()] = True
    return np.flatnonzero(keep)


def _grouped(
    classes: Sequence[Class], kept: Sequence[NDArray[np.int64]], center: NDArray[np.float64] | None
) -> tuple[_Group, ...]:
    """The kept descriptors, in as few arrays as fill them to seven eighths or more."""
    counts = np.array([len(rows) for rows in kept])
    step = 2 ** np.maximum(np.floor(np.log2(counts)).astype(np.int64) - _EIGHTH, 0)
    sizes = -(-counts // step) * step
    d = classes[0].descriptors.shape[2]
    found = []
    for size in np.unique(sizes):
        places = np.flatnonzero(sizes == size)
        n = int(counts[places].max())
        packed = np.zeros((len(places), 1, n, d), np.float32)
        for inside, at in enumerate(places.tolist()):
            rows = classes[at].descriptors.reshape(-1, d)[kept[at]]
            packed[inside, 0, : counts[at]] = rows if center is None else unit_rows(rows - center)
        column = np.arange(n, dtype=np.int32)
        index = np.where(column < counts[places, None], column, np.int32(-1))
        found.append(_Group(places, packed, None if (counts[places] == n).all() else index))
    return tuple(found)


def _offset(rows: NDArray[np.float32], k: int) -> float:
    """The sum of the k largest cosines to the others, in the mean over unit rows (n, d)."""
    nearest = float(ops.image_to_class(rows[None], rows[None, None], k=k + 1)[0, 0])
    return (nearest - float(rows.any(-1).sum())) / len(rows)  # each is its own nearest


def _compared(found: Class, center: NDArray[np.float64] | None) -> NDArray[np.float32]:
    """Unit descriptors as they are compared."""
    return found.descriptors if center is None else unit_rows(found.descriptors - center).astype(np.float32)


def _mean(sums: NDArray[np.float64], descriptors: NDArray[np.float32]) -> NDArray[np.float64]:
    """(d,), of one class's image sums (images, d)."""
    found: NDArray[np.float64] = sums.sum(0) / (descriptors.shape[0] * descriptors.shape[1])
    return found


def unit_rows(rows: NDArray[Any]) -> NDArray[np.float64]:
    """Rows (..., d) of length 1, or 0 where they are 0; ValueError where one is not finite."""
    exact = rows.astype(np.float64)
    squares = (exact * exact).sum(-1, keepdims=True)
    if not np.isfinite(squares).all():
        raise ValueError("descriptors must be finite; NaN or an infinity was given")
    zero = squares < _LEAST
    found: NDArray[np.float64] = np.where(zero, 0.0, exact / np.sqrt(np.where(zero, 1.0, squares)))
    return found


def _number(value: object) -> bool:
    """Whether it is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
