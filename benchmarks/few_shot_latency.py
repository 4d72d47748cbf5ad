"""python -m benchmarks.few_shot_latency artifact/: what enrolling and classifying cost, by parts, beside torch and the pure ONNX matcher."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import runtime
from export.timing import Timing, interleaved
from runtime import ops
from runtime.pictures import write
from runtime.support_set import SupportSet
from runtime.tasks.few_shot_classifier import GRAPH, Described, FewShotClassifier
from runtime.whole import writing

from .hashing_latency import pinned
from .machine import describe

EXAMPLES = """examples:
  python -m benchmarks.few_shot_latency artifact/                        5 classes of drawn pictures, then 1,000 classes
  python -m benchmarks.few_shot_latency artifact/ --model model.pt       also torch, for time and for equal scores
  python -m benchmarks.few_shot_latency artifact/ --classes 20 --shots 1 --many 0 --threads 2 --into latency.json

enroll: "prepare" reads the photos of one class from their files and fits them, "descriptors" runs the graph, "whole" is one call of
task.enroll. classify, one image: "match" compares with what was selected before, "select, match" selects from all that is enrolled first,
as the matcher's graph does each time; "whole" is one call of task.classify. Of many classes, descriptors are drawn and no graph runs.
Scores are mean cosines; the graph `matcher` is compared where the artifact has it and the classes and shots fit its ports.
exit status: 0 done; 1 a score differs by more than 1e-5; 2 a mistake in what was given
"""
MATCHER, LIMIT = "matcher", 1e-5
EPISODES, QUERIES = 20, 8  # that scores are compared on
Modules = Mapping[str, Callable[..., Any]]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Parity:
    """Our scores against another's on the same descriptors.

    Args:
        beyond: how many of the scores differ by more than LIMIT.
        labels: images whose best class is another one.
    """

    other: str
    scores: int
    beyond: int
    labels: int
    largest: float


@dataclass(frozen=True)
class Many:
    """A large set of classes: seconds, and bytes held by descriptors and selection, at the peak of selecting, and in the file."""

    classes: int
    shots: int
    locations: int
    d: int
    select: float
    match: Timing
    save: float
    load: float
    held: int
    peak: int
    file: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit status."""
    given = _parser().parse_args(arguments)
    try:
        for name, least in (("threads", 1), ("rounds", 1), ("classes", 1), ("shots", 1), ("many", 0)):
            if getattr(given, name) is not None and getattr(given, name) < least:
                raise ValueError(f"--{name} {getattr(given, name)} was given; expected {least} or more")
        machine = describe()
        with pinned(given.threads) as cores, tempfile.TemporaryDirectory() as folder:
            task = runtime.load(given.artifact, threads=given.threads)
            if not isinstance(task, FewShotClassifier):
                raise ValueError(f"{given.artifact} is a {task.artifact.task}; expected a few_shot_classifier")
            shots = int(task.artifact.options.get("shots", 5)) if given.shots is None else given.shots
            modules = {} if given.model is None else _modules(given.model, given.threads)
            timings = latency(task, modules, given.classes, shots, given.rounds, Path(folder))
            compared = parity(task, modules, given.classes, shots)
            many = large(task, given.many, shots, given.rounds, Path(folder)) if given.many else None
    except (ValueError, OSError, MemoryError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(
        f"{machine}\n{ops.backend()} ops, {given.threads} thread(s), {cores}, {given.rounds} rounds in drawn order after 3 of warm-up"
    )
    print(
        f"{task.shape[0]} descriptors of {task.shape[1]} an image, {given.classes} classes of {shots} photos\n\n{table(timings)}"
    )
    print(f"\nscores of {EPISODES} episodes, {QUERIES} images each\n{parity_table(compared)}")
    if many is not None:
        print(f"\n{many_text(many)}")
    if given.into:
        found = {"machine": machine.to_dict(), "ops": ops.backend(), "pinned": cores, "threads": given.threads}
        found |= {"rule": asdict(task.rule), "shape": task.shape, "classes": given.classes, "shots": shots}
        found |= {"milliseconds": {kind: {name: asdict(time) for name, time in parts.items()} for kind, parts in timings.items()}}
        found |= {"parity": [asdict(row) for row in compared], "many": None if many is None else asdict(many)}
        with writing(given.into) as file:
            file.write((json.dumps(found, indent=1) + "\n").encode())
    return 1 if any(row.beyond for row in compared) else 0


def latency(
    task: FewShotClassifier, modules: Modules, classes: int, shots: int, rounds: int, folder: Path
) -> dict[str, dict[str, Timing]]:
    """What is done -> part -> its time."""
    import cv2

    cv2.setNumThreads(1)
    for at in range(classes):
        task.enroll(f"class {at}", [drawn_image(at, number) for number in range(shots)], batch_size=1)
    files = [folder / f"{number}.png" for number in range(shots)]
    for number, path in enumerate(files):
        write(path, drawn_image(classes, number))
    prepared = [task.prepare([path]) for path in files]

    def enroll() -> None:
        task.enroll("another", files, batch_size=1)
        task.forget("another")

    enrolling: dict[str, Callable[[], object]] = {
        "prepare": lambda: [task.prepare([path]) for path in files],
        "descriptors": lambda: [task.describe(image) for image in prepared],
        "whole": enroll,
    }
    described = task.describe(prepared[0])
    classifying: dict[str, Callable[[], object]] = {
        "prepare": lambda: task.prepare([files[0]]),
        "descriptors": lambda: task.describe(prepared[0]),
        "match": lambda: task.logits(described),
        "select, match": lambda: _afresh(task, described),
        "whole": lambda: task.classify(files[0]),
    }
    if fits(task, classes, shots):
        inputs = matcher_inputs(task, described)
        classifying["matcher, ONNX"] = lambda: task.session(MATCHER).run(["scores"], inputs)
        if modules:
            matcher = _in_torch(modules[MATCHER], *inputs.values())
            classifying["matcher, torch"] = matcher
    if modules:
        describes = [_in_torch(modules[GRAPH], image) for image in prepared]
        enrolling["descriptors, torch"] = lambda: [call() for call in describes]
        classifying["descriptors, torch"] = describes[0]
    found = {
        f"enroll {shots}": interleaved(enrolling, rounds=rounds),
        "classify": interleaved(classifying, rounds=rounds),
    }
    for name in list(task.classes):
        task.forget(name)
    return found


def parity(task: FewShotClassifier, modules: Modules, classes: int, shots: int) -> list[Parity]:
    """Our scores against those of the matcher's graph and of torch, over episodes of drawn pictures."""
    others: dict[str, list[Floats]] = {}
    ours = []
    for episode in range(EPISODES):
        named: dict[str, Floats] = {}
        for at in range(classes):
            shown = [drawn_image(at, number, episode) for number in range(shots)]
            named[f"class {at}"] = np.concatenate([task.describe(task.prepare([image])).descriptors for image in shown])
        task.support.fill(named)
        for number in range(QUERIES):
            described = task.describe(task.prepare([drawn_image(number % classes, shots + number, episode)]))
            chosen = task.support.chosen()
            mask = chosen.select(chosen.centred(described.descriptors), described.thresholds)
            scale = mask.sum() * chosen.neighbours()
            ours.append(task.logits(described)[0] / scale)
            if fits(task, classes, shots):
                inputs = matcher_inputs(task, described)
                row = task.session(MATCHER).run(["scores"], inputs)[0][0]
                others.setdefault("matcher, ONNX", []).append(row / scale)
                if modules:
                    others.setdefault("matcher, torch", []).append(
                        _in_torch(modules[MATCHER], *inputs.values())()[0].numpy()[0] / scale
                    )
    task.support.fill({})
    return [_compare(name, np.stack(ours), np.stack(rows)) for name, rows in others.items()]


def large(task: FewShotClassifier, classes: int, shots: int, rounds: int, folder: Path) -> Many:
    """Many classes of drawn descriptors: selection, an answer, the file and the memory."""
    locations, d = task.shape
    generator = np.random.default_rng(0)
    held = SupportSet(task.shape, task.rule)
    for at in range(classes):
        held.enroll(f"class {at}", drawn_descriptors(generator, shots, locations, d))
    tracemalloc.start()
    held_before = held.nbytes
    held.chosen()
    peak = held_before + tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    held.enroll("passing", drawn_descriptors(generator, shots, locations, d))
    select = _seconds(held.chosen)
    held.forget("passing")
    query = Described(drawn_descriptors(generator, 1, locations, d), np.zeros((1, locations), np.float32))
    task.support = held
    match = interleaved({"match": lambda: task.logits(query)}, rounds=min(rounds, 20))["match"]
    path = folder / "many.fsc"
    save = _seconds(lambda: task.save(path))
    size = held.nbytes
    task.support = SupportSet(task.shape, task.rule)
    load = _seconds(lambda: task.load_classes(path))
    shape = classes, shots, locations, d
    return Many(*shape, select=select, match=match, save=save, load=load, held=size, peak=peak, file=path.stat().st_size)


def fits(task: FewShotClassifier, classes: int, shots: int) -> bool:
    """Whether the artifact has a matcher whose ports take so many."""
    graph = next((graph for graph in task.artifact.graphs if graph.name == MATCHER), None)
    if graph is None:
        return False
    support = next(port for port in graph.inputs if port.name == "support")
    rows = support.shape[1]
    axis = task.artifact.axes["classes"]
    right = shots * task.shape[0] == rows if isinstance(rows, int) else shots * task.shape[0] <= task.artifact.axes[rows].max
    return right and axis.min <= classes <= axis.max


def matcher_inputs(task: FewShotClassifier, described: Described) -> dict[str, Floats]:
    """What the matcher's graph takes, in the order of its ports."""
    held = task.support.descriptors().values()
    found = {"support": np.stack([rows.reshape(-1, rows.shape[2]) for rows in held]), "query": described.descriptors}
    return found if described.thresholds is None else {**found, "threshold": described.thresholds}


def drawn_image(kind: int, number: int, episode: int = 0) -> NDArray[np.uint8]:
    """A picture of coloured clouds, those of a kind alike: uint8 (240, 320, 3)."""
    common = np.random.default_rng((episode, kind)).integers(0, 256, (4, 5, 3))
    own = np.random.default_rng((episode, kind, number)).integers(0, 256, (8, 10, 3))
    coarse, fine = (ops.resize(part.astype(np.uint8), (240, 320), "bilinear").astype(np.int64) for part in (common, own))
    return ((coarse + fine) // 2).astype(np.uint8)


def drawn_descriptors(generator: np.random.Generator, images: int, locations: int, d: int) -> Floats:
    """Unit rows around a vector of their own class, (images, locations, d)."""
    found = generator.normal(size=(images, locations, d)).astype(np.float32) + generator.normal(size=d).astype(np.float32)
    return found / np.linalg.norm(found, axis=-1, keepdims=True)


def _afresh(task: FewShotClassifier, described: Described) -> Floats:
    _choose_all(task.support)
    return task.logits(described)


def _choose_all(held: SupportSet) -> None:
    held.fill(held.descriptors())
    held.chosen()


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _modules(model: Path, threads: int) -> Modules:
    import torch

    from train.checkpoint import restore

    torch.set_num_threads(threads)
    return restore(model).exportable().modules


def _in_torch(module: Callable[..., Any], *arrays: NDArray[Any]) -> Callable[[], Any]:
    """A call of a module on arrays that were handed over before."""
    import torch

    inputs = [torch.from_numpy(array) for array in arrays]

    def call() -> Any:
        with torch.inference_mode():
            return module(*inputs)

    return call


def _compare(name: str, ours: Floats, theirs: Floats) -> Parity:
    """Scores (n, classes)."""
    gap = np.abs(ours.astype(np.float64) - theirs)
    return Parity(name, gap.size, int((gap > LIMIT).sum()), int((ours.argmax(1) != theirs.argmax(1)).sum()), float(gap.max()))


def table(timings: dict[str, dict[str, Timing]]) -> str:
    """A line a part."""
    lines = [f"{'':<12} {'part':<20} {'median':>11} {'p10':>9} {'p90':>9}"]
    for kind, parts in timings.items():
        lines += [
            f"{kind:<12} {name:<20} {found.median:>8.3f} ms {found.p10:>9.3f} {found.p90:>9.3f}" for name, found in parts.items()
        ]
    return "\n".join(lines)


def parity_table(rows: Sequence[Parity]) -> str:
    """A line for each that was compared with."""
    if not rows:
        return "not compared: the artifact has no matcher for so many classes and shots"
    lines = [f"{'against':<16} {'scores':>7} {'beyond 1e-5':>12} {'other labels':>13} {'largest':>9}"]
    return "\n".join(
        lines + [f"{row.other:<16} {row.scores:>7} {row.beyond:>12} {row.labels:>13} {row.largest:>9.1e}" for row in rows]
    )


def many_text(found: Many) -> str:
    """The large set in a few lines."""
    megabytes = {name: getattr(found, name) / 1e6 for name in ("held", "peak", "file")}
    return (
        f"{found.classes} classes of {found.shots} photos, {found.locations} descriptors of {found.d}: after a change, "
        f"selection takes {found.select:.3f} s; matching an image {found.match.median:.2f} ms\n"
        f"memory {megabytes['held']:.0f} MB, {megabytes['peak']:.0f} MB while selecting; file {megabytes['file']:.0f} MB, "
        f"saved in {found.save:.2f} s, loaded in {found.load:.2f} s"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.few_shot_latency",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("artifact", type=Path, help="of task few_shot_classifier")
    parser.add_argument("--model", type=Path, help="the model.pt that the artifact was exported from: torch beside it")
    parser.add_argument("--classes", type=int, default=5, help="that an image is compared with (default: 5)")
    parser.add_argument("--shots", type=int, help="photos of each class (default: what the matcher was exported for, or 5)")
    parser.add_argument("--many", type=int, default=1000, help="classes of the large set; 0: none (default: 1000)")
    parser.add_argument("--threads", type=int, default=1, help="of everything (default: 1)")
    parser.add_argument("--rounds", type=int, default=30, help="calls of each part (default: 30)")
    parser.add_argument(
        "--into", type=Path, metavar="OUT.json", help="also write the numbers, the machine and the versions as JSON"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
