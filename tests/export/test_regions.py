"""What the parser refuses and where the builder crashes, against graphs whose nodes are known."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from export import engine, regions
from export.engine import Job, Refused

SHAPE = ("batch", 2, 8, 16)
SIZES = ((1, 2, 8, 16), (2, 2, 8, 16), (4, 2, 8, 16))


def save(path: Path, nodes: list[onnx.NodeProto], inputs: str, outputs: str, opset: int = 20) -> Path:
    values = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE) for name in names] for names in (inputs, outputs)]
    graph = helper.make_graph(nodes, "made by hand", *values)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10), str(path))
    return path


@pytest.fixture
def crashing(tmp_path: Path) -> Path:
    """Attention of a tensor with itself, in fp32: a legal graph on which TensorRT-RTX 1.7's builder ends with SIGSEGV."""
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="first"),
        helper.make_node("Exp", ["a"], ["b"], name="second"),
        helper.make_node("Attention", ["b", "b", "b"], ["c"], name="attend"),
        helper.make_node("Relu", ["c"], ["y"], name="last"),
    ]
    return save(tmp_path / "crashing.onnx", nodes, "x", "y", opset=23)


def test_every_node_that_is_not_taken_is_listed_with_its_neighbours(tmp_path: Path, rtx: str) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="first"),
        helper.make_node("Det", ["a"], ["b"], name="determinant"),
        helper.make_node("Det", ["x"], ["c"], name="another"),
        helper.make_node("Exp", ["a"], ["d"], name="fine"),
        helper.make_node("NonZero", ["d"], ["e"], name="places"),
        helper.make_node("Cast", ["e"], ["f"], name="last", to=TensorProto.FLOAT),
    ]
    values = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("batch", 4, 4))]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "bcf"]
    graph = helper.make_graph(nodes, "made by hand", values, outputs)
    path = tmp_path / "odd.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), str(path))
    found = regions.explain(path, rtx)
    assert found.count == 6 and found.rest == ""
    assert [[node.name for node in region.nodes] for region in found.regions] == [["determinant", "another"], ["places"]]
    assert [(region.after, region.before) for region in found.regions] == [(("first",), ()), (("fine",), ("last",))]
    told = str(found)
    assert "odd.onnx: 3 of 6 nodes are not taken" in told
    assert "nodes 1 to 2, after first, before the outputs" in told
    assert "'places' (NonZero): " in told


def test_a_graph_that_is_taken_is_said_to_be(exported, rtx: str) -> None:
    path = exported.report.path / "open.onnx"
    count = len(onnx.load(str(path)).graph.node)
    assert str(regions.explain(path, rtx)) == f"open.onnx: all {count} nodes are taken"


def test_the_int8_of_the_cpu_is_not_taken_and_that_for_tensorrt_is(exported, rtx: str) -> None:
    folder = exported.report.path
    assert regions.explain(folder / "open.int8-trt.onnx", rtx).regions == ()
    first = regions.explain(folder / "open.int8.onnx", rtx).regions[0].nodes[0]
    assert first.operator == "DequantizeLinear" and "Int32" in first.reason


def test_a_crash_is_a_refusal_and_its_node_is_found(crashing: Path, tmp_path: Path, rtx: str) -> None:
    job = Job(rtx, crashing, ("sm86",), ({"x": SIZES},))
    with pytest.raises(Refused, match=r"SIGSEGV.* while building the part 'first\.\.\.last'") as refused:
        engine.build(job, tmp_path / "plan")
    assert refused.value.crashed and not (tmp_path / "plan").exists()
    said: list[str] = []
    node = regions.narrow(job, said.append)
    assert node is not None and (node.index, node.name, node.operator) == (2, "attend", "Attention")
    assert said


def test_no_node_is_blamed_where_nothing_crashes(tmp_path: Path, rtx: str) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["a"], name="one"), helper.make_node("Exp", ["a"], ["y"], name="two")]
    job = Job(rtx, save(tmp_path / "fine.onnx", nodes, "x", "y"), ("sm86",), ({"x": SIZES},))
    assert regions.narrow(job, print) is None


def test_a_part_takes_what_comes_before_and_gives_what_others_need(crashing: Path) -> None:
    model = onnx.shape_inference.infer_shapes(onnx.load(str(crashing)))
    part = regions.cut(model, 1, 3)
    assert [value.name for value in part.graph.input] == ["a"]
    assert [value.name for value in part.graph.output] == ["c"]
    onnx.checker.check_model(part)
