"""python -m benchmarks.comkd_cifar100: ComKD-CLIP against its baselines on CIFAR-100, 50 base and 50 new classes, several seeds."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import describe

EXAMPLES = """\
examples:
  python -m benchmarks.comkd_cifar100 --data cifar100.zip                    trains the teacher first
  python -m benchmarks.comkd_cifar100 --data cifar100.zip --teacher model.pt --seeds 5 --epochs 10

protocol: 32x32 images, classes in alphabetical order, the first 50 are base; the teacher saw captions of all training images, students
see the same images without labels (but for the supervised one); selection on held-out training images; test images are read once
"""
ARMS = {
    "supervised student": ("kl_weight=0", "align_weight=0", "attention=none", "label_weight=1", "head=learned"),
    "FD": ("kl_weight=0", "align_weight=0", "attention=none", "feature_weight=2000"),
    "KL (plain KD)": ("align_weight=0", "attention=none"),
    "KL + FD": ("align_weight=0", "attention=none", "feature_weight=2000"),
    "ComKD": (),
}
MEASURES = ("base", "new", "hm", "top1", "ece")


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what is not there yet, then print and write the table; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.comkd_cifar100",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="CIFAR-100 as train/ and test/ class folders, a folder or a zip")
    parser.add_argument("--teacher", type=Path, help="a model.pt of comkd_clip; without it one is trained")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/cifar100"), help="runs (default runs/cifar100); a second call goes on"
    )
    parser.add_argument("--seeds", type=int, default=3, help="of students (default 3)")
    parser.add_argument("--epochs", type=float, default=6.0, help="of students, the same for all (default 6)")
    given = parser.parse_args(arguments)
    teacher = given.teacher or _train(given.out / "teacher", given.data, "epochs=0.05", "select_every=0")
    for seed in range(given.seeds):
        for arm, overrides in ARMS.items():
            common = (f"teacher={teacher}", "pretrain_epochs=0", f"epochs={given.epochs}", f"seed={seed}", "select_every=0")
            _train(given.out / f"{arm.replace(' ', '_')}-{seed}", given.data, *common, f"cache={given.out / 'cache'}", *overrides)
            _report(given.out, given.epochs, teacher)
    print(_report(given.out, given.epochs, teacher))
    return 0


def _train(out: Path, data: Path, *overrides: str) -> Path:
    """The model.pt of one run, trained if it is not there."""
    model = out / "model.pt"
    if not model.exists():
        began = time.process_time(), time.perf_counter()
        command = [
            sys.executable,
            "-m",
            "train.run",
            "comkd_clip",
            "--preset",
            "cifar100",
            "--data",
            str(data),
            "--out",
            str(out),
        ]
        subprocess.run([*command, "--precision", "bf16-mixed", "--resume", *overrides], check=True, stdout=subprocess.DEVNULL)
        (out / "seconds.json").write_text(json.dumps({"wall": time.perf_counter() - began[1]}), encoding="utf-8")
    return model


def _report(out: Path, epochs: float, teacher: Path) -> str:
    """The table so far; also written to results.json beside the runs."""
    from train import checkpoint

    found: dict[str, dict[str, list[float]]] = {}
    parameters: dict[str, int] = {}
    for arm in ARMS:
        for path in sorted(out.glob(f"{arm.replace(' ', '_')}-*/model.pt")):
            saved = checkpoint.load(path)
            parameters[arm] = _count(saved.model, "student.")
            for tower, name in (("student", arm), ("teacher", "teacher")):
                if tower == "teacher" and "teacher" in found:
                    continue
                for key in MEASURES:
                    found.setdefault(name, {}).setdefault(key, []).append(saved.metrics[f"test/{tower}/{key}"])
    parameters["teacher"] = _count(checkpoint.load(teacher).model, "teacher.")
    (out / "results.json").write_text(
        json.dumps({"machine": describe().to_dict(), "epochs": epochs, "parameters": parameters, "test": found}, indent=1),
        encoding="utf-8",
    )
    lines = ["| | base | new | HM | top-1 of 100 | ECE | parameters |", "|---|---|---|---|---|---|---|"]
    for name in ("teacher", *ARMS):
        if name in found:
            cells = " | ".join(_spread(found[name][key]) for key in MEASURES)
            lines.append(f"| {name} | {cells} | {parameters.get(name, 0):,} |")
    return "\n".join(lines)


def _count(state: dict[str, Any], prefix: str) -> int:
    return sum(value.numel() for name, value in state.items() if name.startswith(prefix))


def _spread(values: Sequence[float]) -> str:
    return f"{values[0]:.1f}" if len(values) == 1 else f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}"


if __name__ == "__main__":
    sys.exit(main())
