"""TrtSession on a fake of CUDA and TensorRT in host memory, against the engine's formula: its logic. No GPU runs here."""

import gc
import importlib.util
import logging
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from runtime.artifact import read
from runtime.cuda import Unavailable
from runtime.trt_session import TrtSession, choose_profile, fits, misfit

SIDES = (
    "IExecutionContext",
    "ICudaEngine",
    "Runtime",
    "Refitter",
    "OnnxParserRefitter",
    "ILogger",
    "IRuntimeConfig",
    "CudaGraphStrategy",
)


def image(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (rows, 3, 8, 8), np.uint8)


def opened(nvidia: Any, folder: Path, graph: str = "closed", **changes: Any) -> TrtSession:
    engine = nvidia.add(folder, graph, **changes)
    return TrtSession(folder, engine, next(item for item in read(folder).graphs if item.name == graph))


def right(session: TrtSession, tiny: SimpleNamespace, rows: int, seed: int = 0) -> None:
    """The session's answer is the formula's, in the order that was asked for."""
    wanted = tiny.expected("closed", image(rows, seed), tiny.bank().vectors)
    probabilities, logits = session.run(["probabilities", "logits"], {"image": image(rows, seed)})
    np.testing.assert_array_equal(logits, wanted["logits"])
    np.testing.assert_array_equal(probabilities, wanted["probabilities"])


# profiles


HELD = (
    {"image": ((1, 8), (1, 8), (1, 8))},
    {"image": ((1, 8), (8, 8), (64, 8))},
    {"image": ((16, 8), (32, 8), (64, 8))},
)


@pytest.mark.parametrize(("rows", "profile"), [(1, 0), (2, 1), (15, 1), (16, 1), (17, 2), (64, 2)])
def test_the_profile_that_holds_the_shape_with_the_nearest_usual_size_is_taken(rows: int, profile: int) -> None:
    assert choose_profile(HELD, {"image": (rows, 8)}) == profile


@pytest.mark.parametrize("shape", [(65, 8), (0, 8), (1, 9), (1, 8, 1)])
def test_a_shape_that_no_profile_holds_is_refused_with_those_there_are(shape: tuple[int, ...]) -> None:
    with pytest.raises(
        ValueError, match=r"no profile of the engine holds image \(.*\); it has image \(1, 8\) to \(1, 8\); image"
    ):
        choose_profile(HELD, {"image": shape})


def test_all_inputs_must_lie_in_the_same_profile() -> None:
    both = ({"a": ((1,), (1,), (4,)), "b": ((1,), (1,), (4,))}, {"a": ((1,), (1,), (9,)), "b": ((5,), (5,), (9,))})
    assert choose_profile(both, {"a": (2,), "b": (6,)}) == 1
    with pytest.raises(ValueError, match="no profile"):
        choose_profile(both, {"a": (6,), "b": (2,)})


# answers


@pytest.mark.parametrize("sdk", ["tensorrt", "tensorrt_rtx"])
def test_it_answers_as_the_engine_computes_whatever_follows_what(
    nvidia: Any, artifact: Path, tiny: SimpleNamespace, sdk: str
) -> None:
    session = opened(nvidia, artifact, sdk=sdk)
    assert session.providers == (sdk,)
    for seed, rows in enumerate((1, 1, 1, 8, 8, 1, 3, 3, 3, 3, 8)):
        right(session, tiny, rows, seed)


def test_two_inputs_with_axes_of_their_own(nvidia: Any, artifact: Path, tiny: SimpleNamespace) -> None:
    session = opened(nvidia, artifact, "open")
    for rows, classes in ((2, 3), (2, 3), (5, 6), (2, 3)):
        vectors = tiny.bank(tuple(map(str, range(classes)))).vectors
        (logits,) = session.run(["logits"], {"image": image(rows), "class_vectors": vectors})
        np.testing.assert_array_equal(logits, tiny.expected("open", image(rows), vectors)["logits"])


def test_an_answer_is_the_callers_own(nvidia: Any, artifact: Path, tiny: SimpleNamespace) -> None:
    session = opened(nvidia, artifact)
    (first,) = session.run(["logits"], {"image": image(2)})
    kept = first.copy()
    session.run(["logits"], {"image": image(2, 1)})
    np.testing.assert_array_equal(first, kept)


def test_an_input_that_is_not_contiguous_is_copied_right(nvidia: Any, artifact: Path, tiny: SimpleNamespace) -> None:
    session = opened(nvidia, artifact)
    turned = image(2).transpose(0, 1, 3, 2)
    (logits,) = session.run(["logits"], {"image": turned})
    np.testing.assert_array_equal(logits, tiny.expected("closed", np.ascontiguousarray(turned), tiny.bank().vectors)["logits"])


def test_threads_take_turns(nvidia: Any, artifact: Path, tiny: SimpleNamespace) -> None:
    session = opened(nvidia, artifact)
    start = threading.Barrier(4)

    def ask(seed: int) -> None:
        start.wait()
        for step in range(20):
            right(session, tiny, 1 + (seed + step) % 8, seed)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, range(4)))


# buffers


def test_buffers_are_allocated_once_for_each_profile_and_of_its_largest_shapes(
    nvidia: Any, artifact: Path, tiny: SimpleNamespace
) -> None:
    profiles = ({"batch": (1, 1, 1)}, {"batch": (1, 4, 8)})
    session = opened(nvidia, artifact, profiles=profiles)
    assert nvidia.cuda.device == {}
    right(session, tiny, 1)
    assert sorted(map(len, nvidia.cuda.device.values())) == [20, 20, 192]
    right(session, tiny, 8)
    held = dict(nvidia.cuda.device)
    assert sorted(map(len, held.values())) == [20, 20, 160, 160, 192, 1536]
    for rows in (1, 2, 8, 3, 1):
        right(session, tiny, rows)
    assert nvidia.cuda.device == held
    assert sorted(map(len, nvidia.cuda.pinned.values())) == sorted(map(len, held.values()))


@pytest.mark.parametrize("how", ["closed", "collected"])
def test_all_memory_is_given_back(nvidia: Any, artifact: Path, tiny: SimpleNamespace, how: str) -> None:
    session = opened(nvidia, artifact, sdk="tensorrt")
    for rows in (1, 1, 1, 4):
        right(session, tiny, rows)
    if how == "closed":
        session.close()
        session.close()
        with pytest.raises(ValueError, match="the session was closed"):
            session.run(["logits"], {"image": image(1)})
    del session
    gc.collect()
    cuda = nvidia.cuda
    assert (cuda.device, cuda.pinned, cuda.graphs, cuda.streams) == ({}, {}, {}, {})


def test_where_memory_runs_out_nothing_is_kept_and_the_next_call_tries_again(
    nvidia: Any, artifact: Path, tiny: SimpleNamespace
) -> None:
    session = opened(nvidia, artifact)
    nvidia.cuda.limit = 1000
    with pytest.raises(RuntimeError, match="cudaMalloc gives cudaErrorMemoryAllocation"):
        session.run(["logits"], {"image": image(1)})
    assert (nvidia.cuda.device, nvidia.cuda.pinned) == ({}, {})
    nvidia.cuda.limit = 2**20
    right(session, tiny, 1)


# graphs


def test_shapes_that_repeat_are_captured_on_the_second_call_and_launched_from_then_on(
    nvidia: Any, artifact: Path, tiny: SimpleNamespace
) -> None:
    session, seen = opened(nvidia, artifact, sdk="tensorrt"), []
    for seed, rows in enumerate((2, 2, 2, 3, 2, 2)):
        right(session, tiny, rows, seed)
        seen.append((nvidia.cuda.enqueued, nvidia.cuda.launches, len(nvidia.cuda.graphs)))
    # enqueued counts the capture too; new shapes drop the graph, and are enqueued once before they are captured
    assert seen == [(1, 0, 0), (2, 1, 1), (2, 2, 1), (3, 2, 0), (4, 2, 0), (5, 3, 1)]


def test_each_profile_keeps_its_own_graph(nvidia: Any, artifact: Path, tiny: SimpleNamespace) -> None:
    session = opened(nvidia, artifact, sdk="tensorrt", profiles=({"batch": (1, 1, 1)}, {"batch": (2, 4, 8)}))
    for rows in (1, 1, 4, 4, 1, 4, 1, 4):
        right(session, tiny, rows)
    assert (nvidia.cuda.enqueued, nvidia.cuda.launches, len(nvidia.cuda.graphs)) == (4, 6, 2)


def test_rtx_is_left_to_capture_by_itself(nvidia: Any, artifact: Path, tiny: SimpleNamespace) -> None:
    session = opened(nvidia, artifact)
    for seed in range(4):
        right(session, tiny, 2, seed)
    assert (nvidia.cuda.enqueued, nvidia.cuda.launches) == (4, 0)
    assert session._lanes[0].context._own_graphs


def test_where_capture_fails_it_goes_on_without_a_graph(
    nvidia: Any, artifact: Path, tiny: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    nvidia.cuda.captures = False
    session = opened(nvidia, artifact, sdk="tensorrt")
    with caplog.at_level(logging.INFO, "runtime"):
        for seed in range(5):
            right(session, tiny, 2, seed)
    assert nvidia.cuda.launches == 0
    assert [record.message for record in caplog.records if "CUDA graph" in record.message] == [
        "no CUDA graph of closed: cudaStreamEndCapture gives cudaErrorInvalidValue"
    ]


@pytest.mark.parametrize("sdk", ["tensorrt", "tensorrt_rtx"])
def test_device_time_is_taken_between_events_in_the_streams_order(nvidia: Any, artifact: Path, sdk: str) -> None:
    assert opened(nvidia, artifact, sdk=sdk).milliseconds({"image": image(2)}, 4) == [0.25] * 4


# what is refused


def test_an_engine_that_the_sdk_does_not_open_is_refused_with_its_reason(nvidia: Any, artifact: Path) -> None:
    engine = nvidia.add(artifact, sdk="tensorrt")
    (artifact / engine.file).write_bytes(b"no engine")
    with pytest.raises(
        Unavailable, match=r"tensorrt 11\.4\.0\.106 cannot open closed\.tensorrt\.engine: the engine is no engine"
    ):
        TrtSession(artifact, engine, read(artifact, check=False).graphs[0])


def test_rtx_says_itself_why_an_engine_is_invalid(nvidia: Any, artifact: Path) -> None:
    with pytest.raises(Unavailable, match=r"tensorrt_rtx 1\.7\.1\.116 refuses closed\.tensorrt_rtx\.engine: VERSION_MISMATCH"):
        opened(nvidia, artifact, plan={"version": "1.6.0.1"})


@pytest.mark.parametrize(
    "plan",
    [
        {"tensors": {"image": ["INPUT", "float32"], "logits": ["OUTPUT", "float32"], "probabilities": ["OUTPUT", "float32"]}},
        {"tensors": {"image": ["INPUT", "uint8"], "logits": ["OUTPUT", "float32"]}},
        {"tensors": {"picture": ["INPUT", "uint8"], "logits": ["OUTPUT", "float32"], "probabilities": ["OUTPUT", "float32"]}},
    ],
)
def test_an_engine_with_other_ports_is_refused(nvidia: Any, artifact: Path, plan: dict[str, Any]) -> None:
    with pytest.raises(
        Unavailable, match=r"does not have the ports of graph 'closed': it has input .*, expected input image uint8"
    ):
        opened(nvidia, artifact, plan=plan)


def test_an_input_in_host_memory_is_refused(nvidia: Any, artifact: Path) -> None:
    with pytest.raises(Unavailable, match="wants image in host memory"):
        opened(nvidia, artifact, plan={"host": ["image"]})


def test_a_stripped_engine_gets_the_weights_of_its_onnx_file(nvidia: Any, artifact: Path, tiny: SimpleNamespace) -> None:
    right(opened(nvidia, artifact, plan={"stripped": True}, options=("stripped",)), tiny, 2)


@pytest.mark.parametrize("trusted", [True, False])
def test_host_code_is_allowed_where_the_artifact_is_trusted_only(nvidia: Any, artifact: Path, trusted: bool) -> None:
    engine = nvidia.add(artifact, plan={"host_code": True}, options=("version_compatible",))
    if trusted:
        TrtSession(artifact, engine, read(artifact).graphs[0], trusted=True)
    else:
        with pytest.raises(Unavailable, match="host code is not allowed"):
            TrtSession(artifact, engine, read(artifact).graphs[0])


def test_without_the_sdk_it_says_what_to_install(nvidia: Any, artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    with pytest.raises(Unavailable, match="pip install tensorrt-rtx"):
        opened(nvidia, artifact)


# what speaks against an engine


@pytest.mark.parametrize(
    ("target", "capability", "runs"),
    [
        ("sm86", "sm86", True),
        ("sm86", "sm89", False),
        ("sm80+", "sm86", True),
        ("sm80+", "sm120", True),
        ("sm80+", "sm75", False),
    ],
)
def test_a_target_is_one_capability_or_all_from_it_on(target: str, capability: str, runs: bool) -> None:
    assert fits(target, capability) is runs


@pytest.mark.parametrize(
    ("changes", "sdk", "installed", "trusted", "sentence"),
    [
        ({}, "tensorrt", "11.4.0.106", False, None),
        ({}, "tensorrt_rtx", "1.8.0.0", False, None),
        ({"targets": ("sm75", "sm80+")}, "tensorrt_rtx", "1.7.1.116", False, None),
        ({"onnx_sha256": "0" * 64}, "tensorrt", "11.4.0.106", False, "is stale: it was built from another closed.onnx"),
        ({"targets": ("sm89", "sm120")}, "tensorrt", "11.4.0.106", False, "was built for sm89, sm120, and this device is sm86"),
        ({}, "tensorrt", "11.4.1.2", False, "was built by tensorrt 11.4.0.106, and 11.4.1.2 is installed"),
        ({"options": ("version_compatible",)}, "tensorrt", "11.5.0.1", True, None),
        ({"options": ("version_compatible",)}, "tensorrt", "11.5.0.1", False, "sign the artifact"),
        ({"options": ("version_compatible",)}, "tensorrt", "10.9.0.1", True, "newer than 10.9.0.1"),
    ],
)
def test_what_speaks_against_an_engine_is_a_sentence(
    nvidia: Any, artifact: Path, changes: dict[str, Any], sdk: str, installed: str, trusted: bool, sentence: str | None
) -> None:
    engine = nvidia.add(artifact, sdk=sdk, **changes)
    found = misfit(engine, read(artifact).files["closed.onnx"], "sm86", installed, trusted=trusted)
    assert (found is None) if sentence is None else (sentence in str(found))


# the fake against the real SDK

real = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="the real API is that of tensorrt-rtx: pip install it"
)


@real
def test_all_that_the_fake_offers_exists_in_the_real_sdk(nvidia: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    faked = nvidia.sdks["tensorrt_rtx"]
    monkeypatch.delitem(sys.modules, "tensorrt_rtx")
    import tensorrt_rtx

    for name in vars(faked):
        assert name.startswith("__") or hasattr(tensorrt_rtx, name), name
    for side in SIDES:
        for name in vars(getattr(faked, side)):
            assert name.startswith("_") or hasattr(getattr(tensorrt_rtx, side), name), f"{side}.{name}"
    for name in ("num_io_tensors", "num_optimization_profiles"):
        assert hasattr(tensorrt_rtx.ICudaEngine, name)
    assert hasattr(tensorrt_rtx.Runtime, "engine_host_code_allowed")
    assert tensorrt_rtx.EngineInvalidityDiagnostics.__members__["VERSION_MISMATCH"].value == 1
    assert tensorrt_rtx.nptype(tensorrt_rtx.DataType.UINT8) is np.uint8


@real
def test_the_real_sdk_refuses_what_is_no_engine_by_the_same_sentence(
    nvidia: Any, artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "tensorrt_rtx")
    with pytest.raises(Unavailable, match=r"tensorrt_rtx 1\.\d.* refuses closed\.tensorrt_rtx\.engine: .*MALFORMED_ENGINE"):
        opened(nvidia, artifact)
