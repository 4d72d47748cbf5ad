"""What export writes, against the ports, the torch modules and the promises of its command line."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from export.onnx import VerificationError, export, main
from export.verify import TOLERANCES, Tolerance, answer, session
from runtime import artifact as schema
from runtime.artifact import Artifact, Axis, Graph, Port, graph_file
from train.contract import Exportable

VARIANTS = ("fp32", "fp16", "fp16-products", "int8", "int8-dynamic", "int8-trt")
NUMBERS = Port("x", "float32", ("batch", 4))


class Affine(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (self.layer(x),)


class Dice(nn.Module):
    """Answers differently each time."""

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (x[:, :3] + torch.rand_like(x[:, :3]),)


def small(module: nn.Module) -> Exportable:
    graph = Graph("numbers", (NUMBERS,), (Port("y", "float32", ("batch", 3)),))
    samples = {"numbers": {"x": np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)}}
    return Exportable(Artifact("small", "numbers", (graph,), {"batch": Axis(1, 2, 5)}), {"numbers": module}, samples)


def test_the_artifact_lists_every_file_with_its_checksum(exported) -> None:
    folder = exported.report.path
    read = schema.read(folder)
    assert read == exported.report.artifact
    names = {graph_file("open", precision) for precision in VARIANTS}
    assert set(read.files) == names | {"golden.npz", "parity.json", "card.md", "notes.txt"}
    assert {path.name for path in folder.iterdir()} == set(read.files) | {schema.MANIFEST}
    assert [graph.name for graph in read.graphs] == ["open"]
    assert (folder / "notes.txt").read_bytes() == b"as trained"


def test_a_file_holds_the_ports_the_opset_and_its_own_name(exported) -> None:
    graph = exported.report.artifact.graphs[0]
    for precision in VARIANTS:
        model = onnx.load(str(exported.report.path / graph_file("open", precision)))
        onnx.checker.check_model(model, full_check=True)
        assert {item.domain: item.version for item in model.opset_import}[""] == 20
        assert all(item.domain in ("", "ai.onnx") for item in model.opset_import)
        for values, ports in ((model.graph.input, graph.inputs), (model.graph.output, graph.outputs)):
            assert [value.name for value in values] == [port.name for port in ports]
            for value, port in zip(values, ports, strict=True):
                sizes = tuple(size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim)
                assert sizes == port.shape
                assert onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type) == np.dtype(port.dtype)
        said = {item.key: item.value for item in model.metadata_props}
        assert said == {"graph": "open", "method": "tiny", "precision": precision, "task": "zero_shot"}


def test_no_file_tells_where_it_was_made(exported) -> None:
    marks = [str(Path(__file__).parents[2]), str(Path.home()), "stack_trace", "site-packages", '.py"', "pkg.torch"]
    for path in exported.report.path.glob("*"):
        content = path.read_bytes()
        assert not [mark for mark in marks if len(mark) > 1 and mark.encode() in content], path.name


def test_every_size_within_the_axes_gives_torchs_numbers(exported) -> None:
    graph = exported.report.artifact.graphs[0]
    session = onnxruntime.InferenceSession(str(exported.report.path / "open.onnx"), providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(3)
    for batch, classes in ((1, 1), (3, 7), (9, 12)):
        inputs = {
            "image": generator.integers(0, 256, (batch, 3, 32, 32), dtype=np.uint8),
            "class_vectors": generator.normal(size=(classes, 16)).astype(np.float32),
        }
        expected = answer(exported.exportable.modules["open"], graph, inputs)
        logits, probabilities = session.run(["logits", "probabilities"], inputs)
        np.testing.assert_allclose(logits, expected["logits"], atol=1e-4)
        np.testing.assert_allclose(probabilities, expected["probabilities"], atol=1e-5)


def test_the_golden_file_holds_images_inputs_and_torchs_outputs(exported) -> None:
    with np.load(exported.report.path / "golden.npz", allow_pickle=False) as golden:
        assert golden["open/image"].shape == (8, 3, 32, 32)
        for row in range(8):
            assert (golden[f"image_{row}"].transpose(2, 0, 1) == golden["open/image"][row]).all()
        inputs = {name: golden[f"open/{name}"] for name in ("image", "class_vectors")}
        expected = answer(exported.exportable.modules["open"], exported.report.artifact.graphs[0], inputs)
        for name in ("logits", "probabilities"):
            assert np.array_equal(golden[f"open/{name}"], expected[name])


def test_parity_json_gives_each_file_a_tolerance_that_the_golden_outputs_meet(exported) -> None:
    parity = json.loads((exported.report.path / "parity.json").read_text())
    assert set(parity["files"]) == {graph_file("open", precision) for precision in VARIANTS}
    with np.load(exported.report.path / "golden.npz", allow_pickle=False) as golden:
        for name, entry in parity["files"].items():
            run = session(exported.report.path / name)
            found = run.run(["logits"], {key: golden[f"open/{key}"] for key in ("image", "class_vectors")})[0]
            assert np.abs(found - golden["open/logits"]).max() <= entry["tolerance"]["logits"]["max_abs"]
            assert entry["found"]["logits"]["cosine"] >= entry["tolerance"]["logits"]["cosine"]


def test_the_card_states_graphs_metrics_and_parity(exported) -> None:
    card = (exported.report.path / "card.md").read_text()
    for words in ("tiny", "class_vectors float32 (classes, 16)", "| val/top1 | 0.5 |", "| open.int8.onnx | logits |"):
        assert words in card


def test_progress_names_each_graph_with_its_time(exported) -> None:
    assert exported.progress[0].startswith("open: exported in ")
    assert all(line.endswith(" s") for line in exported.progress)


def test_the_same_model_gives_the_same_bytes_and_replaces_the_artifact(tmp_path: Path) -> None:
    torch.manual_seed(0)
    exportable = small(Affine())
    out = tmp_path / "artifact"
    first = export(exportable, out).artifact.files
    (out / "stale.txt").write_text("of an older export")
    second = export(exportable, out).artifact.files
    assert first == second
    assert not (out / "stale.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["artifact"]


def test_a_model_that_fails_leaves_nothing_and_touches_nothing(tmp_path: Path) -> None:
    out = tmp_path / "artifact"
    with pytest.raises(VerificationError, match=r"numbers\.onnx, output 'y'"):
        export(small(Dice()), out)
    assert list(tmp_path.iterdir()) == []
    out.mkdir()
    (out / schema.MANIFEST).write_text("an artifact")
    impossible = {**TOLERANCES, "fp32": Tolerance(cosine=1.5, relative=1e-3, top1=1.0)}
    with pytest.raises(VerificationError, match="cosine"):
        export(small(Affine()), out, tolerances=impossible)
    assert [path.name for path in tmp_path.iterdir()] == ["artifact"]
    assert (out / schema.MANIFEST).read_text() == "an artifact"


def test_a_fixed_batch_is_written_into_the_graph(tmp_path: Path) -> None:
    report = export(small(Affine()), tmp_path / "artifact", static_batch=3, precisions=("int8-dynamic",))
    assert report.artifact.axes == {"batch": Axis(3, 3, 3)}
    model = onnx.load(str(report.path / "numbers.onnx"))
    assert [size.dim_value for size in model.graph.input[0].type.tensor_type.shape.dim] == [3, 4]
    with np.load(report.path / "golden.npz") as golden:
        assert golden["numbers/x"].shape == (3, 4)
    assert [cost.batch for cost in report.costs] == [3, 3]


def test_an_unknown_graph_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="small has no graph 'closed'; it has numbers"):
        export(small(Affine()), tmp_path / "artifact", graphs=["closed"])
    with pytest.raises(ValueError, match="No graph was chosen"):
        export(small(Affine()), tmp_path / "artifact", graphs=[])


def test_what_torch_cannot_export_is_told_in_one_line(tmp_path: Path) -> None:
    class Branch(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor]:
            return (x[:, :3] if x.sum() > 0 else x[:, 1:],)

    with pytest.raises(ValueError, match="Graph 'numbers' cannot be exported by torch"):
        export(small(Branch()), tmp_path / "artifact")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["missing.pt"], "missing.pt is not a file"),
        (["missing.pt", "--opset", "17"], "Opset 17 is not supported; expected 18 to 23"),
        (["missing.pt", "--precision", "fp8"], "There is no precision 'fp8'; expected some of fp32, fp16"),
        (["missing.pt", "--static-batch", "0"], "--static-batch is 0"),
        (["missing.pt", "--out", "full"], "full is not empty and not an artifact"),
        (["missing.pt", "--out", "full/own.txt"], "own.txt is a file"),
        (["full/own.txt"], "own.txt is not a readable checkpoint"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(arguments: list[str], sentence: str, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    Path("full").mkdir()
    Path("full/own.txt").write_text("mine")
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert sentence in told.err and told.out == ""
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["full", "own.txt"]


def test_force_sets_a_strangers_folder_aside(tmp_path: Path) -> None:
    out = tmp_path / "artifact"
    out.mkdir()
    (out / "own.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not an artifact"):
        export(small(Affine()), out)
    export(small(Affine()), out, force=True)
    assert (tmp_path / "artifact.before" / "own.txt").read_text() == "mine"
    assert schema.read(out).method == "small"


def test_help_shows_how_it_is_used(capsys) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    told = capsys.readouterr().out
    assert "python -m export.onnx model.pt" in told
    assert "int8-dynamic" in told


def test_samples_and_images_are_left_as_they_were(exported) -> None:
    fresh = dataclasses.replace(exported.exportable)
    assert fresh.samples["open"]["image"].shape == (16, 3, 32, 32)
    assert exported.exportable.artifact.files == {}
