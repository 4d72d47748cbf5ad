"""fp16 and int8 variants of an exported graph: precision is written into the file, so that every engine reads the same."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runtime.artifact import Artifact, Axis, Graph

from . import verify
from .graph import fixed, save, strip
from .half import halve, protected
from .quiet import quiet
from .timing import Timing, interleaved

PRECISIONS = {
    "fp32": "as trained",
    "fp16": "matrix products in half precision; normalisation, softmax and everything after the L2 norm stay in fp32",
    "int8": "static: unsigned 8-bit activations calibrated on real inputs, signed weights per channel of 7 of the 8 bits",
    "int8-dynamic": "signed weights of 7 of the 8 bits; the range of the activations is measured at each call",
    "fp16-products": "as fp16, and the matrix products after the L2 norm too: for GPUs on which TensorRT-RTX has no fp32 ones (sm75)",
    "int8-trt": "static for TensorRT: signed 8-bit activations and weights, symmetric, biases in float; no faster on a CPU",
}
# TensorRT's parser refuses zero points and int32 biases, and takes both operands of a product signed.
SYMMETRIC = {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False}
CALIBRATION_BATCH = 8


@dataclass(frozen=True)
class RealImages:
    """Images of the user's data, already brought to what the graph takes.

    Args:
        calibration: (m, channels, h, w), from the training part; int8's activation ranges are taken from them.
        images: (n, channels, h, w), from the validation part, of chips from the test part; accuracy is measured on them.
        labels: int64 (n,), index into the artifact's classes.
        port: that takes them.
    """

    calibration: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    port: str = "image"


@dataclass(frozen=True)
class Cost:
    """What a precision costs and gains; compare it with fp32's, timed in the same minutes.

    Args:
        bytes: of the file.
        batch: of the timed calls.
        accuracy: top-1 on the labelled images, or None where there are none.
        agreement: share of the labelled images on which the best class is fp32's.
    """

    file: str
    graph: str
    precision: str
    bytes: int
    milliseconds: Timing
    threads: int
    batch: int
    accuracy: float | None = None
    agreement: float | None = None

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


class Reader:
    """Feeds calibration inputs to ONNX Runtime a few rows at a time."""

    def __init__(self, graph: Graph, axes: Mapping[str, Axis], samples: Mapping[str, np.ndarray]) -> None:
        self._rest = batches(graph, axes, samples, CALIBRATION_BATCH)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next inputs, or None after the last."""
        return next(self._rest, None)


def rows_at_once(graph: Graph, axes: Mapping[str, Axis]) -> int | None:
    """How many rows a graph with a fixed first dimension takes; None where it is free."""
    first = graph.inputs[0].shape[0]
    if isinstance(first, int):
        return first
    return axes[first].min if fixed(axes[first]) else None


def batches(
    graph: Graph, axes: Mapping[str, Axis], inputs: Mapping[str, np.ndarray], batch: int
) -> Iterator[dict[str, np.ndarray]]:
    """Cut inputs along the first port's first dimension; ports that do not share it are given whole.

    Where that dimension is fixed, rows are repeated if there are too few for one call, and a rest that fills none is left out.
    """
    first, size = graph.inputs[0].shape[0], rows_at_once(graph, axes)
    cut = [port.name for port in graph.inputs if port.shape[0] == first]
    rows, step = len(inputs[cut[0]]), size or batch
    if size and rows < size:
        inputs, rows = {**inputs, **{name: verify.tile(inputs[name], (size, *inputs[name].shape[1:])) for name in cut}}, size
    for start in range(0, rows - rows % size if size else rows, step):
        yield {
            port.name: inputs[port.name][start : start + step] if port.name in cut else inputs[port.name] for port in graph.inputs
        }


def write(
    precision: str, source: Path, target: Path, graph: Graph, axes: Mapping[str, Axis], samples: Mapping[str, np.ndarray]
) -> None:
    """Make the `precision` variant of the fp32 file `source`.

    Args:
        samples: real inputs by port; int8 is calibrated on them.

    Raises:
        ValueError: the precision is unknown, or the graph cannot have it.
    """
    import onnx

    if precision not in PRECISIONS or precision == "fp32":
        raise ValueError(f"There is no variant {precision!r}; expected one of {', '.join(PRECISIONS)} but fp32.")
    if precision in ("fp16", "fp16-products"):
        model = halve(onnx.load(str(source)), products=precision == "fp16-products")
    else:
        with tempfile.TemporaryDirectory(prefix="quantize-") as folder:
            model = _int8(source, Path(folder), Reader(graph, axes, samples), graph.name, precision)
    identity = {item.key: item.value for item in onnx.load(str(source), load_external_data=False).metadata_props}
    strip(model)
    del model.graph.value_info[:]
    domains = {node.domain for node in model.graph.node} | {""}
    kept = [item for item in model.opset_import if item.domain in domains]
    del model.opset_import[:]
    model.opset_import.extend(kept)  # ONNX Runtime lists its own sets of operators, used or not
    for key, value in sorted({**identity, "precision": precision}.items()):
        model.metadata_props.add(key=key, value=value)
    save(model, target)


def _int8(source: Path, folder: Path, reader: Reader, name: str, precision: str) -> Any:
    import onnx
    from onnxruntime import quantization as ort

    prepared, written = folder / "prepared.onnx", folder / "int8.onnx"
    # Weights of 7 bits (reduce_range): processors with AVX2 and without VNNI add pairs of products in 16 bits, which 8 bits overflow.
    static, symmetric = precision != "int8-dynamic", precision == "int8-trt"
    with quiet():
        ort.quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        kinds = ["Conv", "MatMul", "Gemm"] if static else ["MatMul", "Gemm"]
        model = onnx.load(str(prepared))
        quantised = weighted(model, kinds)
        others = [node.name for node in model.graph.node if node.op_type in kinds and node.name not in quantised]
        if not quantised:
            raise ValueError(
                f"Graph {name!r} has no {', '.join(kinds)} with fixed weights before its L2 norm; leave {precision} out."
            )
        if static:
            ort.quantize_static(
                str(prepared),
                str(written),
                reader,
                quant_format=ort.QuantFormat.QDQ,
                op_types_to_quantize=kinds,
                nodes_to_exclude=others,
                per_channel=True,
                activation_type=ort.QuantType.QInt8 if symmetric else ort.QuantType.QUInt8,
                weight_type=ort.QuantType.QInt8,
                reduce_range=not symmetric,
                calibrate_method=ort.CalibrationMethod.MinMax,
                extra_options=SYMMETRIC if symmetric else {},
            )
        else:
            ort.quantize_dynamic(
                str(prepared),
                str(written),
                op_types_to_quantize=kinds,
                nodes_to_exclude=others,
                per_channel=True,
                weight_type=ort.QuantType.QInt8,
                reduce_range=True,
            )
    return onnx.load(str(written))


def weighted(model: Any, kinds: Sequence[str]) -> set[str]:
    """Names of the nodes of these kinds that multiply by fixed weights and stand before the L2 norm."""
    weights = {tensor.name for tensor in model.graph.initializer}
    kept = protected(model.graph)
    return {
        node.name
        for node in model.graph.node
        if node.op_type in kinds and node.name not in kept and len(node.input) > 1 and node.input[1] in weights
    }


def costs(
    files: Mapping[str, Path],
    graph: Graph,
    axes: Mapping[str, Axis],
    samples: Mapping[str, np.ndarray],
    real: RealImages | None = None,
    *,
    threads: int = 1,
    rounds: int = 20,
) -> tuple[Cost, ...]:
    """Size, latency side by side and accuracy of a graph's files, by precision; the first is the measure for the others.

    Latency is that of one row (or of the graph's fixed batch) in ONNX Runtime on the CPU.
    """
    sessions = {precision: verify.session(path, threads=threads) for precision, path in files.items()}
    names = [port.name for port in graph.outputs]
    one = next(batches(graph, axes, samples, 1))
    timings = interleaved({precision: _call(runner, names, one) for precision, runner in sessions.items()}, rounds=rounds)
    decisions = {}
    if real is not None and len(real.images) and "logits" in names and real.port in samples:
        decisions = {
            precision: _decide(runner, graph, axes, {**samples, real.port: real.images}, len(real.images))
            for precision, runner in sessions.items()
        }
    found = []
    for precision, path in files.items():
        size = sum(part.stat().st_size for part in (path, path.with_name(f"{path.name}.data")) if part.is_file())
        cost = Cost(path.name, graph.name, precision, size, timings[precision], threads, len(one[graph.inputs[0].name]))
        if real is not None and precision in decisions:
            chosen, labels = decisions[precision], real.labels[: len(decisions[precision])]
            same = float((chosen == next(iter(decisions.values()))).mean())
            cost = dataclasses.replace(cost, accuracy=float((chosen == labels).mean()), agreement=same)
        found.append(cost)
    return tuple(found)


def _call(runner: Any, names: list[str], inputs: dict[str, np.ndarray]) -> Any:
    return lambda: runner.run(names, inputs)


def _decide(runner: Any, graph: Graph, axes: Mapping[str, Axis], inputs: Mapping[str, np.ndarray], count: int) -> np.ndarray:
    """The best class of each of `count` images, (count,); a fixed batch leaves out the rows that do not fill it."""
    chosen = [runner.run(["logits"], part)[0].argmax(1) for part in batches(graph, axes, inputs, 32)]
    return np.concatenate(chosen)[:count]


def table(found: Sequence[Cost]) -> str:
    """Costs as text, a line per file."""
    lines = [f"{'file':<28} {'size':>9} {'median':>10} {'p10-p90':>17} {'accuracy':>9} {'as fp32':>8}"]
    for cost in found:
        spread = f"{cost.milliseconds.p10:.2f}-{cost.milliseconds.p90:.2f} ms"
        accuracy = "" if cost.accuracy is None else f"{cost.accuracy:.1%}"
        agreement = "" if cost.agreement is None else f"{cost.agreement:.1%}"
        size, median = f"{cost.bytes / 2**20:.2f} MiB", f"{cost.milliseconds.median:.2f} ms"
        lines.append(f"{cost.file:<28} {size:>9} {median:>10} {spread:>17} {accuracy:>9} {agreement:>8}")
    if found:
        first = found[0]
        lines.append(
            f"(batch {first.batch}, {first.threads} thread, {first.milliseconds.rounds} rounds, ONNX Runtime on the CPU)"
        )
    return "\n".join(lines)


def read_images(
    data: Path | None, artifact: Artifact, *, calibration: int = 128, labelled: int = 512, seed: int = 0
) -> RealImages:
    """Read calibration images from the training part of `data` and labelled ones from its validation part.

    None is the embedded scenes. Classes are matched by name with the artifact's; images of other classes are left out of the accuracy.

    Raises:
        ValueError: the artifact takes no images, or none of its classes is in the data.
    """
    from runtime.prepare import Geometry, batch
    from train.data.images import open_images

    if artifact.task == "recognizer":
        return _read_chips(data, artifact, calibration, labelled)
    if "geometry" not in artifact.options:
        raise ValueError(f"Method {artifact.method!r} does not take images; leave --data out, and its own samples calibrate.")
    geometry = Geometry.from_dict(artifact.options["geometry"])
    found = open_images(data, seed=seed)
    known = {name: index for index, name in enumerate(artifact.options.get("classes", ()))}
    index_of = np.array([known.get(name, -1) for name in found.classes] + [-1], np.int64)  # last: label -1, unknown
    held = found.val if len(found.val) else found.test
    usable = np.flatnonzero(index_of[held.labels] >= 0)
    if known and not len(usable):
        shown = ", ".join(found.classes[:5])
        raise ValueError(
            f"None of the model's classes is in {found.name}, which has {shown or 'no labels'}; give data of its classes."
        )
    chosen = _spread(usable, labelled)
    rows = _spread(np.arange(len(found.train)), calibration)
    return RealImages(
        calibration=batch([found.train.read(int(row)) for row in rows], geometry),
        images=batch([held.read(int(row)) for row in chosen], geometry),
        labels=index_of[held.labels[chosen]],
    )


def _read_chips(data: Path | None, artifact: Artifact, calibration: int, labelled: int) -> RealImages:
    """Of radar chips, cut as the artifact cuts them: test chips are the only ones that no training has seen."""
    from train.data.sar import chips, windows

    found, options = chips(data), artifact.options
    known = {name: index for index, name in enumerate(options["classes"])}
    usable = np.flatnonzero([found["test"].classes[label] in known for label in found["test"].labels])
    if not len(usable):
        raise ValueError(
            f"None of the model's classes is in {data}, which has {', '.join(found['test'].classes[:5])}; give chips of them."
        )

    def cut(part: Any) -> np.ndarray:
        pixels = windows(part, options["size"], options["crop"], kind=options["input"])
        return np.ascontiguousarray(pixels[:, None])  # (n, 1, h, w)

    shown = found["test"].select(_spread(usable, labelled))
    return RealImages(
        calibration=cut(found["train"].select(_spread(np.arange(len(found["train"])), calibration))),
        images=cut(shown),
        labels=np.array([known[shown.classes[label]] for label in shown.labels], np.int64),
        port="chip",
    )


def _spread(rows: np.ndarray, count: int) -> np.ndarray:
    """At most `count` rows at even distances: they cover data that is sorted by class."""
    if len(rows) <= count:
        return rows
    return rows[np.linspace(0, len(rows) - 1, count).round().astype(np.int64)]
