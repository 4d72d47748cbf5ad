"""ONNX Runtime must give torch's numbers at the smallest, usual and largest size of every axis."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from runtime.artifact import Axis, Graph, Port
from runtime.session import exact

SCHEMA = 1  # of parity.json
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Tolerance:
    """How far a graph may be from torch.

    Args:
        cosine: the smallest cosine allowed between a row of torch's and the same row of ours.
        relative: the largest absolute error allowed, as a share of the output's largest magnitude.
        top1: on outputs named `logits`, the smallest share of rows with the same best class. Rows that torch itself
            decides by less than the allowed error are ties and count as agreeing.
    """

    cosine: float
    relative: float
    top1: float


# fp32 differs by the order of summation only: 1e-6 to 1e-5 of the scale is usual for twelve layers.
# fp16 keeps 11 bits in the tower and fp32 in norms, softmax and the head: 1e-3 to 1e-2 is usual.
# int8 is judged by direction and by decisions on real inputs; an error bound as such says little about it.
TOLERANCES: dict[str, Tolerance] = {
    "fp32": Tolerance(cosine=0.99999, relative=1e-3, top1=1.0),
    "fp16": Tolerance(cosine=0.999, relative=3e-2, top1=0.98),
    "fp16-products": Tolerance(cosine=0.999, relative=3e-2, top1=0.98),
    "int8": Tolerance(cosine=0.9, relative=0.5, top1=0.8),
    "int8-dynamic": Tolerance(cosine=0.9, relative=0.5, top1=0.8),
    "int8-trt": Tolerance(cosine=0.9, relative=0.5, top1=0.8),
}


@dataclass(frozen=True)
class Case:
    """Inputs at one size of every axis; `real` says that they come from the method's samples."""

    name: str
    inputs: Arrays
    real: bool


@dataclass(frozen=True)
class Reference:
    """A case with torch's outputs."""

    case: Case
    outputs: Arrays


@dataclass(frozen=True)
class Agreement:
    """One output of one case, torch against one ONNX Runtime session."""

    output: str
    case: str
    optimised: bool
    rows: int
    scale: float
    cosine: float
    max_abs: float
    top1: float | None

    @property
    def relative(self) -> float:
        return self.max_abs / self.scale if self.scale > 0 else self.max_abs


@dataclass(frozen=True)
class Parity:
    """What was found for one file of the artifact."""

    file: str
    graph: str
    precision: str
    tolerance: Tolerance
    agreements: tuple[Agreement, ...]

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row.output for row in self.agreements))

    def worst(self, output: str) -> Agreement:
        """The extremes over all cases; `top1` is the share over all rows."""
        rows = [row for row in self.agreements if row.output == output]
        judged = [row for row in rows if row.top1 is not None]
        count = sum(row.rows for row in judged)
        top1 = sum(row.top1 * row.rows for row in judged if row.top1 is not None) / count if count else None
        furthest, total = max(rows, key=lambda row: row.relative), sum(row.rows for row in rows)
        return dataclasses.replace(furthest, cosine=min(row.cosine for row in rows), top1=top1, rows=total)

    @property
    def failures(self) -> tuple[str, ...]:
        """A sentence for each output that is out of tolerance; empty when the file has passed."""
        found = []
        for output in self.outputs:
            worst, limit = self.worst(output), self.tolerance
            where = f"{self.file}, output {output!r} (worst at {worst.case})"
            if not worst.cosine >= limit.cosine:
                found.append(f"{where}: cosine {worst.cosine:.6f} with torch, at least {limit.cosine:g} expected")
            if not worst.relative <= limit.relative:
                found.append(f"{where}: error {worst.relative:.2e} of the output's scale, at most {limit.relative:g} expected")
            if worst.top1 is not None and not worst.top1 >= limit.top1:
                found.append(f"{where}: {worst.top1:.1%} of the rows have torch's best class, at least {limit.top1:.0%} expected")
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for parity.json; "tolerance" is absolute, so that a device can check the golden outputs with it."""
        worst = {output: self.worst(output) for output in self.outputs}
        return {
            "graph": self.graph,
            "precision": self.precision,
            "cases": list(dict.fromkeys(row.case for row in self.agreements)),
            "found": {
                output: {"cosine": row.cosine, "max_abs": row.max_abs, "relative": row.relative, "top1": row.top1}
                for output, row in worst.items()
            },
            "tolerance": {
                output: {"cosine": self.tolerance.cosine, "max_abs": self.tolerance.relative * row.scale}
                for output, row in worst.items()
            },
        }


def sizes(axis: Axis) -> tuple[int, ...]:
    """The smallest, usual and largest size, without repetition."""
    return tuple(sorted({axis.min, axis.opt, axis.max}))


def cases(graph: Graph, axes: Mapping[str, Axis], samples: Mapping[str, np.ndarray], *, seed: int = 0) -> Iterator[Case]:
    """Yield real and random inputs with every axis at its usual size, then each axis alone at its other sizes."""
    used = {size: axes[size] for port in graph.inputs for size in port.shape if isinstance(size, str)}
    usual = {name: axis.opt for name, axis in used.items()}
    settings = [usual] + [{**usual, name: size} for name, axis in used.items() for size in sizes(axis) if size != axis.opt]
    generator = np.random.default_rng(seed)
    for setting in settings:
        label = ", ".join(f"{name} {size}" for name, size in setting.items()) or "its only size"
        if all(port.name in samples for port in graph.inputs):
            real = {port.name: tile(samples[port.name], shape_of(port, setting)) for port in graph.inputs}
            yield Case(f"real inputs, {label}", real, real=True)
        drawn = {port.name: draw(port, setting, samples.get(port.name), generator) for port in graph.inputs}
        yield Case(f"random inputs, {label}", drawn, real=False)


def shape_of(port: Port, setting: Mapping[str, int]) -> tuple[int, ...]:
    """The port's shape with its axes at these sizes."""
    return tuple(size if isinstance(size, int) else setting[size] for size in port.shape)


def tile(array: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Cut or repeat along each dimension until the shape is met."""
    for dimension, size in enumerate(shape):
        if array.shape[dimension] != size:
            array = np.take(array, np.arange(size) % array.shape[dimension], axis=dimension)
    return np.ascontiguousarray(array)


def draw(port: Port, setting: Mapping[str, int], sample: np.ndarray | None, generator: np.random.Generator) -> np.ndarray:
    """Random input: bytes are uniform, floats have the sample's mean and deviation, other integers its range."""
    shape, dtype = shape_of(port, setting), np.dtype(port.dtype)
    if dtype == np.uint8:
        return generator.integers(0, 256, shape, dtype=np.uint8)
    if dtype == np.bool_:
        return generator.random(shape) < 0.5
    if dtype.kind in "iu":
        low, high = (int(sample.min()), int(sample.max())) if sample is not None else (0, 1)
        return generator.integers(low, high, shape, dtype=dtype, endpoint=True)
    mean, deviation = (float(sample.mean()), float(sample.std())) if sample is not None else (0.0, 1.0)
    return (mean + deviation * generator.standard_normal(shape)).astype(dtype)


def answer(module: nn.Module, graph: Graph, inputs: Mapping[str, np.ndarray]) -> Arrays:
    """Torch's outputs by the names of the graph's ports."""
    with torch.no_grad():
        found = module(*(torch.from_numpy(inputs[port.name]) for port in graph.inputs))
    outputs = (found,) if isinstance(found, torch.Tensor) else tuple(found)
    assert len(outputs) == len(graph.outputs), f"{graph.name}: {len(outputs)} outputs, {len(graph.outputs)} ports"
    return {port.name: output.numpy() for port, output in zip(graph.outputs, outputs, strict=True)}


def references(
    module: nn.Module, graph: Graph, axes: Mapping[str, Axis], samples: Mapping[str, np.ndarray], *, seed: int = 0
) -> tuple[Reference, ...]:
    """Torch's answer to every case: computed once, however many files are held against it."""
    return tuple(Reference(case, answer(module, graph, case.inputs)) for case in cases(graph, axes, samples, seed=seed))


def session(path: Path, *, optimised: bool = True, threads: int | None = None) -> Any:
    """An ONNX Runtime session on the CPU with as many threads as torch has, unless told otherwise."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads() if threads is None else threads
    options.log_severity_level = 3
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimised else level.ORT_DISABLE_ALL
    for key, value in exact(path).items():
        options.add_session_config_entry(key, value)
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def compare(output: str, expected: np.ndarray, found: np.ndarray, *, case: str, optimised: bool, slack: float) -> Agreement:
    """Row-wise cosine, largest error and, for logits, the share of equal decisions; `slack` is the relative error of a tie."""
    assert expected.shape == found.shape, f"{output}: shape {found.shape}, torch has {expected.shape}"
    ours = found.astype(np.float64).reshape(len(found), -1)  # (n, d)
    torchs = expected.astype(np.float64).reshape(len(expected), -1)  # (n, d)
    finite = bool(np.isfinite(ours).all())
    scale = float(np.abs(torchs).max(initial=0.0))
    error = float(np.abs(ours - torchs).max(initial=0.0)) if finite else math.inf
    norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(torchs, axis=1)  # (n,)
    without = np.linalg.norm(torchs, axis=1) <= 1e-6 * scale  # (n,), rows near zero have no direction
    products = (ours * torchs).sum(axis=1) if finite else np.zeros(len(ours))  # (n,)
    cosines = np.where(without, 1.0, products / np.where(norms > 0, norms, 1.0)) if finite else products  # (n,)
    top1 = None
    if output == "logits":
        best, chosen = torchs.max(axis=1), np.take_along_axis(torchs, ours.argmax(axis=1)[:, None], axis=1)[:, 0]  # (n,)
        top1 = float((best - chosen <= 2 * slack * scale).mean())
    return Agreement(output, case, optimised, len(found), scale, float(cosines.min(initial=1.0)), error, top1)


def verify(file: Path, graph: Graph, precision: str, expected: Sequence[Reference], tolerance: Tolerance | None = None) -> Parity:
    """Hold one ONNX file against torch, with ONNX Runtime's optimisations and without any.

    int8 is held against real inputs only, where there are some: noise lies outside the range that it was calibrated for.
    """
    limit = TOLERANCES[precision] if tolerance is None else tolerance
    slack = TOLERANCES["fp32"].relative if precision.startswith("int8") else limit.relative
    chosen = [item for item in expected if item.case.real] if precision.startswith("int8") else []
    names = [port.name for port in graph.outputs]
    found = []
    for optimised in (True, False):
        runner = session(file, optimised=optimised)
        for item in chosen or expected:
            outputs = runner.run(names, item.case.inputs)
            for name, value in zip(names, outputs, strict=True):
                found.append(compare(name, item.outputs[name], value, case=item.case.name, optimised=optimised, slack=slack))
    return Parity(file.name, graph.name, precision, limit, tuple(found))


def parity_json(parities: Sequence[Parity], opset: int) -> dict[str, Any]:
    """The content of parity.json."""
    import onnx
    import onnxruntime

    return {
        "schema": SCHEMA,
        "opset": opset,
        "versions": {"torch": torch.__version__, "onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__},
        "files": {parity.file: parity.to_dict() for parity in parities},
    }


def table(parities: Sequence[Parity]) -> str:
    """The findings as text, a line per file and output."""
    lines = [f"{'file':<28} {'output':<16} {'cosine':>10} {'max error':>10} {'of scale':>9} {'top-1':>7}  verdict"]
    for parity in parities:
        limit = parity.tolerance
        for output in parity.outputs:
            worst = parity.worst(output)
            top1 = "" if worst.top1 is None else f"{worst.top1:.1%}"
            good = worst.cosine >= limit.cosine and worst.relative <= limit.relative
            good = good and (worst.top1 is None or worst.top1 >= limit.top1)
            lines.append(
                f"{parity.file:<28} {output:<16} {worst.cosine:>10.7f} {worst.max_abs:>10.2e} {worst.relative:>9.1e} "
                f"{top1:>7}  {'passed' if good else 'FAILED'}"
            )
    return "\n".join(lines)
