"""The comparison itself, against cases worked by hand and against files that are wrong on purpose."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
import pytest

from export.verify import TOLERANCES, Parity, Tolerance, cases, compare, references, sizes, table, tile, verify
from runtime.artifact import Axis, Graph, Port

GRAPH = Graph(
    "g", (Port("image", "uint8", ("batch", 2)), Port("rows", "float32", ("rows", 3))), (Port("logits", "float32", ("batch", 2)),)
)
AXES = {"batch": Axis(1, 4, 9), "rows": Axis(2, 2, 5)}


def agreement(expected: list[list[float]], found: list[list[float]], slack: float = 1e-3, output: str = "logits"):
    return compare(output, np.array(expected), np.array(found), case="by hand", optimised=True, slack=slack)


def test_cosine_error_and_decisions_by_hand() -> None:
    row = agreement([[3.0, 4.0], [0.0, 2.0]], [[4.0, 3.0], [0.0, 2.5]])
    assert row.cosine == pytest.approx(24 / 25)
    assert row.max_abs == 1.0
    assert row.scale == 4.0
    assert row.relative == 0.25
    assert row.top1 == 0.5


def test_a_tie_within_the_allowed_error_is_no_disagreement() -> None:
    assert agreement([[1.0, 0.999]], [[0.999, 1.0]], slack=1e-3).top1 == 1.0
    assert agreement([[1.0, 0.99]], [[0.99, 1.0]], slack=1e-3).top1 == 0.0


def test_only_outputs_called_logits_are_decisions() -> None:
    assert agreement([[1.0, 2.0]], [[2.0, 1.0]], output="embedding").top1 is None


def test_rows_near_zero_are_judged_by_error_alone() -> None:
    row = agreement([[0.0, 0.0], [1.0, 0.0]], [[0.0, -1e-9], [1.0, 0.0]])
    assert row.cosine == 1.0
    assert row.max_abs == 1e-9


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_is_not_finite_fails(value: float) -> None:
    row = agreement([[1.0, 2.0]], [[1.0, value]])
    failures = Parity("g.onnx", "g", "fp32", TOLERANCES["fp32"], (row,)).failures
    assert len(failures) >= 2


def test_axes_are_visited_alone_at_their_smallest_and_largest() -> None:
    samples = {"image": np.ones((3, 2), np.uint8), "rows": np.eye(3, dtype=np.float32)}
    found = list(cases(GRAPH, AXES, samples))
    shapes = {(len(case.inputs["image"]), len(case.inputs["rows"])) for case in found}
    assert shapes == {(4, 2), (1, 2), (9, 2), (4, 5)}
    assert sum(case.real for case in found) == len(found) / 2 == 4
    assert all(case.inputs["image"].dtype == np.uint8 and case.inputs["rows"].dtype == np.float32 for case in found)


def test_without_samples_all_cases_are_random_and_repeatable() -> None:
    first, second = (list(cases(GRAPH, AXES, {}, seed=5)) for _ in range(2))
    assert not any(case.real for case in first)
    assert all(np.array_equal(a.inputs["rows"], b.inputs["rows"]) for a, b in zip(first, second, strict=True))


def test_sizes_come_once_each() -> None:
    assert sizes(Axis(1, 1, 8)) == (1, 8)
    assert sizes(Axis(2, 4, 8)) == (2, 4, 8)


def test_tile_cuts_and_repeats() -> None:
    assert tile(np.arange(6).reshape(2, 3), (3, 2)).tolist() == [[0, 1], [3, 4], [0, 1]]


def test_a_file_with_one_wrong_weight_fails(exported, tmp_path: Path) -> None:
    model = onnx.load(str(exported.report.path / "open.onnx"))
    tensor = next(tensor for tensor in model.graph.initializer if "narrow" in tensor.name or len(tensor.dims) == 2)
    values = onnx.numpy_helper.to_array(tensor).copy()
    values[0] += 1.0
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    onnx.save(model, str(tmp_path / "open.onnx"))
    graph, exportable = exported.report.artifact.graphs[0], exported.exportable
    expected = references(exportable.modules["open"], graph, exportable.artifact.axes, exportable.samples["open"])
    good = verify(exported.report.path / "open.onnx", graph, "fp32", expected)
    bad = verify(tmp_path / "open.onnx", graph, "fp32", expected)
    assert not good.failures
    assert any("cosine" in failure for failure in bad.failures)
    assert "passed" in table([good]) and "FAILED" in table([bad])
    assert {row.optimised for row in good.agreements} == {True, False}


def test_the_tolerance_on_a_device_is_the_share_of_the_scale() -> None:
    row = agreement([[0.0, -8.0]], [[0.0, -8.0]])
    content = Parity("g.onnx", "g", "fp32", Tolerance(cosine=0.9, relative=0.01, top1=1.0), (row,)).to_dict()
    assert content["tolerance"] == {"logits": {"cosine": 0.9, "max_abs": 0.08}}
    assert content["found"]["logits"] == {"cosine": 1.0, "max_abs": 0.0, "relative": 0.0, "top1": 1.0}
