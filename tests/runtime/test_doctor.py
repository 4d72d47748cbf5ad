"""What the doctor says of machines, faked piece by piece, against what they have."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from runtime import doctor
from runtime.artifact import GOLDEN
from runtime.doctor import ABSENT, BROKEN, OK, diagnose, main

Captured = pytest.CaptureFixture[str]


def states(found: doctor.Diagnosis) -> dict[str, str]:
    return {item.part: item.state for item in found.findings}


def says(found: doctor.Diagnosis, part: str) -> str:
    return next(item.says for item in found.findings if item.part == part)


def packages(monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    """Only these distributions are installed; each writes the folder that its name begins with."""

    def folder(name: str) -> str:
        return "cv2" if name.startswith("opencv") else "onnxruntime"

    found = [
        SimpleNamespace(metadata={"Name": name.replace("_", "-")}, version=version, files=[Path(folder(name)) / "__init__.py"])
        for name, version in versions.items()
    ]
    monkeypatch.setattr("runtime.doctor.metadata.distributions", lambda: iter(found))


# packages


def test_this_machine_runs_onnx_files() -> None:
    found = diagnose()
    assert found.runs
    assert {states(found)[part] for part in ("python", "numpy", "onnxruntime", "opencv")} == {OK}
    assert "CPUExecutionProvider" in says(found, "onnxruntime")


def test_two_packages_that_overwrite_each_other_are_named_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    packages(monkeypatch, onnxruntime="1.32.0", onnxruntime_gpu="1.31.1", opencv_python="4.9", opencv_python_headless="4.9")
    found = diagnose()
    assert (states(found)["onnxruntime"], states(found)["opencv"]) == (BROKEN, BROKEN)
    assert "pip uninstall -y onnxruntime onnxruntime-gpu, then pip install one" in says(found, "onnxruntime")
    assert not found.runs


def test_packages_that_only_share_the_name_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    packages(monkeypatch, onnxruntime="1.32.0")
    plugin = SimpleNamespace(
        metadata={"Name": "onnxruntime-ep-openvino"}, version="1.8", files=[Path("onnxruntime_ep/__init__.py")]
    )
    found = [*doctor.metadata.distributions(), plugin]
    monkeypatch.setattr("runtime.doctor.metadata.distributions", lambda: iter(found))
    assert doctor.installed("onnxruntime", "onnxruntime") == {"onnxruntime": "1.32.0"}


@pytest.mark.parametrize(
    ("module", "state", "sentence"),
    [
        (SimpleNamespace(__version__="1.32.0"), BROKEN, "has lost its files: onnxruntime.InferenceSession is missing"),
        (None, BROKEN, "is installed and cannot be imported"),
    ],
)
def test_a_half_installed_package_is_broken(monkeypatch: pytest.MonkeyPatch, module: Any, state: str, sentence: str) -> None:
    packages(monkeypatch, onnxruntime_gpu="1.31.1")
    monkeypatch.setitem(sys.modules, "onnxruntime", module)
    found = diagnose()
    assert states(found)["onnxruntime"] == state
    assert "onnxruntime-gpu 1.31.1" in says(found, "onnxruntime")
    assert sentence in says(found, "onnxruntime")
    assert not found.runs


def test_nothing_installed_is_absent_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    packages(monkeypatch)
    for name in ("onnxruntime", "cv2", "tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, name, None)
    found = diagnose()
    assert states(found)["onnxruntime"] == states(found)["opencv"] == states(found)["tensorrt_rtx"] == ABSENT
    assert "pip install 'contrastrt[cpu]' or 'contrastrt[gpu]'" in says(found, "onnxruntime")
    assert "pip install tensorrt-rtx" in says(found, "tensorrt_rtx")


def test_the_numpy_twins_are_told_from_the_native_ops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.ops.backend", lambda: "numpy")
    assert states(diagnose())["native ops"] == ABSENT


# NVIDIA


def test_devices_memory_and_sdks_are_listed(nvidia: Any) -> None:
    found = diagnose()
    assert says(found, "cuda") == "driver for CUDA 13.4"
    assert says(found, "device 0") == "Fake 0, sm86, 8 GiB"
    assert says(found, "cuda memory") == "by cuda-python, with CUDA graphs"
    assert (says(found, "tensorrt"), says(found, "tensorrt_rtx")) == ("11.4.0.106", "1.7.1.116")


def test_a_driver_that_does_not_start_is_said(nvidia: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    nvidia.device(monkeypatch, status=999)
    assert "cuInit gives 999" in says(diagnose(), "cuda")


# the artifact


def test_the_artifacts_engines_are_held_against_this_device_and_its_proof_is_run(nvidia: Any, artifact: Path) -> None:
    for graph in ("closed", "open", "embedding"):
        nvidia.add(artifact, graph)
    nvidia.add(artifact, file="other.engine", targets=("sm120",))
    nvidia.add(artifact, file="stale.engine", onnx_sha256="0" * 64)
    found = diagnose(artifact)
    assert says(found, "engine closed.tensorrt_rtx.engine") == "fits sm86 and tensorrt_rtx 1.7.1.116"
    assert says(found, "engine other.engine") == "other.engine was built for sm120, and this device is sm86"
    assert "is stale" in says(found, "engine stale.engine")
    assert says(found, "proof on tensorrt") == "5 outputs of 3 files within tolerance"
    assert (states(found)["proof on cuda"], states(found)["proof on cpu"]) == (ABSENT, OK)
    assert found.runs


def test_engines_that_compute_something_else_are_broken_though_the_cpu_is_right(nvidia: Any, artifact: Path) -> None:
    nvidia.add(artifact)
    nvidia.offset = 1.0
    found = diagnose(artifact)
    assert says(found, "proof on tensorrt").startswith(
        "not the exporter's numbers: closed.tensorrt_rtx.engine logits, closed.tensorrt_rtx.engine probabilities; not run: open.onnx ("
    )
    assert (states(found)["proof on tensorrt"], states(found)["proof on cpu"]) == (BROKEN, OK)
    assert not found.runs


def test_without_a_gpu_engines_are_listed_with_what_they_need(
    nvidia: Any, artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvidia.add(artifact)
    nvidia.device(monkeypatch, status=100)
    found = diagnose(artifact)
    assert says(found, "engine closed.tensorrt_rtx.engine").startswith(
        "for sm86 by tensorrt_rtx 1.7.1.116; the CUDA driver does not start"
    )
    assert found.runs


# the command


def test_the_command_prints_a_line_a_finding_and_its_verdict(artifact: Path, capsys: Captured) -> None:
    assert main([str(artifact)]) == 0
    *findings, last = capsys.readouterr().out.splitlines()
    assert last == f"{artifact} runs here, and its proof holds"
    assert any(line.split()[:4] == ["proof", "on", "cpu", "ok"] for line in findings)


def test_json_is_one_object(artifact: Path, capsys: Captured) -> None:
    assert main([str(artifact), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["runs"] is True
    assert {"part", "state", "says"} == set(found["findings"][0])


def test_numbers_that_differ_are_status_1(artifact: Path, seal: Callable[[Path], None], capsys: Captured) -> None:
    with np.load(artifact / GOLDEN) as stored:
        golden = {name: stored[name] for name in stored.files}
    golden["closed/logits"][0, 0] += 1
    np.savez(artifact / GOLDEN, **golden)
    seal(artifact)
    assert main([str(artifact)]) == 1
    printed = capsys.readouterr().out
    assert "not the exporter's numbers: closed.onnx logits" in printed
    assert printed.splitlines()[-1].startswith("NOT: ")


def test_what_is_no_artifact_or_damaged_is_status_2(artifact: Path, tmp_path: Path, capsys: Captured) -> None:
    assert main([str(tmp_path)]) == 2
    (artifact / "closed.onnx").write_bytes(b"")
    assert main([str(artifact)]) == 2
    assert capsys.readouterr().err.count("runtime.doctor: ") == 2
