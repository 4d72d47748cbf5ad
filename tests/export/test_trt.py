"""Engines in an artifact against its manifest and its ONNX files; what is refused, with what is left behind."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from export import engine, engines, trt
from export.trt import main
from runtime import artifact as schema
from runtime.artifact import Artifact, Axis, Graph, Port
from runtime.proof import prove

BUILD = ["--sdk", "rtx", "--target", "sm86"]


def state(folder: Path) -> dict[str, str]:
    return {path.name: schema.sha256(path) for path in folder.iterdir()}


def hide(folder: Path, monkeypatch: pytest.MonkeyPatch, **modules: str) -> None:
    """Put modules before the SDKs that are installed, in the builder's process too."""
    place = folder / "modules"
    place.mkdir()
    for name, source in modules.items():
        (place / f"{name}.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(place))


def absent(name: str) -> str:
    return f"raise ModuleNotFoundError('no', name={name!r})"


def test_engines_are_added_and_described(artifact: Path, rtx: str, capsys) -> None:
    before = state(artifact)
    assert main([str(artifact), "--sdk", "rtx", "--target", "sm86,sm89+sm120", "--precision", "fp32,fp16,int8", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    found = schema.read(artifact)
    assert [item.file for item in found.engines] == [
        f"open.{precision}.rtx.{target}.engine" for precision in ("fp32", "fp16", "int8-trt") for target in ("sm86", "sm89-sm120")
    ]
    for item, told in zip(found.engines, report["engines"], strict=True):
        assert item.onnx_sha256 == before[schema.graph_file("open", item.precision)]
        assert found.files[item.file] == told["sha256"] == schema.sha256(artifact / item.file)
        assert item.size == (artifact / item.file).stat().st_size and item.seconds > 0
        assert (item.sdk, item.options) == (rtx, ())
        assert item.profiles == ({"batch": (1, 1, 1), "classes": (1, 5, 12)}, {"batch": (1, 1, 9), "classes": (1, 5, 12)})
        assert told["shapes"][1]["image"] == [[1, 3, 32, 32], [1, 3, 32, 32], [9, 3, 32, 32]]
        assert item.layers["convolution"] == 1
    assert found.engines[1].targets == ("sm89", "sm120")
    assert found.engines[4].layers["quantize"] >= 5
    assert {name: digest for name, digest in state(artifact).items() if name in before and name != schema.MANIFEST} == {
        name: digest for name, digest in before.items() if name != schema.MANIFEST
    }
    assert prove(artifact).passed


def test_the_same_input_gives_the_same_engine(artifact: Path, rtx: str, capsys) -> None:
    assert main([str(artifact), *BUILD]) == 0
    first = schema.read(artifact)
    capsys.readouterr()
    assert main([str(artifact), *BUILD, "--precision", "fp32,fp16", "--json"]) == 0
    second = schema.read(artifact)
    report = json.loads(capsys.readouterr().out)
    assert [(item["file"], item["kept"]) for item in report["engines"]] == [
        ("open.fp32.rtx.sm86.engine", True),
        ("open.fp16.rtx.sm86.engine", False),
    ]
    assert second.engines[0] == first.engines[0]
    assert second.files["open.fp32.rtx.sm86.engine"] == first.files["open.fp32.rtx.sm86.engine"]


def test_another_profile_or_another_onnx_file_is_built_again(artifact: Path, rtx: str) -> None:
    probe = engine.probe(rtx)
    assert engines.build(artifact, probe, [("sm86",)]).kept == ()
    assert engines.build(artifact, probe, [("sm86",)]).kept == ("open.fp32.rtx.sm86.engine",)
    assert engines.build(artifact, probe, [("sm86",)], rebuild=True).kept == ()
    assert engines.build(artifact, probe, [("sm86",)], given=["batch=2"]).kept == ()
    assert engines.build(artifact, probe, [("sm86",)], given=["batch=2"]).kept != ()
    model = onnx.load(str(artifact / "open.onnx"))
    model.producer_version = "another"
    onnx.save(model, str(artifact / "open.onnx"))
    content = json.loads((artifact / schema.MANIFEST).read_text())
    content["files"]["open.onnx"] = schema.sha256(artifact / "open.onnx")
    (artifact / schema.MANIFEST).write_text(json.dumps(content))
    assert engines.build(artifact, probe, [("sm86",)], given=["batch=2"]).kept == ()
    assert len(schema.read(artifact).engines) == 1


def test_without_a_target_an_engine_is_portable(artifact: Path, rtx: str) -> None:
    assert main([str(artifact), "--sdk", "rtx"]) == 0
    (item,) = schema.read(artifact).engines
    assert (item.file, item.targets) == ("open.fp32.rtx.portable.engine", ("sm80+",))


def test_a_profile_of_ones_own_is_built(artifact: Path, rtx: str) -> None:
    assert main([str(artifact), *BUILD, "--profile", "batch=4", "--profile", "batch=1:2:4,classes=5"]) == 0
    (item,) = schema.read(artifact).engines
    assert item.profiles == ({"batch": (4, 4, 4), "classes": (1, 5, 12)}, {"batch": (1, 2, 4), "classes": (5, 5, 5)})


def test_what_the_sdk_refuses_is_quoted_and_the_rest_is_built(artifact: Path, rtx: str, capsys) -> None:
    assert main([str(artifact), "--sdk", "rtx", "--target", "sm75,sm86", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert [item["file"] for item in report["engines"]] == ["open.fp32.rtx.sm86.engine"]
    (refused,) = report["refused"]
    assert refused["file"] == "open.fp32.rtx.sm75.engine" and "FP32 GEMM is not supported" in refused["reason"]
    assert [item.file for item in schema.read(artifact).engines] == ["open.fp32.rtx.sm86.engine"]


def test_with_every_product_halved_there_is_an_engine_for_turing(artifact: Path, rtx: str) -> None:
    assert main([str(artifact), "--sdk", "rtx", "--target", "sm75", "--precision", "fp16"]) == 2  # its head keeps fp32
    assert main([str(artifact), "--sdk", "rtx", "--target", "sm75", "--precision", "fp16-products"]) == 0
    assert [item.targets for item in schema.read(artifact).engines] == [("sm75",)]


def test_where_nothing_can_be_built_nothing_changes(artifact: Path, rtx: str, capsys) -> None:
    before = state(artifact)
    assert main([str(artifact), "--sdk", "rtx", "--target", "sm75"]) == 2
    told = capsys.readouterr()
    assert "FP32 GEMM is not supported" in told.out and "no engine could be built" in told.err
    assert state(artifact) == before
    assert [path.name for path in artifact.parent.iterdir()] == ["artifact"]


def by_hand(folder: Path, nodes: list[onnx.NodeProto], opset: int) -> Path:
    """An artifact of one graph, float (batch, 2, 8, 16) to the same, without a proof."""
    folder.mkdir()
    shape = ("batch", 2, 8, 16)
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy"]
    model = helper.make_model(
        helper.make_graph(nodes, "made by hand", values[:1], values[1:]),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=10,
    )
    onnx.save(model, str(folder / "odd.onnx"))
    ports = [Port(name, "float32", shape) for name in "xy"]
    schema.write(Artifact("odd", "none", (Graph("odd", (ports[0],), (ports[1],)),), {"batch": Axis(1, 2, 4)}), folder)
    return folder


def test_a_crash_names_the_node_and_changes_nothing(tmp_path: Path, rtx: str) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="first"),
        helper.make_node("Attention", ["a", "a", "a"], ["y"], name="attend"),
    ]
    folder = by_hand(tmp_path / "artifact", nodes, 23)
    before = state(folder)
    report = engines.build(folder, engine.probe(rtx), [("sm86",), ("sm89",)], proven=True)
    assert report.engines == () and len(report.refusals) == 2
    assert all("(SIGSEGV)" in refusal.reason and "'attend' (Attention)" in refusal.reason for refusal in report.refusals)
    assert report.refusals[0].nodes[0].index == 1
    assert state(folder) == before


def test_an_operator_that_is_not_taken_is_explained_and_refused(tmp_path: Path, rtx: str, capsys) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="first"),
        helper.make_node("ThresholdedRelu", ["a"], ["b"], name="fine"),
        helper.make_node("Bernoulli", ["b"], ["y"], name="chance"),
    ]
    folder = by_hand(tmp_path / "artifact", nodes, 20)
    assert main([str(folder), "--sdk", "rtx", "--explain"]) == 1
    assert "odd.onnx: 1 of 3 nodes are not taken\n  node 2, after fine, before the outputs:" in capsys.readouterr().out
    (refusal,) = engines.build(folder, engine.probe(rtx), [("sm86",)], proven=True).refusals
    assert "'chance' (Bernoulli)" in refusal.reason and [node.name for node in refusal.nodes] == ["chance"]


def test_explain_says_that_all_is_taken(artifact: Path, rtx: str, capsys) -> None:
    before = state(artifact)
    assert main([str(artifact), "--sdk", "rtx", "--explain", "--precision", "fp32,fp16", "--json"]) == 0
    assert [(item["file"], item["regions"]) for item in json.loads(capsys.readouterr().out)] == [
        ("open.onnx", []),
        ("open.fp16.onnx", []),
    ]
    assert state(artifact) == before


def test_a_precision_out_of_tolerance_is_refused_before_any_build(artifact: Path, rtx: str, capsys) -> None:
    parity = json.loads((artifact / schema.PARITY).read_text())
    parity["files"]["open.fp16.onnx"]["tolerance"]["logits"]["max_abs"] = 0.0
    (artifact / schema.PARITY).write_text(json.dumps(parity))
    schema.write(schema.read(artifact, check=False), artifact)
    before = state(artifact)
    assert main([str(artifact), *BUILD, "--precision", "fp32,fp16"]) == 1
    told = capsys.readouterr()
    assert "open.fp16.onnx, output 'logits': cosine" in told.err and "No engine was built" in told.err and told.out == ""
    assert state(artifact) == before
    assert main([str(artifact), *BUILD]) == 0  # fp32 is not touched by it


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--target", "sm87"], "has no target 'sm87'; expected some of sm75, sm80"),
        (["--target", "sm86+sm90"], "build on its machine: pip install 'contrastrt[tensorrt]' and --sdk tensorrt"),
        (["--target", ","], "--target ',' names none"),
        (["--graphs", "closed"], "has no graph 'closed'; it has open"),
        (["--precision", "fp8"], "There is no precision 'fp8' for engines; expected some of fp32, fp16, fp16-products, int8"),
        (["--precision", "int8-dynamic"], "There is no precision 'int8-dynamic' for engines"),
        (["--precision", ""], "--precision names none"),
        (["--profile", "batch=1:2:10"], "the artifact was verified from 1 to 9"),
        (["--profile", "rows=1"], "names the axis 'rows'; the artifact has batch, classes"),
        (["--out", "elsewhere"], "--out and --data go with model.pt"),
        (["--data"], "--out and --data go with model.pt"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(arguments: list[str], sentence: str, artifact: Path, rtx: str, capsys) -> None:
    before = state(artifact)
    assert main([str(artifact), "--sdk", "rtx", *arguments]) == 2
    told = capsys.readouterr()
    assert sentence in told.err and told.out == ""
    assert state(artifact) == before
    assert [path.name for path in artifact.parent.iterdir()] == ["artifact"]


@pytest.mark.parametrize(
    ("option", "words"), [("refit", "CUDA_SUCCESS"), ("stripped", "CUDA_SUCCESS"), ("version-compatible", "lean")]
)
def test_what_rtx_cannot_do_without_a_gpu_is_said_in_its_words(option: str, words: str, artifact: Path, rtx: str, capsys) -> None:
    probe = engine.probe(rtx)
    if probe.gpu:
        pytest.skip(f"there is a GPU here, {probe.gpu}")
    assert main([str(artifact), *BUILD, f"--{option}"]) == 2
    told = capsys.readouterr().err
    assert f"--{option}: TensorRT-RTX {probe.version} does not do it without a GPU" in told and words in told
    name = option.replace("-", "_")  # and so it is: asked all the same, the builder refuses
    report = engines.build(artifact, probe, [("sm86",)], options=[name], proven=True)
    assert report.engines == () and words in report.refusals[0].reason


def test_a_precision_that_was_not_exported_says_how_to_make_it(artifact: Path, rtx: str, capsys) -> None:
    (artifact / "open.int8-trt.onnx").unlink()
    parity = json.loads((artifact / schema.PARITY).read_text())
    del parity["files"]["open.int8-trt.onnx"]
    (artifact / schema.PARITY).write_text(json.dumps(parity))
    schema.write(reread(artifact), artifact)
    assert main([str(artifact), *BUILD, "--precision", "fp32,int8"]) == 2
    assert "has no open.int8-trt.onnx" in (told := capsys.readouterr().err)
    assert "`python -m export.onnx model.pt --precision fp32,int8-trt --data photos/`" in told


def reread(folder: Path) -> Artifact:
    """A manifest whose list of files no longer holds."""
    content = json.loads((folder / schema.MANIFEST).read_text())
    content["files"] = {name: digest for name, digest in content["files"].items() if (folder / name).exists()}
    (folder / schema.MANIFEST).write_text(json.dumps(content))
    return schema.read(folder, check=False)


def test_a_missing_source_or_artifact_is_told(tmp_path: Path, rtx: str, capsys) -> None:
    assert main([str(tmp_path / "missing.pt"), *BUILD]) == 2
    assert "missing.pt is not a file" in capsys.readouterr().err
    assert main([str(tmp_path), *BUILD]) == 2
    assert "is not an artifact" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_no_sdk_is_told_with_the_command_that_installs_one(artifact: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    hide(tmp_path, monkeypatch, tensorrt=absent("tensorrt"), tensorrt_rtx=absent("tensorrt_rtx"))
    assert main([str(artifact)]) == 2
    told = capsys.readouterr().err
    assert "No TensorRT SDK is installed" in told
    assert "pip install 'contrastrt[rtx]'" in told and "pip install 'contrastrt[tensorrt]'" in told
    assert main([str(artifact), "--sdk", "rtx"]) == 2
    assert "tensorrt_rtx is not installed; install it with: pip install 'contrastrt[rtx]'" in capsys.readouterr().err


def test_an_sdk_that_does_not_start_is_quoted(artifact: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    hide(
        tmp_path,
        monkeypatch,
        tensorrt="raise ImportError('libnvonnxparser.so.11 is missing')",
        tensorrt_rtx=absent("tensorrt_rtx"),
    )
    assert main([str(artifact)]) == 2
    assert "tensorrt: libnvonnxparser.so.11 is missing; install it with" in capsys.readouterr().err


def test_full_tensorrt_without_a_gpu_says_where_to_build(artifact: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    hide(tmp_path, monkeypatch, tensorrt="__version__ = '11.4.0.106'")
    if engine.probe("tensorrt").gpu:
        pytest.skip("there is a GPU here")
    assert main([str(artifact), "--sdk", "tensorrt"]) == 2
    told = capsys.readouterr().err
    assert "TensorRT builds on the GPU that an engine is for, and there is none here" in told
    assert "pip install 'contrastrt[rtx]' and --sdk rtx" in told


def test_full_tensorrt_builds_for_the_gpu_that_is_present_only() -> None:
    probe = engine.Probe("tensorrt", "11.4.0.106", (), "sm90")
    assert trt.targets(None, probe) == trt.targets("sm90", probe) == (("sm90",),)
    with pytest.raises(ValueError, match="--target sm86 was given, and TensorRT builds for the GPU that is present, sm90"):
        trt.targets("sm86", probe)
    trt.check_flags(["refit"], probe)


def test_rtx_says_that_it_keeps_no_timing_cache(artifact: Path, rtx: str, tmp_path: Path, capsys) -> None:
    assert main([str(artifact), *BUILD, "--timing-cache", str(tmp_path / "cache")]) == 0
    assert "TensorRT-RTX times no kernels when it builds" in capsys.readouterr().err
    assert not (tmp_path / "cache").exists()


def test_a_killed_build_leaves_the_artifact_whole(artifact: Path, rtx: str) -> None:
    assert main([str(artifact), *BUILD]) == 0
    before = state(artifact)
    command = [sys.executable, "-m", "export.trt", str(artifact), "--sdk", "rtx", "--precision", "fp32,fp16,int8"]
    running = subprocess.Popen([*command, "--target", "sm80,sm86,sm89,sm120,sm121"], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(artifact.parent.glob(".artifact.*.tmp/*.engine")) and time.monotonic() < deadline:
        assert running.poll() is None
        time.sleep(0.01)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    assert state(artifact) == before
    assert len(schema.read(artifact).engines) == 1


def test_an_engine_that_is_replaced_leaves_the_manifest_before_its_file_changes(artifact: Path, rtx: str, monkeypatch) -> None:
    assert main([str(artifact), *BUILD]) == 0
    seen: list[Artifact] = []
    replace = Path.replace

    def look(path: Path, target: Path) -> Path:
        moved = replace(path, target)
        if path.suffix == ".engine":
            seen.append(schema.read(artifact))  # a reader at this moment finds a whole artifact
        return moved

    monkeypatch.setattr(Path, "replace", look)
    assert main([str(artifact), *BUILD, "--precision", "fp32,fp16", "--rebuild"]) == 0
    assert [[item.file for item in found.engines] for found in seen] == [[], []]
    assert len(schema.read(artifact).engines) == 2


def test_engines_of_other_kinds_stay(artifact: Path, rtx: str) -> None:
    assert main([str(artifact), *BUILD]) == 0
    found = schema.read(artifact)
    other = dataclasses.replace(found.engines[0], file="open.fp32.tensorrt.sm90.engine", sdk="tensorrt", targets=("sm90",))
    (artifact / other.file).write_bytes(b"from another machine")
    schema.write(dataclasses.replace(found, engines=(*found.engines, other)), artifact)
    assert main([str(artifact), *BUILD, "--precision", "fp16"]) == 0
    assert [item.file for item in schema.read(artifact).engines] == [
        "open.fp32.rtx.sm86.engine",
        "open.fp32.tensorrt.sm90.engine",
        "open.fp16.rtx.sm86.engine",
    ]


def test_help_shows_how_it_is_used(capsys) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    told = capsys.readouterr().out
    assert "python -m export.trt model.pt --target sm86" in told
    assert "exit status: 0 all engines were built; 1 some were refused" in told
