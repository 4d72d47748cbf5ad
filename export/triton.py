"""python -m export.triton artifact/ --repository models/: an artifact's graphs as models of the Triton Inference Server."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime import artifact as schema
from runtime.artifact import Artifact, Axis, Engine, Graph, Port

from .onnx import BATCH, names

LABELS = "labels.txt"
# NumPy's names -> Triton's
TYPES = {
    "bool": "TYPE_BOOL",
    **{f"{sign}int{bits}": f"TYPE_{sign.upper()}INT{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
    **{f"float{bits}": f"TYPE_FP{bits}" for bits in (16, 32, 64)},
}

EXAMPLES = """examples:
  python -m export.triton artifact/ --repository models/                       every graph, every precision, ONNX and TensorRT
  python -m export.triton artifact/ --repository models/ --graphs closed --precision fp16 --queue-delay 500
  tritonserver --model-repository models/                                      where the server is installed

A model is called METHOD_GRAPH_PRECISION, that of an engine METHOD_GRAPH_PRECISION_TARGET. Engines are those of full TensorRT,
which the server's TensorRT has to match in version and GPU; TensorRT-RTX's are left out, since Triton has no backend for them.
"""


class Word(str):
    """A name of protobuf's own, which stands without quotes."""

    __slots__ = ()


@dataclass(frozen=True)
class Model:
    """One folder of the repository: its name, configuration, and the files of its version as (name there, name here)."""

    name: str
    config: Mapping[str, Any]
    files: tuple[tuple[str, str], ...]
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Serving:
    """How models are served.

    Args:
        queue_delay: microseconds that a request may wait for others to fill a batch.
        kind: of the instances, "auto", "cpu" or "gpu".
    """

    queue_delay: int = 100
    instances: int = 1
    kind: str = "auto"
    version: int = 1


def models(
    found: Artifact, serving: Serving, graphs: Sequence[str] | None = None, precisions: Sequence[str] | None = None
) -> tuple[tuple[Model, ...], tuple[str, ...]]:
    """What to write, and a sentence on the engines that Triton cannot load.

    Raises:
        ValueError: there is no such graph or precision, or a port has a type that Triton does not know.
    """
    known = {graph.name: graph for graph in found.graphs}
    for name in graphs or ():
        if name not in known:
            raise ValueError(f"The artifact has no graph {name!r}; it has {', '.join(known)}.")
    variants = {precision: graph for name in found.files for graph, precision in [_variant(name)] if graph in known}
    for precision in precisions or ():
        if precision not in variants:
            raise ValueError(f"The artifact has no precision {precision!r}; it has {', '.join(sorted(variants))}.")
    made: list[Model] = []
    left: dict[str, list[str]] = {}
    for graph in known.values():
        if graphs is not None and graph.name not in graphs:
            continue
        for precision in sorted(variants):
            file = schema.graph_file(graph.name, precision)
            if file in found.files and (precisions is None or precision in precisions):
                made.append(_onnx(found, graph, precision, serving))
        for engine in found.engines:
            if engine.graph == graph.name and (precisions is None or engine.precision in precisions):
                if reason := _unfit(engine, found):
                    left.setdefault(reason, []).append(engine.file)
                else:
                    made.append(_plan(found, graph, engine, serving))
    return tuple(made), tuple(f"left out: {', '.join(files)}: {reason}" for reason, files in left.items())


def _variant(file: str) -> tuple[str, str]:
    """`closed.fp16.onnx` -> closed, fp16; other files -> nothing."""
    parts = file.split(".")
    if parts[-1] != "onnx" or len(parts) > 3:
        return "", ""
    return parts[0], parts[1] if len(parts) == 3 else "fp32"


def _unfit(engine: Engine, found: Artifact) -> str:
    if engine.sdk != "tensorrt":
        return "Triton's TensorRT backend loads engines of full TensorRT, and has none for TensorRT-RTX"
    if "stripped" in engine.options:
        return "it has no weights, and Triton does not refit"
    if engine.onnx_sha256 != found.files.get(schema.graph_file(engine.graph, engine.precision)):
        return "its ONNX file is another now; build it again with `python -m export.trt`"
    return ""


def _onnx(found: Artifact, graph: Graph, precision: str, serving: Serving) -> Model:
    file = schema.graph_file(graph.name, precision)
    beside = f"{file}.data"  # weights of a large graph; the graph looks for them under this name
    files = [("model.onnx", file), *([(beside, beside)] if beside in found.files else [])]
    name = f"{found.method}_{graph.name}_{precision}".replace("-", "_")
    about = {"onnx_sha256": found.files[file]}
    start = {"backend": "onnxruntime", "platform": "onnxruntime_onnx", "default_model_filename": "model.onnx"}
    return _model(name, start, found, graph, found.axes, serving, tuple(files), about)


def _plan(found: Artifact, graph: Graph, engine: Engine, serving: Serving) -> Model:
    axes = {
        name: Axis(min(item[name][0] for item in engine.profiles), axis.opt, max(item[name][2] for item in engine.profiles))
        for name, axis in found.axes.items()
        if all(name in item for item in engine.profiles)
    }
    name = "_".join([found.method, graph.name, engine.precision, *engine.targets, *engine.options]).replace("-", "_")
    about = {
        "onnx_sha256": engine.onnx_sha256,
        "engine_sha256": found.files[engine.file],
        "tensorrt": engine.sdk_version,
        "target": ",".join(engine.targets),
    }
    start = {"backend": "tensorrt", "platform": "tensorrt_plan", "default_model_filename": "model.plan"}
    count = len(engine.profiles)
    return _model(name, start, found, graph, axes, serving, (("model.plan", engine.file),), about, profiles=count)


def _model(
    name: str,
    start: Mapping[str, Any],
    found: Artifact,
    graph: Graph,
    axes: Mapping[str, Axis],
    serving: Serving,
    files: tuple[tuple[str, str], ...],
    about: Mapping[str, str],
    profiles: int = 1,
) -> Model:
    largest = batch_size(graph, axes)
    classes = tuple(found.options.get("classes", ()))
    labelled = [port.name for port in graph.outputs if classes and port.shape[-1] == len(classes)]
    inputs = [_port(port, largest) for port in graph.inputs]
    outputs = [_port(port, largest) | ({"label_filename": LABELS} if port.name in labelled else {}) for port in graph.outputs]
    kind = "gpu" if start["backend"] == "tensorrt" else serving.kind
    instance: dict[str, Any] = {"count": serving.instances, "kind": Word(f"KIND_{kind.upper()}")}
    if profiles > 1:
        instance["profile"] = [str(at) for at in range(profiles)]
    config: dict[str, Any] = {"name": name, **start, "max_batch_size": largest, "input": inputs, "output": outputs}
    config["instance_group"] = [instance]
    if largest:
        usual = min(axes[BATCH].opt, largest)
        config["dynamic_batching"] = {"max_queue_delay_microseconds": serving.queue_delay, "preferred_batch_size": [usual]}
    sizes = "; ".join(f"{axis} {size.min} to {size.max}" for axis, size in sorted(axes.items()) if axis in _used(graph))
    facts = {"method": found.method, "task": found.task, "graph": graph.name, "axes": sizes, **about}
    config["parameters"] = [{"key": key, "value": {"string_value": value}} for key, value in facts.items() if value]
    return Model(name, config, files, classes if labelled else ())


def _used(graph: Graph) -> set[str]:
    return {size for port in graph.inputs for size in port.shape if isinstance(size, str)}


def batch_size(graph: Graph, axes: Mapping[str, Axis]) -> int:
    """The largest batch, where Triton may join requests: `batch` comes first in every port, and any size up to it is allowed.

    0 where it may not; shapes then hold the batch too.
    """
    joined = all(port.shape[:1] == (BATCH,) for port in (*graph.inputs, *graph.outputs))
    if not joined or BATCH not in axes:
        return 0
    axis = axes[BATCH]
    return axis.max if axis.min == 1 < axis.max and axis.multiple == 1 else 0


def _port(port: Port, largest: int) -> dict[str, Any]:
    if port.dtype not in TYPES:
        raise ValueError(f"Triton has no type for {port.name!r}, which is {port.dtype}; it has {', '.join(TYPES)}.")
    shape = port.shape[1:] if largest else port.shape
    dims = [size if isinstance(size, int) else -1 for size in shape]
    # Triton refuses empty dims: a batch of scalars is told as one of vectors of one number, and reshaped.
    scalar: dict[str, Any] = {"dims": [1], "reshape": {"shape": []}}
    return {"name": port.name, "data_type": Word(TYPES[port.dtype]), **({"dims": dims} if dims else scalar)}


def text(message: Mapping[str, Any], indent: str = "") -> str:
    """A message in protobuf's text format."""
    lines = []
    for name, value in message.items():
        for item in value if isinstance(value, list) and all(isinstance(part, Mapping) for part in value) and value else [value]:
            if isinstance(item, Mapping):
                lines.append(f"{indent}{name} {{\n{text(item, indent + '  ')}{indent}}}\n")
            else:
                lines.append(f"{indent}{name}: {_scalar(item)}\n")
    return "".join(lines)


def _scalar(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_scalar, value))}]"
    return str(value) if isinstance(value, (Word, int)) else json.dumps(value)


def write(folder: Path, repository: Path, chosen: Sequence[Model], serving: Serving, *, force: bool = False) -> None:
    """Write models into a repository, each whole or not at all.

    Raises:
        FileExistsError: one of them is there already, and `force` was not given.
    """
    repository.mkdir(parents=True, exist_ok=True)
    taken = [model.name for model in chosen if (repository / model.name).exists()]
    if taken and not force:
        raise FileExistsError(f"{repository} has {', '.join(taken)} already; give --force to replace, or another --repository.")
    for model in chosen:
        place, old = (repository / f".{model.name}.{os.getpid()}.{end}" for end in ("tmp", "old"))
        try:
            (place / str(serving.version)).mkdir(parents=True)
            (place / "config.pbtxt").write_text(text(model.config), encoding="utf-8")
            if model.labels:
                (place / LABELS).write_text("".join(f"{' '.join(label.split())}\n" for label in model.labels), encoding="utf-8")
            for name, source in model.files:
                shutil.copyfile(folder / source, place / str(serving.version) / name)
            if (repository / model.name).exists():
                (repository / model.name).rename(old)
            place.rename(repository / model.name)
        finally:
            shutil.rmtree(place, ignore_errors=True)
            if old.exists() and not (repository / model.name).exists():
                old.rename(repository / model.name)
            shutil.rmtree(old, ignore_errors=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        if options.queue_delay < 0 or options.instances < 1 or options.version < 1:
            raise ValueError("--queue-delay must be 0 or more, --instances and --version 1 or more.")
        serving = Serving(options.queue_delay, options.instances, options.kind, options.version)
        found = schema.read(options.artifact)
        graphs, precisions = (None if given is None else names(given) for given in (options.graphs, options.precision))
        chosen, left = models(found, serving, graphs, precisions)
        if not chosen:
            raise ValueError("Nothing was chosen; --graphs and --precision leave no file of the artifact.")
        write(options.artifact, options.repository, chosen, serving, force=options.force)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.json:
        content = {"repository": str(options.repository), "models": [dataclasses.asdict(model) for model in chosen], "left": left}
        print(json.dumps(content, indent=1, ensure_ascii=False))
        return 0
    for model in chosen:
        batched = f"batches up to {model.config['max_batch_size']}" if model.config["max_batch_size"] else "requests one by one"
        print(f"{options.repository / model.name}: {model.config['platform']}, {batched}")
    print("\n".join(left), end="\n" if left else "")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m export.triton", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("artifact", type=Path, help="folder that `python -m export.onnx` wrote, perhaps with engines")
    parser.add_argument("--repository", type=Path, required=True, help="folder of the models; others in it are left alone")
    parser.add_argument("--graphs", help="names separated by commas (default: all)")
    parser.add_argument("--precision", help="separated by commas (default: all that the artifact has)")
    parser.add_argument(
        "--queue-delay", type=int, default=100, metavar="US", help="a request waits so long for others (default: 100)"
    )
    parser.add_argument("--instances", type=int, default=1, help="of each model (default: 1)")
    parser.add_argument("--kind", choices=("auto", "cpu", "gpu"), default="auto", help="where ONNX models run (default: auto)")
    parser.add_argument("--version", type=int, default=1, help="the number of the version's folder (default: 1)")
    parser.add_argument("--force", action="store_true", help="replace models of the same names")
    parser.add_argument("--json", action="store_true", help="print what was written as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
