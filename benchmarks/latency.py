"""python -m benchmarks.latency artifact/: torch, raw ONNX Runtime and the runtime side by side, or sessions and precisions."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from export.timing import Timing, interleaved
from runtime.whole import writing

from . import plot, sessions
from .machine import describe

if TYPE_CHECKING:
    from torch import Tensor, nn

EXAMPLES = """examples:
  python -m benchmarks.latency artifact/                                raw ONNX Runtime against the runtime; needs no torch
  python -m benchmarks.latency artifact/ --model model.pt --batch 1,8,32 --threads 2 --into latency.json
  python -m benchmarks.latency artifact/ --sessions cpu                 the artifact's precisions on the CPU, in turn
  python -m benchmarks.latency artifact/ --sessions tensorrt,cuda,cpu --precisions fp32,fp16 --batch 1,8,64 --plot throughput.png

With --sessions a time is host to host, NumPy in and out; on a GPU the time between CUDA events stands beside it (pycuda or
cuda-python), the device's memory, and where nvidia-ml-py is installed the energy of an image. What cannot be had here is listed
with the reason.
"""
RAW, OURS = "raw onnxruntime", "runtime"
COMPILERS = ("c++", "g++", "clang++")


class Teacher(Protocol):
    """A method's `teacher`, where it has one."""

    spec: Any

    def encode_image(self, image: Tensor) -> Tensor:
        """uint8 (n, 3, h, w) -> (n, d)"""


@dataclass(frozen=True)
class Result:
    """Timings of one batch size; `ratio` is the runtime's median over raw ONNX Runtime's."""

    batch: int
    timings: dict[str, Timing]
    ratio: float


def compare(
    artifact: Path, model: Path | None, batches: Sequence[int], *, threads: int, rounds: int, compiled: bool
) -> list[Result]:
    """Time every contender at every batch size. `threads` holds for torch and for ONNX Runtime."""
    import runtime

    os.environ["OMP_NUM_THREADS"] = str(threads)
    classifier = runtime.load(artifact, threads=threads)
    images = _golden_images(artifact)
    raw = _raw(artifact / "closed.onnx", threads)
    towers = {} if model is None else _towers(model, threads, compiled)
    results = []
    for batch in batches:
        image = np.ascontiguousarray(np.take(images, np.arange(batch) % len(images), axis=0))  # (batch, 3, h, w)
        calls: dict[str, Callable[[], object]] = {RAW: _bind(raw, image), OURS: _bind(classifier.logits, image)}
        # The pair by itself: between calls of torch both would find their caches cold.
        timings = interleaved(calls, rounds=rounds)
        timings |= interleaved({name: _bind_torch(*tower, image) for name, tower in towers.items()}, rounds=rounds)
        results.append(Result(batch, timings, timings[OURS].median / timings[RAW].median))
    return results


def _golden_images(artifact: Path) -> np.ndarray:
    with np.load(artifact / "golden.npz", allow_pickle=False) as golden:
        if "closed/image" not in golden.files:
            raise ValueError(f"{artifact} has no graph 'closed' of images, which this benchmark runs; export one.")
        return golden["closed/image"]  # type: ignore[no-any-return]


def _raw(path: Path, threads: int) -> Callable[[np.ndarray], object]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda image: session.run(["logits"], {"image": image})[0]


def _bind(call: Callable[[np.ndarray], object], image: np.ndarray) -> Callable[[], object]:
    return lambda: call(image)


def _towers(model: Path, threads: int, compiled: bool) -> dict[str, tuple[nn.Module | Callable[..., Any], int]]:
    """Student and teacher, eager and compiled, each with the side of its images."""
    import torch

    from train.checkpoint import restore

    torch.set_num_threads(threads)
    method = restore(model)
    exportable = method.exportable()
    found: dict[str, tuple[Any, int]] = {
        "student, torch": (exportable.modules["closed"], exportable.samples["closed"]["image"].shape[-1])
    }
    teacher: Teacher | None = getattr(method, "teacher", None)
    if teacher is not None:
        found["teacher, torch"] = (teacher.encode_image, int(teacher.spec.vision.image_size))
    if compiled and not any(shutil.which(name) for name in COMPILERS):
        print(f"torch.compile is left out: it needs a C++ compiler ({', '.join(COMPILERS)}), and there is none", file=sys.stderr)
    elif compiled:
        found |= {f"{name}.compile": (torch.compile(tower, dynamic=False), side) for name, (tower, side) in list(found.items())}
    return found


def _bind_torch(tower: Callable[..., Any], side: int, image: np.ndarray) -> Callable[[], object]:
    """The same bytes, tiled or cut where a tower takes another size: their values do not change the time."""
    import torch

    if image.shape[-1] != side:
        rows = np.arange(side) % image.shape[-1]
        image = np.ascontiguousarray(image[:, :, rows][..., rows])  # (n, 3, side, side)
    tensor = torch.from_numpy(image)

    def call() -> object:
        with torch.inference_mode():
            return tower(tensor)

    return call


def table(results: Sequence[Result]) -> str:
    """Results as text, a line per batch and contender."""
    lines = [f"{'batch':>5}  {'':<24} {'median':>11} {'p10':>9} {'p90':>9} {'images/s':>9}"]
    for result in results:
        for name, timing in result.timings.items():
            rate = result.batch / timing.median * 1e3
            times = f"{timing.median:>8.3f} ms {timing.p10:>9.3f} {timing.p90:>9.3f}"
            lines.append(f"{result.batch:>5}  {name:<24} {times} {rate:>9.0f}")
        lines.append(f"{result.batch:>5}  runtime / raw onnxruntime: {result.ratio:.3f}")
    return "\n".join(lines)


def _pair(options: argparse.Namespace, batches: Sequence[int]) -> tuple[str, list[dict[str, Any]]]:
    """The runtime beside bare ONNX Runtime and torch: text and plain values."""
    results = compare(
        options.artifact,
        options.model,
        batches,
        threads=options.threads,
        rounds=options.rounds,
        compiled=not options.no_compile,
    )
    return table(results), [asdict(result) for result in results]


def _sessions(options: argparse.Namespace, batches: Sequence[int]) -> tuple[str, list[dict[str, Any]]]:
    """The artifact's precisions on each session: text and plain values; the plot is written."""
    if options.model is not None:
        raise ValueError("--model was given with --sessions; torch is compared without it.")
    precisions = None if options.precisions is None else options.precisions.split(",")
    rows, refused = sessions.measure(
        options.artifact, options.sessions.split(","), precisions, batches, threads=options.threads, rounds=options.rounds
    )
    if not rows:
        raise ValueError("nothing of --sessions can be had here; " + "; ".join(f"{name}: {why}" for name, why in refused.items()))
    if options.plot:
        curves: dict[str, list[tuple[float, float]]] = {}
        for row in rows:
            curves.setdefault(f"{row.session} {row.precision}", []).append((row.batch, row.images_per_second))
        plot.curves(options.plot, f"throughput, {options.threads} thread(s) on the cpu", "batch", "images/s", curves)
    found = [asdict(row) for row in rows] + [{"refused": name, "reason": reason} for name, reason in refused.items()]
    return sessions.table(rows, refused), found


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        batches = _sizes(options.batch)
        if options.threads < 1 or options.rounds < 1:
            raise ValueError(f"--threads {options.threads} and --rounds {options.rounds} must be 1 or more.")
        if options.sessions is None and (options.precisions or options.plot):
            raise ValueError("--precisions and --plot go with --sessions, as in --sessions cpu.")
        machine = describe()
        text, results = _pair(options, batches) if options.sessions is None else _sessions(options, batches)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{machine}\nthreads {options.threads}, {options.rounds} rounds in drawn order after 3 of warm-up\n\n{text}")
    if options.into:
        found = {"machine": machine.to_dict(), "threads": options.threads, "rounds": options.rounds, "results": results}
        with writing(options.into) as file:
            file.write((json.dumps(found, indent=1) + "\n").encode())
    return 0


def _sizes(given: str) -> tuple[int, ...]:
    try:
        found = tuple(int(size) for size in given.split(","))
    except ValueError as error:
        raise ValueError(f"--batch {given!r} was given; expected numbers separated by commas, as in 1,8,32.") from error
    if min(found) < 1:
        raise ValueError(f"--batch {given!r} was given; every size must be 1 or more.")
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.latency",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("artifact", type=Path, help="folder that `python -m export.onnx` wrote, with the graph `closed`")
    parser.add_argument("--model", type=Path, help="model.pt: also time student and teacher in torch")
    parser.add_argument("--batch", default="1,8,32", help="sizes separated by commas (default: 1,8,32)")
    parser.add_argument("--threads", type=int, default=1, help="of torch and of ONNX Runtime (default: 1)")
    parser.add_argument("--rounds", type=int, default=50, help="calls of each (default: 50)")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out: it takes a minute to warm up")
    parser.add_argument("--sessions", help="instead: of tensorrt, cuda, cpu and the like, each by itself, separated by commas")
    parser.add_argument("--precisions", help="with --sessions: separated by commas (default: all that the artifact has)")
    parser.add_argument("--plot", type=Path, metavar="OUT.png", help="with --sessions: throughput against batch")
    parser.add_argument(
        "--into", type=Path, metavar="OUT.json", help="also write the numbers, the machine and the versions as JSON"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
