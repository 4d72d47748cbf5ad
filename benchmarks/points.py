"""python -m benchmarks.points: farthest point sampling and nearest points beside fpsample, SciPy and PyTorch.

Two parts: `farthest` chooses the centres, `nearest` the 32 points nearest to each. Clouds lie on a sphere with noise. Peers that take
one cloud at a time are given the clouds of a batch one after the other, by as many Python threads as ours has; a tree's building is
counted, since every cloud is met once. fpsample's tree is the fastest of heights 3, 5 and 7; it begins where it likes, whatever start it is
given, so that forms are compared by the largest distance from a point to a chosen one. fpsample is left out where it is not installed.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from export.timing import Timing, in_blocks
from runtime import ops

from .machine import describe, native_compiler
from .options import choose

EXAMPLES = """examples:
  python -m benchmarks.points                              all six cases on 1 and on 2 threads, some minutes
  python -m benchmarks.points --case 1x1024 --threads 1
  python -m benchmarks.points --into points.json           the numbers; points.md is the table
"""
PARTS = ("farthest", "nearest")
NEIGHBOURS = 32
HEIGHTS = (3, 5, 7)
OURS, TWIN = "ours", "NumPy twin"


@dataclass(frozen=True)
class Case:
    """Clouds (batch, points, 3) and how many centres are chosen of each."""

    batch: int
    points: int
    centres: int

    def draw(self) -> NDArray[np.float32]:
        generator = np.random.default_rng(0)
        values = generator.standard_normal((self.batch, self.points, 3), np.float32)
        values /= np.linalg.norm(values, axis=2, keepdims=True)
        return values + np.float32(0.02) * generator.standard_normal(values.shape, np.float32)


CASES = {
    f"{batch}x{points}": Case(batch, points, centres)
    for batch in (1, 32)
    for points, centres in ((1024, 64), (2048, 64), (8192, 128))
}


@dataclass(frozen=True)
class Result:
    """One part of one case: milliseconds a batch of each form, and its quality: its covering radius over ours, or the share of ours
    that it found."""

    case: str
    threads: int
    part: str
    timings: dict[str, Timing]
    quality: dict[str, float]


Form = Callable[[], NDArray[Any]]
Each = Callable[..., Iterable[Any]]  # map, or that of a pool


def measure(name: str, threads: int, parts: Sequence[str], seconds: float) -> list[Result]:
    """Time the parts of one case, each for about `seconds`, 4 calls of each form at least."""
    torch.set_num_threads(threads)
    case = CASES[name]
    clouds = case.draw()
    chosen = ops.farthest_points(clouds, case.centres)
    centres = np.take_along_axis(clouds, chosen[..., None], axis=1)
    results = []
    with ThreadPoolExecutor(threads) as pool:
        each: Each = map if threads == 1 else pool.map
        for part in parts:
            if part == "farthest":
                forms = _farthest(clouds, chosen, threads, each)
                radius = _radius(clouds, chosen)
                quality = {form: _radius(clouds, call()) / radius for form, call in forms.items() if form != OURS}
            else:
                forms = _nearest(clouds, centres, threads, each)
                ours = forms[OURS]()
                quality = {form: _share(ours, call()) for form, call in forms.items() if form != OURS}
            timings = in_blocks(forms, seconds=seconds, spinning=["torch"])
            results.append(Result(name, threads, part, timings, quality))
    return results


def _radius(clouds: NDArray[np.float32], chosen: NDArray[Any]) -> float:
    """The largest distance from a point to the chosen one nearest to it, the mean over clouds."""
    centres = np.take_along_axis(clouds, chosen.astype(np.int64)[..., None], axis=1)
    near = np.take_along_axis(centres, ops.nearest_points(centres, clouds, 1), axis=1)
    return float(np.linalg.norm(clouds - near, axis=2).max(1).mean())


def _share(ours: NDArray[Any], theirs: NDArray[Any]) -> float:
    """Of the neighbours that ours found, in whatever order."""
    rows = zip(ours.reshape(-1, NEIGHBOURS), np.asarray(theirs).reshape(-1, NEIGHBOURS), strict=True)
    return float(np.mean([len(np.intersect1d(a, b)) / NEIGHBOURS for a, b in rows]))


def _farthest(clouds: NDArray[np.float32], chosen: NDArray[np.int32], threads: int, each: Each) -> dict[str, Form]:
    """All that can begin at the point that ours begins at."""
    count, first = chosen.shape[1], chosen[:, 0].tolist()
    tensor = torch.from_numpy(clouds)
    forms: dict[str, Form] = {
        OURS: lambda: ops.farthest_points(clouds, count, threads=threads),
        TWIN: lambda: ops.farthest_points_numpy(clouds, count),
        "torch": lambda: _torch_farthest(tensor, chosen[:, 0], count),
    }
    if find_spec("fpsample"):
        import fpsample

        def plain(cloud: NDArray[np.float32], start: int) -> Any:
            return fpsample.fps_sampling(cloud, count, start_idx=start)

        def tree(height: int) -> Form:
            def one(cloud: NDArray[np.float32], start: int) -> Any:
                return fpsample.bucket_fps_kdline_sampling(cloud, count, h=height, start_idx=start)

            return lambda: np.stack(list(each(one, clouds, first)))

        trials = in_blocks({str(height): tree(height) for height in HEIGHTS}, seconds=0.3)
        forms["fpsample"] = lambda: np.stack(list(each(plain, clouds, first)))
        forms["fpsample's tree"] = tree(int(min(trials, key=lambda height: trials[height].median)))
    return forms


def _torch_farthest(clouds: torch.Tensor, first: NDArray[np.int32], count: int) -> NDArray[Any]:
    """As one would write it: a loop over the centres, all clouds at once."""
    rows = torch.arange(len(clouds))
    chosen = torch.zeros(len(clouds), count, dtype=torch.long)
    chosen[:, 0] = torch.from_numpy(first)
    nearest = torch.full(clouds.shape[:2], torch.inf)
    for place in range(1, count):
        distances = (clouds - clouds[rows, chosen[:, place - 1]][:, None]).square().sum(2)
        nearest = torch.minimum(nearest, distances)
        chosen[:, place] = nearest.argmax(1)
    return chosen.numpy()


def _nearest(clouds: NDArray[np.float32], centres: NDArray[np.float32], threads: int, each: Each) -> dict[str, Form]:
    from scipy.spatial import cKDTree

    points, places = torch.from_numpy(clouds), torch.from_numpy(centres)

    def scipy_tree(cloud: NDArray[np.float32], some: NDArray[np.float32]) -> Any:
        return cKDTree(cloud).query(some, NEIGHBOURS)[1]

    def matrix() -> NDArray[Any]:
        return torch.cdist(places, points).topk(NEIGHBOURS, largest=False).indices.numpy()  # type: ignore[no-any-return]

    return {
        OURS: lambda: ops.nearest_points(clouds, centres, NEIGHBOURS, threads=threads),
        TWIN: lambda: ops.nearest_points_numpy(clouds, centres, NEIGHBOURS),
        "torch": matrix,
        "SciPy's tree": lambda: np.stack(list(each(scipy_tree, clouds, centres))),
    }


def table(results: Sequence[Result]) -> str:
    """Markdown: a table for each part, a row for each case."""
    lines = ["Milliseconds a batch: median (10th to 90th percentile), and how many times ours that is.", ""]
    for part in PARTS:
        chosen = [result for result in results if result.part == part]
        if not chosen:
            continue
        forms = [form for form in chosen[0].timings if form != OURS]
        lines += [
            f"## {part}",
            "",
            f"| clouds | chosen | threads | ours | {' | '.join(forms)} |",
            "|---" * (4 + len(forms)) + "|",
        ]
        for result in chosen:
            ours = result.timings[OURS]
            cells = [f"{_cell(result.timings[form])}: {result.timings[form].median / ours.median:.1f}" for form in forms]
            what = CASES[result.case].centres if part == "farthest" else f"{CASES[result.case].centres} x {NEIGHBOURS}"
            lines.append(f"| {result.case} | {what} | {result.threads} | {_cell(ours)} | {' | '.join(cells)} |")
        lines.append("")
        if part == "farthest":
            worst = {form: max(result.quality[form] for result in chosen) for form in forms}
            lines += [
                "Covering radius over ours, at most: " + ", ".join(f"{form} {x:.3f}" for form, x in worst.items()) + ".",
                "",
            ]
        else:
            worst = {form: min(result.quality[form] for result in chosen) for form in forms}
            lines += ["Share of ours found, at least: " + ", ".join(f"{form} {x:.4f}" for form, x in worst.items()) + ".", ""]
    return "\n".join(lines)


def _cell(timing: Timing) -> str:
    return f"{timing.median:.3g} ({timing.p10:.3g} to {timing.p90:.3g})"


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
    results = [result for name in names for threads in counts for result in measure(name, threads, parts, options.seconds)]
    head = f"{machine}\nops: {ops.backend()}, {native_compiler()}"
    if options.into:
        found = {"machine": machine.to_dict(), "results": [dataclasses.asdict(result) for result in results]}
        options.into.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        text = f"# Point clouds, {datetime.now(tz=UTC).date()}\n\n{head}\n\n{table(results)}"
        options.into.with_suffix(".md").write_text(text, encoding="utf-8")
    print(f"{head}\n\n{table(results)}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.points",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--case", default=",".join(CASES), help=f"separated by commas (default: all of {', '.join(CASES)})")
    parser.add_argument("--part", default=",".join(PARTS), help="farthest, nearest (default: both)")
    parser.add_argument("--threads", default="1,2", help="of all forms, separated by commas (default: 1,2)")
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="of timing for each part (default: 3), 4 calls of each at least"
    )
    parser.add_argument("--into", type=Path, metavar="FILE", help="keep the numbers in this JSON file, and the table beside it")
    return parser


if __name__ == "__main__":
    sys.exit(main())
