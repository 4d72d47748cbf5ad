"""The model card of an artifact: what it is, what it reached and how it was checked, on a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from runtime.artifact import Artifact, Axis, Port

from .quantize import PRECISIONS
from .verify import Parity


def card(artifact: Artifact, metrics: Mapping[str, float], parities: Sequence[Parity], opset: int) -> str:
    """Markdown, the same for the same model; latency is left to `python -m benchmarks.latency`, on the device that counts."""
    lines = [f"# {artifact.method}: {artifact.task.replace('_', ' ')}", ""]
    classes = artifact.options.get("classes", ())
    if classes:
        shown = ", ".join(classes[:10]) + (f" and {len(classes) - 10} more" if len(classes) > 10 else "")
        lines += [f"{len(classes)} classes: {shown}.", ""]
    lines += ["## Graphs", "", f"ONNX opset {opset}, one file each.", ""]
    for graph in artifact.graphs:
        inputs = ", ".join(_port(port) for port in graph.inputs)
        outputs = ", ".join(_port(port) for port in graph.outputs)
        lines.append(f"- `{graph.name}`: {inputs} -> {outputs}")
    lines += [""] + [f"- `{name}`: {_axis(axis)}" for name, axis in sorted(artifact.axes.items())]
    precisions = dict.fromkeys(parity.precision for parity in parities)
    if len(precisions) > 1:
        lines += ["", "## Precisions", ""] + [f"- {name}: {PRECISIONS[name]}." for name in precisions]
    if metrics:
        lines += ["", "## Measured at the end of training", "", "| what | value |", "|---|---|"]
        lines += [f"| {name} | {value:.6g} |" for name, value in sorted(metrics.items())]
    lines += ["", "## Checked against torch", ""]
    lines += ["The worst over real and random inputs, smallest to largest size of every axis, with ONNX Runtime's"]
    lines += ["optimisations and without."]
    lines += ["", "| file | output | cosine | largest error | of scale | top-1 |", "|---|---|---|---|---|---|"]
    for parity in parities:
        for output in parity.outputs:
            worst = parity.worst(output)
            top1 = "" if worst.top1 is None else f"{worst.top1:.1%}"
            errors = f"{worst.cosine:.7f} | {worst.max_abs:.1e} | {worst.relative:.1e}"
            lines.append(f"| {parity.file} | {output} | {errors} | {top1} |")
    lines += ["", "`golden.npz` holds inputs and torch's outputs, `parity.json` the tolerances to check any device with.", ""]
    return "\n".join(lines)


def _port(port: Port) -> str:
    return f"{port.name} {port.dtype} ({', '.join(str(size) for size in port.shape)})"


def _axis(axis: Axis) -> str:
    if axis.min == axis.max:
        return f"always {axis.min}"
    steps = f" in steps of {axis.multiple}" if axis.multiple > 1 else ""
    return f"{axis.min} to {axis.max}{steps}, usually {axis.opt}"
