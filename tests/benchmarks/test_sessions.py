"""benchmarks.latency --sessions: what it lists against what the machine has, on the CPU and on NVIDIA's API faked in host memory."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import onnxruntime
import pytest

from benchmarks import plot, sessions
from benchmarks.latency import main
from runtime.artifact import PARITY
from runtime.cuda import open_memory

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def two(artifact: Path, seal: Callable[[Path], None]) -> Path:
    """The artifact with a variant that is called fp16."""
    (artifact / "closed.fp16.onnx").write_bytes((artifact / "closed.onnx").read_bytes())
    parity = json.loads((artifact / PARITY).read_text())
    parity["files"]["closed.fp16.onnx"] = {**parity["files"]["closed.onnx"], "precision": "fp16"}
    (artifact / PARITY).write_text(json.dumps(parity))
    seal(artifact)
    return artifact


def test_every_precision_is_timed_at_every_batch_and_the_first_is_the_measure(two: Path) -> None:
    rows, refused = sessions.measure(two, ["cpu"], None, [1, 8], threads=1, rounds=5)
    assert [(row.precision, row.batch) for row in rows] == [("fp32", 1), ("fp16", 1), ("fp32", 8), ("fp16", 8)]
    assert refused == {}
    for row in rows:
        assert row.timing.rounds == 5
        assert row.timing.median <= row.timing.p95 <= row.timing.p99
        assert row.images_per_second == pytest.approx(row.batch / row.timing.median * 1e3)
        assert row.cosine == pytest.approx(1)
        assert row.passed
        assert (row.device, row.memory, row.millijoules) == (None, None, None)
    assert rows[0].ratio == rows[2].ratio == 1
    assert rows[1].ratio == rows[0].timing.median / rows[1].timing.median


def test_on_a_gpu_device_time_and_memory_stand_beside(nvidia: Any, two: Path) -> None:
    nvidia.add(two)
    rows, refused = sessions.measure(two, ["tensorrt", "cpu"], None, [2], threads=1, rounds=4)
    engine, *cpu = rows
    assert (engine.file, engine.device and engine.device.median, engine.device and engine.device.rounds) == (
        "closed.tensorrt_rtx.engine",
        0.25,
        4,
    )
    # the profile's largest buffers: images of 8 rows and two outputs
    assert engine.memory == (8 * 192 + 2 * 8 * 20) / 2**20
    assert [row.device for row in cpu] == [None, None]
    assert list(refused) == ["tensorrt fp16"]


@pytest.mark.parametrize("counts", [True, False])
def test_energy_is_the_counters_difference_for_each_image(monkeypatch: pytest.MonkeyPatch, counts: bool) -> None:
    spent = iter((1000, 1000 + 3 * sessions.ENERGY_ROUNDS * 4))

    class NVMLError(Exception): ...

    def counter(device: str) -> int:
        if not counts:
            raise NVMLError
        assert device == "GPU-5"
        return next(spent)

    module = SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda name: name,
        nvmlDeviceGetTotalEnergyConsumption=counter,
    )
    monkeypatch.setitem(sys.modules, "pynvml", module)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-5,1")
    assert sessions.energy(lambda: None, 4) == (3.0 if counts else None)


def test_buffers_that_are_bound_are_timed_between_events(nvidia: Any, artifact: Path) -> None:
    session, memory = (
        onnxruntime.InferenceSession(str(artifact / "closed.onnx"), providers=["CPUExecutionProvider"]),
        open_memory(),
    )
    with memory.active():
        stream = memory.stream()
    assert sessions.bound(session, {"image": np.zeros((2, 3, 8, 8), np.uint8)}, 3, memory, stream, "cpu") == [0.0] * 3


# the command


def test_the_command_writes_table_plot_and_json(two: Path, tmp_path: Path, capsys: Captured) -> None:
    out, picture = tmp_path / "found.json", tmp_path / "found.png"
    given = [
        str(two),
        "--sessions",
        "openvino,cpu",
        "--batch",
        "1,4",
        "--rounds",
        "3",
        "--into",
        str(out),
        "--plot",
        str(picture),
    ]
    assert main(given) == 0
    printed = capsys.readouterr().out
    assert printed.count("passed") == 4
    assert "not openvino fp32: graph 'closed' in fp32 does not run on openvino here" in printed
    found = json.loads(out.read_text())
    assert found["machine"]["versions"]["numpy"] == np.__version__
    assert [row.get("precision") or row["refused"] for row in found["results"]] == [
        "fp32",
        "fp16",
        "fp32",
        "fp16",
        "openvino fp32",
        "openvino fp16",
    ]
    assert cv2.imread(str(picture)).shape == (plot.HEIGHT, plot.WIDTH, 3)
    assert {path.name for path in tmp_path.iterdir()} == {"artifact", "found.json", "found.png"}


def test_without_sessions_the_runtime_stands_beside_bare_onnx_runtime(artifact: Path, tmp_path: Path, capsys: Captured) -> None:
    assert main([str(artifact), "--batch", "1,2", "--rounds", "3", "--into", str(tmp_path / "found.json")]) == 0
    assert capsys.readouterr().out.count("runtime / raw onnxruntime: ") == 2
    (first, _) = json.loads((tmp_path / "found.json").read_text())["results"]
    assert set(first["timings"]) == {"raw onnxruntime", "runtime"}


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("--sessions", "openvino"), "nothing of --sessions can be had here"),
        (("--sessions", "abacus"), "there is no provider 'abacus'"),
        (("--sessions", "cpu", "--precisions", "int4"), "has no int4 variant of graph 'closed'; it has fp32, fp16"),
        (("--sessions", "cpu", "--batch", "9"), "batch 9 was given; this artifact takes 1 to 8"),
        (("--sessions", "cpu", "--batch", "0"), "every size must be 1 or more"),
        (("--sessions", "cpu", "--plot", "{folder}/out.txt"), "expected a file that ends with .png"),
        (("--sessions", "cpu", "--model", "model.pt"), "--model was given with --sessions"),
        (("--precisions", "fp32"), "go with --sessions"),
        (("--plot", "out.png"), "go with --sessions"),
    ],
)
def test_a_mistake_is_a_sentence_and_status_2(
    two: Path, tmp_path: Path, capsys: Captured, given: tuple[str, ...], sentence: str
) -> None:
    assert main([str(two), "--rounds", "2", "--batch", "1", *(text.format(folder=tmp_path) for text in given)]) == 2
    assert sentence in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"artifact"}


def test_an_artifact_without_images_is_refused(tiny: SimpleNamespace, tmp_path: Path, capsys: Captured) -> None:
    tiny.build(tmp_path / "open", ("open",))
    assert main([str(tmp_path / "open"), "--sessions", "cpu"]) == 2
    assert "has no graph 'closed' of images" in capsys.readouterr().err


# the plot


def test_a_curve_passes_through_its_points(tmp_path: Path) -> None:
    points = [(1.0, 10.0), (8.0, 400.0), (64.0, 900.0)]
    plot.curves(tmp_path / "a.png", "title", "batch", "images/s", {"cpu": points, "cuda": [(1.0, 50.0)]})
    image = cv2.imread(str(tmp_path / "a.png"))
    places = plot._Places([x for x, _ in points], [10.0, 400.0, 900.0])
    for x, y in points:
        column, row = places.of(x, y)
        assert tuple(image[row, column]) == plot.COLOURS[0]
    column, row = places.of(1, 50)
    assert tuple(image[row, column]) == plot.COLOURS[1]


def test_linear_axes_hold_zero_and_have_a_dozen_round_ticks_at_most(tmp_path: Path) -> None:
    points = [(0.0, 51.5), (1.0, 58.0)]
    plot.curves(tmp_path / "a.png", "title", "share", "percent", {"one": points}, linear=True)
    image = cv2.imread(str(tmp_path / "a.png"))
    places = plot._Places([0.0, 1.0], [51.5, 58.0], True)
    for column, row in (places.of(*point) for point in points):
        assert tuple(image[row, column]) == plot.COLOURS[0]
    assert list(places.ticks(places.low, places.high)) == [52, 53, 54, 55, 56, 57, 58]
    for low, high in ((0.0, 1.0), (-3.0, 999.0), (0.1, 0.1003)):
        assert 3 <= len(list(plot._steps(low, high))) <= 13


def test_nothing_to_draw_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is nothing to draw"):
        plot.curves(tmp_path / "a.png", "", "", "", {})
