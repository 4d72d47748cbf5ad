"""How descriptors become an answer, as plain values; and that answer by the runtime's ops, for evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime import ops
from runtime.ops.descriptors import share
from runtime.support_selection import checkerboard
from train.data import draws

from .config import Config
from .network import grid

Floats = NDArray[np.float32]
_RANDOM = 43  # first part of the keys here


@dataclass(frozen=True)
class Rules:
    """What the configuration decides between descriptors and scores.

    Args:
        prototypes: cosines of mean descriptors instead of all that follows.
        selection: of support descriptors, "contrast", "random", "grid" or "none".
        threshold: instead of the fraction, a score or "mean".
        query: of query descriptors, "none", "fraction" or "adaptive"; `query_value` is the fraction.
        places: of an image, what "grid" keeps, and whatever the selection a class of one image; then all descriptors of queries count.
            Empty: classes of one image are as others.
    """

    prototypes: bool
    selection: str
    fraction: float
    threshold: float | str | None
    ratio: bool
    other_images: bool
    center: bool
    query: str
    query_value: float
    neighbours: int
    offset: bool
    places: tuple[int, ...]

    def kept(self, rows: int) -> int:
        """Descriptors of a class of so many that a fraction keeps."""
        return share(self.fraction, rows)

    def gridded(self, images: int) -> bool:
        """Whether classes of so many images keep the descriptors at `places`."""
        return bool(self.places) and (self.selection == "grid" or images == 1)

    def terms(self, locations: int, images: int) -> int:
        """Cosines that a query's score is the sum of, of an image of so many descriptors (query="adaptive": at most)."""
        some = self.query == "fraction" and not self.gridded(images)
        return self.neighbours * (share(self.query_value, locations) if some else locations)

    def options(self) -> dict[str, Any]:
        """As an artifact states them."""
        score = ("ratio" if self.ratio else "difference") if self.selection == "contrast" else "none"
        return {
            "fraction": self.fraction,
            "threshold": self.threshold,
            "score": score,
            "other_images": self.other_images,
            "center": "task" if self.center else "none",
            "query": {"rule": self.query, "value": self.query_value if self.query == "fraction" else None},
            "neighbours": self.neighbours,
            "class_offset": "support" if self.offset else "none",
            "one_image": "grid" if self.places else "contrast",
        }


def rules(config: Config) -> Rules:
    """ValueError where fields contradict each other."""
    tcds = config.classifier == "tcds"
    threshold: float | str | None = None if config.threshold == "none" else config.threshold
    if threshold not in (None, "mean"):
        try:
            threshold = float(config.threshold)
        except ValueError as error:
            raise ValueError(f"threshold={config.threshold} was given; expected none, mean or a number") from error
    if tcds and config.selection == "all_support" and config.query == "none":
        raise ValueError("selection=all_support chooses queries by the whole support; give query=quantile or query=adaptive")
    if tcds and config.selection == "none" and config.query != "none":
        raise ValueError(
            "selection=none keeps all descriptors; give query=none with it, or selection=all_support to choose queries"
        )
    chosen = config.selection if tcds and config.selection in ("contrast", "random", "grid") else "none"
    gridded = chosen == "grid" or (chosen == "contrast" and config.one_image == "grid")
    return Rules(
        prototypes=config.classifier == "protonet",
        selection=chosen,
        fraction=config.fraction if chosen != "none" else 1.0,
        threshold=threshold if chosen == "contrast" else None,
        ratio=config.score == "ratio",
        other_images=config.other_images,
        center=config.center == "task",
        query={"none": "none", "quantile": "fraction", "adaptive": "adaptive"}[config.query] if tcds else "none",
        query_value=config.query_fraction,
        neighbours=config.neighbours,
        offset=config.class_offset == "support",
        places=checkerboard(*grid(config.size, config.pools)) if gridded else (),
    )


def answer(
    support: Floats, query: Floats, how: Rules, *, threshold: Floats | None = None, key: int = 0, threads: int | None = None
) -> Floats:
    """Scores of queries by class, by the native ops where they are built.

    Args:
        support: (classes, images, locations, d), unit rows.
        query: (n, locations, d), unit rows.
        threshold: (n, locations), of query="adaptive".
        key: of the random selection; the same key keeps the same rows.

    Returns:
        (n, classes)
    """
    if how.prototypes:
        return _prototypes(support, query)
    if how.center:
        mean = support.reshape(-1, support.shape[-1]).mean(0)
        support, query = support - mean, query - mean
    index = _index(support, how, key, threads)
    mask, selective = None, not how.gridded(support.shape[1])
    if selective and how.query == "fraction":
        mask = ops.select_queries(query, support, index, how.query_value, threads=threads).mask
    elif selective and how.query == "adaptive":
        assert threshold is not None
        margin = ops.select_queries(query, support, index, 1.0, threads=threads).margin
        mask = margin > threshold
        np.put_along_axis(mask, margin.argmax(1)[:, None], True, axis=1)
    scores = ops.image_to_class(query, support, index, mask, how.neighbours, threads=threads)
    if not how.offset:
        return scores
    counts = np.full(len(query), query.shape[1]) if mask is None else mask.sum(1)
    return scores - (counts[:, None] * density(support, index, how.neighbours, threads)).astype(np.float32)


def density(support: Floats, index: NDArray[np.int32] | None, k: int, threads: int | None = None) -> Floats:
    """The twin of blocks.selection.density: a descriptor's largest cosine is to itself, so that k + 1 less 1 are to the others."""
    found = np.empty(len(support), np.float32)
    for c, own in enumerate(support):
        rows = own.reshape(-1, own.shape[-1])
        if index is not None:
            rows = rows[index[c][index[c] >= 0]]
        unit = rows[np.square(rows).sum(1) > 0]
        near = ops.image_to_class(unit[None], rows[None, None], None, None, k + 1, threads=threads)[0, 0] if len(unit) else 0.0
        found[c] = (near - len(unit)) / len(rows)
    return found


def _index(support: Floats, how: Rules, key: int, threads: int | None) -> NDArray[np.int32] | None:
    classes, images, locations, _ = support.shape
    rows = images * locations
    if how.selection == "none":
        return None
    if how.gridded(images):
        every = np.arange(images)[:, None] * locations + np.array(how.places)
        return np.tile(every.ravel().astype(np.int32), (classes, 1))
    if how.selection == "random":
        chosen = [np.sort(draws.permutation(rows, _RANDOM, key, c)[: how.kept(rows)]) for c in range(classes)]
        return np.stack(chosen).astype(np.int32)
    others = how.other_images and images > 1
    if how.ratio:
        return _by_ratio(support, how, others)
    found = ops.select_descriptors(support, how.fraction, threshold=how.threshold, other_images=others, threads=threads)
    return found.rows


def _by_ratio(support: Floats, how: Rules, others: bool) -> NDArray[np.int32]:
    """The ratio of the two means, which the ops do not have."""
    import torch

    from train.blocks.selection import best, contrast, keep_above, unit

    flat = unit(torch.from_numpy(support).flatten(1, 2))
    score = contrast(flat, support.shape[1], ratio=True, other_images=others)
    if how.threshold is None:
        return best(score, how.kept(flat.shape[1])).numpy().astype(np.int32)
    counts = keep_above(flat, score, None if how.threshold == "mean" else float(how.threshold)).counts
    assert counts is not None
    width = int(counts.sum(1).max())
    order = counts.numpy().argsort(1, kind="stable")[:, ::-1][:, :width]
    kept = np.take_along_axis(counts.numpy(), order, 1)
    index = np.where(kept, order, flat.shape[1])
    index = np.sort(index, axis=1)
    return np.where(index == flat.shape[1], -1, index).astype(np.int32)


def _prototypes(support: Floats, query: Floats) -> Floats:
    """Cosines of each image's mean descriptor to each class's."""
    centre = support.mean((1, 2), dtype=np.float64)  # (c, d)
    mean = query.mean(1, dtype=np.float64)  # (n, d)
    lengths = np.linalg.norm(mean, axis=1)[:, None] * np.linalg.norm(centre, axis=1)
    return (mean @ centre.T / np.maximum(lengths, 1e-12)).astype(np.float32)
