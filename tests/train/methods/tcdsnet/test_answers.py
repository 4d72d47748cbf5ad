"""Scores with gradients against the runtime's ops under every rule; the exported matcher against both."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import TensorProto

from export import graph as onnx_graph
from export import verify
from export.half import halve
from train.methods.tcdsnet.config import SMOKE, Config
from train.methods.tcdsnet.head import classify
from train.methods.tcdsnet.method import TCDSNet
from train.methods.tcdsnet.rules import Rules, answer, rules

RULES = {
    "all": Config(classifier="dn4"),
    "prototypes": Config(classifier="protonet"),
    "contrast": Config(query="none"),
    "contrast, queries": Config(fraction=0.25, query_fraction=0.4),
    "other images": Config(other_images=True),
    "ratio": Config(score="ratio"),
    "ratio above mean": Config(score="ratio", threshold="mean"),
    "mean": Config(threshold="mean"),
    "number": Config(threshold="0.01"),
    "centred": Config(center="task"),
    "all support": Config(selection="all_support"),
    "offset": Config(class_offset="support"),
    "offset above mean": Config(class_offset="support", threshold="mean"),
    "adaptive": Config(query="adaptive"),
    "grid": Config(size=12, one_image="grid"),
    "grid of all": Config(size=12, selection="grid"),
    "adaptive, grid": Config(size=12, one_image="grid", query="adaptive", class_offset="support"),
    "adaptive, offset": Config(query="adaptive", class_offset="support", center="task"),
}


def drawn(classes: int = 5, images: int = 2, locations: int = 9, dim: int = 16, queries: int = 11) -> list[np.ndarray]:
    """Support (c, k, l, d), query (n, l, d), thresholds (n, l); classes have a direction of their own."""
    generator = np.random.default_rng(0)
    centre = generator.normal(size=(classes, 1, 1, dim))
    support = generator.normal(size=(classes, images, locations, dim)) + 0.5 * centre + 0.5
    query = generator.normal(size=(queries, locations, dim)) + 0.5
    unit = [rows / np.linalg.norm(rows, axis=-1, keepdims=True) for rows in (support, query)]
    return [*(rows.astype(np.float32) for rows in unit), generator.uniform(0, 0.1, (queries, locations)).astype(np.float32)]


def by_tensors(support: np.ndarray, query: np.ndarray, threshold: np.ndarray, how: Rules) -> np.ndarray:
    rows = torch.from_numpy(support).flatten(1, 2)
    found = classify(rows, torch.from_numpy(query), how, support.shape[1], threshold=torch.from_numpy(threshold))
    return found.numpy()


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("images", [1, 3])
def test_scores_with_gradients_are_those_of_the_ops(name: str, images: int) -> None:
    support, query, threshold = drawn(images=images)
    how = rules(RULES[name])
    expected = answer(support, query, how, threshold=threshold)
    np.testing.assert_allclose(by_tensors(support, query, threshold, how), expected, atol=2e-5)


def test_a_grid_keeps_every_second_place_and_all_of_the_query() -> None:
    for images, fields in ((1, {"one_image": "grid"}), (3, {"selection": "grid"})):
        support, query, _ = drawn(images=images)
        found = answer(support, query, rules(Config(size=12, **fields)))  # type: ignore[arg-type]
        rows = support[:, :, ::2].reshape(5, -1, 16)  # 3x3 places: 0, 2, 4, 6, 8
        cosines = np.einsum("nld,cmd->nlcm", query, rows)
        np.testing.assert_allclose(found, np.sort(cosines, axis=3)[..., -3:].sum((1, 3)), atol=1e-5)


@pytest.mark.parametrize("name", ["contrast, queries", "adaptive, offset", "offset above mean"])
def test_zero_descriptors_and_equal_classes_are_no_special_case(name: str) -> None:
    support, query, threshold = drawn()
    support[:] = support[:1]
    support[:, 0, 2], query[0] = 0, 0
    how = dataclasses.replace(rules(RULES[name]), center=False)
    for found in (answer(support, query, how, threshold=threshold), by_tensors(support, query, threshold, how)):
        np.testing.assert_allclose(found, np.repeat(found[:, :1], 5, axis=1), atol=1e-5)
        assert np.isfinite(found).all()


def test_the_same_key_keeps_the_same_random_rows() -> None:
    support, query, _ = drawn()
    how = rules(Config(selection="random", query="none"))
    one, again, other = (answer(support, query, how, key=key) for key in (3, 3, 4))
    assert np.array_equal(one, again) and not np.array_equal(one, other)


def test_the_soft_mask_becomes_the_hard_one() -> None:
    support, query, threshold = drawn()
    rows, asked = torch.from_numpy(support).flatten(1, 2), torch.from_numpy(query)
    for name in ("contrast, queries", "adaptive"):
        how = rules(RULES[name])
        hard = classify(rows, asked, how, 2, threshold=torch.from_numpy(threshold))
        soft = classify(rows, asked, how, 2, threshold=torch.from_numpy(threshold), sharpness=1e7)
        # the last that is kept lies on the sigmoid's middle
        assert float((hard - soft).abs().max()) <= (1.5 + 1e-3 if name == "contrast, queries" else 1e-2)


@pytest.mark.parametrize(
    "fields",
    [
        {"class_offset": "support", "other_images": True},
        {"threshold": "mean", "query": "adaptive", "center": "task"},
        {"classifier": "dn4"},
        {"one_image": "grid", "shots": (1,)},
    ],
)
def test_the_exported_matcher_is_the_native_answer(fields: dict[str, object], tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = dataclasses.replace(SMOKE, **fields)  # type: ignore[arg-type]
    method = TCDSNet(config, TCDSNet.prepare(config, None)).eval()
    exportable = method.exportable()
    graph = exportable.artifact.graphs[1]
    samples, axes = exportable.samples["matcher"], exportable.artifact.axes
    model = onnx_graph.build(exportable.modules["matcher"], graph, axes, samples)
    onnx_graph.save(model, tmp_path / "matcher.onnx")
    runner = verify.session(tmp_path / "matcher.onnx")
    options = exportable.artifact.options
    support, query, threshold = drawn(7, options["shots"], options["locations"], options["dim"], 5)
    given = {"support": support.reshape(7, -1, options["dim"]), "query": query, "threshold": threshold}
    (found,) = runner.run(["scores"], {port.name: given[port.name] for port in graph.inputs})
    np.testing.assert_allclose(found, answer(support, query, method.rules, threshold=threshold), atol=2e-5)
    halves = [node for node in halve(model).graph.node if node.op_type == "Cast" and node.attribute[0].i == TensorProto.FLOAT16]
    assert halves == []  # near 1 half precision cannot tell the cosines that decide
