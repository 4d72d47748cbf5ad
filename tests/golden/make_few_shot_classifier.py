"""Write a few_shot_classifier artifact of a few kB without torch: `python tests/golden/make_few_shot_classifier.py FOLDER`.

`descriptors` is one convolution of 2x2 pixels with fixed weights, so that every descriptor can be computed in NumPy; `matcher` is the
selection of half of the support by difference, and the sum of the 3 nearest, in ONNX's own operators.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from runtime.artifact import GOLDEN, PARITY, Artifact, Axis, Graph, Port, graph_file, write

SIDE, GRID, D, NEIGHBOURS = 8, (4, 4), 8, 3
LOCATIONS = GRID[0] * GRID[1]
IMAGE = Port("image", "uint8", ("batch", 3, SIDE, SIDE))
DESCRIPTORS = Port("descriptors", "float32", ("batch", LOCATIONS, D))
THRESHOLD = Port("threshold", "float32", ("batch", LOCATIONS))
SUPPORT = Port("support", "float32", ("classes", "support", D))
QUERY = Port("query", "float32", ("batch", LOCATIONS, D))
SCORES = Port("scores", "float32", ("batch", "classes"))
MATCHER = Graph("matcher", (SUPPORT, QUERY), (SCORES,))
OPTIONS: dict[str, Any] = {
    "geometry": {"size": [SIDE, SIDE], "mode": "crop", "interpolation": "bilinear"},
    "grid": list(GRID),
    "fraction": 0.5,
    "threshold": None,
    "score": "difference",
    "other_images": False,
    "center": "none",
    "query": {"rule": "none", "value": None},
    "neighbours": NEIGHBOURS,
    "class_offset": "none",
}


def weights() -> np.ndarray:
    """(D, 3, 2, 2)"""
    return np.random.default_rng(0).normal(0, 1, (D, 3, 2, 2)).astype(np.float32)


def threshold_weights() -> np.ndarray:
    """(D, 1)"""
    return np.random.default_rng(1).normal(0, 0.1, (D, 1)).astype(np.float32)


def images(count: int = 6, seed: int = 2) -> np.ndarray:
    """uint8 (count, 8, 8, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)


def expected(image: np.ndarray) -> np.ndarray:
    """The descriptors of images (n, 8, 8, 3) a second way: (n, 16, D)."""
    blocks = image.astype(np.float64).reshape(len(image), GRID[0], 2, GRID[1], 2, 3) / 255 - 0.5
    found = np.einsum("nhywxc,dcyx->nhwd", blocks, weights().astype(np.float64)).reshape(len(image), LOCATIONS, D)
    return found / np.maximum(np.linalg.norm(found, axis=-1, keepdims=True), 1e-12)


def model(graph: Graph) -> bytes:
    """The ONNX file of a graph."""
    from onnx import TensorProto, checker, helper, numpy_helper

    nodes, kept = _descriptors(graph) if graph.name == "descriptors" else _matcher()
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


def _descriptors(graph: Graph) -> tuple[list[Any], dict[str, Any]]:
    from onnx import TensorProto, helper

    node = helper.make_node
    kept = {
        "weights": weights(),
        "scale": np.float32(1 / 255),
        "middle": np.float32(0.5),
        "shape": np.array([0, D, LOCATIONS]),
        "least": np.float32(1e-12),
        "last": np.array([2]),
    }
    nodes = [
        node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        node("Mul", ["pixels", "scale"], ["scaled"]),
        node("Sub", ["scaled", "middle"], ["centred"]),
        node("Conv", ["centred", "weights"], ["maps"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Reshape", ["maps", "shape"], ["flat"]),
        node("Transpose", ["flat"], ["rows"], perm=[0, 2, 1]),
        node("ReduceL2", ["rows", "last"], ["norms"], keepdims=1),
        node("Max", ["norms", "least"], ["positive"]),
        node("Div", ["rows", "positive"], ["descriptors"]),
    ]
    if len(graph.outputs) > 1:
        kept |= {"threshold_weights": threshold_weights()}
        nodes += [
            node("MatMul", ["descriptors", "threshold_weights"], ["column"]),
            node("Squeeze", ["column", "last"], ["threshold"]),
        ]
    return nodes, kept


def _matcher() -> tuple[list[Any], dict[str, Any]]:
    from onnx import helper

    node = helper.make_node
    kept = {
        "zero": np.array([0]),
        "first": np.array([1]),
        "last": np.array([2]),
        "one": np.float32(1),
        "ones": np.array([1]),
        "two": np.array([2]),
        "nearest": np.array([NEIGHBOURS]),
        "wide": np.array([1, 1, D]),
        "tail": np.array([2, 3]),
    }
    nodes = [
        node("Shape", ["support"], ["classes"], start=0, end=1),
        node("Shape", ["support"], ["rows"], start=1, end=2),
        node("Cast", ["rows"], ["m"], to=1),
        node("Cast", ["classes"], ["c"], to=1),
        node("ReduceSum", ["support", "first"], ["sums"], keepdims=1),  # (c, 1, d)
        node("ReduceSum", ["sums", "zero"], ["total"], keepdims=1),
        node("Sub", ["total", "sums"], ["foreign"]),
        node("Sub", ["m", "one"], ["others"]),
        node("Div", ["sums", "others"], ["near"]),
        node("Sub", ["c", "one"], ["other_classes"]),
        node("Mul", ["other_classes", "m"], ["foreign_rows"]),
        node("Max", ["foreign_rows", "one"], ["divisor"]),
        node("Div", ["foreign", "divisor"], ["far"]),
        node("Sub", ["near", "far"], ["directions"]),  # (c, 1, d)
        node("Mul", ["support", "directions"], ["products"]),
        node("ReduceSum", ["products", "last"], ["contrast"], keepdims=0),  # (c, m)
        node("Add", ["rows", "ones"], ["more"]),
        node("Div", ["more", "two"], ["half"]),
        node("TopK", ["contrast", "half"], ["best", "places"], axis=1, largest=1, sorted=1),
        node("Unsqueeze", ["places", "last"], ["column"]),
        node("Expand", ["column", "wide"], ["index"]),
        node("GatherElements", ["support", "index"], ["kept"], axis=1),  # (c, n, d)
        node("Transpose", ["kept"], ["across"], perm=[0, 2, 1]),
        node("Unsqueeze", ["query", "first"], ["queries"]),  # (b, 1, l, d)
        node("MatMul", ["queries", "across"], ["similarity"]),  # (b, c, l, n)
        node("TopK", ["similarity", "nearest"], ["top", "where"], axis=3, largest=1, sorted=0),
        node("ReduceSum", ["top", "tail"], ["scores"], keepdims=0),
    ]
    return nodes, kept


def build(folder: Path, *, matcher: bool = True, **options: object) -> Artifact:
    """Write the artifact; `folder` must not exist."""
    folder.mkdir(parents=True)
    stated = {**OPTIONS, **options}
    adaptive = isinstance(stated["query"], dict) and stated["query"].get("rule") == "adaptive"
    graphs = [Graph("descriptors", (IMAGE,), (DESCRIPTORS, THRESHOLD) if adaptive else (DESCRIPTORS,))]
    given = images()
    descriptors = expected(given).astype(np.float32)
    golden: dict[str, np.ndarray] = {f"image_{at}": value for at, value in enumerate(given)}
    golden |= {"descriptors/image": given.transpose(0, 3, 1, 2), "descriptors/descriptors": descriptors}
    if adaptive:
        golden["descriptors/threshold"] = (descriptors @ threshold_weights())[:, :, 0]
    if matcher:
        from runtime import ops

        graphs.append(MATCHER)
        support = descriptors[:4].reshape(2, 2, LOCATIONS, D)
        rows = ops.select_descriptors(support, 0.5).rows
        golden |= {"matcher/support": support.reshape(2, -1, D), "matcher/query": descriptors[4:]}
        golden["matcher/scores"] = ops.image_to_class(descriptors[4:], support, rows, None, NEIGHBOURS)
    parity = {}
    for graph in graphs:
        (folder / graph_file(graph.name)).write_bytes(model(graph))
        limit = {port.name: {"cosine": 0.9999, "max_abs": 1e-4} for port in graph.outputs}
        parity[graph_file(graph.name)] = {"graph": graph.name, "precision": "fp32", "tolerance": limit}
    np.savez_compressed(folder / GOLDEN, allow_pickle=False, **golden)
    (folder / PARITY).write_text(json.dumps({"schema": 1, "files": parity}, indent=1) + "\n")
    axes = {"batch": Axis(1, 2, 4), "classes": Axis(1, 5, 1024), "support": Axis(LOCATIONS, 80, 1600, LOCATIONS)}
    return write(Artifact("tiny", "few_shot_classifier", tuple(graphs), axes, stated), folder)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
