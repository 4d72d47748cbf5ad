"""Which session a graph gets, on machines that are faked piece by piece, against the order that was asked for."""

import json
import logging
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest

import runtime
from runtime.artifact import Axis, Graph, Port, read
from runtime.choice import open_session, tensorrt_settings
from runtime.cuda import Unavailable
from runtime.proof import prove
from runtime.session import Options, OrtSession

CUDA, TENSORRT, CPU = "CUDAExecutionProvider", "TensorrtExecutionProvider", "CPUExecutionProvider"


@pytest.fixture
def here(artifact: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """open(names, ...): the closed graph's session."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def open_(*prefer: str, precision: str = "fp32", **options: Any) -> Any:
        return open_session(artifact, read(artifact), "closed", precision, Options(prefer, 1, **options))

    return open_


class Gpu:
    """onnxruntime as the GPU package is: `nodes` is what each provider runs, None where its libraries are missing."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, nodes: dict[str, dict[str, list[str]] | None], *, reports: bool = True
    ) -> None:
        self.opened: list[tuple[Any, dict[str, str]]] = []
        gpu, real = self, onnxruntime

        class Settings:
            def __init__(self) -> None:
                self.entries: dict[str, str] = {}

            def add_session_config_entry(self, name: str, value: str) -> None:
                self.entries[name] = value

        class Session:
            def __init__(self, path: str, settings: Any, providers: Any, enable_fallback: int) -> None:
                assert enable_fallback == 0
                ((name, own),) = providers
                gpu.opened.append((name, own))
                self.given = nodes.get(name) if name != CPU else {CPU: ["MatMul"]}
                alone = settings.entries.get("session.disable_cpu_ep_fallback") == "1"
                if self.given is None:
                    self.given = {CPU: ["MatMul"]}
                if alone and CPU in self.given:
                    raise RuntimeError(
                        "This session contains graph nodes that are assigned to the default CPU EP, but fallback ..."
                    )
                self.name = name if name in self.given else CPU
                self._real = real.InferenceSession(path, providers=[CPU])
                self.fallback = True

            def disable_fallback(self) -> None:
                self.fallback = False

            def get_providers(self) -> list[str]:
                return list(dict.fromkeys((self.name, CPU)))

            def run(self, outputs: Any, inputs: Any) -> Any:
                assert not self.fallback
                return self._real.run(outputs, inputs)

        def nodes_of(self: Any) -> Any:
            kinds = {name: [SimpleNamespace(op_type=kind) for kind in found] for name, found in self.given.items()}
            return [SimpleNamespace(ep_name=name, get_nodes=lambda found=found: found) for name, found in kinds.items()]

        if reports:
            Session.get_provider_graph_assignment_info = nodes_of  # type: ignore[attr-defined]
        module = SimpleNamespace(
            __version__="1.99", InferenceSession=Session, SessionOptions=Settings, get_available_providers=lambda: [*nodes, CPU]
        )
        monkeypatch.setitem(sys.modules, "onnxruntime", module)


# without any accelerator


def test_by_default_a_machine_without_a_gpu_gets_the_cpu_and_the_reasons(
    artifact: Path, tiny: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    task = runtime.load(artifact)
    with caplog.at_level(logging.INFO, "runtime"):
        task.classify(tiny.images()[0])
    (report,) = task.reports
    assert (report.graph, report.file, report.picked) == ("closed", "closed.onnx", "cpu")
    assert [name for name, _ in report.refused] == ["tensorrt", "cuda"]
    assert all("there is no CUDA driver" in reason for _, reason in report.refused)
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert record.message.splitlines()[0] == "closed runs closed.onnx on cpu"
    assert record.message.splitlines()[2].startswith("  not on cuda: there is no CUDA driver")


def test_what_was_asked_for_and_replaced_is_a_warning_in_the_log(here: Any, caplog: pytest.LogCaptureFixture) -> None:
    here("cuda", "cpu")
    here("cpu")
    assert [(record.levelname, record.message.splitlines()[0]) for record in caplog.records] == [
        ("WARNING", "closed runs closed.onnx on cpu")
    ]


@pytest.mark.parametrize("names", [("cuda",), ("tensorrt",), ("tensorrt", "CUDA"), (TENSORRT,), ("openvino",)])
def test_what_is_not_listed_is_never_taken(here: Any, names: tuple[str, ...]) -> None:
    with pytest.raises(Unavailable, match=f"does not run on {' or '.join(names)} here: "):
        here(*names)


def test_nothing_preferred_is_refused(here: Any) -> None:
    with pytest.raises(ValueError, match="nothing was preferred"):
        here()


def test_an_unknown_name_is_a_mistake_even_behind_others(here: Any) -> None:
    with pytest.raises(ValueError, match="there is no provider 'abacus'"):
        here("cuda", "abacus", "cpu")


# engines


@pytest.mark.parametrize("sdk", ["tensorrt", "tensorrt_rtx"])
def test_an_engine_that_fits_is_taken_first(here: Any, nvidia: Any, artifact: Path, sdk: str) -> None:
    nvidia.add(artifact, sdk=sdk, file="other.engine", targets=("sm120",))
    nvidia.add(artifact, "open", sdk=sdk)
    nvidia.add(artifact, sdk=sdk)
    found = here("tensorrt", "cuda", "cpu")
    assert found.report.file == f"closed.{sdk}.engine"
    assert found.report.picked == f"tensorrt ({sdk} {nvidia.versions[sdk]}, sm86)"
    assert found.report.refused == (("other.engine", "other.engine was built for sm120, and this device is sm86"),)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"targets": ("sm89",)}, "was built for sm89, and this device is sm86"),
        ({"sdk": "tensorrt", "sdk_version": "10.3.0.26"}, "was built by tensorrt 10.3.0.26, and 11.4.0.106 is installed"),
        ({"plan": {"version": "1.5.0.0"}}, "VERSION_MISMATCH"),
        ({"options": ("version_compatible",)}, "load it with require_signature"),
        ({"precision": "fp16"}, None),
    ],
)
def test_an_engine_that_does_not_fit_gives_way_to_the_next(
    here: Any, nvidia: Any, artifact: Path, changes: dict[str, Any], reason: str | None
) -> None:
    nvidia.add(artifact, **changes)
    found = here("tensorrt", "cpu")
    assert found.report.picked == "cpu"
    reasons = dict(found.report.refused)
    assert "only" in reasons.pop("tensorrt")  # ONNX Runtime's provider, which this installation lacks
    assert [reason in text for text in reasons.values()] == ([] if reason is None else [True])  # type: ignore[operator]


def test_an_engine_whose_onnx_file_is_gone_is_stale(here: Any, nvidia: Any, artifact: Path) -> None:
    nvidia.add(artifact, precision="fp16")
    with pytest.raises(Unavailable, match=r"it was built from another closed\.fp16\.onnx \(sha256 .*, now absent\)"):
        here("tensorrt", precision="fp16")


def test_where_the_device_fails_while_an_engine_is_opened_the_next_is_taken(
    here: Any, nvidia: Any, artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvidia.add(artifact)
    monkeypatch.setattr(
        nvidia.cuda, "cudaStreamCreateWithFlags", lambda flags: (nvidia.fake.Status.cudaErrorMemoryAllocation, None)
    )
    found = here("tensorrt", "cpu")
    assert found.report.picked == "cpu"
    assert "cannot be opened: cudaStreamCreateWithFlags gives cudaErrorMemoryAllocation" in str(found.report)


def test_a_stale_engine_is_refused_and_said_aloud_even_by_default(
    nvidia: Any, artifact: Path, tiny: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    nvidia.add(artifact, onnx_sha256="0" * 64)
    task = runtime.load(artifact)
    task.classify(tiny.images()[0])
    assert caplog.records[0].levelname == "WARNING"
    assert "closed.tensorrt_rtx.engine is stale: it was built from another closed.onnx" in caplog.records[0].message
    with pytest.raises(ValueError, match=r"is stale: .*build it again with `python -m export\.trt`"):
        runtime.load(artifact, prefer=("tensorrt",)).classify(tiny.images()[0])


def test_int8_on_tensorrt_is_the_form_that_tensorrt_takes(here: Any, nvidia: Any, artifact: Path) -> None:
    content = (artifact / "closed.onnx").read_bytes()
    for name in ("int8", "int8-trt"):
        (artifact / f"closed.{name}.onnx").write_bytes(content)
    nvidia.add(artifact, precision="int8-trt")
    assert here("tensorrt", precision="int8").report.file == "closed.tensorrt_rtx.engine"
    assert here("cpu", precision="int8").report.file == "closed.int8.onnx"


def test_a_task_on_an_engine_answers_as_on_the_cpu(nvidia: Any, artifact: Path, tiny: SimpleNamespace) -> None:
    for graph in ("closed", "open", "embedding"):
        nvidia.add(artifact, graph)
    images = list(tiny.images())
    engines, cpu = runtime.load(artifact, prefer=("tensorrt",)), runtime.load(artifact, prefer=("cpu",))
    for task in (engines, cpu):
        task.set_classes(tiny.bank(("fox", "gnu", "hen"), 7))
    for ours, theirs in zip(engines.classify(images), cpu.classify(images), strict=True):
        assert [guess.label for guess in ours.guesses] == [guess.label for guess in theirs.guesses]
    np.testing.assert_allclose(engines.embed(images), cpu.embed(images), atol=1e-5)
    assert engines.providers == {"open": ("tensorrt_rtx",), "embedding": ("tensorrt_rtx",)}


def test_the_proof_runs_on_engines_and_finds_what_they_get_wrong(nvidia: Any, artifact: Path) -> None:
    for graph in ("closed", "open", "embedding"):
        nvidia.add(artifact, graph)
    proof = prove(artifact, Options(("tensorrt",)))
    assert proof.passed
    assert {item.file for item in proof.agreements} == {
        f"{graph}.tensorrt_rtx.engine" for graph in ("closed", "open", "embedding")
    }
    assert {item.provider for item in proof.agreements} == {"tensorrt_rtx"}
    nvidia.offset = 0.01
    assert not prove(artifact, Options(("tensorrt",))).passed
    assert prove(artifact, Options(("cpu",))).passed


def test_what_no_session_takes_is_left_and_the_proof_does_not_hold(nvidia: Any, artifact: Path) -> None:
    nvidia.add(artifact, "embedding")
    proof = prove(artifact, Options(("tensorrt",)))
    assert [report.file for report in proof.reports] == ["embedding.tensorrt_rtx.engine"]
    assert [name for name, _ in proof.left] == ["closed.onnx", "open.onnx"]
    assert all(item.passed for item in proof.agreements)
    assert not proof.passed


# ONNX Runtime's providers


def test_an_accelerator_that_takes_every_node_is_reported(here: Any, nvidia: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Gpu(monkeypatch, {CUDA: {CUDA: ["MatMul", "Softmax"]}})
    found = here("tensorrt", "cuda", "cpu")
    assert (found.report.picked, found.report.nodes, found.report.on_cpu) == ("cuda", {CUDA: 2}, ())
    assert gpu.opened == [(CUDA, {"use_tf32": "0"})]
    assert found.providers == (CUDA, CPU)


def test_single_nodes_on_the_cpu_are_reported_or_refused_where_strict(
    here: Any, nvidia: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Gpu(monkeypatch, {CUDA: {CUDA: ["MatMul"], CPU: ["Shape", "Gather", "Shape"]}})
    found = here("cuda")
    assert found.report.nodes == {CUDA: 1, CPU: 3}
    assert str(found.report) == "closed runs closed.onnx on cuda, Gather, Shape on the cpu"
    with pytest.raises(Unavailable, match="assigned to the default CPU EP"):
        here("cuda", strict=True)


@pytest.mark.parametrize("reports", [True, False])
def test_a_provider_without_its_libraries_is_not_the_cpu_in_disguise(
    here: Any, nvidia: Any, monkeypatch: pytest.MonkeyPatch, reports: bool
) -> None:
    Gpu(monkeypatch, {CUDA: None}, reports=reports)
    with pytest.raises(Unavailable, match=f"gives {CPU} where {CUDA} was asked for: its libraries"):
        here("cuda")
    assert here("cuda", "cpu").report.picked == "cpu"


def test_a_provider_that_runs_no_node_at_all_is_refused(here: Any, nvidia: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    Gpu(monkeypatch, {CUDA: {CUDA: [], CPU: ["MatMul"]}})
    with pytest.raises(Unavailable, match="runs none of the nodes"):
        here("cuda")


def test_without_an_engine_tensorrt_is_onnx_runtimes_provider(
    here: Any, nvidia: Any, artifact: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gpu = Gpu(monkeypatch, {TENSORRT: {TENSORRT: ["TRTKernel"]}})
    assert here("tensorrt", stream=42).report.picked == "tensorrt"
    ((name, settings),) = gpu.opened
    cache = tmp_path / "cache" / "contrastrt" / read(artifact).files["closed.onnx"][:16]
    assert name == TENSORRT
    assert cache.is_dir()
    assert settings["trt_engine_cache_path"] == str(cache)
    assert settings["user_compute_stream"] == "42"
    assert (settings["trt_fp16_enable"], settings["trt_int8_enable"]) == ("0", "0")


def test_the_tensorrt_provider_gets_a_profile_for_all_sizes_of_the_axes(tmp_path: Path) -> None:
    graph = Graph("open", (Port("image", "uint8", ("batch", 3, 8, 8)), Port("class_vectors", "float32", ("classes", 4))), ())
    found = tensorrt_settings(graph, {"batch": Axis(1, 2, 8), "classes": Axis(1, 5, 6)}, tmp_path)
    assert found["trt_profile_min_shapes"] == "image:1x3x8x8,class_vectors:1x4"
    assert found["trt_profile_opt_shapes"] == "image:2x3x8x8,class_vectors:5x4"
    assert found["trt_profile_max_shapes"] == "image:8x3x8x8,class_vectors:6x4"


def test_the_real_onnx_runtime_says_which_nodes_run_where(artifact: Path) -> None:
    settings = onnxruntime.SessionOptions()
    settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    session = onnxruntime.InferenceSession(str(artifact / "closed.onnx"), settings, providers=[CPU])
    if not hasattr(session, "get_provider_graph_assignment_info"):
        pytest.skip(f"onnxruntime {onnxruntime.__version__} does not say")
    parts = session.get_provider_graph_assignment_info()
    assert {part.ep_name for part in parts} == {CPU}
    assert "Softmax" in {node.op_type for part in parts for node in part.get_nodes()}


def test_reports_are_plain_values(artifact: Path, tiny: SimpleNamespace) -> None:
    task = runtime.load(artifact, prefer=("cpu",))
    task.classify(tiny.images()[0])
    (report,) = task.reports
    assert json.dumps(vars(replace(report, nodes={CPU: 1})))
    assert isinstance(task.session("closed"), OrtSession)
