"""int8 files against the policy of what is quantised, and costs against numbers counted by hand."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest

from export import quantize
from export.quantize import Reader, RealImages, batches, costs, read_images
from runtime.artifact import Artifact, Axis, Graph, Port, graph_file

VARIANTS = ("fp32", "fp16", "fp16-products", "int8", "int8-dynamic", "int8-trt")


def nodes_of(exported, precision: str) -> list[str]:
    return [node.op_type for node in onnx.load(str(exported.report.path / graph_file("open", precision))).graph.node]


def test_weighted_products_are_quantised_and_the_rest_is_not(exported) -> None:
    plain, static, dynamic = (nodes_of(exported, precision) for precision in ("fp32", "int8", "int8-dynamic"))
    # patches, mixed, wide, narrow, project carry weights; query.key, attention.value and the logits do not
    assert plain.count("MatMul") + plain.count("Gemm") + plain.count("Conv") == 8
    assert dynamic.count("MatMulInteger") == 4 and dynamic.count("MatMul") == 3 and dynamic.count("Conv") == 1
    assert static.count("QuantizeLinear") >= 5
    assert not any(name in static for name in ("MatMulInteger", "ConvInteger"))


def test_the_head_of_the_static_file_takes_float_values(exported) -> None:
    model = onnx.load(str(exported.report.path / "open.int8.onnx"))
    made_by = {name: node for node in model.graph.node for name in node.output}
    logits = made_by["logits"]
    assert logits.op_type == "MatMul"
    assert all(made_by[name].op_type != "DequantizeLinear" for name in logits.input if name in made_by)


def test_the_variant_for_tensorrt_is_signed_symmetric_and_keeps_biases_in_float(exported) -> None:
    graph = onnx.load(str(exported.report.path / "open.int8-trt.onnx")).graph
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    scaled = [node for node in graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert len(scaled) >= 15
    zeros = [values[node.input[2]] for node in scaled]
    assert all(zero.dtype == np.int8 and not zero.any() for zero in zeros)
    heavy = [node for node in graph.node if node.op_type in ("Conv", "Gemm") and len(node.input) == 3]
    assert heavy and all(values[node.input[2]].dtype == np.float32 for node in heavy)
    weights = [values[node.input[1]] for node in scaled if node.input[0] in values]
    assert len(weights) == 5 and all(scales.size > 1 for scales in weights)  # one scale for each channel


def test_variants_are_smaller_and_all_are_timed(exported) -> None:
    found = {cost.precision: cost for cost in exported.report.costs}
    assert list(found) == list(VARIANTS)
    assert found["fp16"].bytes < 0.6 * found["fp32"].bytes
    assert found["int8"].bytes < 0.6 * found["fp32"].bytes
    assert all(0 < cost.milliseconds.p10 <= cost.milliseconds.median <= cost.milliseconds.p90 for cost in found.values())
    assert all(cost.threads == 1 and cost.batch == 1 for cost in found.values())


def test_accuracy_is_the_share_of_right_labels(exported) -> None:
    graph, samples = exported.report.artifact.graphs[0], exported.exportable.samples["open"]
    files = {precision: exported.report.path / graph_file("open", precision) for precision in ("fp32", "int8")}
    session = onnxruntime.InferenceSession(str(files["fp32"]), providers=["CPUExecutionProvider"])
    labels = session.run(["logits"], dict(samples))[0].argmax(1)
    labels[:4] = (labels[:4] + 1) % 5  # four of sixteen are wrong now
    found = costs(
        files, graph, exported.exportable.artifact.axes, samples, RealImages(samples["image"], samples["image"], labels), rounds=1
    )
    assert found[0].accuracy == 0.75 and found[0].agreement == 1.0
    assert found[1].agreement is not None and found[1].agreement >= 0.9
    assert "75.0%" in quantize.table(found)


def test_batches_give_every_row_once_and_other_inputs_whole() -> None:
    graph = Graph("g", (Port("image", "uint8", ("batch", 2)), Port("bank", "float32", ("classes", 3))), ())
    samples = {"image": np.arange(10, dtype=np.uint8).reshape(5, 2), "bank": np.ones((4, 3), np.float32)}
    axes = {"batch": Axis(1, 1, 9), "classes": Axis(1, 4, 9)}
    given = list(batches(graph, axes, samples, 2))
    assert all(inputs["bank"].shape == (4, 3) for inputs in given)
    assert [len(inputs["image"]) for inputs in given] == [2, 2, 1]
    assert np.array_equal(np.concatenate([inputs["image"] for inputs in given]), samples["image"])
    reader = Reader(graph, axes, samples)
    whole = reader.get_next()
    assert whole is not None and np.array_equal(whole["image"], samples["image"])
    assert reader.get_next() is None


def test_a_fixed_batch_is_fed_whole_batches_only() -> None:
    image = np.arange(10, dtype=np.uint8).reshape(5, 2)
    for shape, axes in (((2, 2), {}), (("batch", 2), {"batch": Axis(2, 2, 2)})):
        graph = Graph("g", (Port("image", "uint8", shape),), ())
        assert [len(part["image"]) for part in batches(graph, axes, {"image": image}, 8)] == [2, 2]
        assert [part["image"].tolist() for part in batches(graph, axes, {"image": image[:1]}, 8)] == [[[0, 1], [0, 1]]]


def test_unknown_variants_are_refused(exported, tmp_path: Path) -> None:
    graph = exported.report.artifact.graphs[0]
    with pytest.raises(ValueError, match="There is no variant 'int4'"):
        quantize.write("int4", exported.report.path / "open.onnx", tmp_path / "x.onnx", graph, {}, {})


def write_pictures(folder: Path, classes: dict[str, int]) -> None:
    for label, (name, value) in enumerate(classes.items()):
        for row in range(10):
            path = folder / name / f"{row}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.full((20 + label, 24, 3), value, np.uint8))


def test_images_are_prepared_and_labels_matched_by_name(exported, tmp_path: Path) -> None:
    write_pictures(tmp_path, {"cat": 50, "unknown": 100, "ant": 200})
    found = read_images(tmp_path, exported.report.artifact, calibration=6)
    assert found.calibration.shape == (6, 3, 32, 32) and found.calibration.dtype == np.uint8
    values = {int(image.mean()): int(label) for image, label in zip(found.images, found.labels, strict=True)}
    assert values == {50: 2, 200: 0}  # cat is the third class, ant the first


def test_data_of_other_classes_is_refused(exported, tmp_path: Path) -> None:
    write_pictures(tmp_path, {"one": 50, "two": 100})
    with pytest.raises(ValueError, match=r"None of the model's classes is in .*, which has one, two"):
        read_images(tmp_path, exported.report.artifact)


def test_chips_are_cut_as_the_artifact_cuts_them_and_measured_on_test_chips(tmp_path: Path) -> None:
    options = {"classes": ["b", "a"], "size": 16, "crop": 16, "input": "uint8"}
    artifact = Artifact("bidfc", "recognizer", (), {"batch": Axis(1, 1, 1)}, options)
    for part, names in (("train", "abc"), ("test", "abc")):
        for name in names:
            for row in range(4):
                path = tmp_path / part / name / f"{row}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), np.full((20, 24), 50 * (ord(name) - 96) + (part == "test"), np.uint8))
    found = read_images(tmp_path, artifact, calibration=6)
    assert found.port == "chip" and found.calibration.shape == (6, 1, 16, 16) and found.images.shape == (8, 1, 16, 16)
    assert {int(chip.mean()): int(label) for chip, label in zip(found.images, found.labels, strict=True)} == {51: 1, 101: 0}
    strange = Artifact("bidfc", "recognizer", (), {"batch": Axis(1, 1, 1)}, {**options, "classes": ["x"]})
    with pytest.raises(ValueError, match=r"None of the model's classes is in .*, which has a, b, c"):
        read_images(tmp_path, strange)


def test_a_method_without_images_takes_no_image_data(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not take images"):
        read_images(tmp_path, Artifact("rows", "tabular", (), {"batch": Axis(1, 1, 1)}))
