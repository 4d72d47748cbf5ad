"""N-way K-shot accuracy over episodes, from descriptors that are computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.prepare import Geometry, batch
from train.data.episodes import Episodes
from train.data.split import Prepared, Split

from .rules import Floats, Rules, answer

HELD = 3 << 30  # bytes of descriptors that are computed before the first episode; beyond, each episode computes its own

Describe = Callable[[NDArray[np.int64]], tuple[Floats, Floats | None]]  # images -> descriptors (n, l, d), thresholds (n, l)


@dataclass(frozen=True)
class Outcome:
    """Of many episodes: accuracy of each in percent, and the share of queries that its most predicted class got."""

    accuracy: NDArray[np.float64]
    most_predicted: NDArray[np.float64]

    def metrics(self, shots: int) -> dict[str, float]:
        """Mean, half of the 95 % interval of the mean (1.96 standard errors), and the health measure, 1 / ways at best."""
        count = len(self.accuracy)
        spread = float(self.accuracy.std(ddof=1)) if count > 1 else 0.0
        return {
            f"{shots}shot/accuracy": float(self.accuracy.mean()),
            f"{shots}shot/interval": 1.96 * spread / count**0.5,
            f"{shots}shot/most_predicted": float(self.most_predicted.mean()),
        }


class Bank:
    """Descriptors of a part's images by index."""

    def __init__(self, count: int, size: int, describe: Describe, *, limit: int = HELD) -> None:
        self._describe = describe
        self._held = describe(np.arange(count)) if count * size <= limit else None

    def take(self, images: NDArray[np.int64]) -> tuple[Floats, Floats | None]:
        """(n, l, d), (n, l)"""
        if self._held is None:
            return self._describe(images)
        found, threshold = self._held
        return found[images], None if threshold is None else threshold[images]


def score(bank: Bank, episodes: Episodes, count: int, how: Rules, *, threads: int | None = None) -> Outcome:
    """Ask `count` episodes."""
    accuracy, most = np.empty(count), np.empty(count)
    truth = np.repeat(np.arange(episodes.ways), episodes.queries)
    for number in range(count):
        episode = episodes.draw(number)
        support, _ = bank.take(episode.support.ravel())
        query, threshold = bank.take(episode.query.ravel())
        shaped = support.reshape(episodes.ways, episodes.shots, *support.shape[1:])
        guess = answer(shaped, query, how, threshold=threshold, key=number, threads=threads).argmax(1)
        accuracy[number] = 100 * (guess == truth).mean()
        most[number] = np.bincount(guess, minlength=episodes.ways).max() / len(guess)
    return Outcome(accuracy, most)


def pixels(split: Split, geometry: Geometry, images: NDArray[np.int64], size: int = 64) -> Iterator[NDArray[np.uint8]]:
    """Images of a part at a geometry, uint8 (n, 3, h, w), `size` at a time; from memory where they are there."""
    held = split.source.pixels if isinstance(split.source, Prepared) and split.source.geometry == geometry else None
    for begin in range(0, len(images), size):
        some = images[begin : begin + size]
        if held is not None:
            yield held[split.rows[some]]
        else:
            yield batch([split.read(int(image)) for image in some], geometry)
