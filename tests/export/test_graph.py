"""Tracing, naming and writing of single graphs, against declared ports and ONNX Runtime's reading of the files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from export.graph import build, save, strip, trace_sizes
from runtime.artifact import Axis, Graph, Port


class Doubled(nn.Module):
    """Twice the height and width; `bias` belongs to one size if `burnt`."""

    def __init__(self, burnt: bool) -> None:
        super().__init__()
        self.burnt = burnt

    def forward(self, image: Tensor) -> tuple[Tensor]:
        height = 8 if self.burnt else image.shape[2]
        return (image.repeat_interleave(2, 2).repeat_interleave(2, 3)[:, :, : 2 * height],)


MAP = Graph(
    "map", (Port("image", "float32", (1, 3, "height", "width")),), (Port("large", "float32", (1, 3, "2*height", "2*width")),)
)
AXES = {"height": Axis(4, 8, 16, multiple=4), "width": Axis(4, 8, 16, multiple=4)}


def test_axes_in_steps_keep_their_names_and_work_at_other_sizes(tmp_path: Path) -> None:
    model = build(Doubled(burnt=False), MAP, AXES, {})
    save(model, tmp_path / "map.onnx")
    assert [size.dim_param for size in model.graph.input[0].type.tensor_type.shape.dim] == ["", "", "height", "width"]
    assert [size.dim_param for size in model.graph.output[0].type.tensor_type.shape.dim] == ["", "", "2*height", "2*width"]
    session = onnxruntime.InferenceSession(str(tmp_path / "map.onnx"), providers=["CPUExecutionProvider"])
    image = np.arange(3 * 4 * 16, dtype=np.float32).reshape(1, 3, 4, 16)
    assert (session.run(None, {"image": image})[0] == image.repeat(2, 2).repeat(2, 3)).all()


def test_a_size_that_the_module_fixes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"map: 'large' .* is the constant 16 in the module"):
        build(Doubled(burnt=True), MAP, AXES, {})


def test_trace_sizes_avoid_one_and_each_other() -> None:
    graph = Graph("g", (Port("a", "float32", ("batch", "rows")), Port("b", "float32", ("only",))), ())
    assert trace_sizes(graph, {"batch": Axis(1, 1, 8), "rows": Axis(1, 2, 8), "only": Axis(1, 1, 1)}) == {
        "batch": 2,
        "rows": 3,
        "only": 1,
    }
    assert trace_sizes(graph, {"batch": Axis(1, 2, 2), "rows": Axis(1, 2, 2), "only": Axis(3, 3, 3)}) == {
        "batch": 2,
        "rows": 2,
        "only": 3,
    }


def test_strip_reaches_every_level() -> None:
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1], doc_string="secret")
    node = onnx.helper.make_node("Relu", ["x"], ["y"], doc_string="secret")
    node.metadata_props.add(key="stack", value="secret")
    graph = onnx.helper.make_graph([node], "g", [value], [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])])
    model = onnx.helper.make_model(graph, doc_string="secret")
    model.graph.metadata_props.add(key="stack", value="secret")
    strip(model)
    assert b"secret" not in model.SerializeToString()
    onnx.checker.check_model(model, full_check=True)


def test_weights_beyond_one_file_go_beside_it(exported, tmp_path: Path) -> None:
    model = onnx.load(str(exported.report.path / "open.onnx"))
    assert save(model, tmp_path / "open.onnx", one_file=1000) == ("open.onnx", "open.onnx.data")
    assert {path.name for path in tmp_path.iterdir()} == {"open.onnx", "open.onnx.data"}
    inputs = {name: exported.exportable.samples["open"][name] for name in ("image", "class_vectors")}
    one, two = (
        onnxruntime.InferenceSession(str(folder / "open.onnx"), providers=["CPUExecutionProvider"]).run(["logits"], inputs)[0]
        for folder in (exported.report.path, tmp_path)
    )
    assert np.array_equal(one, two)


def test_a_wrong_dtype_is_refused() -> None:
    class Half(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor]:
            return (x.to(torch.float16),)

    port = Port("x", "float32", ("batch", 2))
    with pytest.raises(ValueError, match=r"'y' .* is declared as float32, and the module gives float16"):
        build(Half(), Graph("g", (port,), (Port("y", "float32", ("batch", 2)),)), {"batch": Axis(1, 2, 4)}, {})
