"""python -m benchmarks.cmah: CMAH against contrast alone, masked autoencoding alone and random hyperplanes, several seeds."""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import plot, runs
from benchmarks.machine import describe
from benchmarks.options import comparison, fail, refusal, tell

if TYPE_CHECKING:
    from train.checkpoint import Checkpoint

EXAMPLES = """\
examples:
  python -m benchmarks.cmah                                          every arm and seed on the embedded data; a second call goes on
  python -m benchmarks.cmah --report --write cmah.md --plot cmah.png only tell of the runs that have ended
  python -m benchmarks.cmah --data ModelNet40/ --preset edge --seeds 1 --arm CMAH
  python -m benchmarks.cmah --steps 300 --seeds 1 --arm CMAH --arm "contrast only" --out runs/pilot

protocol: queries are test instances, the database is the training split; a query has one cloud and `test_views` images; relevant is what has
the query's family; ties count by their expectation over all orders. "conditions": the test instances under held-out rendering conditions.
"unseen": families never trained on, half of which ask and half of which join the database. "contrast only, as long" has as many more
steps as a step of it is cheaper than one of CMAH's; every other arm has as many steps. LSH: random hyperplanes of an arm's float embedding,
the mean of several draws; float: that embedding's cosine. "masked autoencoding only" has no aligned embedding: standardised pooled
tokens stand in its place.
"""
CONTRAST = ("reconstruction_weight=0", "masked_weight=0")
ARMS = {
    "CMAH": (),
    "contrast only": CONTRAST,
    "masked autoencoding only": ("contrast_weight=0",),
    "contrast only, as long": CONTRAST,
    "masked contrast only": ("reconstruction_weight=0",),
}
SECOND = ("contrast only, as long", "masked contrast only")  # after the three that the question is about
LONGER = 1.5  # CPU seconds of a step of CMAH over those of a step of contrast only, preset small, measured on one core
DIRECTIONS = ("image_to_shape", "shape_to_image")
WITHIN = ("image_to_image", "shape_to_shape")
SETS = {
    "": "test instances",
    "conditions/": "test instances, held-out rendering conditions",
    "unseen/": "families never trained on",
}


@dataclass(frozen=True)
class Plan:
    """What is run on which data."""

    out: Path
    data: Path | None
    preset: str
    steps: int
    seeds: int
    jobs: int
    arms: tuple[str, ...]
    overrides: tuple[str, ...]

    def fields(self, arm: str, seed: int) -> tuple[str, ...]:
        """Of one run."""
        steps = round(self.steps * LONGER) if arm.endswith("as long") else self.steps
        return (f"seed={seed}", f"steps={steps}", *ARMS[arm], *self.overrides)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what is not there yet, then print and write tables and plot; returns the exit status."""
    given = _parser().parse_args(arguments)
    if wrong := refusal(given, ARMS):
        return fail(wrong)
    arms = tuple(given.arm or ARMS)
    plan = Plan(given.out, given.data, given.preset, given.steps, given.seeds, given.jobs, arms, tuple(given.overrides))
    if not given.report:
        threads = runs.threads(plan.jobs)

        def run(arm: str, seed: int) -> None:
            fields = ["--preset", plan.preset, *plan.fields(arm, seed)]
            runs.train("cmah", runs.folder(plan.out, arm, seed), plan.data, threads, fields)

        runs.together(run, runs.in_order(plan.arms, plan.seeds, SECOND), plan.jobs)
    found = runs.collect(plan.out, plan.arms, plan.seeds, _deployed)
    if not found["seeds"]:
        return fail(f"there is no finished run in {plan.out}")
    tell(report(found), found, plan.out, given.write)
    if given.plot:
        plot.curves(given.plot, "test instances, both directions", "bits", "mAP", lines(found), linear=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    data = "a folder of shapes; without it, the embedded ones"
    parser = comparison("cmah", __doc__, EXAMPLES, data=data, drawn="mAP by code length", required=False)
    parser.add_argument("--preset", default="small", help="of every arm (default small)")
    parser.add_argument("--steps", type=int, default=3000, help="of every arm (default 3000)")
    return parser


def _deployed(saved: Checkpoint) -> int:
    """Parameters of the encoders and hash heads."""
    return runs.parameters(saved.model, "points.", "image.", "point_heads.codes.", "image_heads.codes.")


def report(found: dict[str, Any]) -> str:
    """Tables of each set, differences paired by seed, and what was measured how."""
    lengths = next(iter(found["config"].values()))["bits"]
    config = next(iter(found["config"].values()))
    text = [
        (
            f"{config['steps']} steps of {config['batch']} pairs; mean ± standard deviation over seeds; each cell: images to shapes / shapes to "
            "images. CPU s: a whole run with its evaluation; parameters: of the deployed encoders and heads."
        ),
        "",
        *(f"    {line}" for line in str(describe()).splitlines()),
    ]
    for prefix, title in SETS.items():
        if not any(name.startswith(f"{prefix}image_to_shape/") for values in found["measures"].values() for name in values):
            continue
        for measure, called in (("map", "mAP of the whole ranking"), ("map50", "mAP@50")):
            text += ["", f"**{title}: {called}**", "", *_table(found, prefix, measure, lengths)]
    text += [
        "",
        "**test instances, images to images / shapes to shapes: mAP of the whole ranking**",
        "",
        *_table(found, "", "map", lengths, WITHIN),
    ]
    text += ["", "**test instances: recall of the very instance, and the codes**", "", *_second(found, lengths)]
    return "\n".join([*text, "", *_differences(found, lengths)])


def _table(
    found: dict[str, Any], prefix: str, measure: str, lengths: Sequence[int], directions: Sequence[str] = DIRECTIONS
) -> list[str]:
    """Arms and ways down, code lengths and the float embedding across."""
    rows = ["| | " + " | ".join(f"{length} bits" for length in lengths) + " | float | seeds | CPU s |"]
    rows.append("|---" * (len(lengths) + 4) + "|")
    for arm, values in found["measures"].items():
        spent = found["cpu_seconds"].get(arm)
        end = f" | {len(found['seeds'][arm])} | {f'{statistics.median(spent):.0f}' if spent else ''} |"
        ways = [("", "{}", True), (", LSH", "lsh_{}", False)]
        for called, way, first in ways:
            cells = [_both(values, prefix, way.format(length), measure, directions) for length in lengths]
            coded = f"image_to_shape/{lengths[0]}/map" in values
            rest = _both(values, prefix, "float", measure, directions) if first or not coded else ""
            if any(cells) or (first and rest and f"{directions[0]}/lsh_{lengths[0]}/map" not in values):
                rows.append(f"| {arm}{called} | " + " | ".join(cells) + f" | {rest}{end}")
    if measure == "map":
        chance = _both(next(iter(found["measures"].values())), prefix, "chance", measure, directions)
        rows.append("| all tie | " + " | ".join([chance] * len(lengths)) + " | | | |")
    return rows


def _both(values: dict[str, list[float]], prefix: str, way: str, measure: str, directions: Sequence[str] = DIRECTIONS) -> str:
    """Of both directions, or of the one that there is."""
    names = [f"{prefix}{direction}/{way}/{measure}" for direction in directions]
    return " / ".join(runs.spread(values[name], 3) for name in names if name in values)


def _second(found: dict[str, Any], lengths: Sequence[int]) -> list[str]:
    rows = ["| | bits | R@1 | R@10 | precision within radius 2 | imbalance | entropy | correlation |", "|---" * 8 + "|"]
    for arm, values in found["measures"].items():
        for length in lengths:
            if f"image_to_shape/{length}/map" not in values:
                continue
            cells = [_both(values, "", str(length), measure) for measure in ("r1", "r10", "precision_r2")]
            for name in ("imbalance", "entropy", "correlation"):
                cells.append(
                    " / ".join(f"{statistics.mean(values[f'{kind}/{length}/{name}']):.3f}" for kind in ("image", "shape"))
                )
            rows.append(f"| {arm} | {length} | " + " | ".join(cells) + " |")
    return rows


def _differences(found: dict[str, Any], lengths: Sequence[int]) -> list[str]:
    """mAP of CMAH's codes minus that of each other way, over the seeds that both have."""
    ours = found["seeds"].get("CMAH", [])
    told = []
    for arm, seeds in found["seeds"].items():
        shared = [seed for seed in ours if seed in seeds]
        for called, way in (("", "{}"), (", LSH", "lsh_{}")):
            if not shared or (arm == "CMAH" and not called):
                continue
            parts = []
            for prefix in SETS:
                for length in lengths:
                    gaps = _gaps(found, (prefix, str(length)), (arm, way.format(length)), shared)
                    if gaps:
                        parts.append(f"{prefix}{length} bits {' / '.join(runs.spread(values, 3) for values in gaps)}")
            if parts:
                told.append(f"- mAP of CMAH minus that of {arm}{called}, paired by seed: {'; '.join(parts)}")
    return told


def _gaps(found: dict[str, Any], mine: tuple[str, str], other: tuple[str, str], shared: Sequence[int]) -> list[list[float]]:
    prefix, own = mine
    arm, way = other
    gaps = []
    for direction in DIRECTIONS:
        first = found["measures"]["CMAH"].get(f"{prefix}{direction}/{own}/map")
        second = found["measures"][arm].get(f"{prefix}{direction}/{way}/map")
        if first and second:
            at: Callable[[str, int], int] = lambda name, seed: found["seeds"][name].index(seed)  # noqa: E731
            gaps.append([first[at("CMAH", seed)] - second[at(arm, seed)] for seed in shared])
    return gaps


def lines(found: dict[str, Any]) -> dict[str, list[tuple[float, float]]]:
    """mAP, the mean of both directions and of seeds, by code length: a curve for each arm's codes and one for LSH."""
    curves: dict[str, list[tuple[float, float]]] = {}
    for arm, values in found["measures"].items():
        for called, way in (("", "{}"), (", LSH", "lsh_{}")):
            for length in found["config"][arm]["bits"]:
                names = [f"{direction}/{way.format(length)}/map" for direction in DIRECTIONS]
                if all(name in values for name in names):
                    mean = statistics.mean(value for name in names for value in values[name])
                    curves.setdefault(f"{arm}{called}", []).append((length, mean))
    return curves


if __name__ == "__main__":
    sys.exit(main())
