"""python -m benchmarks.clic: CLIC against MoCo v2, a random encoder, training from scratch and hand-made measures, several seeds."""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks import plot, runs
from benchmarks.complexity_measures import MEASURES
from benchmarks.complexity_readings import Floats, Read, agreement, drawn_labels, read_by_hand, read_model, ridge, set_aside
from benchmarks.machine import describe
from benchmarks.options import comparison, fail, refusal, tell
from train.data.complexity import Rated, rated

EXAMPLES = """\
examples:
  python -m benchmarks.clic --data photos.zip --rated savoias.zip          every arm and seed; a second call goes on
  python -m benchmarks.clic --data photos.zip --rated savoias.zip further=sr.zip epochs=100
  python -m benchmarks.clic --data photos.zip --rated savoias.zip --report --write clic.md --plot clic.png
                                                                           only tell of the runs that have ended

protocol: encoders are trained on --data without any rating and without the rated images. All of these are then read. Without labels: the
activation, the first principal component, and hand-made measures. Few labels: ridge regression on the ratings of 5, 10 or 30 % of each
category, tested on the others, the same 10 splits for every arm and seed; penalty and weight of the embedding beside hand-made measures are
by leave-one-out on the labelled. Another category: ridge, or a linear head trained by the method itself, on all ratings of the other
categories. Ratings of two categories need not be comparable: "within" is the mean over categories. Errors are in points of 100. The preset
small was chosen by ratings of one half of Savoias' images, drawn by a hash: those (--set-aside) may be labelled and are never tested. The
random encoder has the batch statistics of one epoch. Drawn images: Spearman's correlation with the level.
"""
MIX = ("complexity_weight=0", "contrast_weight=1")
AUGMENTED = ("positives=aug", *MIX)
PUBLISHED = (
    "complexity_fit=distance",
    "entropy=grey",
    "regions=0",
    "contrast_weight=1",
    "complexity_weight=16",  # with the published 0.25 the activation follows entropy loosely at this length
)
ARMS: dict[str, tuple[str, ...]] = {
    "CLIC": (),
    "complexity-aware loss alone": ("contrast_weight=0",),
    "CLIC, its loss as published": PUBLISHED,
    "random crop and mix alone": MIX,
    "MoCo v2": AUGMENTED,
    "random encoder": (*AUGMENTED, "learning_rate=0", "epochs=1"),
}
HEADED, SCRATCH = "CLIC, trained head", "supervised from scratch"
HEADS: dict[str, tuple[str, ...]] = {
    HEADED: (),
    SCRATCH: ("frozen=false",),
}  # trained on ratings, once for each category left out
COMPONENT = ", principal component"
BY_HAND, BOTH = "hand-made", " + hand-made"
BESIDE = ("grey entropy", "JPEG bytes", "number of colours")  # of the hand-made measures
DRAWN_BESIDE = ("CLIC", "random encoder")
SHARES, SPLITS = (0.05, 0.1, 0.3), 10
WITHIN = "within/pcc"
PAIRS = (  # of ways to predict from few labels
    ("CLIC", "random encoder"),
    ("CLIC", BY_HAND),
    ("CLIC", "complexity-aware loss alone"),
    ("CLIC", "CLIC, its loss as published"),
    ("CLIC", "MoCo v2"),
    ("CLIC", "random crop and mix alone"),
    (f"CLIC{BOTH}", BY_HAND),
    (f"CLIC{BOTH}", f"random encoder{BOTH}"),
)

Rows: TypeAlias = NDArray[np.int64]
Way = list[Any]  # of each seed what was measured


@dataclass(frozen=True)
class Plan:
    """What is run on which data."""

    out: Path
    data: Path
    rated: Path
    preset: str
    seeds: int
    jobs: int
    arms: tuple[str, ...]
    overrides: tuple[str, ...]
    aside: float

    def tested(self, images: Rated) -> Rows:
        """The images whose ratings nothing was chosen by."""
        return np.setdiff1d(np.arange(len(images)), set_aside(images, self.aside))

    def model(self, arm: str, seed: int, category: str = "") -> Path:
        """Of one run; of a head that of the category left out."""
        return runs.folder(self.out, f"{arm} {category}" if category else arm, seed) / "model.pt"

    def fields(self, arm: str, seed: int, left_out: str = "", categories: Sequence[str] = ()) -> list[str]:
        """Of one run; an arm's own fields come after what is given for every arm."""
        common = ["--preset", self.preset, *self.overrides, f"seed={seed}"]
        if arm in ARMS:
            return [*common, *ARMS[arm]]
        start = [f"weights={self.model('CLIC', seed)}"] if arm == HEADED else []
        known = ",".join(name for name in categories if name != left_out)
        ends = ["epochs=0", "score_head=linear", f"rated={self.rated}", f"head_categories={known}"]
        return [*common, *ends, *start, *HEADS[arm]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what is not there yet, then print and write tables and plot; returns the exit status."""
    given = _parser().parse_args(arguments)
    arms = tuple(given.arm or (*ARMS, *HEADS))
    try:
        images = _checked(given, arms)
    except (ValueError, OSError) as error:
        return fail(str(error))
    plan = Plan(
        given.out, given.data, given.rated, given.preset, given.seeds, given.jobs, arms, tuple(given.overrides), given.set_aside
    )
    if not given.report:
        _train(plan, sorted(set(images.categories)))
    found = _collect(plan, images)
    if not found["seeds"]:
        return fail(f"there is no finished run in {plan.out}")
    tell(report(found), found, plan.out, given.write)
    if given.plot:
        plot.curves(given.plot, "rated images, few labels", "percent labelled", "PCC within", lines(found), linear=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    data = "photographs without labels, a folder or a zip"
    parser = comparison("clic", __doc__, EXAMPLES, data=data, drawn="agreement by the share of labels")
    parser.add_argument("--rated", type=Path, required=True, help="images with people's ratings, in Savoias' or IC9600's layout")
    parser.add_argument("--preset", default="small", help="of clic (default small)")
    parser.add_argument(
        "--set-aside", type=float, default=0.5, metavar="SHARE",
        help="of each category, whose ratings may have been read while a preset was chosen and are not tested (default 0.5)",
    )  # fmt: skip
    return parser


def _checked(given: argparse.Namespace, arms: Sequence[str]) -> Rated:
    """The rated images, of IC9600's layout those of the test part; an error says what was given wrongly."""
    if wrong := refusal(given, (*ARMS, *HEADS)):
        raise ValueError(wrong)
    if not 0 <= given.set_aside < 1:
        raise ValueError(f"--set-aside {given.set_aside:g} was given; expected a share of 0 or more and below 1")
    if HEADED in arms and "CLIC" not in arms:
        raise ValueError(f"the arm {HEADED!r} starts from CLIC; give --arm CLIC too")
    parts = rated(given.rated)
    images = parts.get("all") or parts.get("test") or parts["train"]
    if len(set(images.categories)) < 2:
        raise ValueError(f"{given.rated} has one category; expected two or more, of which each is left out in turn")
    return images


def _train(plan: Plan, categories: Sequence[str]) -> None:
    """The encoders first, then the heads, one of which starts from CLIC's."""
    threads = runs.threads(plan.jobs)
    heads = {f"{arm} {name}": (arm, name) for arm in plan.arms if arm in HEADS for name in categories}

    def run(called: str, seed: int) -> None:
        arm, left_out = heads.get(called, (called, ""))
        fields = plan.fields(arm, seed, left_out, categories)
        runs.train("clic", plan.model(arm, seed, left_out).parent, plan.data, threads, fields)

    runs.together(run, runs.in_order([arm for arm in plan.arms if arm in ARMS], plan.seeds), plan.jobs)
    runs.together(run, runs.in_order(heads, plan.seeds), plan.jobs)


def _collect(plan: Plan, images: Rated) -> dict[str, Any]:
    """What is read of every finished run and of the images alone; lists are by seed."""
    found: dict[str, Any] = {"machine": describe().to_dict(), "title": f"{plan.rated.stem}, {len(images)} images in "
        f"{len(set(images.categories))} categories, of which {len(plan.tested(images))} are tested; trained on {plan.data.stem}, preset {plan.preset}"
        + "".join(f" {field}" for field in plan.overrides), "seeds": {}, "cpu_seconds": {}, "free": {}, "few": {}, "across": {},
        "levels": {}, "categories": sorted(set(images.categories))}  # fmt: skip
    for arm in plan.arms:
        for seed in range(plan.seeds):
            if arm in ARMS and plan.model(arm, seed).exists():
                _add_arm(found, plan, arm, seed, read_model(plan.model(arm, seed), images), images)
            elif arm in HEADS:
                _add_head(found, plan, arm, seed, images)
    if found["seeds"]:
        _add_by_hand(found, plan, read_by_hand(plan.out, images), images)
    return found


def _add_arm(found: dict[str, Any], plan: Plan, arm: str, seed: int, read: Read, images: Rated) -> None:
    found["seeds"].setdefault(arm, []).append(seed)
    spent = runs.cpu_seconds(plan.model(arm, seed).parent)
    if spent is not None:
        found["cpu_seconds"].setdefault(arm, []).append(spent)
    tested = plan.tested(images)
    errors = agreement(images, read.score, tested, scaled=True)
    for of, values in (("activation", read.activation), ("pc1", read.pc1)):
        name = f"{arm}{COMPONENT}" if of == "pc1" else arm
        free = agreement(images, values, tested, scaled=False)
        if of == read.score_of:
            free |= {measure: value for measure, value in errors.items() if measure.endswith("rmse")}
        found["free"].setdefault(name, []).append(free)
        found["levels"].setdefault(name, []).append(read.levels[of])
    hand = read_by_hand(plan.out, images)
    for way, blocks in ((arm, [read.embedding]), (f"{arm}{BOTH}", [read.embedding, hand])):
        _add_ridge(found, plan, way, blocks, images)


def _add_ridge(found: dict[str, Any], plan: Plan, way: str, blocks: Sequence[Floats], images: Rated) -> None:
    """Few labels, and every category by the others."""
    every, tested = np.arange(len(images)), plan.tested(images)

    def asked(labelled: Any) -> dict[str, float]:
        return agreement(images, ridge(blocks, images.scores, labelled), np.setdiff1d(tested, labelled), scaled=True)

    few = {f"{share:g}": [asked(drawn_labels(images, share, split)) for split in range(SPLITS)] for share in SHARES}
    found["few"].setdefault(way, []).append(few)
    across = {name: asked(np.setdiff1d(every, images.rows(name))) for name in found["categories"]}
    found["across"].setdefault(way, []).append(across)


def _add_head(found: dict[str, Any], plan: Plan, arm: str, seed: int, images: Rated) -> None:
    models = {name: plan.model(arm, seed, name) for name in found["categories"]}
    if not all(model.exists() for model in models.values()):
        return
    across = {}
    for name, model in models.items():
        score = read_model(model, images).head
        assert score is not None
        own = agreement(images, score, np.intersect1d(plan.tested(images), images.rows(name)), scaled=True)
        across[name] = {measure: own[measure] for measure in ("pcc", "srcc", "rmse")}
    found["seeds"].setdefault(arm, []).append(seed)
    found["across"].setdefault(arm, []).append(across)
    spent = [runs.cpu_seconds(model.parent) for model in models.values()]
    found["cpu_seconds"].setdefault(arm, []).append(sum(value or 0 for value in spent))


def _add_by_hand(found: dict[str, Any], plan: Plan, hand: Floats, images: Rated) -> None:
    tested = plan.tested(images)
    for name, values in zip(MEASURES, hand.T, strict=True):
        found["free"][name] = [agreement(images, values, tested, scaled=False)]
    _add_ridge(found, plan, BY_HAND, [hand], images)


def report(found: dict[str, Any]) -> str:
    """Tables, paired differences, and what was measured how."""
    text = [
        f"{found['title']}; mean ± standard deviation over seeds.",
        "",
        *(f"    {line}" for line in str(describe()).splitlines()),
    ]
    for title, rows in (
        ("without labels", _free(found)),
        ("without labels, each category: PCC / SRCC / RMSE of the label-free score", _categories(found, found["free"])),
        ("few labels: PCC within categories / PCC of all / RMSE, mean over splits", _few(found)),
        ("another category, by the ratings of the others: PCC / SRCC / RMSE", _categories(found, _by_category(found))),
        ("drawn images of known complexity: SRCC with the level", _levels(found)),
    ):
        text += ["", f"**{title}**", "", *rows]
    return "\n".join([*text, "", *differences(found)])


def _table(titles: Sequence[str], rows: Iterator[tuple[str, list[str]]]) -> list[str]:
    lines = ["| | " + " | ".join(titles) + " |", "|---" * (len(titles) + 1) + "|"]
    return lines + [f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows]


def _free(found: dict[str, Any]) -> list[str]:
    def rows() -> Iterator[tuple[str, list[str]]]:
        for name, way in found["free"].items():
            cells = [runs.spread([values[measure] for values in way], 3) for measure in (WITHIN, "within/srcc", "pcc", "srcc")]
            spent = found["cpu_seconds"].get(name)
            yield (
                name,
                [*cells, str(len(way)) if name in found["seeds"] else "", f"{statistics.median(spent):.0f}" if spent else ""],
            )

    return _table(("PCC within", "SRCC within", "PCC of all", "SRCC of all", "seeds", "CPU s a run"), rows())


def _by_category(found: dict[str, Any]) -> dict[str, Way]:
    """The figures across categories, named as those without labels are."""
    return {
        name: [{f"{of}/{m}": value for of, values in seed.items() for m, value in values.items() if "/" not in m} for seed in way]
        for name, way in found["across"].items()
    }


def _categories(found: dict[str, Any], ways: dict[str, Way]) -> list[str]:
    def rows() -> Iterator[tuple[str, list[str]]]:
        for name, way in ways.items():
            cells = []
            for of in found["categories"]:
                told = [(f"{of}/{measure}", digits) for measure, digits in (("pcc", 3), ("srcc", 3), ("rmse", 1))]
                cells.append(
                    " / ".join(runs.spread([values[key] for values in way], digits) for key, digits in told if key in way[0])
                )
            yield name, cells

    return _table(found["categories"], rows())


def _few(found: dict[str, Any]) -> list[str]:
    def rows() -> Iterator[tuple[str, list[str]]]:
        for name, way in found["few"].items():
            cells = []
            for share in SHARES:
                told = ((WITHIN, 3), ("pcc", 3), ("rmse", 1))
                cells.append(" / ".join(runs.spread([_mean(values, share, m) for values in way], digits) for m, digits in told))
            yield name, cells

    return _table([f"{100 * share:g} %" for share in SHARES], rows())


def _mean(values: dict[str, Any], share: float, measure: str) -> float:
    """Over the splits of one seed."""
    return statistics.mean(split[measure] for split in values[f"{share:g}"])


def _levels(found: dict[str, Any]) -> list[str]:
    kinds = list(next(iter(found["levels"].values()))[0]) if found["levels"] else []
    cells = ((arm, [runs.spread([values[kind] for values in way], 3) for kind in kinds]) for arm, way in found["levels"].items())
    return _table(kinds, cells) if kinds else []


def differences(found: dict[str, Any]) -> list[str]:
    """Label-free by seed, few labels by split; of what both sides have."""
    told = []
    for way, called in (("CLIC", "activation"), (f"CLIC{COMPONENT}", "principal component")):
        for name in BESIDE if way in found["free"] else ():
            gaps = [mine[WITHIN] - found["free"][name][0][WITHIN] for mine in found["free"][way]]
            listed = ", ".join(f"{gap:+.3f}" for gap in gaps)
            told.append(f"- without labels, PCC within: CLIC's {called} minus {name}, by seed {listed}")
    for one, other in PAIRS:
        if one not in found["few"] or other not in found["few"]:
            continue
        parts = []
        for share in SHARES:
            gaps_by_split = _by_split(found, one, share) - _by_split(found, other, share)  # (splits,)
            half = 1.96 * gaps_by_split.std(ddof=1) / SPLITS**0.5
            above = int((gaps_by_split > 0).sum())
            parts.append(f"{100 * share:g} % {gaps_by_split.mean():+.3f} ± {half:.3f}, above in {above} of {SPLITS}")
        told.append(f"- PCC within of {one} minus {other}, paired by split (means over seeds): {'; '.join(parts)}")
    return told


def _by_split(found: dict[str, Any], way: str, share: float) -> Floats:
    """PCC within of each split, the mean over seeds."""
    every = [[split[WITHIN] for split in seed[f"{share:g}"]] for seed in found["few"][way]]
    return np.asarray(np.mean(every, axis=0), np.float64)


def lines(found: dict[str, Any]) -> dict[str, list[tuple[float, float]]]:
    """PCC within by percent of labels, the mean over seeds and splits; beside hand-made measures only of what DRAWN_BESIDE names."""
    ways = [name for name in found["few"] if BOTH not in name or name.removesuffix(BOTH) in DRAWN_BESIDE]
    return {name: [(100 * share, float(_by_split(found, name, share).mean())) for share in SHARES] for name in ways}


if __name__ == "__main__":
    sys.exit(main())
