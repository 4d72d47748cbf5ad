"""What each session and precision of an artifact costs: latency, throughput, device time, memory, energy and agreement."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from export.timing import Timing, interleaved, timing
from runtime.artifact import Artifact, Graph, graph_file, read
from runtime.choice import open_session
from runtime.cuda import Memory, Unavailable, open_memory
from runtime.proof import held_to, hold, read_golden
from runtime.session import ON_NVIDIA, Options, OrtSession, Session
from runtime.trt_session import TrtSession

GRAPH, OUTPUT = "closed", "logits"
ENERGY_ROUNDS = 200  # NVML's counter moves every 100 ms or so


@dataclass(frozen=True)
class Row:
    """One session, precision and batch.

    Args:
        file: what was run, `size` MiB.
        timing: host to host, milliseconds: NumPy in, NumPy out.
        ratio: the median of the first precision that the session has, over this one's: above 1 is faster.
        device: milliseconds between CUDA events, where there is a GPU; of an ONNX file with buffers bound on the device.
        memory: MiB that the device has less of since the session was opened, other processes included.
        millijoules: of an image, by NVML's counter of the whole device.
        cosine: the smallest between golden outputs and this session's.
        passed: the golden outputs are within the artifact's tolerance.
    """

    session: str
    precision: str
    batch: int
    file: str
    size: float
    picked: str
    timing: Timing
    images_per_second: float
    ratio: float
    device: Timing | None
    memory: float | None
    millijoules: float | None
    cosine: float
    passed: bool


@dataclass(frozen=True)
class Opened:
    """A session with what was found when it was opened."""

    session: Session
    precision: str
    size: float
    memory: float | None
    cosine: float
    passed: bool


def measure(
    folder: Path, sessions: Sequence[str], precisions: Sequence[str] | None, batches: Sequence[int], *, threads: int, rounds: int
) -> tuple[list[Row], dict[str, str]]:
    """Time the precisions of a session in turn, session after session.

    Args:
        sessions: of runtime.load's `prefer`, each by itself.
        precisions: None is all that the artifact has.

    Returns:
        Rows, and for each session and precision that cannot be had here the reason.

    Raises:
        FileNotFoundError, ValueError: the artifact has no graph `closed` of images, or no such precision.
    """
    artifact = read(folder)
    graph = next((item for item in artifact.graphs if item.name == GRAPH), None)
    if graph is None or [port.name for port in graph.inputs] != ["image"]:
        raise ValueError(f"{folder} has no graph {GRAPH!r} of images, which this benchmark runs; export one.")
    known = tuple(name.removeprefix(f"{GRAPH}.").removesuffix("onnx").strip(".") or "fp32" for name in _files(artifact))
    for precision in precisions or ():
        if precision not in known:
            raise ValueError(f"{folder} has no {precision} variant of graph {GRAPH!r}; it has {', '.join(known)}.")
    limit = artifact.axes["batch"]
    if wrong := [batch for batch in batches if not limit.min <= batch <= limit.max]:
        raise ValueError(f"batch {wrong[0]} was given; this artifact takes {limit.min} to {limit.max}.")
    rows: list[Row] = []
    refused: dict[str, str] = {}
    gpu = _Gpu.found()
    for name in sessions:
        opened = []
        for precision in precisions or known:
            try:
                opened.append(_open(folder, artifact, graph, name, precision, threads, gpu))
            except Unavailable as error:
                refused[f"{name} {precision}"] = str(error)
        rows += _rows(name, opened, read_golden(folder)[f"{GRAPH}/image"], batches, rounds, gpu)
    return rows, refused


def _files(artifact: Artifact) -> list[str]:
    """The graph's ONNX files, fp32 first."""
    names = [name for name in artifact.files if name.startswith(f"{GRAPH}.") and name.endswith(".onnx")]
    return sorted(names, key=lambda name: (name != graph_file(GRAPH), name))


@dataclass(frozen=True)
class _Gpu:
    """The device's memory, and a stream that ONNX Runtime works in, so that events can be put around its work."""

    memory: Memory
    stream: Any

    @staticmethod
    def found() -> _Gpu | None:
        try:
            memory = open_memory()
        except Unavailable:
            return None
        with memory.active():
            return _Gpu(memory, memory.stream())

    def free(self) -> int:
        with self.memory.active():
            return self.memory.free_and_total()[0]


def _open(folder: Path, artifact: Artifact, graph: Graph, name: str, precision: str, threads: int, gpu: _Gpu | None) -> Opened:
    before = gpu.free() if gpu else 0
    options = Options((name,), threads, stream=gpu.memory.handle(gpu.stream) if gpu else None)
    session = open_session(folder, artifact, graph.name, precision, options)
    tolerance = held_to(folder, artifact)[graph_file(graph.name, precision)][1]
    agreements = hold(session, graph, read_golden(folder), tolerance)
    held = (before - gpu.free()) / 2**20 if gpu and name != "cpu" else None
    size = (folder / session.report.file).stat().st_size / 2**20
    cosine = min(item.cosine for item in agreements if item.output == OUTPUT)
    return Opened(session, precision, size, held, cosine, all(item.passed for item in agreements))


def _rows(
    name: str, opened: Sequence[Opened], images: np.ndarray, batches: Sequence[int], rounds: int, gpu: _Gpu | None
) -> list[Row]:
    rows: list[Row] = []
    for batch in batches if opened else ():
        image = np.ascontiguousarray(np.take(images, np.arange(batch) % len(images), axis=0))  # (batch, 3, h, w)
        calls = {item.precision: _call(item.session, {"image": image}) for item in opened}
        timings = interleaved(calls, rounds=rounds)
        first = timings[opened[0].precision].median
        for item in opened:
            found = timings[item.precision]
            rows.append(
                Row(
                    session=name,
                    precision=item.precision,
                    batch=batch,
                    file=item.session.report.file,
                    size=item.size,
                    picked=item.session.report.picked,
                    timing=found,
                    images_per_second=batch / found.median * 1e3,
                    ratio=first / found.median,
                    device=device_time(item.session, {"image": image}, rounds, gpu),
                    memory=item.memory,
                    millijoules=energy(calls[item.precision], batch) if gpu and name != "cpu" else None,
                    cosine=item.cosine,
                    passed=item.passed,
                )
            )
    return rows


def _call(session: Session, inputs: Mapping[str, np.ndarray]) -> Callable[[], object]:
    return lambda: session.run([OUTPUT], inputs)


def device_time(session: Session, inputs: Mapping[str, np.ndarray], rounds: int, gpu: _Gpu | None) -> Timing | None:
    """Between CUDA events; None where the session runs on no GPU or the device's memory cannot be reached."""
    if isinstance(session, TrtSession):
        return timing(session.milliseconds(inputs, 3 + rounds)[3:])
    if gpu is None or not isinstance(session, OrtSession) or session.providers[0] not in ON_NVIDIA:
        return None
    return timing(bound(session.session, inputs, 3 + rounds, gpu.memory, gpu.stream, "cuda")[3:])


def bound(session: Any, inputs: Mapping[str, np.ndarray], rounds: int, memory: Memory, stream: Any, place: str) -> list[float]:
    """ONNX Runtime with inputs and outputs that lie on the device: milliseconds of each run between events in its own stream.

    Time that the device waits for the next launch counts.
    """
    import onnxruntime

    binding = session.io_binding()
    for name, array in inputs.items():
        binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(array, place, 0))
    binding.bind_output(OUTPUT, place)
    spent = []
    with memory.active():
        start, end = memory.event(), memory.event()
        for _ in range(rounds):
            memory.record(start, stream)
            session.run_with_iobinding(binding)
            memory.record(end, stream)
            memory.synchronize(stream)
            spent.append(memory.milliseconds(start, end))
    return spent


def energy(call: Callable[[], object], batch: int) -> float | None:
    """Millijoules an image over many calls, by NVML's counter of the whole device; None without nvidia-ml-py, or on an older GPU."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        device = _nvml_device(pynvml)
        before = pynvml.nvmlDeviceGetTotalEnergyConsumption(device)
        for _ in range(ENERGY_ROUNDS):
            call()
        return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(device) - before) / (ENERGY_ROUNDS * batch)
    except pynvml.NVMLError:
        return None


def _nvml_device(pynvml: Any) -> Any:
    """CUDA's device 0, which CUDA_VISIBLE_DEVICES may choose by number or by UUID."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip() or "0"
    return pynvml.nvmlDeviceGetHandleByIndex(int(chosen)) if chosen.isdigit() else pynvml.nvmlDeviceGetHandleByUUID(chosen)


def table(rows: Sequence[Row], refused: Mapping[str, str]) -> str:
    """Rows as text; what cannot be had here below, with the reason."""
    lines = []
    if rows:
        lines.append(
            f"{'session':<9} {'precision':<13} {'batch':>5} {'MiB':>7} {'p50 ms':>8} {'p95':>8} {'p99':>8} {'faster':>7} {'images/s':>9} "
            f"{'device ms':>10} {'MiB dev':>8} {'mJ/image':>9} {'cosine':>10}  golden"
        )
    for row in rows:
        device = "" if row.device is None else f"{row.device.median:.3f}"
        memory = "" if row.memory is None else f"{row.memory:.0f}"
        millijoules = "" if row.millijoules is None else f"{row.millijoules:.2f}"
        lines.append(
            f"{row.session:<9} {row.precision:<13} {row.batch:>5} {row.size:>7.2f} {row.timing.median:>8.3f} {row.timing.p95:>8.3f} "
            f"{row.timing.p99:>8.3f} {row.ratio:>6.2f}x {row.images_per_second:>9.0f} {device:>10} {memory:>8} {millijoules:>9} "
            f"{row.cosine:>10.7f}  {'passed' if row.passed else 'FAILED'}"
        )
    picked = dict.fromkeys(f"{row.session} {row.precision}: {row.file} on {row.picked}" for row in rows)
    return "\n".join([*lines, "", *picked, *(f"not {name}: {reason}" for name, reason in refused.items())])
