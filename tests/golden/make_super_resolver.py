"""Write a super_resolver artifact of a few kB without torch: `python tests/golden/make_super_resolver.py tests/golden/super_resolver_v1`.

The estimator is one convolution over cells of 4x4 pixels, the generator repeats pixels and adds a part of map and code: both are
local, so that any tiling must give the same picture. The expected outputs are computed in NumPy with 64 bits.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from runtime.artifact import GOLDEN, PARITY, Artifact, Axis, Graph, Port, graph_file, write

SCALE, CELL, DIM = 2, 4, 16
IMAGE = Port("image", "float32", ("batch", 3, "height", "width"))
CODE = Port("code", "float32", ("batch", DIM))
MAP = Port("degradation", "float32", ("batch", 1, "height", "width"))
BLUR = Port("blur", "float32", ("batch",))
HIGH = Port("high", "float32", ("batch", 3, "2*height", "2*width"))
GRAPHS = (Graph("estimator", (IMAGE,), (CODE, MAP, BLUR)), Graph("generator", (IMAGE, CODE, MAP), (HIGH,)))
LOCAL, SHARED = np.float32(0.05), np.float32(0.1)  # parts of map and code in the result


def weights() -> tuple[np.ndarray, np.ndarray]:
    """Of the cells, (DIM, 3, CELL, CELL), and of the blur, (DIM,)."""
    generator = np.random.default_rng(7)
    cells = generator.uniform(0, 1 / (3 * CELL**2), (DIM, 3, CELL, CELL)).astype(np.float32)
    return cells, generator.uniform(0, 1, DIM).astype(np.float32)


def images() -> np.ndarray:
    """float32 (3, 3, 12, 20) in 0..1."""
    return np.random.default_rng(8).random((3, 3, 12, 20)).astype(np.float32)


def estimated(image: np.ndarray) -> dict[str, np.ndarray]:
    """The estimator's formula a second way."""
    cells, blur = weights()
    n, _, h, w = image.shape
    padded = np.zeros((n, 3, -(-h // CELL) * CELL, -(-w // CELL) * CELL))
    padded[:, :, :h, :w] = image
    blocks = padded.reshape(n, 3, padded.shape[2] // CELL, CELL, padded.shape[3] // CELL, CELL)
    found = np.einsum("dcij,ncyixj->ndyx", cells.astype(np.float64), blocks)  # (n, DIM, h / 4, w / 4)
    code = found.mean((2, 3))
    unfolded = found.reshape(n, 1, CELL, CELL, *found.shape[2:]).transpose(0, 1, 4, 2, 5, 3).reshape(n, 1, *padded.shape[2:])
    values = {"code": code, "degradation": unfolded[:, :, :h, :w], "blur": code @ blur}
    return {name: value.astype(np.float32) for name, value in values.items()}


def generated(image: np.ndarray, code: np.ndarray, degradation: np.ndarray) -> np.ndarray:
    """The generator's formula a second way."""
    low = image + LOCAL * degradation + SHARED * code.mean(1)[:, None, None, None]
    return low.repeat(SCALE, 2).repeat(SCALE, 3).astype(np.float32)


def model(graph: Graph) -> bytes:
    """The ONNX file of a graph."""
    from onnx import TensorProto, checker, helper, numpy_helper

    cells, blur = weights()
    node = helper.make_node
    if graph.name == "estimator":
        kept = {
            "cells": cells,
            "readout": blur,
            "spatial": np.array([2, 3]),
            "zeros": np.array([0, 0]),
            "from": np.array([2]),
            "to": np.array([4]),
            "flat": np.array([0, DIM]),
        }
        nodes = [
            node(
                "Conv",
                ["image", "cells"],
                ["found"],
                kernel_shape=[CELL] * 2,
                strides=[CELL] * 2,
                auto_pad="NOTSET",
                pads=[0, 0, 3, 3],
            ),
            node("GlobalAveragePool", ["found"], ["pooled"]),
            node("Reshape", ["pooled", "flat"], ["code"]),
            node("MatMul", ["code", "readout"], ["blur"]),
            node("DepthToSpace", ["found"], ["unfolded"], blocksize=CELL, mode="CRD"),
            node("Shape", ["image"], ["shape"]),
            node("Slice", ["shape", "from", "to"], ["size"]),
            node("Slice", ["unfolded", "zeros", "size", "spatial"], ["degradation"]),
        ]
    else:
        repeat = np.zeros((3 * SCALE**2, 3, 1, 1), np.float32)
        repeat[np.arange(3 * SCALE**2), np.arange(3 * SCALE**2) // SCALE**2] = 1
        kept = {"repeat": repeat, "local": LOCAL, "shared": SHARED, "axis": np.array([1]), "pixels": np.array([2, 3])}
        nodes = [
            node("ReduceMean", ["code", "axis"], ["mean"], keepdims=1),
            node("Unsqueeze", ["mean", "pixels"], ["everywhere"]),
            node("Mul", ["everywhere", "shared"], ["from_code"]),
            node("Mul", ["degradation", "local"], ["from_map"]),
            node("Add", ["image", "from_map"], ["steered"]),
            node("Add", ["steered", "from_code"], ["low"]),
            node("Conv", ["low", "repeat"], ["repeated"], kernel_shape=[1, 1]),
            node("DepthToSpace", ["repeated"], ["high"], blocksize=SCALE, mode="CRD"),
        ]
    ports = [
        [helper.make_tensor_value_info(port.name, TensorProto.FLOAT, port.shape) for port in of]
        for of in (graph.inputs, graph.outputs)
    ]
    made = helper.make_graph(
        nodes, graph.name, *ports, [numpy_helper.from_array(np.asarray(value), name) for name, value in kept.items()]
    )
    found = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    checker.check_model(found, full_check=True)
    return found.SerializeToString(deterministic=True)


def build(folder: Path, **options: object) -> Artifact:
    """Write the artifact; `folder` must not exist."""
    folder.mkdir(parents=True)
    given = {"image": images()}
    found = estimated(given["image"])
    inputs = {"estimator": given, "generator": {**given, "code": found["code"], "degradation": found["degradation"]}}
    outputs = {"estimator": found, "generator": {"high": generated(given["image"], found["code"], found["degradation"])}}
    golden, parity = {}, {}
    for graph in GRAPHS:
        (folder / graph_file(graph.name)).write_bytes(model(graph))
        golden |= {f"{graph.name}/{name}": value for name, value in (inputs[graph.name] | outputs[graph.name]).items()}
        limit = {port.name: {"cosine": 0.9999, "max_abs": 1e-4} for port in graph.outputs}
        parity[graph_file(graph.name)] = {"graph": graph.name, "precision": "fp32", "tolerance": limit}
    np.savez_compressed(folder / GOLDEN, allow_pickle=False, **golden)
    (folder / PARITY).write_text(json.dumps({"schema": 1, "files": parity}, indent=1) + "\n")
    stated = {
        "scale": SCALE,
        "channels": 3,
        "code_dim": DIM,
        "cell": CELL,
        "reach": 4,
        "setting": "isotropic",
        "uniform": False,
        "blur_weight": weights()[1].tolist(),
        "blur_offset": 0.0,
    }
    axes = {"batch": Axis(1, 1, 4), "height": Axis(1, 64, 640), "width": Axis(1, 64, 640)}
    return write(Artifact("tiny", "super_resolver", GRAPHS, axes, {**stated, **options}), folder)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
