"""The artifact's proof, run again on this device: golden images, golden inputs, golden outputs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .artifact import GOLDEN, PARITY, Artifact, graph_file, read
from .ops import backend
from .prepare import Geometry, batch
from .session import Options, OrtSession


@dataclass(frozen=True)
class Agreement:
    """One output of one file on this device against the exporter's."""

    file: str
    output: str
    provider: str
    cosine: float
    max_abs: float
    limit_cosine: float
    limit_abs: float

    @property
    def passed(self) -> bool:
        """Within the tolerance that parity.json states."""
        return self.cosine >= self.limit_cosine and self.max_abs <= self.limit_abs


@dataclass(frozen=True)
class Proof:
    """All agreements; `pixels` is the share of golden pixels that this device's preprocessing reproduces exactly."""

    agreements: tuple[Agreement, ...]
    pixels: float | None
    ops: str

    @property
    def passed(self) -> bool:
        """Every output within tolerance and every pixel equal."""
        return all(item.passed for item in self.agreements) and self.pixels in (None, 1.0)


def prove(path: str | Path, options: Options | None = None) -> Proof:
    """Run every file of the artifact on its golden inputs.

    Raises:
        FileNotFoundError, ValueError: the artifact, its golden file or its parity file is missing or damaged.
    """
    folder = Path(path)
    artifact = read(folder)
    for name in (GOLDEN, PARITY):
        if name not in artifact.files:
            raise FileNotFoundError(f"{folder} carries no proof: {name} is not among its files; export it again")
    parity = json.loads((folder / PARITY).read_text(encoding="utf-8"))["files"]
    with np.load(folder / GOLDEN, allow_pickle=False) as stored:
        golden = {name: stored[name] for name in stored.files}
    found = []
    for graph in artifact.graphs:
        for name, entry in parity.items():
            if entry["graph"] == graph.name and name == graph_file(graph.name, entry["precision"]):
                session = OrtSession(folder / name, options)
                inputs = {port.name: golden[f"{graph.name}/{port.name}"] for port in graph.inputs}
                names = [port.name for port in graph.outputs]
                for output, value in zip(names, session.run(names, inputs), strict=True):
                    limit = entry["tolerance"][output]
                    found.append(_agreement(name, output, session.providers[0], golden[f"{graph.name}/{output}"], value, limit))
    return Proof(tuple(found), _pixels(artifact, golden), backend())


def _agreement(
    file: str, output: str, provider: str, expected: NDArray[Any], given: NDArray[Any], limit: dict[str, float]
) -> Agreement:
    first, second = (value.reshape(len(value), -1).astype(np.float64) for value in (expected, given))  # (n, ...)
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    cosine = float(((first * second).sum(1) / np.where(norms > 0, norms, 1)).min()) if np.isfinite(second).all() else 0.0
    error = float(np.abs(first - second).max()) if np.isfinite(second).all() else float("inf")
    return Agreement(file, output, provider, cosine, error, limit["cosine"], limit["max_abs"])


def _pixels(artifact: Artifact, golden: dict[str, NDArray[Any]]) -> float | None:
    """Share of equal pixels between the stored graph input and this device's preprocessing of the stored images."""
    images = [golden[f"image_{index}"] for index in range(len(golden)) if f"image_{index}" in golden]
    stored = next((golden[f"{graph.name}/image"] for graph in artifact.graphs if f"{graph.name}/image" in golden), None)
    if not images or stored is None or "geometry" not in artifact.options:
        return None
    count = min(len(images), len(stored))
    prepared = batch(images[:count], Geometry.from_dict(artifact.options["geometry"]))
    return float((prepared == stored[:count]).mean())
