"""python -m benchmarks.hashing_latency artifact/: what a query costs from file to hits, by parts; and codes against torch, bit by bit."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import runtime
from export.timing import Timing, interleaved
from runtime import clouds, ops
from runtime.pictures import write
from runtime.prepare import SUFFIXES
from runtime.tasks.cross_modal_hasher import IMAGE, POINTS, CrossModalHasher, pack
from runtime.whole import writing

from .machine import describe

EXAMPLES = """examples:
  python -m benchmarks.hashing_latency artifact/                           a drawn picture and cloud, against 1,000,000 random codes
  python -m benchmarks.hashing_latency artifact/ --image photo.jpg --cloud part.ply --bits 64 --threads 2 --into latency.json
  python -m benchmarks.hashing_latency artifact/ --model model.pt          also 1,000 embedded test things coded by torch: which bits differ
  python -m benchmarks.hashing_latency artifact/ --model model.pt --data models/    the same of the files below a folder

parts: "preprocess" reads the file and makes the graph's input of it (a cloud: "read", then "group"), "encode" runs the graph and packs
its signs, "search" scans all codes for the nearest, "re-rank" does so and orders four times as many by the query's numbers, "whole" is
one call of task.search. The process is held to as many cores as there are threads, where the system allows it.
exit status: 0 done; 1 a bit differs from torch's where its logit is 1e-4 or more from 0; 2 a mistake in what was given
"""
MARGIN = 1e-4  # a logit nearer to 0 than this may round to either side
BATCH = 32


@dataclass(frozen=True)
class Flips:
    """One graph and length of codes, ONNX Runtime against torch on the same prepared inputs.

    Args:
        bits: that differ.
        codes: that have such a bit.
        outside: of those bits, where torch's logit is MARGIN or more from 0.
        near: part of all logits that are nearer to 0 than MARGIN.
        largest: difference of two logits.
    """

    graph: str
    length: int
    items: int
    bits: int
    codes: int
    outside: int
    near: float
    largest: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit status."""
    given = _parser().parse_args(arguments)
    try:
        for name in ("threads", "rounds", "codes", "k", "items"):
            if getattr(given, name) < 1:
                raise ValueError(f"--{name} {getattr(given, name)} was given; expected 1 or more")
        if given.data is not None and given.model is None:
            raise ValueError("--data is for the comparison with torch; give --model too")
        machine = describe()
        with pinned(given.threads) as cores, tempfile.TemporaryDirectory() as folder:
            task = runtime.load(given.artifact, threads=given.threads)
            if not isinstance(task, CrossModalHasher):
                raise ValueError(f"{given.artifact} is a {task.artifact.task}; expected a cross_modal_hasher")
            timings = latency(task, given, Path(folder))
        compared = [] if given.model is None else parity(task, _modules(given.model), items(task, given.data, given.items))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    bits = task.bits if given.bits is None else given.bits
    print(
        f"{machine}\n{ops.backend()} ops, {given.threads} thread(s), {cores}, {given.rounds} rounds in drawn order after 3 of warm-up"
    )
    print(f"{given.codes:,} codes of {bits} bits, {given.k} nearest\n\n{table(timings)}")
    if compared:
        print(f"\nagainst torch\n{flips_table(compared)}")
    if given.into:
        found = {"machine": machine.to_dict(), "ops": ops.backend(), "pinned": cores, "codes": given.codes, "bits": bits}
        found |= {"threads": given.threads, "k": given.k, "flips": [asdict(row) for row in compared]}
        found |= {"milliseconds": {kind: {name: asdict(time) for name, time in parts.items()} for kind, parts in timings.items()}}
        with writing(given.into) as file:
            file.write((json.dumps(found, indent=1) + "\n").encode())
    return 1 if any(row.outside for row in compared) else 0


@contextmanager
def pinned(threads: int) -> Iterator[str]:
    """Hold this process, and the threads it starts, to as many cores; says how."""
    if not hasattr(os, "sched_setaffinity"):
        yield "not pinned: this system cannot"
        return
    before = os.sched_getaffinity(0)
    chosen = sorted(before)[:threads]
    os.sched_setaffinity(0, chosen)
    try:
        yield f"pinned to core {', '.join(map(str, chosen))}"
    finally:
        os.sched_setaffinity(0, before)


def latency(task: CrossModalHasher, given: argparse.Namespace, folder: Path) -> dict[str, dict[str, Timing]]:
    """Kind of query -> part -> its time, for the graphs that the artifact has."""
    import cv2

    cv2.setNumThreads(given.threads)
    index = task.index(given.bits, threads=given.threads)
    generator = np.random.default_rng(0)
    index.add(generator.integers(0, 256, (given.codes, index.bits // 8), dtype=np.uint8))
    graphs = {graph.name for graph in task.artifact.graphs}
    found: dict[str, dict[str, Timing]] = {}
    if IMAGE in graphs:
        image = given.image or _written(folder / "photo.png", drawn_image((480, 640)))
        found[f"image, {image.name}"] = interleaved(_image_parts(task, index, image, given.k), rounds=given.rounds)
    if POINTS in graphs:
        cloud = given.cloud or _written(folder / "cloud.npy", drawn_cloud(20_000))
        found[f"cloud, {cloud.name}"] = interleaved(_cloud_parts(task, index, cloud, given.k), rounds=given.rounds)
    return found


def _image_parts(task: CrossModalHasher, index: Any, image: Path, k: int) -> dict[str, Callable[[], object]]:
    prepared = task.prepare_images([image])
    logits = task.answer_images(prepared, index.bits)
    return {
        "preprocess": lambda: task.prepare_images([image]),
        "encode": lambda: pack(task.answer_images(prepared, index.bits)),
        **_search_parts(index, logits, k),
        "whole": lambda: task.search(index, images=image, k=k),
    }


def _cloud_parts(task: CrossModalHasher, index: Any, cloud: Path, k: int) -> dict[str, Callable[[], object]]:
    read = task.read_points(cloud)
    prepared = task.group_points([read])
    logits = task.answer_points(*prepared, index.bits)
    return {
        "preprocess": lambda: task.prepare_points([cloud]),
        "  read": lambda: task.read_points(cloud),
        "  group": lambda: task.group_points([read]),
        "encode": lambda: pack(task.answer_points(*prepared, index.bits)),
        **_search_parts(index, logits, k),
        "whole": lambda: task.search(index, points=cloud, k=k),
    }


def _search_parts(index: Any, logits: np.ndarray, k: int) -> dict[str, Callable[[], object]]:
    code, query = pack(logits), np.tanh(logits)
    return {"search": lambda: index.search(code, k), "re-rank": lambda: index.search(code, k, rerank=query)}


def _written(path: Path, content: np.ndarray) -> Path:
    if path.suffix == ".npy":
        np.save(path, content)
    else:
        write(path, content)
    return path


def drawn_image(size: tuple[int, int]) -> np.ndarray:
    """An ellipse on a slope of grey, with noise, uint8 (h, w, 3)."""
    y, x = (axis / side for axis, side in zip(np.indices(size), size, strict=True))
    found = np.repeat((90 + 80 * x + 50 * y)[:, :, None], 3, axis=2)  # (h, w, 3)
    found[((x - 0.5) / 0.3) ** 2 + ((y - 0.5) / 0.2) ** 2 < 1] = (150, 60, 40)
    return (found + np.random.default_rng(0).normal(0, 4, found.shape)).clip(0, 255).astype(np.uint8)


def drawn_cloud(count: int) -> np.ndarray:
    """Points on an ellipsoid, float32 (count, 3)."""
    ball = np.random.default_rng(0).normal(size=(count, 3))
    return (ball / np.linalg.norm(ball, axis=1, keepdims=True) * (1, 0.6, 0.3)).astype(np.float32)


def items(task: CrossModalHasher, data: Path | None, count: int) -> dict[str, list[Any]]:
    """What both sides code, by graph: up to `count` files below a folder, or the first things of the embedded test part."""
    if data is None:
        from train.data.shapes3d import open_shapes

        size = max(task.geometry.size)
        test = open_shapes(None, seed=0, size=size, points=task.points, views=1, train=1, val=1, test=count).test
        things = test.select(range(count)).in_memory()
        return {
            IMAGE: [things.image(row, 0) for row in range(count)],
            POINTS: [things.cloud(row) for row in range(count)],
        }
    files = [path for path in sorted(data.rglob("*")) if path.is_file()]
    kinds = {IMAGE: SUFFIXES, POINTS: clouds.SUFFIXES}
    found = {graph: [path for path in files if path.suffix.lower() in kinds[graph]][:count] for graph in kinds}
    if not any(found.values()):
        raise ValueError(f"there is no image, cloud or mesh below {data}")
    return found


def _modules(model: Path) -> Mapping[str, Callable[..., Any]]:
    from train.checkpoint import restore

    return restore(model).exportable().modules


def parity(task: CrossModalHasher, modules: Mapping[str, Callable[..., Any]], given: Mapping[str, Sequence[Any]]) -> list[Flips]:
    """Each graph in torch and in ONNX Runtime on the same prepared inputs."""
    import torch

    found = []
    size = min(BATCH, task.artifact.axes["batch"].max)
    for graph in task.artifact.graphs:
        names = [port.name for port in graph.outputs]
        ours: list[list[np.ndarray]] = []
        theirs: list[list[np.ndarray]] = []
        for start in range(0, len(given[graph.name]), size):
            part = given[graph.name][start : start + size]
            arrays: tuple[np.ndarray, ...] = (task.prepare_images(part),) if graph.name == IMAGE else task.prepare_points(part)
            inputs = {port.name: array for port, array in zip(graph.inputs, arrays, strict=True)}
            ours.append(task.session(graph.name).run(names, inputs))
            with torch.inference_mode():
                outputs = modules[graph.name](*(torch.from_numpy(array) for array in arrays))
            theirs.append([output.numpy() for output in outputs])
        for place, name in enumerate(names):
            if ours and name.startswith("code_"):
                pair = (np.concatenate([part[place] for part in side]) for side in (ours, theirs))
                found.append(flips(graph.name, *pair))
    return found


def flips(graph: str, ours: np.ndarray, theirs: np.ndarray) -> Flips:
    """Which signs of logits (n, length) differ."""
    differ = (ours >= 0) != (theirs >= 0)
    near = np.abs(theirs) < MARGIN
    return Flips(
        graph,
        ours.shape[1],
        items=len(ours),
        bits=int(differ.sum()),
        codes=int(differ.any(1).sum()),
        outside=int((differ & ~near).sum()),
        near=float(near.mean()),
        largest=float(np.abs(ours.astype(np.float64) - theirs).max()),
    )


def table(timings: dict[str, dict[str, Timing]]) -> str:
    """A line a part."""
    lines = [f"{'query':<24} {'part':<12} {'median':>11} {'p10':>9} {'p90':>9}"]
    for kind, parts in timings.items():
        for name, time in parts.items():
            lines.append(f"{kind:<24} {name:<12} {time.median:>8.3f} ms {time.p10:>9.3f} {time.p90:>9.3f}")
    return "\n".join(lines)


def flips_table(rows: Sequence[Flips]) -> str:
    """A line a graph and length."""
    lines = [f"{'graph':<12} {'bits':>5} {'items':>6} {'bits that differ':>17} {'outside 1e-4':>13} {'largest error':>14}"]
    for row in rows:
        part = f"{row.graph:<12} {row.length:>5} {row.items:>6} {row.bits:>17} {row.outside:>13} {row.largest:>14.1e}"
        lines.append(f"{part}   ({row.bits / row.items:.4f} a code; {row.near:.2e} of logits are within 1e-4)")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.hashing_latency",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("artifact", type=Path, help="of task cross_modal_hasher")
    parser.add_argument("--image", type=Path, help="the query (default: a drawn picture of 640x480)")
    parser.add_argument("--cloud", type=Path, help="the query (default: a drawn cloud of 20,000 points)")
    parser.add_argument("--codes", type=int, default=1_000_000, help="that are searched, random (default: 1000000)")
    parser.add_argument("--bits", type=int, help="of the artifact's lengths (default: the longest)")
    parser.add_argument("-k", type=int, default=10, help="nearest that are asked for (default: 10)")
    parser.add_argument("--threads", type=int, default=1, help="of everything (default: 1)")
    parser.add_argument("--rounds", type=int, default=50, help="calls of each part (default: 50)")
    parser.add_argument("--model", type=Path, help="the model.pt that the artifact was exported from: compare codes with torch")
    parser.add_argument("--items", type=int, default=1000, help="images and clouds that are compared (default: 1000)")
    parser.add_argument(
        "--data", type=Path, help="folder of images, clouds and meshes to compare (default: the embedded test things)"
    )
    parser.add_argument(
        "--into", type=Path, metavar="OUT.json", help="also write the numbers, the machine and the versions as JSON"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
