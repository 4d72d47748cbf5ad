"""Write a recognizer artifact of a few kB without torch: `python tests/golden/make_recognizer.py FOLDER`.

The logits are products with fixed weights of the chip over its mean, the novelty is the mean square of the difference from a flat chip:
both can be computed in NumPy.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from runtime.artifact import GOLDEN, PARITY, Artifact, Axis, Graph, Port, graph_file, write

SIDE, CLASSES, TEMPERATURE = 8, ("bmp2", "t72", "zil131"), 1.5
OPTIONS: dict[str, Any] = {
    "classes": list(CLASSES),
    "size": SIDE,
    "crop": SIDE,
    "input": "uint8",
    "novelty_threshold": 0.5,
    "novelty_rate": 0.05,
}


def graph(kind: str = "uint8") -> Graph:
    """Its ports, for 8-bit chips or magnitudes."""
    row = ("batch", len(CLASSES))
    outputs = (Port("logits", "float32", row), Port("probabilities", "float32", row), Port("novelty", "float32", ("batch",)))
    chip = Port("chip", "uint8" if kind == "uint8" else "float32", ("batch", 1, SIDE, SIDE))
    return Graph("recognizer", (chip,), outputs)


def weights() -> np.ndarray:
    """(SIDE * SIDE, classes)"""
    return np.random.default_rng(0).normal(0, 0.5, (SIDE * SIDE, len(CLASSES))).astype(np.float32)


def chips(count: int = 6, side: int = SIDE, seed: int = 1) -> np.ndarray:
    """uint8 (count, side, side): speckle of a mean that differs from chip to chip."""
    generator = np.random.default_rng(seed)
    return np.clip(generator.rayleigh(1, (count, side, side)) * generator.uniform(20, 60, (count, 1, 1)), 0, 255).astype(np.uint8)


def expected(prepared: np.ndarray) -> dict[str, np.ndarray]:
    """What the graph gives of chips (n, 1, 8, 8), a second way."""
    flat = prepared.reshape(len(prepared), -1).astype(np.float64)
    level = flat / np.maximum(flat.mean(1, keepdims=True), 1e-6)
    logits = level @ weights().astype(np.float64)
    powers = np.exp((logits - logits.max(1, keepdims=True)) / TEMPERATURE)
    novelty = ((level - 1) ** 2).mean(1)
    return {"logits": logits, "probabilities": powers / powers.sum(1, keepdims=True), "novelty": novelty}


def model(kind: str) -> bytes:
    """The ONNX file."""
    from onnx import TensorProto, checker, helper, numpy_helper

    node = helper.make_node
    kept = {
        "shape": np.array([0, SIDE * SIDE]),
        "weights": weights(),
        "last": np.array([1]),
        "least": np.float32(1e-6),
        "one": np.float32(1),
        "temperature": np.float32(TEMPERATURE),
    }
    nodes = [
        node("Cast", ["chip"], ["pixels"], to=TensorProto.FLOAT),
        node("Reshape", ["pixels", "shape"], ["flat"]),
        node("ReduceMean", ["flat", "last"], ["means"], keepdims=1),
        node("Max", ["means", "least"], ["positive"]),
        node("Div", ["flat", "positive"], ["level"]),
        node("MatMul", ["level", "weights"], ["logits"]),
        node("Div", ["logits", "temperature"], ["scaled"]),
        node("Softmax", ["scaled"], ["probabilities"], axis=1),
        node("Sub", ["level", "one"], ["difference"]),
        node("Mul", ["difference", "difference"], ["squares"]),
        node("ReduceMean", ["squares", "last"], ["novelty"], keepdims=0),
    ]
    ports = graph(kind)
    kinds = {"uint8": TensorProto.UINT8, "float32": TensorProto.FLOAT}
    infos = [
        [helper.make_tensor_value_info(port.name, kinds[port.dtype], port.shape) for port in of]
        for of in (ports.inputs, ports.outputs)
    ]
    made = helper.make_graph(
        nodes, ports.name, *infos, [numpy_helper.from_array(np.asarray(value), name) for name, value in kept.items()]
    )
    found = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    checker.check_model(found, full_check=True)
    return found.SerializeToString(deterministic=True)


def build(folder: Path, **options: object) -> Artifact:
    """Write the artifact; `folder` must not exist."""
    folder.mkdir(parents=True)
    stated = {**OPTIONS, **options}
    kind = str(stated["input"]) if stated["input"] in ("uint8", "magnitude") else "uint8"
    ports = graph(kind)
    name = graph_file(ports.name)
    (folder / name).write_bytes(model(kind))
    given = chips()[:, None].astype(ports.inputs[0].dtype)
    golden = {"recognizer/chip": given} | {
        f"recognizer/{port}": value.astype(np.float32) for port, value in expected(given).items()
    }
    limit = {port.name: {"cosine": 0.9999, "max_abs": 1e-4} for port in ports.outputs}
    parity = {name: {"graph": ports.name, "precision": "fp32", "tolerance": limit}}
    np.savez_compressed(folder / GOLDEN, allow_pickle=False, **golden)
    (folder / PARITY).write_text(json.dumps({"schema": 1, "files": parity}, indent=1) + "\n")
    return write(Artifact("tiny", "recognizer", (ports,), {"batch": Axis(1, 2, 4)}, stated), folder)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
