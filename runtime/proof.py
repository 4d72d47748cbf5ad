"""The artifact's proof, run again on this device: golden images, golden inputs, golden outputs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import chips
from .artifact import GOLDEN, PARITY, Artifact, Graph, read
from .choice import open_session
from .clouds import group
from .cuda import Unavailable
from .ops import backend
from .prepare import Geometry, batch
from .session import Options, Report, Session


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
    """What was run on this device and how it agrees.

    Args:
        pixels: the share of golden pixels that this device's preprocessing reproduces exactly.
        groups: the share of coordinates of golden centres and neighbourhoods that its grouping of the golden clouds does.
        chips: the share of values of golden windows that its cutting of the golden chips does.
        ops: which ops prepared them, "native" or "numpy".
        reports: what each file ran on.
        left: files that nothing of what was preferred runs, each with the reason.
    """

    agreements: tuple[Agreement, ...]
    pixels: float | None
    groups: float | None
    chips: float | None
    ops: str
    reports: tuple[Report, ...] = ()
    left: tuple[tuple[str, str], ...] = ()

    @property
    def passed(self) -> bool:
        """Every file was run, every output is within tolerance and everything prepared is equal."""
        return bool(self.agreements) and not self.left and all(item.passed for item in self.agreements) and self.prepared

    @property
    def prepared(self) -> bool:
        """Every pixel, every grouped coordinate and every value of a chip is the exporter's."""
        return all(share in (None, 1.0) for share in (self.pixels, self.groups, self.chips))

    def preparation(self) -> tuple[str, ...]:
        """What was prepared here and how much of it is equal, in words."""
        shares = ((self.pixels, "golden pixels"), (self.groups, "golden groups of points"), (self.chips, "golden chips"))
        return tuple(f"{share:.2%} of {what} equal" for share, what in shares if share is not None)


def prove(path: str | Path, options: Options | None = None, precisions: Sequence[str] | None = None) -> Proof:
    """Run every file of the artifact on its golden inputs, on the first of `options.prefer` that this machine has for it.

    An engine is held to the tolerance of the ONNX file that it was built from.

    Args:
        precisions: those to run; None is all that the artifact has.

    Raises:
        FileNotFoundError, ValueError: the artifact, its golden file or its parity file is missing or damaged.
    """
    options = options or Options()
    folder = Path(path)
    artifact = read(folder)
    for name in (GOLDEN, PARITY):
        if name not in artifact.files:
            raise FileNotFoundError(f"{folder} carries no proof: {name} is not among its files; export it again")
    golden = read_golden(folder)
    agreements: list[Agreement] = []
    reports, left = [], []
    for name, (graph, tolerance) in held_to(folder, artifact).items():
        precision = name.removeprefix(graph.name).removesuffix(".onnx").strip(".") or "fp32"
        if precisions is not None and precision not in precisions:
            continue
        try:
            session = open_session(folder, artifact, graph.name, precision, options)
        except Unavailable as error:
            left.append((name, str(error)))
            continue
        reports.append(session.report)
        agreements += hold(session, graph, golden, tolerance)
    if not agreements and not left:
        raise ValueError(f"{folder} has no {', '.join(precisions or ())} variant; its files are {', '.join(artifact.files)}")
    shares = _pixels(artifact, golden), _groups(artifact, golden), _chips(artifact, golden)
    return Proof(tuple(agreements), *shares, backend(), tuple(reports), tuple(left))


def read_golden(folder: Path) -> dict[str, NDArray[Any]]:
    """The arrays of golden.npz: `image_0`, ..., `cloud_0`, ..., `chip_0`, ..., and `<graph>/<port>`."""
    with np.load(folder / GOLDEN, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def hold(
    session: Session, graph: Graph, golden: Mapping[str, NDArray[Any]], tolerance: Mapping[str, Mapping[str, float]]
) -> tuple[Agreement, ...]:
    """Run any session on the graph's golden inputs, and hold its outputs against the exporter's."""
    inputs = {port.name: _stored(golden, graph.name, port.name) for port in graph.inputs}
    names = [port.name for port in graph.outputs]
    return tuple(
        _agreement(
            session.report.file, output, session.providers[0], _stored(golden, graph.name, output), value, tolerance[output]
        )
        for output, value in zip(names, session.run(names, inputs), strict=True)
    )


def held_to(folder: Path, artifact: Artifact) -> dict[str, tuple[Graph, dict[str, dict[str, float]]]]:
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


def _stored(golden: Mapping[str, NDArray[Any]], graph: str, port: str) -> NDArray[Any]:
    if f"{graph}/{port}" not in golden:
        raise ValueError(f"{GOLDEN} has no {graph}/{port}; export the artifact again")
    return golden[f"{graph}/{port}"]


def _agreement(
    file: str, output: str, provider: str, expected: NDArray[Any], given: NDArray[Any], limit: Mapping[str, float]
) -> Agreement:
    first, second = (value.reshape(len(value), -1).astype(np.float64) for value in (expected, given))  # (n, ...)
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    cosines = np.where(norms > 0, (first * second).sum(1) / np.where(norms > 0, norms, 1), 1.0)  # a row of zeros has no direction
    cosine = float(cosines.min()) if np.isfinite(second).all() else 0.0
    error = float(np.abs(first - second).max()) if np.isfinite(second).all() else float("inf")
    return Agreement(file, output, provider, cosine, error, limit["cosine"], limit["max_abs"])


def _raw(golden: Mapping[str, NDArray[Any]], kind: str) -> list[NDArray[Any]]:
    """`image_0`, `image_1`, ..., or those of `cloud` or `chip`."""
    return [golden[f"{kind}_{index}"] for index in range(len(golden)) if f"{kind}_{index}" in golden]


def _port(artifact: Artifact, golden: Mapping[str, NDArray[Any]], port: str) -> NDArray[Any] | None:
    """What is stored for a port of this name, of the first graph that has it."""
    return next((golden[f"{graph.name}/{port}"] for graph in artifact.graphs if f"{graph.name}/{port}" in golden), None)


def _pixels(artifact: Artifact, golden: Mapping[str, NDArray[Any]]) -> float | None:
    """Share of equal pixels between the stored graph input and this device's preprocessing of the stored images."""
    images = _raw(golden, "image")
    stored = _port(artifact, golden, "image")
    if not images or stored is None or "geometry" not in artifact.options:
        return None
    count = min(len(images), len(stored))
    prepared = batch(images[:count], Geometry.from_dict(artifact.options["geometry"]))
    return float((prepared == stored[:count]).mean())


def _groups(artifact: Artifact, golden: Mapping[str, NDArray[Any]]) -> float | None:
    """The same of centres and neighbourhoods of the stored clouds."""
    clouds = _raw(golden, "cloud")
    graph = next((graph.name for graph in artifact.graphs if f"{graph.name}/neighbourhoods" in golden), None)
    if not clouds or graph is None:
        return None
    stored = [_stored(golden, graph, port)[: len(clouds)] for port in ("centres", "neighbourhoods")]
    count = len(stored[0])
    made = group(np.stack(clouds[:count]), stored[1].shape[1], stored[1].shape[2])
    return float(np.concatenate([(one == other).ravel() for one, other in zip(made, stored, strict=True)]).mean())


def _chips(artifact: Artifact, golden: Mapping[str, NDArray[Any]]) -> float | None:
    """The same of windows that are cut from the stored chips."""
    raw = _raw(golden, "chip")
    stored = _port(artifact, golden, "chip")
    options = artifact.options
    if not raw or stored is None or not {"crop", "size", "input"} <= set(options):
        return None
    count = min(len(raw), len(stored))
    made = chips.batch(raw[:count], options["crop"], options["size"], options["input"])
    return float((made == stored[:count]).mean())
