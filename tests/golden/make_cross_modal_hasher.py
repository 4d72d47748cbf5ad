"""Write a cross_modal_hasher artifact of a few kB without torch: `python tests/golden/make_cross_modal_hasher.py FOLDER`.

Each graph is one product with fixed weights, so that every logit can be computed in NumPy; that of clouds has no offset: a cloud
whose points are all equal has logits of exactly 0.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from runtime import clouds
from runtime.artifact import GOLDEN, PARITY, Artifact, Axis, Graph, Port, graph_file, write

LENGTHS = (8, 16)
SIDE, POINTS, GROUPS, NEIGHBOURS = 8, 32, 4, 8
CODES = tuple(Port(f"code_{length}", "float32", ("batch", length)) for length in LENGTHS)
IMAGE = Port("image", "uint8", ("batch", 3, SIDE, SIDE))
CENTRES = Port("centres", "float32", ("batch", GROUPS, 3))
NEIGHBOURHOODS = Port("neighbourhoods", "float32", ("batch", GROUPS, NEIGHBOURS, 3))
GRAPHS = (Graph("image_hash", (IMAGE,), CODES), Graph("point_hash", (CENTRES, NEIGHBOURHOODS), CODES))


def weights(graph: str, length: int) -> np.ndarray:
    """(inputs, length)"""
    inputs = {"image_hash": 3 * SIDE**2, "point_hash": 3 * GROUPS * (1 + NEIGHBOURS)}[graph]
    return np.random.default_rng(inputs + length).normal(0, 1, (inputs, length)).astype(np.float32)


def images() -> np.ndarray:
    """uint8 (3, 8, 8, 3)."""
    return np.random.default_rng(1).integers(0, 256, (3, SIDE, SIDE, 3), dtype=np.uint8)


def point_clouds() -> np.ndarray:
    """float32 (3, 50, 3)."""
    return np.random.default_rng(2).normal(0, 1, (3, 50, 3)).astype(np.float32)


def expected_images(image: np.ndarray, length: int) -> np.ndarray:
    """The graph's formula a second way."""
    flat = image.reshape(len(image), -1).astype(np.float64) / 255 - 0.5
    return flat @ weights("image_hash", length)


def expected_points(centres: np.ndarray, neighbourhoods: np.ndarray, length: int) -> np.ndarray:
    """The graph's formula a second way."""
    flat = np.concatenate([centres.reshape(len(centres), -1), neighbourhoods.reshape(len(centres), -1)], 1)
    return flat.astype(np.float64) @ weights("point_hash", length)


def model(graph: Graph) -> bytes:
    """The ONNX file of a graph."""
    from onnx import TensorProto, checker, helper, numpy_helper

    node = helper.make_node
    kept = {f"weights_{length}": weights(graph.name, length) for length in LENGTHS}
    if graph.name == "image_hash":
        kept |= {"scale": np.float32(1 / 255), "middle": np.float32(0.5)}
        nodes = [
            node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
            node("Mul", ["pixels", "scale"], ["scaled"]),
            node("Sub", ["scaled", "middle"], ["centred"]),
            node("Flatten", ["centred"], ["flat"]),
        ]
    else:
        nodes = [
            node("Flatten", ["centres"], ["first"]),
            node("Flatten", ["neighbourhoods"], ["second"]),
            node("Concat", ["first", "second"], ["flat"], axis=1),
        ]
    nodes += [node("MatMul", ["flat", f"weights_{length}"], [f"code_{length}"]) for length in LENGTHS]
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


def build(folder: Path, graphs: tuple[Graph, ...] = GRAPHS, **options: object) -> Artifact:
    """Write the artifact; `folder` must not exist."""
    folder.mkdir(parents=True)
    prepared = [clouds.normalise(clouds.resample(cloud, POINTS)) for cloud in point_clouds()]
    centres, neighbourhoods = clouds.group(np.stack(prepared), GROUPS, NEIGHBOURS)
    image = images().transpose(0, 3, 1, 2)
    golden: dict[str, np.ndarray] = {f"image_{at}": value for at, value in enumerate(images())}
    golden |= {
        "image_hash/image": image,
        "point_hash/centres": centres,
        "point_hash/neighbourhoods": neighbourhoods,
    }
    for length in LENGTHS:
        golden[f"image_hash/code_{length}"] = expected_images(image, length).astype(np.float32)
        golden[f"point_hash/code_{length}"] = expected_points(centres, neighbourhoods, length).astype(np.float32)
    parity = {}
    for graph in graphs:
        (folder / graph_file(graph.name)).write_bytes(model(graph))
        limit = {port.name: {"cosine": 0.9999, "max_abs": 1e-3} for port in graph.outputs}
        parity[graph_file(graph.name)] = {"graph": graph.name, "precision": "fp32", "tolerance": limit}
    np.savez_compressed(folder / GOLDEN, allow_pickle=False, **golden)
    (folder / PARITY).write_text(json.dumps({"schema": 1, "files": parity}, indent=1) + "\n")
    stated = {
        "bits": list(LENGTHS),
        "points": POINTS,
        "groups": GROUPS,
        "neighbours": NEIGHBOURS,
        "geometry": {"size": [SIDE, SIDE], "mode": "squash", "interpolation": "bilinear"},
        "families": ["chair", "table"],
    }
    return write(Artifact("tiny", "cross_modal_hasher", graphs, {"batch": Axis(1, 2, 4)}, {**stated, **options}), folder)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
