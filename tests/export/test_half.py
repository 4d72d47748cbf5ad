"""fp16 rewriting: which nodes keep fp32, against the policy, and the numbers of small graphs against numpy."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.half import halve, protected


def graph_of(nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], outputs: dict[str, list[int]]) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 4])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def types_of(model: onnx.ModelProto) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    found = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.input, *graph.output)}
    return found | {tensor.name: tensor.data_type for tensor in graph.initializer}


def test_norms_softmax_scaling_and_head_stay_in_fp32(exported) -> None:
    model = onnx.load(str(exported.report.path / "open.fp16.onnx"))
    types = types_of(model)
    seen: dict[str, set[int]] = {}
    behind_norm: set[str] = set()
    for node in model.graph.node:
        kinds = {types[name] for name in node.input if types.get(name) in (TensorProto.FLOAT, TensorProto.FLOAT16)}
        if node.op_type == "ReduceL2" or behind_norm & set(node.input):
            behind_norm.update(node.output)
            assert node.op_type == "Cast" or TensorProto.FLOAT16 not in kinds, node.name
        elif node.op_type != "Cast":
            seen.setdefault(node.op_type, set()).update(kinds)
    assert seen["LayerNormalization"] == seen["Softmax"] == seen["ReduceMean"] == {TensorProto.FLOAT}
    assert seen["Conv"] == seen["MatMul"] == {TensorProto.FLOAT16}
    assert "logits" in behind_norm


def test_products_only_adds_the_products_behind_the_norm(exported) -> None:
    model = onnx.load(str(exported.report.path / "open.fp16-products.onnx"))
    types = types_of(model)
    halved = [node.op_type for node in model.graph.node if types.get(node.output[0]) == TensorProto.FLOAT16]
    products = [node for node in model.graph.node if node.op_type in ("Conv", "MatMul", "Gemm")]
    assert len(products) == 8 and all(types[name] == TensorProto.FLOAT16 for node in products for name in node.input[:2])
    assert not {"Softmax", "LayerNormalization", "ReduceL2"} & set(halved)


def test_an_output_that_is_also_used_inside_keeps_its_type() -> None:
    weight = np.eye(4, dtype=np.float32) * 2
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["middle"], "first"),
        helper.make_node("Relu", ["middle"], ["high"], "second"),
        helper.make_node("Softmax", ["middle"], ["soft"], "third"),
    ]
    model = halve(graph_of(nodes, {"w": weight}, {"middle": [2, 4], "high": [2, 4], "soft": [2, 4]}))
    onnx.checker.check_model(model, full_check=True)
    assert all(types_of(model)[name] == TensorProto.FLOAT for name in ("x", "middle", "high", "soft"))
    x = np.array([[1, -2, 3, 0.5], [0, 1, -1, 0.25]], np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    middle, high, soft = session.run(["middle", "high", "soft"], {"x": x})
    assert np.array_equal(middle, 2 * x) and np.array_equal(high, np.maximum(2 * x, 0))
    np.testing.assert_allclose(soft, np.exp(2 * x) / np.exp(2 * x).sum(1, keepdims=True), rtol=1e-6)


def test_a_weight_used_by_both_kinds_of_nodes_is_kept_in_both_precisions() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], "product"),
        helper.make_node("Softmax", ["w"], ["s"], "soft"),
        helper.make_node("MatMul", ["a", "s"], ["y"], "second"),
    ]
    model = halve(graph_of(nodes, {"w": np.eye(4, dtype=np.float32)}, {"y": [2, 4]}))
    assert {tensor.name: tensor.data_type for tensor in model.graph.initializer} == {
        "w": TensorProto.FLOAT,
        "w.half": TensorProto.FLOAT16,
    }


def test_only_what_stands_between_first_product_and_norm_is_open_to_it() -> None:
    nodes = [
        helper.make_node("Mul", ["x", "scale"], ["scaled"], "before"),
        helper.make_node("MatMul", ["scaled", "w"], ["a"], "product"),
        helper.make_node("LpNormalization", ["a"], ["unit"], "norm"),
        helper.make_node("MatMul", ["unit", "w"], ["y"], "after"),
    ]
    model = graph_of(nodes, {"w": np.eye(4, dtype=np.float32), "scale": np.float32([0.5])}, {"y": [2, 4]})
    assert protected(model.graph) == {"before", "norm", "after"}


def test_a_weight_beyond_half_precision_is_refused() -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], "product")]
    with pytest.raises(ValueError, match="weight 'w' reaches 70000, and half precision ends at 65504"):
        halve(graph_of(nodes, {"w": np.full((4, 4), 7e4, np.float32)}, {"y": [2, 4]}))


def test_branches_are_refused() -> None:
    branch = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["z"], "inner")],
        "b",
        [],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, [2, 4])],
    )
    nodes = [helper.make_node("If", ["yes"], ["y"], "if", then_branch=branch, else_branch=branch)]
    with pytest.raises(ValueError, match="branches or loops"):
        halve(graph_of(nodes, {"yes": np.array(True)}, {"y": [2, 4]}))
