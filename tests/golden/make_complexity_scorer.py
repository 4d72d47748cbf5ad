"""Write a complexity_scorer artifact of a few kB without torch: `python tests/golden/make_complexity_scorer.py FOLDER`.

`complexity` is one convolution of 2x2 pixels and a ReLU, so that every answer can be computed in NumPy; the score is a sigmoid of the
activation, and the component, where the quantiles are of it, falls as the activation rises.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from runtime.artifact import GOLDEN, PARITY, Artifact, Axis, Graph, Port, graph_file, write

SIDE, GRID, D = 8, (4, 4), 6
IMAGE = Port("image", "uint8", ("batch", 3, SIDE, SIDE))
ACTIVATION = Port("activation", "float32", ("batch",))
EMBEDDING = Port("embedding", "float32", ("batch", D))
MAP = Port("map", "float32", ("batch", *GRID))
COMPONENT = Port("component", "float32", ("batch",))
SCORE = Port("score", "float32", ("batch",))
HIGHEST = 0.3  # of the component
SLOPE, MIDDLE = 40.0, 0.15  # of the score's sigmoid
OPTIONS: dict[str, Any] = {
    "geometry": {"size": [SIDE, SIDE], "mode": "squash", "interpolation": "bilinear"},
    "quantiles": [float(value) for value in np.linspace(0, 0.3, 101) ** 2 / 0.3],
    "scored": False,
}


def weights() -> np.ndarray:
    """Differences of neighbours, (D, 3, 2, 2): a plain image gives 0."""
    found = np.random.default_rng(0).normal(0, 0.5, (D, 3, 2, 2))
    return (found - found.mean((2, 3), keepdims=True)).astype(np.float32)


def images(count: int = 6, seed: int = 2) -> np.ndarray:
    """uint8 (count, 8, 8, 3), from nearly plain to noisy."""
    generator = np.random.default_rng(seed)
    noise = generator.normal(0, 1, (count, SIDE, SIDE, 3)) * np.linspace(6, 90, count)[:, None, None, None]
    return np.clip(generator.integers(80, 170, (count, 1, 1, 3)) + noise, 0, 255).astype(np.uint8)


def expected(image: np.ndarray) -> dict[str, np.ndarray]:
    """Every output for images (n, 8, 8, 3) a second way."""
    blocks = image.astype(np.float64).reshape(len(image), GRID[0], 2, GRID[1], 2, 3) / 255
    cells = np.maximum(np.einsum("nhywxc,dcyx->ndhw", blocks, weights().astype(np.float64)), 0)
    activation = cells.mean((1, 2, 3))
    score = 100 / (1 + np.exp(-SLOPE * (activation - MIDDLE)))
    found = {
        "activation": activation,
        "component": HIGHEST - activation,
        "embedding": cells.mean((2, 3)),
        "map": cells.mean(1),
        "score": score,
    }
    return {name: value.astype(np.float32) for name, value in found.items()}


def model(graph: Graph) -> bytes:
    """The ONNX file."""
    from onnx import TensorProto, checker, helper, numpy_helper

    node = helper.make_node
    kept = {
        "weights": weights(),
        "scale": np.float32(1 / 255),
        "channels": np.array([1]),
        "places": np.array([2, 3]),
        "all": np.array([1, 2, 3]),
        "slope": np.float32(SLOPE),
        "middle": np.float32(MIDDLE),
        "highest": np.float32(100),
        "component_highest": np.float32(HIGHEST),
    }
    nodes = [
        node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        node("Mul", ["pixels", "scale"], ["scaled"]),
        node("Conv", ["scaled", "weights"], ["responses"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Relu", ["responses"], ["cells"]),
        node("ReduceMean", ["cells", "channels"], ["map"], keepdims=0),
        node("ReduceMean", ["cells", "places"], ["embedding"], keepdims=0),
        node("ReduceMean", ["cells", "all"], ["activation"], keepdims=0),
    ]
    if COMPONENT in graph.outputs:
        nodes.append(node("Sub", ["component_highest", "activation"], ["component"]))
    if SCORE in graph.outputs:
        nodes += [
            node("Sub", ["activation", "middle"], ["centred"]),
            node("Mul", ["centred", "slope"], ["logit"]),
            node("Sigmoid", ["logit"], ["share"]),
            node("Mul", ["share", "highest"], ["score"]),
        ]
    kinds = {"uint8": TensorProto.UINT8, "float32": TensorProto.FLOAT}
    ports = [
        [helper.make_tensor_value_info(port.name, kinds[port.dtype], port.shape) for port in of]
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
    stated = {**OPTIONS, **options}
    more = [*([COMPONENT] if stated.get("percentile_of") == "component" else []), *([SCORE] if stated["scored"] is True else [])]
    graph = Graph("complexity", (IMAGE,), (ACTIVATION, EMBEDDING, MAP, *more))
    given = images()
    golden: dict[str, np.ndarray] = {f"image_{at}": value for at, value in enumerate(given)}
    golden["complexity/image"] = given.transpose(0, 3, 1, 2)
    answers = expected(given)
    golden |= {f"complexity/{port.name}": answers[port.name] for port in graph.outputs}
    (folder / graph_file(graph.name)).write_bytes(model(graph))
    limit = {port.name: {"cosine": 0.9999, "max_abs": 1e-2 if port is SCORE else 1e-4} for port in graph.outputs}
    parity = {graph_file(graph.name): {"graph": graph.name, "precision": "fp32", "tolerance": limit}}
    np.savez_compressed(folder / GOLDEN, allow_pickle=False, **golden)
    (folder / PARITY).write_text(json.dumps({"schema": 1, "files": parity}, indent=1) + "\n")
    return write(Artifact("tiny", "complexity_scorer", (graph,), {"batch": Axis(1, 2, 4)}, stated), folder)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
