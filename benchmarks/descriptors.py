"""python -m benchmarks.descriptors: descriptor selection and the image-to-class score against two PyTorch forms, side by side.

Three parts: `score` (the support's contrastive score, the queries' relevance, and both selections), `nearest` (the k = 3
image-to-class score of all descriptors), `line` (both in turn: half the descriptors on either side are compared).

The forms: ours; `gram`, PyTorch as one would write it, with the matrix of all similarities; `linear`, PyTorch with the linear
identity, and the similarities in chunks of the size that is fastest here. Beside them: the time in which the inputs' bytes are
read, by the faster of torch's sum and dot, once on the same arrays (so from the same cache) and once at the speed at which memory
is read; and torch's sgemm at the same d.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import re
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from export.timing import Timing, in_blocks
from runtime import ops

from .descriptor_peers import FRACTION, NEAREST, half, line, nearest, select
from .machine import describe, native_compiler
from .options import choose

EXAMPLES = """examples:
  python -m benchmarks.descriptors                                   all six cases on 1 and on 2 threads, some minutes
  python -m benchmarks.descriptors --case conv4-1,resnet12-1 --threads 2
  python -m benchmarks.descriptors --case conv4-5 --into found.json  what the file holds of other cases stays; found.md is the table
"""
PARTS = ("score", "nearest", "line")
BF16_HERE = "bf16" in ops.descriptor_precisions()
CHUNKS = (1 << 18, 1 << 20, 1 << 22)  # similarities in a chunk
OURS, BF16, GRAM, LINEAR, READ, SGEMM = "ours", "ours, bf16", "gram", "linear", "read", "sgemm"


@dataclass(frozen=True)
class Case:
    """An episode's shape: support (classes, shots, locations, d), queries (queries, locations, d)."""

    shots: int
    locations: int
    d: int
    classes: int = 5
    queries: int = 75

    @property
    def comparisons(self) -> int:
        return self.queries * self.locations * self.classes * self.shots * self.locations

    def draw(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Noise: none of the forms is faster on one kind of values than on another."""
        generator = np.random.default_rng(0)
        support = generator.standard_normal((self.classes, self.shots, self.locations, self.d), np.float32)
        return support, generator.standard_normal((self.queries, self.locations, self.d), np.float32)


CASES = {
    f"{name}-{shots}": Case(shots, locations, d)
    for name, locations, d in (("conv4", 441, 64), ("resnet12", 25, 640), ("resnet12-wide", 100, 640))
    for shots in (1, 5)
}


def _ours_score(support: NDArray[np.float32], query: NDArray[np.float32], threads: int) -> tuple[Any, Any]:
    index, _ = ops.select_descriptors(support, FRACTION, threads=threads)
    mask, _ = ops.select_queries(query, support, index, FRACTION, threads=threads)
    return index, mask


def _ours_line(support: NDArray[np.float32], query: NDArray[np.float32], threads: int) -> Any:
    index, mask = _ours_score(support, query, threads)
    return ops.image_to_class(query, support, index, mask, NEAREST, threads=threads)


@dataclass(frozen=True)
class Result:
    """One part of one case. `apart` is the largest relative difference of our logits from those of the linear form."""

    case: str
    threads: int
    part: str
    timings: dict[str, Timing]
    gflop: float  # of all comparisons
    megabytes: float  # of both inputs
    bandwidth: float  # of reading memory, GB/s
    sgemm_gflop: float  # of the yardstick's product
    chunk: int
    apart: float
    rounded: float | None = None  # the same of bf16's logits from ours in fp32

    def rate(self, name: str) -> float:
        """GFLOP/s."""
        return (self.sgemm_gflop if name == SGEMM else self.gflop) / self.timings[name].median * 1e3


def measure(name: str, threads: int, parts: Sequence[str], seconds: float) -> list[Result]:
    """Time the parts of one case, each for about `seconds`, 4 calls of each at least."""
    torch.set_num_threads(threads)
    case = CASES[name]
    support, query = case.draw()
    s, q = torch.from_numpy(support), torch.from_numpy(query)
    unit = torch.nn.functional.normalize(s.flatten(1, 2), dim=2)
    few = q[:8]
    chunk = min(CHUNKS, key=lambda size: _once(lambda: nearest(few, unit, size)))
    ours: dict[str, Callable[[], Any]] = {
        "score": lambda: _ours_score(support, query, threads),
        "nearest": lambda: ops.image_to_class(query, support, k=NEAREST, threads=threads),
        "line": lambda: _ours_line(support, query, threads),
    }
    peers: dict[str, Callable[[int | None], Any]] = {
        "score": lambda size: select(s, q, linear=size is not None),
        "nearest": lambda size: nearest(q, torch.nn.functional.normalize(s.flatten(1, 2), dim=2), size),
        "line": lambda size: line(s, q, size),
    }
    flat = torch.cat([s.flatten(), q.flatten()])
    rows = q.flatten(0, 1)[:4096]
    columns = s.flatten(0, 2).T
    product = torch.empty(len(rows), columns.shape[1])
    gflop = 2e-9 * case.comparisons * case.d
    bandwidth = _bandwidth() if "score" in parts else 0.0
    results = []
    for part in parts:
        calls: dict[str, Callable[[], object]] = {
            OURS: ours[part],
            GRAM: _bind(peers[part], None),
            LINEAR: _bind(peers[part], chunk),
        }
        if part == "score":
            calls |= {"sum": flat.sum, "dot": lambda: torch.dot(flat, flat)}
        if part == "nearest":
            calls[SGEMM] = lambda: torch.mm(rows, columns, out=product)
            if BF16_HERE:
                calls[BF16] = lambda: ops.image_to_class(query, support, k=NEAREST, precision="bf16", threads=threads)
        apart = _apart(ours[part](), peers[part](chunk).numpy()) if part != "score" else 0.0
        rounded = _apart(ours[part](), calls[BF16]()) if BF16 in calls else None
        timings = in_blocks(calls, seconds=seconds, spinning=[name for name in calls if name != OURS])
        if part == "score":
            timings[READ] = min(timings.pop("sum"), timings.pop("dot"), key=lambda timing: timing.median)
        flops = 2e-9 * product.numel() * case.d
        results.append(Result(name, threads, part, timings, gflop, flat.numel() * 4e-6, bandwidth, flops, chunk, apart, rounded))
    return results


def _bandwidth() -> float:
    """GB/s of reading 256 MB, which no cache holds."""
    large = torch.ones(1 << 26)
    timings = in_blocks({"sum": large.sum, "dot": lambda: torch.dot(large, large)}, seconds=0.5)
    return large.numel() * 4e-6 / min(timing.median for timing in timings.values())


def _bind(call: Callable[[int | None], Any], chunk: int | None) -> Callable[[], object]:
    return lambda: call(chunk)


def _once(call: Callable[[], object], warm_up: int = 1) -> float:
    for _ in range(warm_up):
        call()
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _apart(ours: NDArray[np.float32], theirs: Any) -> float:
    return float(np.abs(ours - theirs).max() / np.abs(ours).max())


def extra_memory(name: str, threads: int) -> float | None:
    """MB that the whole line takes at its peak beside inputs and results, in a process that has not run it; Linux only."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_peak, name, threads).result()


def _peak(name: str, threads: int) -> float | None:
    case = CASES[name]
    support, query = case.draw()
    small = np.ones((1, 1, 4, 8), np.float32)
    _ours_line(small, small[0], threads)  # loads the ops
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew
        before = _status("VmHWM")
        found = _ours_line(support, query, threads)
        peak = _status("VmHWM")
    except OSError:
        return None
    kept = 4 * case.classes * half(case.shots * case.locations) + 4 * case.classes * case.shots * case.locations  # index, score
    kept += 5 * case.queries * case.locations + found.nbytes  # mask and margin, logits
    return max(peak - before - kept, 0) / 1e6


def _status(field: str) -> int:
    """Bytes, of /proc/self/status."""
    match = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    if match is None:
        raise OSError(f"/proc/self/status has no {field}")
    return int(match[1]) * 1024


def table(results: Sequence[Result], memory: dict[str, float | None]) -> str:
    """Markdown: a row for each part of each case."""
    lines = ["Milliseconds a call: median (10th to 90th percentile).", ""]
    for part in PARTS:
        chosen = [result for result in results if result.part == part]
        if not chosen:
            continue
        beside = {
            "score": " bytes read | ours / read | bytes / memory's GB/s | ours / that |",
            "nearest": " ours GFLOP/s | sgemm GFLOP/s | ours, bf16 | linear / that |",
            "line": "",
        }[part]
        lines += [
            f"## {part}",
            "",
            f"| case | threads | rounds | ours | torch gram | torch linear | gram / ours | linear / ours |{beside}",
            "|---|---|---|---|---|---|---|---|" + "---|" * beside.count("|"),
        ]
        for result in chosen:
            timings = result.timings
            ours = timings[OURS].median
            last = ""
            if part == "score":
                floor = result.megabytes / result.bandwidth
                last = f" {_cell(timings[READ])} | {ours / timings[READ].median:.2f} |"
                last += f" {floor:.3f} at {result.bandwidth:.1f} | {ours / floor:.2f} |"
            elif part == "nearest":
                last = f" {result.rate(OURS):.0f} | {result.rate(SGEMM):.0f} |"
                last += (
                    f" {_cell(timings[BF16])} | {timings[LINEAR].median / timings[BF16].median:.1f} |"
                    if BF16 in timings
                    else " - | - |"
                )
            lines.append(
                f"| {result.case} | {result.threads} | {timings[OURS].rounds} | "
                + " | ".join(_cell(timings[name]) for name in (OURS, GRAM, LINEAR))
                + f" | {timings[GRAM].median / ours:.1f} | {timings[LINEAR].median / ours:.1f} |{last}"
            )
        lines.append("")
    if known := {name: value for name, value in memory.items() if value is not None}:
        lines += ["## Peak memory of the line beside inputs and results, 2 threads", ""]
        lines += ["| case | MB |", "|---|---|", *(f"| {name} | {value:.2f} |" for name, value in known.items()), ""]
    chunks = {result.case: result.chunk >> 10 for result in results if result.threads == 1}
    if chunks:
        lines.append(f"Similarities in a chunk, 1 thread: {', '.join(f'{name} {size}k' for name, size in chunks.items())}.")
    if apart := max((result.apart for result in results if result.part == "nearest"), default=0.0):
        lines.append(f"Our logits of `nearest` and torch's differ by at most {apart:.1e} of the largest.")
    if rounded := max((result.rounded or 0.0 for result in results), default=0.0):
        lines.append(f"Those of bf16 differ from ours in fp32 by at most {rounded:.1e} of the largest.")
    return "\n".join(lines)


def _cell(timing: Timing) -> str:
    digits = 3 if timing.median < 10 else 1
    return f"{timing.median:.{digits}f} ({timing.p10:.{digits}f} to {timing.p90:.{digits}f})"


def _merge(
    path: Path, results: Sequence[Result], memory: dict[str, float | None]
) -> tuple[list[Result], dict[str, float | None]]:
    """With what the file holds of other cases, in the order of CASES."""
    if path.is_file():
        held = json.loads(path.read_text(encoding="utf-8"))
        new = {(result.case, result.threads, result.part) for result in results}
        old = [_read(entry) for entry in held["results"]]
        results = [*(result for result in old if (result.case, result.threads, result.part) not in new), *results]
        memory = {**held["memory"], **memory}
    order = list(CASES)
    memory = {name: memory[name] for name in order if name in memory}
    return sorted(results, key=lambda result: (PARTS.index(result.part), order.index(result.case), result.threads)), memory


def _read(entry: dict[str, Any]) -> Result:
    return Result(**{**entry, "timings": {name: Timing(**timing) for name, timing in entry["timings"].items()}})


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        names = choose("--case", options.case, tuple(CASES))
        parts = choose("--part", options.part, PARTS)
        counts = [int(count) for count in choose("--threads", options.threads, tuple(map(str, range(1, 257))))]
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    machine = describe()
    results, memory = [], {}
    for name in names:
        for threads in counts:
            results += measure(name, threads, parts, options.seconds)
        if "line" in parts:
            memory[name] = extra_memory(name, 2)
    head = f"{machine}\nops: {ops.backend()}, {native_compiler()}"
    if options.into:
        results, memory = _merge(options.into, results, memory)
        found = {"machine": machine.to_dict(), "results": [dataclasses.asdict(result) for result in results], "memory": memory}
        options.into.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        text = f"# Descriptor selection, {datetime.now(tz=UTC).date()}\n\n{head}\n\n{table(results, memory)}\n"
        options.into.with_suffix(".md").write_text(text, encoding="utf-8")
    print(f"{head}\n\n{table(results, memory)}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.descriptors",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--case", default=",".join(CASES), help=f"separated by commas (default: all of {', '.join(CASES)})")
    parser.add_argument("--part", default=",".join(PARTS), help="score, nearest, line (default: all)")
    parser.add_argument("--threads", default="1,2", help="of both sides, separated by commas (default: 1,2)")
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="of timing for each part (default: 3), 4 calls of each at least"
    )
    parser.add_argument("--into", type=Path, metavar="FILE", help="keep the numbers in this JSON file, and the table beside it")
    return parser


if __name__ == "__main__":
    sys.exit(main())
