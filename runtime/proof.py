"""The artifact's proof, run again on this device: golden images, golden inputs, golden outputs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .artifact import GOLDEN, PARITY, Artifact, Graph, read
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
    parity = _entries(folder, artifact)
    with np.load(folder / GOLDEN, allow_pickle=False) as stored:
        golden = {name: stored[name] for name in stored.files}
    found = []
    for name, (graph, tolerance) in parity.items():
        session = OrtSession(folder / name, options)
        inputs = {port.name: _stored(golden, graph.name, port.name) for port in graph.inputs}
        names = [port.name for port in graph.outputs]
        for output, value in zip(names, session.run(names, inputs), strict=True):
            expected = _stored(golden, graph.name, output)
            found.append(_agreement(name, output, session.providers[0], expected, value, tolerance[output]))
    return Proof(tuple(found), _pixels(artifact, golden), backend())


def _entries(folder: Path, artifact: Artifact) -> dict[str, tuple[Graph, dict[str, dict[str, float]]]]:
    """Each of the artifact's ONNX files with its graph and its tolerance; one that was never verified is an error."""
    graphs = {graph.name: graph for graph in artifact.graphs}
    try:
        content = json.loads((folder / PARITY).read_text(encoding="utf-8"))["files"]
        found = {name: (graphs[entry["graph"]], entry["tolerance"]) for name, entry in content.items()}
        complete = all(
            {"cosine", "max_abs"} <= set(limits[port.name]) for graph, limits in found.values() for port in graph.outputs
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{folder / PARITY} does not say what each file was held to ({error!r}); export again") from error
    unproven = {name for name in artifact.files if name.endswith(".onnx")} ^ set(found)
    if unproven or not complete:
        raise ValueError(f"{folder / PARITY} does not match the artifact's files ({', '.join(sorted(unproven))}); export again")
    return found


def _stored(golden: dict[str, NDArray[Any]], graph: str, port: str) -> NDArray[Any]:
    if f"{graph}/{port}" not in golden:
        raise ValueError(f"{GOLDEN} has no {graph}/{port}; export the artifact again")
    return golden[f"{graph}/{port}"]


def _agreement(
    file: str, output: str, provider: str, expected: NDArray[Any], given: NDArray[Any], limit: dict[str, float]
) -> Agreement:
    first, second = (value.reshape(len(value), -1).astype(np.float64) for value in (expected, given))  # (n, ...)
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    cosines = np.where(norms > 0, (first * second).sum(1) / np.where(norms > 0, norms, 1), 1.0)  # a row of zeros has no direction
    cosine = float(cosines.min()) if np.isfinite(second).all() else 0.0
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
