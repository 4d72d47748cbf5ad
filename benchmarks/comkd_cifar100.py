"""python -m benchmarks.comkd_cifar100: ComKD-CLIP against its baselines on CIFAR-100, 50 base and 50 new classes, several seeds."""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import runs
from benchmarks.machine import describe
from benchmarks.options import comparison, fail, refusal, tell

EXAMPLES = """\
examples:
  python -m benchmarks.comkd_cifar100 --data cifar100.zip                    trains the teacher first
  python -m benchmarks.comkd_cifar100 --data cifar100.zip --teacher model.pt --seeds 5 --epochs 10
  python -m benchmarks.comkd_cifar100 --data cifar100.zip --pilot --seeds 1 --epochs 2
                                                        choices that the paper leaves open, on held-out training images

protocol: 32x32 images, classes in alphabetical order, the first 50 are base; the teacher saw captions of all training images, students
see the same images without labels (but for the supervised one); a tenth of the training images is held out, and no choice is made by
anything but them; test images are read once
"""
KL_ONLY = ("align_weight=0", "attention=none")
ARMS = {
    "supervised student": ("kl_weight=0", *KL_ONLY, "label_weight=1", "head=learned"),
    "FD": ("kl_weight=0", *KL_ONLY, "feature_weight=2000"),
    "KL (plain KD)": KL_ONLY,
    "KL + FD": (*KL_ONLY, "feature_weight=2000"),
    "ComKD": (),
}
SECOND = ("supervised student", "FD", "KL + FD")  # after the pair that the question is about
MEAN = ("align_reduction=mean", "align_weight=1")
RANDOM = (*MEAN, "attention_start=random")
PILOT = {
    "KL (plain KD)": KL_ONLY,
    "ComKD": (),
    "ComKD, random start": ("attention_start=random", "attention_scale=0.01"),
    "ComKD, IFAlign mean 1": MEAN,
    "ComKD, IFAlign mean 1, random start": (*RANDOM, "attention_scale=0.01"),
    "ComKD, IFAlign mean 1, random start, C 0.0001": (*RANDOM, "attention_scale=0.0001"),
    "ComKD, IFAlign mean 1, plain attention": (*RANDOM, "attention=plain", "attention_scale=0.001"),
    "ComKD, IFAlign mean 4, random start": (*RANDOM, "align_weight=4", "attention_scale=0.01"),
}
MEASURES = ("base", "new", "hm", "top1", "ece")


@dataclass(frozen=True)
class Plan:
    """What is run on which data; `split` is the part whose figures are shown."""

    out: Path
    data: Path
    teacher: Path
    seeds: int
    epochs: float
    jobs: int
    arms: dict[str, tuple[str, ...]]
    split: str
    overrides: tuple[str, ...]

    def folder(self, arm: str, seed: int) -> Path:
        """Of one run."""
        return runs.folder(self.out, arm, seed)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what is not there yet, then print and write the table; returns the exit status."""
    given = _parser().parse_args(arguments)
    known, split = (PILOT, "val") if given.pilot else (ARMS, "test")
    if wrong := refusal(given, known, given.teacher):
        return fail(wrong)
    arms = {arm: known[arm] for arm in given.arm or known}
    if all("label_weight=1" in fields for fields in arms.values()):
        return fail("only the supervised student was asked for, which shows nothing of the teacher; give a further --arm")
    teacher = given.teacher or _train(given.out / "teacher", given.data, os.cpu_count() or 1, "epochs=0.05", "select_every=0")
    out = given.out / "pilot" if given.pilot else given.out
    plan = Plan(out, given.data, teacher, given.seeds, given.epochs, given.jobs, arms, split, tuple(given.overrides))
    if not given.report:
        _students(plan)
    if not list(out.glob("*-*/model.pt")):
        return fail(f"there is no finished student in {out}")
    found = _collect(plan)
    tell(_text(plan, found), found, out, given.write)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = comparison(
        "comkd_cifar100", __doc__, EXAMPLES, data="CIFAR-100 as train/ and test/ class folders, a folder or a zip"
    )
    parser.add_argument("--teacher", type=Path, help="a model.pt of comkd_clip; without it one is trained")
    parser.add_argument("--epochs", type=float, default=10.0, help="of students, the same for all (default 10)")
    parser.add_argument("--pilot", action="store_true", help="compare open choices on held-out training images instead")
    return parser


def _students(plan: Plan) -> None:
    """Every arm with every seed; the first run alone, since it leaves the teacher's features for the others."""
    pairs = runs.in_order(plan.arms, plan.seeds, SECOND)
    threads = runs.threads(plan.jobs)
    common = (f"teacher={plan.teacher}", "pretrain_epochs=0", f"epochs={plan.epochs}", "select_every=0")
    cache = f"cache={plan.teacher.parent / 'features'}"

    def run(arm: str, seed: int) -> None:
        _train(plan.folder(arm, seed), plan.data, threads, *common, cache, f"seed={seed}", *plan.arms[arm], *plan.overrides)

    first = next(pair for pair in pairs if "label_weight=1" not in plan.arms[pair[0]])
    if not any((plan.teacher.parent / "features").glob("*.npy")):
        run(*first)
    runs.together(run, pairs, plan.jobs)


def _train(out: Path, data: Path, threads: int, *overrides: str) -> Path:
    return runs.train("comkd_clip", out, data, threads, ["--preset", "cifar100", "--precision", runs.precision(), *overrides])


def _collect(plan: Plan) -> dict[str, Any]:
    """Figures of all runs by arm, in the order of seeds."""
    from train import checkpoint

    measures: dict[str, dict[str, list[float]]] = {}
    parameters: dict[str, int] = {}
    seconds: dict[str, list[float]] = {}
    seeds: dict[str, list[int]] = {}
    for arm in plan.arms:
        for seed in range(plan.seeds):
            if not (plan.folder(arm, seed) / "model.pt").exists():
                continue
            saved = checkpoint.load(plan.folder(arm, seed) / "model.pt")
            seeds.setdefault(arm, []).append(seed)
            parameters[arm] = _count(saved.model, "student.")
            for tower, name in (("student", arm), ("teacher", "teacher")):
                if tower == "student" or "label_weight=1" not in plan.arms[arm]:
                    for key in MEASURES:
                        measures.setdefault(name, {}).setdefault(key, []).append(saved.metrics[f"{plan.split}/{tower}/{key}"])
            spent = runs.cpu_seconds(plan.folder(arm, seed))
            if spent is not None:
                seconds.setdefault(arm, []).append(spent)
    measures["teacher"] = {key: values[:1] for key, values in measures["teacher"].items()}  # the same in every run
    state = checkpoint.load(plan.teacher).model
    parameters |= {"teacher": _count(state, "teacher."), "teacher's image tower": _count(state, "teacher.image.")}
    return {
        "machine": describe().to_dict(),
        "split": plan.split,
        "epochs": plan.epochs,
        "seeds": seeds,
        "parameters": parameters,
        "cpu_seconds": seconds,
        "measures": measures,
    }


def _count(state: dict[str, Any], prefix: str) -> int:
    """Parameters, without the constants beside them."""
    return runs.parameters(state, prefix, without=(".mean", ".std", "student.logit_scale"))


def _text(plan: Plan, found: dict[str, Any]) -> str:
    measures, parameters = found["measures"], found["parameters"]
    what = "held-out training images" if plan.split == "val" else "test images"
    title = (
        f"CIFAR-100, {what}, accuracy in percent: among the 50 base classes, among the 50 new ones, their harmonic mean, top-1 of "
        f"100; expected calibration error; {plan.epochs:g} epochs, mean ± standard deviation over the seeds of the student; one teacher."
    )
    lines = [
        title,
        "",
        *(f"    {line}" for line in str(describe()).splitlines()),
        "",
        "| | base | new | HM | top-1 | ECE | seeds | parameters | CPU s a run |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in ("teacher", *found["seeds"]):
        cells = " | ".join(runs.spread(measures[name][key]) for key in MEASURES)
        count, spent = len(found["seeds"].get(name, [0])), found["cpu_seconds"].get(name)
        lines.append(
            f"| {name} | {cells} | {count} | {parameters[name]:,} | {f'{statistics.median(spent):.0f}' if spent else ''} |"
        )
    lines += ["", *_differences(found)]
    teacher, share = measures["teacher"]["hm"][0], parameters["teacher's image tower"]
    lines += [
        "",
        f"HM relative to the teacher's {teacher:.1f}: "
        + ", ".join(f"{arm} {statistics.mean(measures[arm]['hm']) / teacher:.1%}" for arm in found["seeds"])
        + f". The teacher's image tower alone has {share:,} parameters.",
    ]
    return "\n".join(lines)


def _differences(found: dict[str, Any]) -> list[str]:
    """Harmonic means against plain KD's, over the seeds that both have."""
    of = {arm: dict(zip(seeds, found["measures"][arm]["hm"], strict=True)) for arm, seeds in found["seeds"].items()}
    base = of.pop("KL (plain KD)", {})
    lines = []
    for arm, values in of.items():
        gaps = [value - base[seed] for seed, value in values.items() if seed in base]
        if gaps:
            shown = ", ".join(f"{gap:+.2f}" for gap in gaps)
            lines.append(f"- HM of {arm} minus KL's, paired by seed: {runs.spread(gaps)} ({shown})")
    return lines


if __name__ == "__main__":
    sys.exit(main())
