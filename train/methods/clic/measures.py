"""How well what a model reads from images agrees with people's ratings, or with entropy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from runtime.prepare import Geometry, batch
from train.correlation import pearson, rmae, rmse, spearman
from train.data.complexity import HIGHEST, Rated

QUANTILES = 101  # of the activation, in hundredths
TOGETHER = 16  # images that are read at a time

Floats = NDArray[np.float64]
Read = Callable[[int], NDArray[np.uint8]]


@dataclass(frozen=True)
class Readings:
    """Of n images.

    Args:
        activation, component: (n,), without labels.
        embedding: (n, d).
        score: (n,) in 0..100, None without a head.
    """

    activation: Floats
    component: Floats
    embedding: Floats
    score: Floats | None


def readings(graph: Callable[[Tensor], tuple[Tensor, ...]], read: Read, count: int, geometry: Geometry) -> Readings:
    """Run the deployed graph over images, with a progress bar.

    Args:
        graph: uint8 (n, 3, h, w) -> activation, component, embedding, map and perhaps the score.
        read: number -> uint8 (h, w, 3).
    """
    from tqdm import tqdm

    found: list[list[Tensor]] = []
    with torch.no_grad(), tqdm(total=count, desc="reading out", leave=False, disable=None) as bar:
        for begin in range(0, count, TOGETHER):
            rows = range(begin, min(begin + TOGETHER, count))
            activation, component, embedding, _, *score = graph(torch.from_numpy(batch([read(row) for row in rows], geometry)))
            found.append([output.double().cpu() for output in (activation, component, embedding, *score)])
            bar.update(len(rows))
    joined = [torch.cat(outputs).numpy() for outputs in zip(*found, strict=True)]
    return Readings(joined[0], joined[1], joined[2], joined[3] if len(joined) > 3 else None)


def quantiles(values: Floats) -> Floats:
    """Values at 0 %, 1 %, ..., 100 %, strictly increasing in float32."""
    found = np.quantile(values, np.linspace(0, 1, QUANTILES)).astype(np.float32)
    for at in range(1, QUANTILES):
        found[at] = max(found[at], np.nextafter(found[at - 1], np.float32(np.inf)))
    return found.astype(np.float64)


def place(values: Floats, among: Floats) -> Floats:
    """The label-free score: 100 times where a value stands among the quantiles, linear between them."""
    return HIGHEST * np.interp(values, among, np.linspace(0, 1, len(among)))


def principal(standardised: Floats, entropy: Floats) -> Floats:
    """The unit direction of largest variance, on the side on which entropy grows: (n, d), (n,) -> (d,)"""
    direction = np.linalg.svd(standardised - standardised.mean(0), full_matrices=False)[2][0]
    return np.asarray(direction if pearson(standardised @ direction, entropy) >= 0 else -direction)


def agreement(images: Rated, values: dict[str, Floats], scores: dict[str, Floats]) -> dict[str, float]:
    """Measures by name: what/measure over all images, what/category/measure, and what/within/pcc, the mean over categories.

    Protocol: correlations (pcc, srcc) of `values`, errors (rmse, rmae) of `scores`, both divided by 100 as IC9600's ratings are. Ratings
    of two categories need not be comparable; where there are several, what is within them says more.

    Args:
        values: what -> (n,), larger is more complex.
        scores: what -> (n,) in 0..100, where values have a scale.
    """
    found: dict[str, float] = {}
    for what, value in values.items():
        for where, rows in _groups(images):
            prefix, true = f"{what}/{where}", images.scores[rows]
            found[f"{prefix}pcc"] = pearson(value[rows], true)
            found[f"{prefix}srcc"] = spearman(value[rows], true)
            if what in scores:
                own = scores[what][rows]
                found[f"{prefix}rmse"] = rmse(own / HIGHEST, true / HIGHEST)
                found[f"{prefix}rmae"] = rmae(own / HIGHEST, true / HIGHEST)
        names = sorted(set(images.categories))
        for measure in ("pcc", "srcc") if len(names) > 1 else ():
            found[f"{what}/within/{measure}"] = float(np.mean([found[f"{what}/{name}/{measure}"] for name in names]))
    return found


def _groups(images: Rated) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """All images, then those of each category where there are several; with the prefix of their measures."""
    yield "", np.arange(len(images))
    names = sorted(set(images.categories))
    if len(names) > 1:
        for name in names:
            yield f"{name}/", images.rows(name)
