"""Write a zero_shot artifact of a few kB without torch: `python tests/golden/make_zero_shot.py tests/golden/artifact_v1`.

The expected outputs are computed here in NumPy with 64 bits, so that they are no echo of ONNX Runtime. A new schema gets a new
folder beside the old ones, which stay as they are: every version must read them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from runtime.artifact import GOLDEN, PARITY, Artifact, Axis, Graph, Port, graph_file, write
from runtime.bank import Bank
from runtime.prepare import Geometry, batch

SIZE, DIM, SCALE = 8, 4, 20.0
CLASSES = ("ant", "bee", "cat", "dog", "emu")
TEACHER = "5" * 64
GEOMETRY = Geometry((SIZE, SIZE))
IMAGE = Port("image", "uint8", ("batch", 3, SIZE, SIZE))
VECTORS = Port("class_vectors", "float32", ("classes", DIM))


def answers(classes: int | str) -> tuple[Port, Port]:
    return Port("logits", "float32", ("batch", classes)), Port("probabilities", "float32", ("batch", classes))


GRAPHS = (
    Graph("closed", (IMAGE,), answers(len(CLASSES))),
    Graph("open", (IMAGE, VECTORS), answers("classes")),
    Graph("embedding", (IMAGE,), (Port("embedding", "float32", ("batch", DIM)),)),
)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def project() -> np.ndarray:
    """Mean colour of the four quadrants -> feature, (12, d)."""
    return np.random.default_rng(1).standard_normal((12, DIM)).astype(np.float32)


def bank(classes: Sequence[str] = CLASSES, seed: int = 2) -> Bank:
    vectors = unit(np.random.default_rng(seed).standard_normal((len(classes), DIM))).astype(np.float32)
    return Bank(vectors, tuple(classes), TEACHER, ("a photo of a {}.",))


def images() -> tuple[np.ndarray, ...]:
    """Raw uint8 (h, w, 3), to be resized by the runtime; the first already has the graph's size."""
    generator = np.random.default_rng(3)
    sizes = ((SIZE, SIZE), (20, 12), (9, 31), (5, 5))
    return tuple(generator.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes)


def expected(graph: str, prepared: np.ndarray, vectors: np.ndarray) -> dict[str, np.ndarray]:
    """The graphs' formula a second way, in 64 bits."""
    n, half = len(prepared), SIZE // 2
    quadrants = (prepared / 255).reshape(n, 3, 2, half, 2, half).mean(axis=(3, 5)).reshape(n, 12)
    embedding = unit((quadrants - 0.5) @ project().astype(np.float64))  # (n, d)
    if graph == "embedding":
        return {"embedding": embedding.astype(np.float32)}
    logits = SCALE * embedding @ vectors.astype(np.float64).T  # (n, k)
    powers = np.exp(logits - logits.max(1, keepdims=True))
    found = {"logits": logits, "probabilities": powers / powers.sum(1, keepdims=True)}
    return {name: value.astype(np.float32) for name, value in found.items()}


def model(graph: Graph, vectors: np.ndarray) -> bytes:
    """The ONNX file of a graph."""
    from onnx import TensorProto, checker, helper, numpy_helper

    def ports(of: tuple[Port, ...]) -> list[object]:
        kinds = {"uint8": TensorProto.UINT8, "float32": TensorProto.FLOAT}
        return [helper.make_tensor_value_info(port.name, kinds[port.dtype], port.shape) for port in of]

    kept = {
        "white": np.float32(255),
        "grey": np.float32(0.5),
        "project": project(),
        "scale": np.float32(SCALE),
        "flat": np.array([0, 12]),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("AveragePool", ["pixels"], ["quadrants"], kernel_shape=[SIZE // 2] * 2, strides=[SIZE // 2] * 2),
        helper.make_node("Reshape", ["quadrants", "flat"], ["colours"]),
        helper.make_node("Div", ["colours", "white"], ["lit"]),
        helper.make_node("Sub", ["lit", "grey"], ["centred"]),
        helper.make_node("MatMul", ["centred", "project"], ["feature"]),
        helper.make_node("LpNormalization", ["feature"], ["embedding"], axis=1, p=2),
    ]
    if graph.name != "embedding":
        if graph.name == "closed":
            kept["class_vectors"] = vectors
        nodes += [
            helper.make_node("Transpose", ["class_vectors"], ["columns"], perm=[1, 0]),
            helper.make_node("MatMul", ["embedding", "columns"], ["cosine"]),
            helper.make_node("Mul", ["cosine", "scale"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        ]
    made = helper.make_graph(
        nodes,
        graph.name,
        ports(graph.inputs),
        ports(graph.outputs),
        [numpy_helper.from_array(np.asarray(value), name) for name, value in kept.items()],
    )
    found = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    checker.check_model(found, full_check=True)
    return found.SerializeToString(deterministic=True)


def build(folder: Path, names: Sequence[str] = ("closed", "open", "embedding")) -> Artifact:
    """Write the artifact; `folder` must not exist."""
    folder.mkdir(parents=True)
    graphs, own = tuple(graph for graph in GRAPHS if graph.name in names), bank()
    golden = {f"image_{place}": image for place, image in enumerate(images())}
    prepared = batch(images(), GEOMETRY)
    parity = {}
    for graph in graphs:
        (folder / graph_file(graph.name)).write_bytes(model(graph, own.vectors))
        found = {"image": prepared, **expected(graph.name, prepared, own.vectors)}
        if graph.name == "open":
            found["class_vectors"] = own.vectors
        golden |= {f"{graph.name}/{port}": value for port, value in found.items()}
        limit = {port.name: {"cosine": 0.9999, "max_abs": 1e-3} for port in graph.outputs}
        parity[graph_file(graph.name)] = {"graph": graph.name, "precision": "fp32", "tolerance": limit}
    np.savez_compressed(folder / GOLDEN, **golden)
    (folder / PARITY).write_text(json.dumps({"schema": 1, "files": parity}, indent=1) + "\n")
    if "open" in names:
        own.save(folder / "bank.npz")
    options = {
        "classes": list(CLASSES),
        "geometry": GEOMETRY.to_dict(),
        "teacher": TEACHER,
        "embedding_dim": DIM,
        "temperature": 1 / SCALE,
    }
    axes = {"batch": Axis(1, 2, 8), "classes": Axis(1, len(CLASSES), 6)}
    return write(Artifact("tiny", "zero_shot", graphs, axes, options), folder)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
