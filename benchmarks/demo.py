"""python -m benchmarks.demo: the whole straight line on embedded scenes, from nothing to labels, with a table at the end."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import describe
from benchmarks.runs import precision

EXAMPLES = """\
examples:
  python -m benchmarks.demo                     everything, into runs/demo
  python -m benchmarks.demo --out /tmp/demo     elsewhere
  python -m benchmarks.demo --fresh             throw an earlier demo in the same folder away
"""

# Runs in a process of its own, which must not load torch.
ASK = """
import json, sys, time
from pathlib import Path
import runtime
from runtime.ops import backend
artifact, folder = sys.argv[1], Path(sys.argv[2])
names = json.loads((folder / "labels.json").read_text())
paths = [folder / name for name in names]
task = runtime.load(artifact, threads=1)
found = task.classify(paths, top_k=1)
right = sum(answer.label == names[path.name] for path, answer in zip(paths, found))
spent = []
for path in paths[:50]:
    began = time.perf_counter()
    task.classify(path)
    spent.append(time.perf_counter() - began)
print(json.dumps({"accuracy": 100 * right / len(paths), "ms": sorted(spent)[len(spent) // 2] * 1e3, "ops": backend(),
    "torch": "torch" in sys.modules, "shown": [[path.name, names[path.name], answer.label, answer.probability]
    for path, answer in list(zip(paths, found))[:5]]}))
"""


@dataclass(frozen=True)
class Row:
    """One line of the table; accuracies in percent, on test images."""

    name: str
    base: float
    new: float
    hm: float
    parameters: int
    note: str = ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, distil, export, verify, classify, tell; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.demo",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder of the demo (default runs/demo)")
    parser.add_argument("--fresh", action="store_true", help="start again where a demo is in the folder already")
    given = parser.parse_args(arguments)
    began = time.perf_counter()
    if given.fresh:
        _forget(given.out)
    runs = {name: given.out / name for name in ("comkd", "kd")}
    _step("1/4 train a teacher on captioned scenes, distil ComKD-CLIP's student from it")
    _train(runs["comkd"])
    _step("2/4 distil the same student with plain KD (KL only), for comparison")
    _train(runs["kd"], f"teacher={runs['comkd'] / 'model.pt'}", "pretrain_epochs=0", "align_weight=0", "attention=none")
    _step("3/4 export the student to ONNX and hold it against torch")
    artifact = given.out / "artifact"
    _run("export.onnx", str(runs["comkd"] / "model.pt"), "--out", str(artifact), "--graphs", "closed,open", "--force")
    _step("4/4 classify images it was not trained on, in a process without torch")
    answers = _ask(artifact, _write_images(runs["comkd"] / "model.pt", given.out / "images"))
    if answers["torch"]:
        print("the runtime's process loaded torch, which it must not", file=sys.stderr)
        return 1
    _table(_rows(runs), artifact, answers, time.perf_counter() - began)
    return 0


def _step(text: str) -> None:
    print(f"\n{text}", file=sys.stderr, flush=True)


def _forget(out: Path) -> None:
    """Remove what a demo wrote, and nothing else."""
    import shutil

    for name in ("comkd", "kd", "artifact", "images"):
        shutil.rmtree(out / name, ignore_errors=True)


def _run(module: str, *arguments: str) -> None:
    finished = subprocess.run([sys.executable, "-m", module, *arguments], stdout=subprocess.DEVNULL, check=False)
    if finished.returncode:
        raise SystemExit(finished.returncode)


def _train(out: Path, *overrides: str) -> None:
    """Train, go on with a run that was broken off, or take one that has ended."""
    if (out / "model.pt").exists():
        print(f"{out / 'model.pt'} is there from an earlier demo and is used; --fresh starts again", file=sys.stderr)
        return
    _run("train.run", "comkd_clip", "--preset", "scenes", "--precision", precision(), "--out", str(out), "--resume", *overrides)


def _write_images(model: Path, folder: Path, count: int = 240) -> Path:
    """Test scenes as PNG files, base and new classes alike, and their labels."""
    import cv2

    from train import checkpoint
    from train.methods.comkd_clip.preparation import open_data

    config = checkpoint.restore(model).config
    data = open_data(config, None)
    folder.mkdir(parents=True, exist_ok=True)
    labels = {}
    for index in np.linspace(0, len(data.test) - 1, count).astype(int):
        name = f"scene_{index:05d}.png"
        cv2.imwrite(str(folder / name), data.test.read(int(index))[:, :, ::-1])
        labels[name] = data.classes[data.test.labels[index]]
    (folder / "labels.json").write_text(json.dumps(labels, indent=1), encoding="utf-8")
    return folder


def _ask(artifact: Path, folder: Path) -> dict[str, Any]:
    finished = subprocess.run(
        [sys.executable, "-c", ASK, str(artifact), str(folder)], capture_output=True, text=True, check=False
    )
    if finished.returncode:
        raise SystemExit(finished.stderr)
    return json.loads(finished.stdout)  # type: ignore[no-any-return]


def _rows(runs: dict[str, Path]) -> list[Row]:
    from train import checkpoint

    rows = []
    for name, label, tower in (
        ("comkd", "teacher", "teacher"),
        ("comkd", "student, ComKD-CLIP", "student"),
        ("kd", "student, plain KD", "student"),
    ):
        path = runs[name] / "model.pt"
        metrics = checkpoint.load(path).metrics
        method = checkpoint.restore(path)
        module = method.get_submodule(tower)
        parameters = sum(parameter.numel() for parameter in module.parameters())
        base, new, hm = (metrics[f"test/{tower}/{key}"] for key in ("base", "new", "hm"))
        rows.append(Row(label, base, new, hm, parameters))
    return rows


def _table(rows: Sequence[Row], artifact: Path, answers: dict[str, Any], seconds: float) -> None:
    size = (artifact / "closed.onnx").stat().st_size
    print(f"\n{describe()}")
    print(
        "\nsynthetic scenes; accuracy in percent on test images: among base classes, among held-out (new) classes, harmonic mean"
    )
    print(f"{'':<22}{'base':>7}{'new':>7}{'HM':>7}{'parameters':>13}")
    for row in rows:
        print(f"{row.name:<22}{row.base:>7.1f}{row.new:>7.1f}{row.hm:>7.1f}{row.parameters:>13,}")
    print(
        f"\nat the edge, without torch ({answers['ops']} ops): {answers['accuracy']:.1f} % top-1 among all classes on 240 test scenes,"
    )
    print(f"{answers['ms']:.2f} ms an image from file to label on one thread, {size / 1e6:.2f} MB of ONNX")
    for name, truth, label, probability in answers["shown"]:
        print(f"  {name}: {label} ({probability:.0%}){'' if label == truth else f', truly {truth}'}")
    print(f"\nwritten: runs and models in {artifact.parent}, artifact in {artifact}, images in {artifact.parent / 'images'}")
    print(f"try: python -m runtime.run {artifact} {artifact.parent / 'images'} --top-k 1")
    print(f"{seconds:.0f} s in all")


if __name__ == "__main__":
    sys.exit(main())
