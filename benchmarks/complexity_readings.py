"""What is read of rated images and asked of it: read-outs of a trained encoder, once a model, and ridge regression on few ratings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.complexity_measures import MEASURES, measured
from runtime.whole import writing
from train.correlation import pearson, rmse, spearman
from train.data.complexity import Rated
from train.data.complexity_scenes import KINDS, complexity_scenes
from train.data.split import hold_out

Floats: TypeAlias = NDArray[np.float64]

PENALTIES = 10.0 ** np.arange(-4, 5)
WEIGHTS = (0.1, 0.3, 1.0)  # of an encoder's embedding beside the hand-made measures
LABEL_FREE = ("activation", "pc1")
CHOOSING = 2024  # seed of which images are set aside
SCENES = 200  # drawn images of known complexity


@dataclass(frozen=True)
class Read:
    """Of a model, over the rated images and over the drawn ones.

    Args:
        activation, pc1: (n,), without labels.
        score: (n,), 0 to 100, the label-free one; `score_of` says of which of the two it is.
        embedding: (n, d).
        head: (n,) in 0..100, the score of a head that ratings trained; None without one.
        levels: "activation" or "pc1" -> kind of drawn image -> Spearman's correlation with the level.
    """

    activation: Floats
    pc1: Floats
    score: Floats
    score_of: str
    embedding: Floats
    head: Floats | None
    levels: dict[str, dict[str, float]]


def read_model(model: Path, images: Rated) -> Read:
    """Read-outs of a model.pt of clic, kept beside it."""
    kept = _kept(model.with_name("readings.npz"), images)
    if kept is None:
        kept = _asked(model, images)
        _keep(model.with_name("readings.npz"), images, kept)
    levels = {of: {kind: float(kept[f"{of}/{kind}"]) for kind in KINDS} for of in LABEL_FREE}
    own = {name: kept[name] for name in (*LABEL_FREE, "score", "embedding")}
    return Read(**own, score_of=str(kept["score_of"]), head=kept.get("head"), levels=levels)


def read_by_hand(out: Path, images: Rated) -> Floats:
    """The hand-made measures, (n, measures), kept in `out`."""
    kept = _kept(out / "measures.npz", images)
    if kept is None or kept["measures"].shape[1] != len(MEASURES):
        kept = {"measures": np.stack([measured(images.image(row)) for row in range(len(images))])}
        _keep(out / "measures.npz", images, kept)
    return np.asarray(kept["measures"])


def _kept(path: Path, images: Rated) -> dict[str, Any] | None:
    if not path.exists():
        return None
    with np.load(path) as file:
        found = dict(file)
    return found if tuple(found.pop("names").tolist()) == images.names else None


def _keep(path: Path, images: Rated, values: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path) as file:
        np.savez(file, names=np.array(images.names), **values)


def _asked(model: Path, images: Rated) -> dict[str, Any]:
    from train import checkpoint
    from train.methods.clic.measures import place, readings

    method: Any = checkpoint.restore(model)
    graph = method.exportable().modules["complexity"]
    found = readings(graph, images.image, len(images), method.geometry)
    scenes = complexity_scenes(SCENES, size=method.config.test_size, seed=1)
    drawn = readings(graph, scenes.image, len(scenes), method.geometry)
    rows = {kind: scenes.rows(kind) for kind in KINDS}
    levels = {
        f"{of}/{kind}": spearman(values[own], scenes.scores[own])
        for of, values in (("activation", drawn.activation), ("pc1", drawn.component))
        for kind, own in rows.items()
    }
    return {
        "activation": found.activation,
        "pc1": found.component,
        "score": place(method.label_free(found), method.quantiles.double().numpy()),
        "score_of": "pc1" if method.config.label_free == "component" else "activation",
        "embedding": found.embedding,
        **({} if found.score is None else {"head": found.score}),
        **levels,
    }


def ridge(blocks: Sequence[Floats], targets: Floats, labelled: NDArray[np.int64]) -> Floats:
    """Predict every image's score from the ratings of some by ridge regression with an intercept.

    Columns are standardised on the labelled images, and each block is divided by the root of its width, so that a wide one does not drown a
    narrow one. The penalty, one of PENALTIES in parts of the largest eigenvalue, and with several blocks what the first is multiplied by, one
    of WEIGHTS, are those with the least error of leave-one-out on the labelled images.

    Args:
        blocks: (n, d) each, side by side.
        targets: (n,), of which only those of `labelled` are read.

    Returns:
        (n,), within 0..100.
    """
    columns = []
    for block in blocks:
        own = block[labelled]
        spread = own.std(0)
        columns.append((block - own.mean(0)) / np.where(spread > 1e-9, spread, np.inf) / np.sqrt(block.shape[1]))
    mean = targets[labelled].mean()
    found = []
    for weight in WEIGHTS if len(blocks) > 1 else (1.0,):
        every = np.concatenate([weight * columns[0], *columns[1:]], axis=1)  # (n, d)
        error, direction = _fitted(every[labelled], targets[labelled] - mean)
        found.append((error, every @ direction))
    best = min(found, key=lambda pair: pair[0])[1]
    return np.asarray((best + mean).clip(0, 100))


def _fitted(own: Floats, wanted: Floats) -> tuple[float, Floats]:
    """The least error of leave-one-out over the penalties, and the coefficients (d,) that belong to it; of centred rows and targets."""
    left, sizes, right = np.linalg.svd(own, full_matrices=False)
    found = []
    for penalty in PENALTIES * max(float(sizes[0]) ** 2, 1e-12):
        shrink = sizes**2 / (sizes**2 + penalty)
        residual = wanted - left @ (shrink * (left.T @ wanted))
        leverage = (left**2) @ shrink + 1 / len(own)
        error = float(np.mean((residual / np.maximum(1 - leverage, 1e-6)) ** 2))
        found.append((error, right.T @ (sizes / (sizes**2 + penalty) * (left.T @ wanted))))
    return min(found, key=lambda pair: pair[0])


def set_aside(images: Rated, share: float) -> NDArray[np.int64]:
    """The images whose ratings may be read while something is chosen: a share of each category, by a hash of their names."""
    return _part(images, share, CHOOSING)


def drawn_labels(images: Rated, share: float, split: int) -> NDArray[np.int64]:
    """Which images' ratings a split gives: a share of each category."""
    return _part(images, share, split)


def _part(images: Rated, share: float, seed: int) -> NDArray[np.int64]:
    categories = np.unique(images.categories, return_inverse=True)[1].astype(np.int64)
    return hold_out(images.names, categories, share, seed)[1]


def agreement(images: Rated, values: Floats, rows: NDArray[np.int64], *, scaled: bool) -> dict[str, float]:
    """pcc, srcc, and where values are scores rmse, over some images; those of each category, "scenes/pcc"; and "within/pcc", their mean."""
    found: dict[str, float] = {}
    groups = {"": rows}
    names = sorted({images.categories[row] for row in rows})
    groups |= {f"{name}/": rows[np.isin(rows, images.rows(name))] for name in names}
    for prefix, own in groups.items():
        true = images.scores[own]
        found |= {f"{prefix}pcc": pearson(values[own], true), f"{prefix}srcc": spearman(values[own], true)}
        if scaled:
            found[f"{prefix}rmse"] = rmse(values[own], true)
    for measure in ("pcc", "srcc", *(["rmse"] if scaled else [])):
        found[f"within/{measure}"] = float(np.mean([found[f"{name}/{measure}"] for name in names]))
    return found
