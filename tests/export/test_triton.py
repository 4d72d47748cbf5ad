"""The Triton repository against Triton's protobuf schema, the artifact's ports, and a client that asks over Triton's protocol."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import pytest

from export import triton
from export.triton import main
from runtime import artifact as schema
from runtime.artifact import Artifact, Axis, Engine, Graph, Port

README = Path(__file__).resolve().parents[2] / "README.md"
IMAGE = Port("image", "uint8", ("batch", 3, 32, 32))
CLOSED = Graph("closed", (IMAGE,), (Port("logits", "float32", ("batch", 3)), Port("probabilities", "float32", ("batch", 3))))
CLASSES = ["red mug", 'the "blue" ball', "grün"]


def config_of(folder: Path) -> Any:
    """A configuration, read by Triton's own schema; unknown fields and wrong types are errors."""
    config = pytest.importorskip("tritonclient.grpc.model_config_pb2", reason="pip install tritonclient grpcio")
    from google.protobuf import text_format

    return text_format.Parse((folder / "config.pbtxt").read_text(encoding="utf-8"), config.ModelConfig())


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """An artifact with a closed graph (its ONNX file is no graph), a plan for two profiles and engines that Triton cannot load."""
    folder = tmp_path / "closed"
    folder.mkdir()
    for name in ("closed.onnx", "closed.fp16.onnx", "a.engine", "b.engine", "c.engine", "d.engine"):
        (folder / name).write_bytes(name.encode())
    digest = schema.sha256(folder / "closed.onnx")
    profiles = ({"batch": (1, 8, 8)}, {"batch": (1, 8, 32)})
    plan = Engine("a.engine", "closed", "fp32", "tensorrt", "11.4.0.106", ("sm90",), profiles, digest, 8, 1.0)
    engines = (
        plan,
        dataclasses.replace(plan, file="b.engine", sdk="tensorrt_rtx", targets=("sm86",)),
        dataclasses.replace(plan, file="c.engine", options=("stripped",)),
        dataclasses.replace(plan, file="d.engine", onnx_sha256="0" * 64),
    )
    axes = {"batch": Axis(1, 8, 64)}
    schema.write(Artifact("toy", "zero_shot", (CLOSED,), axes, {"classes": CLASSES}, engines=engines), folder)
    return folder


def test_a_batched_graph_follows_the_ports_and_the_axes(closed: Path, tmp_path: Path) -> None:
    assert main([str(closed), "--repository", str(tmp_path / "models"), "--precision", "fp32", "--queue-delay", "500"]) == 0
    folder = tmp_path / "models" / "toy_closed_fp32"
    config = config_of(folder)
    assert (config.name, config.platform, config.backend) == (folder.name, "onnxruntime_onnx", "onnxruntime")
    assert config.max_batch_size == 64
    assert [(port.name, port.data_type, list(port.dims)) for port in config.input] == [("image", 2, [3, 32, 32])]  # 2: TYPE_UINT8
    assert [(port.name, list(port.dims), port.label_filename) for port in config.output] == [
        ("logits", [3], "labels.txt"),
        ("probabilities", [3], "labels.txt"),
    ]
    assert list(config.dynamic_batching.preferred_batch_size) == [8]
    assert config.dynamic_batching.max_queue_delay_microseconds == 500
    assert config.parameters["axes"].string_value == "batch 1 to 64"
    assert config.parameters["onnx_sha256"].string_value == schema.sha256(closed / "closed.onnx")
    assert (folder / "labels.txt").read_text(encoding="utf-8").splitlines() == CLASSES
    assert (folder / "1" / config.default_model_filename).read_bytes() == b"closed.onnx"


def test_an_engine_of_full_tensorrt_is_a_plan_with_its_profiles_and_others_are_left_out(
    closed: Path, tmp_path: Path, capsys
) -> None:
    assert main([str(closed), "--repository", str(tmp_path / "models"), "--instances", "2", "--version", "7"]) == 0
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == [
        "toy_closed_fp16",
        "toy_closed_fp32",
        "toy_closed_fp32_sm90",
    ]
    folder = tmp_path / "models" / "toy_closed_fp32_sm90"
    config = config_of(folder)
    assert (config.platform, config.backend, config.max_batch_size) == ("tensorrt_plan", "tensorrt", 32)
    (instances,) = config.instance_group
    assert (instances.count, list(instances.profile)) == (2, ["0", "1"])
    assert instances.kind == instances.Kind.Value("KIND_GPU")
    assert config.parameters["tensorrt"].string_value == "11.4.0.106"
    assert (folder / "7" / "model.plan").read_bytes() == b"a.engine"
    told = capsys.readouterr().out
    assert "b.engine: Triton's TensorRT backend loads engines of full TensorRT" in told
    assert "c.engine: it has no weights" in told and "d.engine: its ONNX file is another now" in told


def test_a_graph_whose_ports_do_not_share_the_batch_takes_requests_one_by_one(artifact: Path, tmp_path: Path) -> None:
    assert main([str(artifact), "--repository", str(tmp_path / "models")]) == 0
    config = config_of(tmp_path / "models" / "tiny_open_int8_trt")
    assert config.max_batch_size == 0 and not config.HasField("dynamic_batching")
    assert [list(port.dims) for port in config.input] == [[-1, 3, 32, 32], [-1, 16]]
    assert [list(port.dims) for port in config.output] == [[-1, -1], [-1, -1]]
    assert not (tmp_path / "models" / "tiny_open_int8_trt" / "labels.txt").exists()
    for folder in (tmp_path / "models").iterdir():
        assert config_of(folder).name == folder.name
        session = onnxruntime.InferenceSession(str(folder / "1" / "model.onnx"), providers=["CPUExecutionProvider"])
        assert [port.name for port in session.get_inputs()] == ["image", "class_vectors"]


@pytest.mark.parametrize(
    ("axis", "largest"), [(Axis(1, 4, 16), 16), (Axis(4, 4, 4), 0), (Axis(2, 4, 8), 0), (Axis(1, 1, 1), 0), (Axis(2, 4, 8, 2), 0)]
)
def test_requests_are_joined_where_any_size_up_to_the_largest_is_allowed(axis: Axis, largest: int) -> None:
    assert triton.batch_size(CLOSED, {"batch": axis}) == largest


def test_scalars_lie_in_a_batch_as_vectors_of_one_number() -> None:
    graph = Graph("g", (Port("x", "int64", ("batch", 4)),), (Port("y", "float16", ("batch",)),))
    found = Artifact("toy", "none", (graph,), {"batch": Axis(1, 2, 4)}, {}, {"g.onnx": "0"})
    (model,), _ = triton.models(found, triton.Serving())
    assert 'name: "y"\n  data_type: TYPE_FP16\n  dims: [1]\n  reshape {\n    shape: []\n  }' in triton.text(model.config)


def test_a_type_that_triton_lacks_is_refused() -> None:
    graph = Graph("g", (Port("x", "complex64", ("batch", 4)),), ())
    found = Artifact("toy", "none", (graph,), {"batch": Axis(1, 2, 4)}, {}, {"g.onnx": "0"})
    with pytest.raises(ValueError, match="Triton has no type for 'x', which is complex64; it has bool, int8"):
        triton.models(found, triton.Serving())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--graphs", "open"], "The artifact has no graph 'open'; it has closed"),
        (["--precision", "int8"], "The artifact has no precision 'int8'; it has fp16, fp32"),
        (["--graphs", ","], "Nothing was chosen"),
        (["--instances", "0"], "--instances and --version 1 or more"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(arguments: list[str], sentence: str, closed: Path, tmp_path: Path, capsys) -> None:
    assert main([str(closed), "--repository", str(tmp_path / "models"), *arguments]) == 2
    told = capsys.readouterr()
    assert sentence in told.err and told.out == ""
    assert not (tmp_path / "models").exists()


def test_models_that_are_there_stay_unless_forced(closed: Path, tmp_path: Path, capsys) -> None:
    arguments = [str(closed), "--repository", str(tmp_path / "models"), "--precision", "fp32"]
    assert main(arguments) == 0
    own = tmp_path / "models" / "toy_closed_fp32" / "own.txt"
    own.write_text("mine")
    assert main(arguments) == 2
    assert "has toy_closed_fp32, toy_closed_fp32_sm90 already; give --force" in capsys.readouterr().err
    assert own.read_text() == "mine"
    assert main([*arguments, "--force", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["models"]) == 2
    assert not own.exists()
    assert all(not path.name.startswith(".") for path in (tmp_path / "models").iterdir())


@contextlib.contextmanager
def serving(repository: Path) -> Iterator[int]:
    """A stand-in that answers Triton's gRPC protocol from a repository with ONNX Runtime; the port that it listens at."""
    grpc = pytest.importorskip("grpc", reason="pip install tritonclient grpcio")
    service = pytest.importorskip("tritonclient.grpc.service_pb2_grpc", reason="pip install tritonclient grpcio")
    from tritonclient.grpc import service_pb2

    class Server(service.GRPCInferenceServiceServicer):  # type: ignore[misc,name-defined]
        def ModelInfer(self, request: Any, context: Any) -> Any:
            folder = repository / request.model_name
            config = config_of(folder)
            inputs = {}
            for port, given, content in zip(config.input, request.inputs, request.raw_input_contents, strict=True):
                assert given.datatype == "UINT8" and given.name == port.name
                assert list(given.shape)[1:] == list(port.dims) and given.shape[0] <= config.max_batch_size
                inputs[given.name] = np.frombuffer(content, np.uint8).reshape(given.shape)
            path = folder / "1" / config.default_model_filename
            session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
            answer = service_pb2.ModelInferResponse(model_name=request.model_name)
            for port, value in zip(config.output, session.run([port.name for port in config.output], inputs), strict=True):
                answer.outputs.add(name=port.name, datatype="FP32", shape=value.shape)
                answer.raw_output_contents.append(value.tobytes())
            return answer

    server = grpc.server(concurrent.futures.ThreadPoolExecutor(1))
    service.add_GRPCInferenceServiceServicer_to_server(Server(), server)
    place = server.add_insecure_port("localhost:0")
    server.start()
    try:
        yield place
    finally:
        server.stop(None).wait()


def test_the_readmes_client_gets_the_artifacts_answer(tmp_path: Path, capsys) -> None:
    golden = next((Path(__file__).resolve().parents[1] / "golden").glob("artifact_v*"))
    assert main([str(golden), "--repository", str(tmp_path / "models"), "--graphs", "closed"]) == 0
    capsys.readouterr()
    with np.load(golden / "golden.npz") as stored:
        image, expected = stored["image_0"], stored["closed/probabilities"][0]
    photo = tmp_path / "photo.png"
    cv2.imwrite(str(photo), image[:, :, ::-1])
    lines = README.read_text(encoding="utf-8").split("A client, which needs")[1].splitlines()
    client = "\n".join(line[4:] for line in lines if line.startswith("    "))
    client = client[: client.index(match[0]) + len(match[0])] if (match := re.search(r"print\(.*\n", client)) else client
    found = schema.read(golden)
    client = client.replace("comkd_clip_closed", f"{found.method}_closed").replace("photo.jpg", str(photo))
    with serving(tmp_path / "models") as place:
        exec(
            compile(
                client.replace("localhost:8001", f"localhost:{place}").replace("artifact/", str(golden)), "README.md", "exec"
            ),
            {},
        )
    assert capsys.readouterr().out.strip() == found.options["classes"][int(expected.argmax())]
