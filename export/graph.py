"""One torch module becomes one ONNX model: traced with its axes, stripped of the exporter's traces, checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from runtime.artifact import Axis, Graph, Port

from . import verify
from .quiet import quiet

OPSETS = range(18, 24)  # torch turns 17 into 18 without a word; beyond 23 the engines do not follow yet
ONE_FILE = 3 << 29  # 1.5 GiB: protobuf ends at 2 GiB, so that larger weights go to a file beside the graph


def build(
    module: nn.Module,
    graph: Graph,
    axes: Mapping[str, Axis],
    samples: Mapping[str, np.ndarray],
    *,
    opset: int = 20,
    identity: Mapping[str, str] | None = None,
) -> Any:
    """Trace a module and return an onnx.ModelProto whose ports are the graph's.

    Args:
        module: in evaluation mode, its positional inputs and outputs in the order of the ports.
        samples: real inputs by port, whose values (not sizes) are traced; random ones are drawn where there are none.
        identity: what the file says of itself, such as its method and task.

    Raises:
        ValueError: torch cannot export the module, or a size that was declared as an axis is fixed in it.
    """
    assert opset in OPSETS
    traced = trace_sizes(graph, axes)
    arguments = tuple(torch.from_numpy(_example(port, traced, samples)) for port in graph.inputs)
    dimensions = {name: _dimension(name, axes[name]) for name in traced if not fixed(axes[name])}
    try:
        with quiet():
            program = torch.onnx.export(
                module.eval(),
                arguments,
                dynamo=True,
                dynamic_shapes=tuple(
                    {at: dimensions[size] for at, size in enumerate(port.shape) if isinstance(size, str) and size in dimensions}
                    for port in graph.inputs
                ),
                input_names=[port.name for port in graph.inputs],
                output_names=[port.name for port in graph.outputs],
                opset_version=opset,
                external_data=False,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise ValueError(f"Graph {graph.name!r} cannot be exported by torch {torch.__version__}: {_reason(error)}") from error
    assert program is not None
    model = program.model_proto
    _check_opset(model, opset)
    strip(model)
    del model.graph.value_info[:]  # readers infer it; after any rewriting it would be stale
    _name_ports(model, graph, axes)
    for key, value in sorted({**(identity or {}), "graph": graph.name}.items()):
        model.metadata_props.add(key=key, value=value)
    return model


def fixed(axis: Axis) -> bool:
    """An axis of one size is a constant in the graph."""
    return axis.min == axis.max


def trace_sizes(graph: Graph, axes: Mapping[str, Axis]) -> dict[str, int]:
    """A size for each axis of the inputs: the usual one, at least 2 (torch takes 0 and 1 for constants), no two alike."""
    found: dict[str, int] = {}
    for name in dict.fromkeys(size for port in graph.inputs for size in port.shape if isinstance(size, str)):
        axis = axes[name]
        size = axis.opt if fixed(axis) else max(axis.opt, 2)
        while size in found.values() and size + axis.multiple <= axis.max:
            size += axis.multiple
        found[name] = size
    return found


def _example(port: Port, traced: Mapping[str, int], samples: Mapping[str, np.ndarray]) -> np.ndarray:
    if port.name in samples:
        return verify.tile(samples[port.name], verify.shape_of(port, traced))
    return verify.draw(port, traced, None, np.random.default_rng(0))


def _dimension(name: str, axis: Axis) -> Any:
    if axis.multiple == 1:
        return torch.export.Dim(name, min=axis.min, max=axis.max)
    step = axis.multiple
    return step * torch.export.Dim(f"{name}_steps", min=axis.min // step, max=axis.max // step)


def _reason(error: BaseException) -> str:
    """The innermost cause's first line: the exporter wraps it in pages of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no reason given'}"


def _check_opset(model: Any, opset: int) -> None:
    found = {item.domain: item.version for item in model.opset_import}
    if found.get("") != opset or set(found) - {"", "ai.onnx"}:
        raise ValueError(f"Opset {opset} was asked for and torch wrote {found}; give another of {OPSETS[0]} to {OPSETS[-1]}.")


def _name_ports(model: Any, graph: Graph, axes: Mapping[str, Axis]) -> None:
    """Check the model's inputs and outputs against the ports and name their dimensions by the axes."""
    import onnx

    for found, ports in ((model.graph.input, graph.inputs), (model.graph.output, graph.outputs)):
        assert [value.name for value in found] == [port.name for port in ports], f"{graph.name}: names differ from the ports'"
        for value, port in zip(found, ports, strict=True):
            where = f"{graph.name}: {port.name!r} {port.shape}"
            dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
            if dtype != np.dtype(port.dtype):
                raise ValueError(f"{where} is declared as {port.dtype}, and the module gives {dtype}.")
            dimensions = value.type.tensor_type.shape.dim
            if len(dimensions) != len(port.shape):
                raise ValueError(f"{where} is declared, and the module gives {len(dimensions)} dimensions.")
            for dimension, size in zip(dimensions, port.shape, strict=True):
                _name_dimension(dimension, size, axes, where)


def _name_dimension(dimension: Any, size: int | str, axes: Mapping[str, Axis], where: str) -> None:
    static = dimension.dim_value if dimension.HasField("dim_value") else None
    if isinstance(size, int):
        if static is not None and static != size:
            raise ValueError(f"{where} is declared with size {size}, and the module gives {static}.")
        dimension.dim_value = size
    elif size in axes and fixed(axes[size]):
        dimension.dim_value = axes[size].min
    elif static is not None:
        raise ValueError(
            f"{where}: the axis {size!r} is the constant {static} in the module; it must come from the input's shape."
        )
    else:
        dimension.dim_param = size


def strip(message: Any) -> None:
    """Remove every doc string and metadata entry: the exporter leaves source lines and absolute paths in them."""
    for field, value in message.ListFields():
        if field.name in ("metadata_props", "doc_string"):
            message.ClearField(field.name)
        elif field.message_type is not None:
            for item in [value] if hasattr(value, "ListFields") else value:
                strip(item)


def save(model: Any, path: Path, *, one_file: int = ONE_FILE) -> tuple[str, ...]:
    """Write a model and check the file in full; returns the names written.

    The bytes depend on the model alone. Weights of more than `one_file` bytes in all go to `<name>.onnx.data`.
    """
    import onnx

    weights = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    if weights <= one_file:
        path.write_bytes(model.SerializeToString(deterministic=True))
        names: tuple[str, ...] = (path.name,)
    else:
        data = f"{path.name}.data"
        onnx.save_model(
            model, str(path), save_as_external_data=True, all_tensors_to_one_file=True, location=data, size_threshold=1024
        )
        names = (path.name, data)
    onnx.checker.check_model(str(path), full_check=True)
    return names
