"""The builder's process: what it says of an SDK, and what is made of its last words."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from export import engine
from export.engine import Job, Probe, Refused

SIZES = {"image": ((1, 3, 32, 32), (2, 3, 32, 32), (4, 3, 32, 32)), "class_vectors": ((5, 16), (5, 16), (5, 16))}


@pytest.fixture
def tensorrt_probe() -> Probe:
    """Full TensorRT with a GPU; a test that asks for it is skipped where one of them is not there."""
    if importlib.util.find_spec("tensorrt") is None:
        pytest.skip("tensorrt is not installed: pip install 'contrastrt[tensorrt]'")
    found = engine.probe("tensorrt")
    if found.error or not found.gpu:
        pytest.skip(f"no engine can be built with tensorrt here: {found.error or found.no_gpu}")
    return found


def write_module(folder: Path, name: str, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a module before those that are installed, in the builder's process too."""
    (folder / f"{name}.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(folder))


def test_an_sdk_that_builds_without_a_gpu_lists_its_targets(rtx: str) -> None:
    found = engine.probe(rtx)
    assert found.error == "" and found.version
    assert {"sm75", "sm86", "sm120"} <= set(found.targets)
    assert bool(found.gpu) != bool(found.no_gpu)


def test_an_sdk_that_is_not_there_is_said_not_to_be() -> None:
    assert engine.probe("tensorrt_of_nobody").error == "tensorrt_of_nobody is not installed"


def test_an_sdk_that_does_not_start_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_module(tmp_path, "halfway", "raise ImportError('libnvonnxparser.so.11: cannot open shared object file')", monkeypatch)
    assert engine.probe("halfway").error == "halfway: libnvonnxparser.so.11: cannot open shared object file"


def test_an_import_that_kills_its_process_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_module(tmp_path, "deadly", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", monkeypatch)
    assert engine.probe("deadly").error == "importing deadly ended its process (SIGKILL)"


def test_a_crash_is_told_with_what_the_process_was_doing() -> None:
    parsing = ["stage: importing the SDK", "stage: parsing", "Parsing node: one [Relu]", "Parsing node: node /two [Conv]"]
    assert engine.crash(-11, parsing) == "the builder's process ended (SIGSEGV) while parsing node 'node /two' (Conv)"
    building = [*parsing, "stage: building", "Timing Runner: {ForeignNode[one...three]} (Myelin[0x1])", "and more"]
    assert engine.crash(-6, building) == "the builder's process ended (SIGABRT) while building the part 'one...three'"
    assert engine.crash(3, [], "Traceback\nno memory\n") == (
        "the builder's process ended (exit status 3) while starting; its last words: no memory"
    )


def test_the_builders_process_dying_on_its_own_is_a_refusal(tmp_path: Path, exported, monkeypatch: pytest.MonkeyPatch) -> None:
    write_module(tmp_path, "deadly", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", monkeypatch)
    with pytest.raises(Refused, match=r"\(SIGKILL\) while importing the SDK") as refused:
        engine.build(Job("deadly", exported.report.path / "open.onnx"), tmp_path / "plan")
    assert refused.value.crashed


def test_an_engine_comes_with_the_networks_layers_and_the_builders_profiles(exported, tmp_path: Path, rtx: str) -> None:
    built = engine.build(Job(rtx, exported.report.path / "open.onnx", ("sm86",), (SIZES,)), tmp_path / "plan")
    assert (tmp_path / "plan").stat().st_size > 1000
    assert built.layers["convolution"] == 1 and built.layers["softmax"] == 2
    assert built.profiles == ({name: [list(shape) for shape in shapes] for name, shapes in SIZES.items()},)


def test_a_profile_that_the_builder_does_not_take_is_a_refusal(exported, tmp_path: Path, rtx: str) -> None:
    sizes = {**SIZES, "class_vectors": ((5, 16), (4, 16), (3, 16))}
    with pytest.raises(Refused):
        engine.build(Job(rtx, exported.report.path / "open.onnx", ("sm86",), (sizes,)), tmp_path / "plan")


def test_the_builders_file_imports_nothing_of_the_project() -> None:
    source = Path(engine.__file__).read_text(encoding="utf-8")
    imports = [line for line in source.splitlines() if line.startswith(("import ", "from "))]
    assert all(line.split()[1].split(".")[0] in (*sys.stdlib_module_names, "__future__") for line in imports)


@pytest.mark.gpu
def test_full_tensorrt_keeps_a_timing_cache_and_builds_from_it(exported, tmp_path: Path, tensorrt_probe: Probe) -> None:
    cache = tmp_path / "cache"
    job = Job("tensorrt", exported.report.path / "open.fp16.onnx", (tensorrt_probe.gpu,), (SIZES,), (), cache)
    engine.build(job, tmp_path / "first")
    assert cache.stat().st_size > 0
    engine.build(job, tmp_path / "second")
    assert (tmp_path / "second").stat().st_size > 0


@pytest.mark.gpu
@pytest.mark.parametrize("option", engine.FLAGS)
def test_full_tensorrt_takes_every_option(exported, tmp_path: Path, tensorrt_probe: Probe, option: str) -> None:
    job = Job("tensorrt", exported.report.path / "open.onnx", (tensorrt_probe.gpu,), (SIZES,), (option,))
    engine.build(job, tmp_path / "plan")
    assert (tmp_path / "plan").stat().st_size > 0
