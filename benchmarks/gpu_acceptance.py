"""python -m benchmarks.gpu_acceptance model.pt: on a machine with an NVIDIA GPU all that has to be shown there, in one command."""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from export import engine
from export.timing import Timing, timing
from runtime.cuda import Unavailable, driver
from runtime.whole import writing

from .machine import describe

if TYPE_CHECKING:
    from torch import nn

GRAPH, OUTPUT = "closed", "logits"
ENGINES = "engines of"
WARM_UP = 10

EXAMPLES = """examples:
  python -m benchmarks.gpu_acceptance model.pt --data photos/             int8 is calibrated and accuracy measured on the images
  python -m benchmarks.gpu_acceptance model.pt --batch 1,8,64 --rounds 200 --work runs/acceptance

It exports model.pt, builds engines with each SDK that is installed (tensorrt for this GPU; rtx where it has it as a target), asks
runtime.doctor for the golden check on every session, times the sessions, and torch eager and compiled, in fp32 and fp16, with CUDA
events. gpu-acceptance-DATE.json and .md in --results hold all of it, also what failed.

exit status: 0 what could be run has passed; 1 something failed, or no SDK could build an engine; 2 no GPU, or a mistake in what was given
"""


@dataclass(frozen=True)
class Step:
    """One command of the acceptance. `status` is None where it was not run, and `output` says why."""

    name: str
    command: str
    status: int | None
    seconds: float
    output: str


@dataclass(frozen=True)
class TorchRow:
    """torch on one device: milliseconds host to host, NumPy in and out, and between CUDA events where the device is a GPU.

    Args:
        cosine: the smallest between the rows of fp32 on the CPU and these.
    """

    name: str
    precision: str
    batch: int
    timing: Timing
    device: Timing | None
    cosine: float


def run(name: str, arguments: Sequence[str]) -> Step:
    """Run a command of the project and keep what it says."""
    command = ["python", "-m", *arguments]
    print(f"{name}: {' '.join(command)}", file=sys.stderr)
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *command[1:]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    seconds = round(time.perf_counter() - start, 1)
    return Step(name, _anywhere(" ".join(command)), done.returncode, seconds, _anywhere(done.stdout.rstrip()))


def _anywhere(text: str) -> str:
    """Without the folders of this machine: the report is for others."""
    for folder, name in (
        (sys.executable, "python"),
        (tempfile.gettempdir(), "tmp"),
        (str(Path.cwd()), "."),
        (str(Path.home()), "~"),
    ):
        text = text.replace(folder, name)
    return text


def steps(options: argparse.Namespace, work: Path, capability: str) -> Iterator[Step]:
    """The commands, in order; latency's numbers also go to `work`."""
    artifact = str(work / "artifact")
    data = [] if options.data is None else ["--data", *filter(None, [options.data])]
    yield run("what is installed", ["runtime.doctor"])
    wanted = "fp32,fp16,int8,int8-trt"
    exported = run("export", ["export.onnx", str(options.model), "--out", artifact, "--precision", wanted, *data])
    yield exported
    if exported.status:
        return
    for name, module in engine.SDKS.items():
        found = engine.probe(module)
        reason = found.error or ("" if name == "tensorrt" or capability in found.targets else f"it has no target {capability}")
        if reason:
            yield Step(f"{ENGINES} {module}", "", None, 0.0, reason)
            continue
        target = ["--target", capability] if name == "rtx" else []
        built = ["export.trt", artifact, "--sdk", name, "--precision", "fp32,fp16,int8", *target]
        yield run(f"{ENGINES} {module}", built)
    yield run("golden check on each session", ["runtime.doctor", artifact])
    sizes, rounds, into = ["--batch", options.batch], ["--rounds", str(options.rounds)], ["--into", str(work / "latency.json")]
    timed = ["benchmarks.latency", artifact, "--sessions", "tensorrt,cuda,cpu", "--precisions", "fp32,fp16"]
    yield run("latency of sessions", [*timed, *sizes, *rounds, *into])


def torch_rows(
    module: nn.Module, image: np.ndarray, batches: Sequence[int], device: str, *, rounds: int, compiled: bool = True
) -> list[TorchRow]:
    """Time a graph's module in torch, eager and compiled, in fp32 and under autocast to fp16.

    Args:
        module: in evaluation mode, image -> (logits, ...).
        image: uint8 (m, 3, h, w), repeated to each batch.
    """
    import torch

    rows = []
    for batch in batches:
        given = np.ascontiguousarray(np.take(image, np.arange(batch) % len(image), axis=0))  # (batch, 3, h, w)
        with torch.inference_mode():
            expected = module.cpu()(torch.from_numpy(given))[0].numpy()  # (batch, classes)
        there = module.to(device)
        ways = {"torch eager": there} | ({"torch.compile": torch.compile(there, dynamic=False)} if compiled else {})
        for precision in ("fp32", "fp16"):
            for name, way in ways.items():
                rows.append(_torch_row(name, precision, way, given, expected, device, rounds))
    return rows


def _torch_row(
    name: str, precision: str, way: Callable[..., Any], given: np.ndarray, expected: np.ndarray, device: str, rounds: int
) -> TorchRow:
    import torch

    half = torch.autocast(device, torch.float16, enabled=precision == "fp16")
    resident = torch.from_numpy(given).to(device)

    def host() -> np.ndarray:
        return way(torch.from_numpy(given).to(device))[0].float().cpu().numpy()  # type: ignore[no-any-return]

    with torch.inference_mode(), half:
        for _ in range(WARM_UP):
            found = host()
        spent = []
        for _ in range(rounds):
            start = time.perf_counter()
            host()
            spent.append((time.perf_counter() - start) * 1e3)
        between = _events(lambda: way(resident), rounds) if device == "cuda" else None
    norms = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    cosine = float(((found * expected).sum(1) / np.where(norms > 0, norms, 1)).min())
    return TorchRow(name, precision, len(given), timing(spent), between, cosine)


def _events(call: Callable[[], object], rounds: int) -> Timing:
    """Milliseconds between CUDA events around single calls, input and output on the device."""
    import torch

    call()
    torch.cuda.synchronize()
    event: Callable[..., Any] = torch.cuda.Event
    pairs = [(event(enable_timing=True), event(enable_timing=True)) for _ in range(rounds)]
    for start, end in pairs:
        start.record()
        call()
        end.record()
        end.synchronize()
    return timing([start.elapsed_time(end) for start, end in pairs])


def markdown(title: str, machine: str, done: Sequence[Step], rows: Sequence[TorchRow], left: str) -> str:
    """The report for readers: what ran and what did not, then each command with its output."""
    lines = [f"# {title}", "", *(f"    {line}" for line in machine.splitlines()), ""]
    lines += ["| step | command | status | seconds |", "|---|---|---|---|"]
    for step in done:
        status = (
            f"not run: {step.output}" if step.status is None else "passed" if step.status == 0 else f"exit status {step.status}"
        )
        lines.append(f"| {step.name} | {f'`{step.command}`' if step.command else ''} | {status} | {step.seconds} |")
    lines += ["", "## torch on the GPU", ""]
    if rows:
        lines += ["Milliseconds, median (p10 to p90): host to host with NumPy in and out, and between CUDA events.", ""]
        lines += ["| batch | | precision | host to host | device | cosine with fp32 on the CPU |", "|---|---|---|---|---|---|"]
    for row in rows:
        times = [f"{item.median:.3f} ({item.p10:.3f} to {item.p90:.3f})" if item else "" for item in (row.timing, row.device)]
        lines.append(f"| {row.batch} | {row.name} | {row.precision} | {times[0]} | {times[1]} | {row.cosine:.6f} |")
    lines += [f"Not run: {left}."] if left else []
    for step in done:
        if step.status is not None:
            lines += [
                "",
                f"## {step.name}",
                "",
                f"    {step.command}",
                "",
                *(f"    {line}".rstrip() for line in step.output.splitlines()),
            ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        batches = tuple(int(size) for size in options.batch.split(","))
        if min(batches) < 1 or options.rounds < 1:
            raise ValueError("--batch and --rounds must be 1 or more.")
        if not options.model.is_file():
            raise FileNotFoundError(f"{options.model} is not a file; expected the model.pt of a training run.")
        gpu = driver().devices[0]
    except Unavailable as error:
        print(f"error: the acceptance needs an NVIDIA GPU, and {error}", file=sys.stderr)
        return 2
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="acceptance-") as temporary:
        work = options.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        done = list(steps(options, work, gpu.capability))
        rows, left = _torch(options, batches)
        latency = work / "latency.json"
        sessions = json.loads(latency.read_text(encoding="utf-8")) if latency.is_file() else None
    machine, day = describe(), dt.datetime.now(tz=dt.UTC).date().isoformat()
    content = {
        "machine": machine.to_dict(),
        "gpu": dataclasses.asdict(gpu),
        "steps": [dataclasses.asdict(step) for step in done],
        "sessions": sessions,
        "torch": [dataclasses.asdict(row) for row in rows],
        "torch_not_run": left,
    }
    title = f"GPU acceptance, {day}"
    told = markdown(title, f"{gpu.name}, {gpu.capability}, {gpu.memory / 2**30:.0f} GiB\n{machine}", done, rows, left)
    options.results.mkdir(parents=True, exist_ok=True)
    for ending, text in (("json", json.dumps(content, indent=1) + "\n"), ("md", told)):
        place = options.results / f"gpu-acceptance-{day}.{ending}"
        with writing(place) as file:
            file.write(text.encode())
        print(place)
    built = any(step.name.startswith(ENGINES) and step.status == 0 for step in done)
    return 0 if built and all(step.status in (None, 0) for step in done) else 1


def _torch(options: argparse.Namespace, batches: Sequence[int]) -> tuple[list[TorchRow], str]:
    """Rows of the graph GRAPH, or why there are none."""
    import torch

    from train.checkpoint import restore

    if not torch.cuda.is_available():
        return [], f"torch {torch.__version__} sees no GPU; install a build of it for CUDA"
    exportable = restore(options.model).exportable()
    if GRAPH not in exportable.modules:
        return [], f"the model has no graph {GRAPH!r}"
    module, image = exportable.modules[GRAPH].eval(), exportable.samples[GRAPH]["image"]
    return torch_rows(module, image, batches, "cuda", rounds=options.rounds), ""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu_acceptance",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", type=Path, help="model.pt that `python -m train.run` wrote")
    parser.add_argument("--data", nargs="?", const="", metavar="PATH", help="labelled images, as in export.onnx")
    parser.add_argument("--batch", default="1,8,64", help="sizes separated by commas (default: 1,8,64)")
    parser.add_argument("--rounds", type=int, default=100, help="calls of each (default: 100)")
    parser.add_argument("--work", type=Path, metavar="DIR", help="keep artifact and engines there (default: a temporary folder)")
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results"), help="default: benchmarks/results")
    return parser


if __name__ == "__main__":
    sys.exit(main())
