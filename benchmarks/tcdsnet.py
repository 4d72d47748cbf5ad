"""python -m benchmarks.tcdsnet: TCDSNet against ProtoNet, DN4 and other selections, over the same few-shot episodes, several seeds."""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import plot, runs
from benchmarks.asking import CURVES, Results, ask
from benchmarks.machine import describe
from benchmarks.options import comparison, fail, refusal, tell

EXAMPLES = """\
examples:
  python -m benchmarks.tcdsnet --data cifar100.zip                        CIFAR-FS, every arm and seed; a second call goes on
  python -m benchmarks.tcdsnet --data cifar100.zip --report --write tcdsnet.md --plot fraction.png
                                                                          only tell of the runs that have ended
  python -m benchmarks.tcdsnet --data cifar100.zip --pilot --seeds 1      choices that the paper leaves open, on validation classes
  python -m benchmarks.tcdsnet --preset omniglot --data images_background_small1.zip --test-data images_background_small2.zip

protocol: for each seed one backbone is trained by a cosine classifier at every place; every arm starts from it and takes as many episodes of
the training classes, with 1 and 5 shots in turn (shots=). Test episodes are 5-way with 15 queries a class, of classes that training never
saw, and the same for every arm and seed; differences are paired by episode and averaged over seeds, with 95 % intervals over episodes.
Nothing is chosen by test classes.
"""
PLAIN = ("classifier=dn4",)
RANDOM = ("selection=random", "query=none")
ARMS: dict[str, tuple[str, ...]] = {
    "ProtoNet": ("classifier=protonet",),
    "DN4": PLAIN,
    "DN4, random selection": RANDOM,
    "all-support selection": ("selection=all_support",),
    "TCDSNet": (),
}
READ: dict[str, dict[str, tuple[str, ...]]] = {  # other rules on the backbone of an arm, nothing trained by them
    "DN4": {"DN4's backbone, TCDSNet's selection": (), "DN4's backbone, every second place": ("selection=grid",)},
    "TCDSNet": {"TCDSNet's backbone, all descriptors": PLAIN, "TCDSNet, half of the comparisons": ("query_fraction=0.65",)},
}
HALVES = ("fraction=0.5", "query_fraction=0.5")
PILOT: dict[str, tuple[str, ...]] = {
    "DN4": PLAIN,
    "TCDSNet": (),
    "halves": HALVES,
    "DN4, bare sum": (*PLAIN, "logit_scale=0"),
    "bare sum": ("logit_scale=0",),
    "halves, bare sum": (*HALVES, "logit_scale=0"),
    "support only": ("query=none",),
    "support only, bare sum": ("query=none", "logit_scale=0"),
    "class offset": ("class_offset=support",),
    "other images": ("other_images=true",),
    "other images, class offset": ("other_images=true", "class_offset=support"),
    "centred": ("center=task",),
    "one neighbour": ("neighbours=1",),
    "ten neighbours": ("neighbours=10",),
    "mean threshold": ("threshold=mean",),
    "ratio": ("score=ratio",),
    "adaptive queries": ("query=adaptive",),
    "contrast of one image": ("one_image=contrast",),
}
PRETRAINED = "pretrained"


@dataclass(frozen=True)
class Plan:
    """What is run on which data; `part` is the one whose episodes are asked."""

    out: Path
    data: Path
    test_data: Path | None
    preset: str
    seeds: int
    jobs: int
    arms: dict[str, tuple[str, ...]]
    episodes: int
    part: str
    overrides: tuple[str, ...]

    def model(self, arm: str, seed: int) -> Path:
        """Of one run."""
        return runs.folder(self.out, arm, seed) / "model.pt"

    def finished(self) -> list[tuple[str, int]]:
        """Arms and seeds whose training has ended."""
        return [(arm, seed) for arm in self.arms for seed in range(self.seeds) if self.model(arm, seed).exists()]


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what is not there yet, ask what was not asked yet, then print and write table and plot; returns the exit status."""
    given = _parser().parse_args(arguments)
    known = PILOT if given.pilot else ARMS
    if wrong := refusal(given, known, given.test_data):
        return fail(wrong)
    if given.episodes < 2:
        return fail(f"{given.episodes} episodes were given; an interval needs 2 or more")
    arms = {arm: known[arm] for arm in given.arm or known}
    out, part = (given.out / "pilot", "val") if given.pilot else (given.out, "test")
    plan = Plan(out, given.data, given.test_data, given.preset, given.seeds, given.jobs, arms, given.episodes, part, tuple(given.overrides))  # fmt: skip
    if not given.report:
        _train(plan, given.out)
    if not plan.finished():
        return fail(f"there is no finished run in {out}")
    found = _collect(plan, asked=not given.report)
    tell(_text(plan, found), found, out, given.write)
    if given.plot:
        _draw(found, given.plot)
    return 0


def _parser() -> argparse.ArgumentParser:
    drawn = "accuracy against the kept fraction"
    parser = comparison("tcdsnet", __doc__, EXAMPLES, data="images by class, a folder or a zip", drawn=drawn)
    parser.add_argument("--test-data", type=Path, help="test on another one's classes (Omniglot)")
    parser.add_argument("--preset", default="cifar_fs", help="of tcdsnet (default cifar_fs)")
    parser.add_argument("--episodes", type=int, default=2000, help="of each number of shots (default 2000)")
    parser.add_argument("--pilot", action="store_true", help="compare open choices on validation classes instead")
    return parser


def _train(plan: Plan, home: Path) -> None:
    """The backbones first, then the arms that start from them."""
    threads = runs.threads(plan.jobs)
    where = () if plan.test_data is None else (f"test_data={plan.test_data}",)
    common = ("--preset", plan.preset, *where, "shots=1,5", "test_episodes=100", "val_episodes=100", *plan.overrides)

    def backbone(seed: int) -> Path:
        return runs.folder(home, PRETRAINED, seed)

    def run(arm: str, seed: int) -> None:
        if arm == PRETRAINED:
            own: tuple[str, ...] = (*PLAIN, "episodes=0", f"seed={seed}")
            runs.train("tcdsnet", backbone(seed), plan.data, threads, [*common, *own])
        else:
            own = (*plan.arms[arm], f"start={backbone(seed) / 'model.pt'}", f"seed={seed}")
            runs.train("tcdsnet", plan.model(arm, seed).parent, plan.data, threads, [*common, *own])

    runs.together(run, runs.in_order([PRETRAINED], plan.seeds), plan.jobs)
    runs.together(run, runs.in_order(plan.arms, plan.seeds), plan.jobs)


def _collect(plan: Plan, *, asked: bool) -> dict[str, Any]:
    """Accuracy of every episode by arm and number of shots, one row a seed; and means along the kept fraction."""
    found: dict[str, Any] = {"machine": describe().to_dict(), "seeds": {}, "shots": {}, "curves": {}, "cpu_seconds": {}}
    for arm, seed in plan.finished():
        variants = {arm: plan.arms[arm]}
        if plan.part == "test":
            variants |= READ.get(arm, {})
        curves = CURVES.get(arm, {}) if plan.part == "test" else {}
        model, rest = plan.model(arm, seed), (plan.overrides, plan.preset, plan.episodes)
        results = ask(model, plan.data, plan.part, variants, curves, *rest, asked=asked)
        for name in variants:
            if all(f"{name}/{shots}" in results for shots in (1, 5)):
                found["seeds"].setdefault(name, []).append(seed)
                for shots in (1, 5):
                    row = found["shots"].setdefault(str(shots), {}).setdefault(name, {"accuracy": [], "most_predicted": []})
                    for key, values in results[f"{name}/{shots}"].items():
                        row[key].append(values)
        _add_curves(found["curves"], results)
        spent = runs.cpu_seconds(plan.model(arm, seed).parent)
        if spent is not None:
            found["cpu_seconds"].setdefault(arm, []).append(spent)
    return found


def _add_curves(curves: dict[str, Any], results: Results) -> None:
    for key, values in results.items():
        name, _, rest = key.partition("@")
        if rest:
            fraction, _, shots = rest.partition("/")
            at = curves.setdefault(f"{name}, {shots} shot{'s' if shots != '1' else ''}", {}).setdefault(fraction, [])
            at.append(statistics.mean(values["accuracy"]))


def _text(plan: Plan, found: dict[str, Any]) -> str:
    """The table, paired differences, and what was measured how."""
    data = plan.data.stem if plan.test_data is None else f"{plan.data.stem} to {plan.test_data.stem}"
    classes = "validation" if plan.part == "val" else "test"
    title = (
        f"{data}, preset {plan.preset}{''.join(f' {field}' for field in plan.overrides)}: 5-way accuracy in percent on {plan.episodes} "
        f"episodes of {classes} classes, 15 queries a class; mean over seeds ± half of the 95 % interval over episodes; share of the most "
        "predicted class at 5 shots (0.2 at best)."
    )
    lines = [
        title,
        "",
        *(f"    {line}" for line in str(describe()).splitlines()),
        "",
        "| | 1 shot | 5 shots | most predicted | seeds | CPU s a run |",
        "|---|---|---|---|---|---|",
    ]
    for name, seeds in found["seeds"].items():
        cells = [_interval(np.mean(found["shots"][shots][name]["accuracy"], axis=0)) for shots in ("1", "5")]
        most = np.mean(found["shots"]["5"][name]["most_predicted"])
        spent = found["cpu_seconds"].get(name)
        cells += [f"{most:.2f}", str(len(seeds)), f"{statistics.median(spent):.0f}" if spent else ""]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *_differences(found)])


def _interval(values: np.ndarray, sign: str = "") -> str:
    """Mean ± 1.96 standard errors."""
    half = 1.96 * values.std(ddof=1) / len(values) ** 0.5
    return f"{values.mean():{sign}.2f} ± {half:.2f}"


def _differences(found: dict[str, Any]) -> list[str]:
    """Accuracy of each arm minus DN4's, episode by episode, over the seeds that both have."""
    base = found["seeds"].get("DN4", [])
    lines = []
    for name, seeds in found["seeds"].items():
        shared = [seed for seed in base if seed in seeds]
        if name == "DN4" or not shared:
            continue
        parts = []
        for shots in ("1", "5"):
            rows = {arm: found["shots"][shots][arm]["accuracy"] for arm in (name, "DN4")}
            gaps = np.array([np.subtract(rows[name][seeds.index(s)], rows["DN4"][base.index(s)]) for s in shared])  # (seeds, n)
            each = ", ".join(f"{gap:+.2f}" for gap in gaps.mean(1))
            parts.append(f"{shots} shot{'s' if shots != '1' else ''} {_interval(gaps.mean(0), '+')} (by seed {each})")
        lines.append(f"- {name} minus DN4, paired by episode: {'; '.join(parts)}")
    return lines


def _draw(found: dict[str, Any], path: Path) -> None:
    curves = {
        name: sorted((float(fraction), statistics.mean(values)) for fraction, values in points.items())
        for name, points in sorted(found["curves"].items())
    }
    plot.curves(
        path, "5-way accuracy by kept descriptors", "fraction of each class's descriptors", "percent", curves, linear=True
    )


if __name__ == "__main__":
    sys.exit(main())
