"""Episodes without state: what episode i asks is a function of the seed and i, whatever came before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import draws

_CLASSES, _IMAGES = 41, 42  # first parts of the keys here


@dataclass(frozen=True)
class Episode:
    """One N-way K-shot question.

    Args:
        classes: (ways,), labels; class c of the episode is the c-th.
        support: (ways, shots), indices of images.
        query: (ways, queries), indices of images; none of them is in the support.
    """

    classes: NDArray[np.int64]
    support: NDArray[np.int64]
    query: NDArray[np.int64]


class Episodes:
    """Episodes over labelled images.

    Args:
        labels: int64 (n,), the label of each image; -1 is left out.
        names: what to call a label in a message.

    Raises:
        ValueError: there are fewer classes than `ways`, or a class has fewer images than `shots + queries`.
    """

    def __init__(
        self, labels: NDArray[np.int64], *, ways: int, shots: int, queries: int, seed: int, names: tuple[str, ...] = ()
    ) -> None:
        if ways < 2 or shots < 1 or queries < 1:
            raise ValueError(f"{ways} ways, {shots} shots and {queries} queries were given; expected at least 2, 1 and 1")
        order = np.argsort(labels, kind="stable")
        present, counts = np.unique(labels[order], return_counts=True)
        members = np.split(order, np.cumsum(counts)[:-1])
        self._members = {int(label): own for label, own in zip(present, members, strict=True) if label >= 0}
        self._labels = np.array(sorted(self._members), np.int64)
        self.ways, self.shots, self.queries, self._seed = ways, shots, queries, seed
        if len(self._labels) < ways:
            raise ValueError(f"{ways}-way episodes were asked for, and the data has {len(self._labels)} classes")
        for label, own in self._members.items():
            if len(own) < shots + queries:
                name = names[label] if names else label
                raise ValueError(
                    f"the class {name!r} has {len(own)} images, and an episode takes {shots} shots and {queries} queries; "
                    "give it more images, or lower queries"
                )

    def draw(self, number: int) -> Episode:
        """Episode `number` of this seed."""
        chosen = self._labels[draws.permutation(len(self._labels), _CLASSES, self._seed, number)[: self.ways]]
        rows = np.stack([self._images(int(label), number) for label in chosen])  # (ways, shots + queries)
        assert len(np.unique(rows)) == rows.size, "an image occurs twice in an episode"
        return Episode(chosen, rows[:, : self.shots], rows[:, self.shots :])

    def _images(self, label: int, number: int) -> NDArray[np.int64]:
        own = self._members[label]
        order = draws.permutation(len(own), _IMAGES, self._seed, number, label)
        return own[order[: self.shots + self.queries]]
