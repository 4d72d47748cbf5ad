"""python -m benchmarks.bidfc: BIDFC against SimCLR, MoCo v2 and training from scratch, on few labels of SAR chips, several seeds."""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterator, Sequence
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
  python -m benchmarks.bidfc --data mstar.zip                                       every arm and seed; a second call goes on
  python -m benchmarks.bidfc --data mstar.zip --report --write bidfc.md --plot labels.png   only tell of the runs that have ended
  python -m benchmarks.bidfc --data mstar.zip --arm BIDFC --arm SimCLR --seeds 2 --labels 0.03125
  python -m benchmarks.bidfc --preset scenes --seeds 1 --labels 0.1                 drawn chips

protocol: chips are cut from their centre at native resolution. For each arm and seed one encoder is pretrained on all training chips
without their labels; each share of labels then trains a classifier on it, with the encoder frozen (linear) or not (fine-tuned). Labels
are as many of each class, drawn by the seed, and the same for all arms. The weights after the last step are tested, once; nothing is
chosen by test chips. "whole chips": the published protocol, which resizes whole chips and so tells the class by the chip's size.
"two held out": two classes are in no training; known chips are those of the others, and AUROC is of the novelty.
"""
HEADLINE = 0.03125  # the share of labels that the paper's figures are for
MAIN: dict[str, tuple[str, ...]] = {
    "from scratch": ("pretraining=none",),
    "SimCLR": ("pretraining=simclr",),
    "MoCo v2": ("pretraining=moco",),
    "BIDFC": (),
}
DIAL = {0.5: "BIDFC", **{t: f"BIDFC, T = {t:g}" for t in (1.0, 2.0, 4.0)}}  # by temperature; 0.5 is the preset's
VARIANTS = {
    **{arm: (f"temperature={t:g}",) for t, arm in DIAL.items() if arm not in MAIN},
    "BIDFC without variance": ("variance_weight=0",),
}
PAIRED = ("from scratch", "SimCLR", "BIDFC")
WHOLE = {f"{arm}, whole chips": (*MAIN[arm], "crop=resize") for arm in PAIRED}
HELD_OUT = {f"{arm}, two held out": MAIN[arm] for arm in PAIRED}
ARMS = {**MAIN, **VARIANTS, **WHOLE, **HELD_OUT}
HOW = {"finetune": "fine-tuned", "linear": "linear"}


@dataclass(frozen=True)
class Run:
    """One training; `start` is the name of the run whose encoder it takes."""

    name: str
    fields: tuple[str, ...]
    start: str | None = None


@dataclass(frozen=True)
class Plan:
    """What is run on which data; `held_out` are the classes that the arms of that name leave out."""

    arms: tuple[str, ...]
    labels: tuple[float, ...]
    held_out: tuple[str, ...]

    @property
    def headline(self) -> float:
        """The share of labels that all arms have."""
        return HEADLINE if HEADLINE in self.labels else self.labels[0]

    def runs(self) -> Iterator[Run]:
        """Of every arm first the linear one, whose encoder is pretrained, and then those that start from it."""
        for arm in self.arms:
            fields = ARMS[arm] + ((f"held_out={','.join(self.held_out)}",) if arm in HELD_OUT else ())
            first = named(arm, "linear", self.headline)
            yield Run(first, (*fields, "evaluation=linear", f"labels={self.headline:g}"))
            for share in self.labels if arm in MAIN else (self.headline,):
                for how in HOW:
                    name = named(arm, how, share)
                    if name != first:
                        yield Run(name, (*fields, f"evaluation={how}", f"labels={share:g}"), first)


def named(arm: str, how: str, share: float) -> str:
    """Of a run: its arm, how its classifier was trained, and the share of labels."""
    return f"{arm}, {how}, {share:g}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what is not there yet, then print and write tables and plots; returns the exit status."""
    given = _parser().parse_args(arguments)
    if wrong := refusal(given, ARMS):
        return fail(wrong)
    try:
        plan = Plan(tuple(given.arm or ARMS), _shares(given.labels), _held_out(given))
    except (ValueError, OSError) as error:
        return fail(str(error))
    if not given.report:
        _train(plan, given)
    found = runs.collect(given.out, [run.name for run in plan.runs()], given.seeds, _deployed)
    if not found["seeds"]:
        return fail(f"there is no finished run in {given.out}")
    found |= {"labels": plan.labels, "headline": plan.headline}
    tell(report(found), found, given.out, given.write)
    if given.plot:
        _draw(found, given.plot)
    return 0


def _parser() -> argparse.ArgumentParser:
    data = "chips: MSTAR as class folders of JPEGs or raw files, or OpenSARShip, a folder or a zip; without it, drawn ones"
    drawn = "accuracy by labels; beside it, as NAME-temperature, accuracy by temperature"
    parser = comparison("bidfc", __doc__, EXAMPLES, data=data, drawn=drawn, required=False, seeds=5)
    parser.add_argument("--preset", default="small", help="of every arm (default small)")
    parser.add_argument(
        "--labels", default="0.01,0.03125,0.1", metavar="SHARES", help="of the training chips (default 0.01,0.03125,0.1)"
    )
    parser.add_argument(
        "--held-out", metavar="A,B", help="classes of the arms that hold two out (default: the first and the last)"
    )
    return parser


def _shares(text: str) -> tuple[float, ...]:
    """Shares of labels, as they were given."""
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or not all(share > 0 for share in found):
        raise ValueError(f"--labels {text} was given; expected shares above 0, separated by commas")
    return found


def _held_out(given: argparse.Namespace) -> tuple[str, ...]:
    """The classes that are left out; asked of the data where an arm needs them and they were not given."""
    if given.held_out:
        return tuple(given.held_out.split(","))
    if given.report or not set(given.arm or ARMS) & set(HELD_OUT):
        return ()
    from train.data.sar import chips

    classes = chips(given.data)["train"].classes
    return classes[0], classes[-1]


def _train(plan: Plan, given: argparse.Namespace) -> None:
    """The pretrained encoders first, then what starts from them; within each the arms that the question is about."""
    threads = runs.threads(given.jobs)
    known = {run.name: run for run in plan.runs()}

    def run(name: str, seed: int) -> None:
        asked = known[name]
        start = [] if asked.start is None else [f"start={runs.folder(given.out, asked.start, seed) / 'model.pt'}"]
        fields = ["--preset", given.preset, *asked.fields, *start, f"seed={seed}", *given.overrides]
        runs.train("bidfc", runs.folder(given.out, name, seed), given.data, threads, fields)

    for pretrained in (True, False):
        names = [name for name, item in known.items() if (item.start is None) == pretrained]
        runs.together(run, runs.in_order(names, given.seeds), given.jobs)


def _deployed(saved: Checkpoint) -> int:
    """Parameters of the encoder and the classifier."""
    return runs.parameters(saved.model, "encoder.", "classifier.")


def report(found: dict[str, Any]) -> str:
    """Tables of the main arms, the variants, the published protocol and refusal, and differences paired by seed."""
    config = next(iter(found["config"].values()))
    text = [
        (
            f"{config['epochs']} epochs of pretraining, batches of {config['batch']}, {config['size']}x{config['size']} pixels at native "
            "resolution; accuracy in percent on the test chips after the last step, mean ± standard deviation over seeds. CPU s: of the "
            "run that pretrains."
        ),
        "",
        *(f"    {line}" for line in str(describe()).splitlines()),
        "",
        *_accuracy(found, MAIN, found["labels"]),
    ]
    sections = {
        "Temperature and variance": {"BIDFC": (), **VARIANTS},
        "The published protocol: whole chips resized, which tells the class by the chip's size": WHOLE,
    }
    for title, arms in sections.items():
        if any(_measured(found, named(arm, how, found["headline"])) for arm in arms if arm != "BIDFC" for how in HOW):
            text += ["", f"**{title}**", "", *_accuracy(found, arms, [found["headline"]])]
    refusing = [name for arm in HELD_OUT for how in HOW if (name := named(arm, how, found["headline"])) in found["measures"]]
    if refusing:
        left_out = " and ".join(found["config"][refusing[0]]["held_out"])
        text += ["", f"**Refusal: {left_out} in no training**", "", *_refusal(found)]
    return "\n".join([*text, "", *_differences(found), *_classes(found)])


def _measured(found: dict[str, Any], name: str) -> dict[str, list[float]]:
    """Figures of a run by measure; empty where it has not ended."""
    values: dict[str, list[float]] = found["measures"].get(name, {})
    return values


def _accuracy(found: dict[str, Any], arms: Sequence[str] | dict[str, Any], shares: Sequence[float]) -> list[str]:
    """Arms down, shares of labels across, fine-tuned and linear; the calibration error of the headline."""
    columns = [(share, how) for share in shares for how in HOW]
    rows = [
        "| labels | " + " | ".join(f"{share:.4g}, {HOW[how]}" for share, how in columns) + " | ECE | seeds | parameters | CPU s |"
    ]
    rows.append("|---" * (len(columns) + 5) + "|")
    for arm in arms:
        measured = [_measured(found, named(arm, how, share)) for share, how in columns]
        if not any(measured):
            continue
        cells = [runs.spread(values["accuracy"]) if values else "" for values in measured]
        first, tuned = named(arm, "linear", found["headline"]), named(arm, "finetune", found["headline"])
        calibration = _measured(found, tuned).get("ece")
        ended = next(name for name in (first, tuned, *found["seeds"]) if name in found["seeds"])
        spent = found["cpu_seconds"].get(first)
        cells += [
            runs.spread(calibration) if calibration else "",
            str(len(found["seeds"][ended])),
            f"{found['parameters'][ended]:,}",
        ]
        rows.append(f"| {arm} | " + " | ".join([*cells, f"{statistics.median(spent):.0f}" if spent else ""]) + " |")
    return rows


def _refusal(found: dict[str, Any]) -> list[str]:
    rows = ["| | accuracy on known | AUROC % | known refused % | unknown refused % | seeds |", "|---" * 6 + "|"]
    for arm in HELD_OUT:
        for how in HOW:
            name = named(arm, how, found["headline"])
            values = _measured(found, name)
            if "auroc" in values:
                cells = [runs.spread(values["accuracy"]), runs.spread(values["auroc"])]
                cells += [runs.spread(values[measure]) for measure in ("known_refused", "unknown_refused")]
                rows.append(
                    f"| {arm.partition(',')[0]}, {HOW[how]} | " + " | ".join([*cells, str(len(found["seeds"][name]))]) + " |"
                )
    return rows


def _differences(found: dict[str, Any]) -> list[str]:
    """Accuracy of BIDFC minus that of each other main arm and of its variants, over the seeds that both have."""
    told = []
    for arm in (*MAIN, *VARIANTS):
        for how in HOW:
            parts = []
            for share in found["labels"]:
                ours, theirs = named("BIDFC", how, share), named(arm, how, share)
                shared = [seed for seed in found["seeds"].get(ours, []) if seed in found["seeds"].get(theirs, [])]
                if arm == "BIDFC" or not shared:
                    continue
                gaps = [_of(found, ours, seed) - _of(found, theirs, seed) for seed in shared]
                parts.append(f"{share:.4g} {runs.spread(gaps)} ({', '.join(f'{gap:+.1f}' for gap in gaps)})")
            if parts:
                told.append(f"- BIDFC minus {arm}, {HOW[how]}, paired by seed: {'; '.join(parts)}")
    return told


def _of(found: dict[str, Any], name: str, seed: int) -> float:
    values: list[float] = found["measures"][name]["accuracy"]
    return values[found["seeds"][name].index(seed)]


def _classes(found: dict[str, Any]) -> list[str]:
    """Mean accuracy of each class, fine-tuned at the headline."""
    told = []
    for arm in MAIN:
        values = _measured(found, named(arm, "finetune", found["headline"]))
        shown = {name.partition("/")[2]: statistics.mean(of) for name, of in values.items() if name.startswith("class/")}
        if shown:
            listed = ", ".join(f"{name} {value:.1f}" for name, value in shown.items())
            told.append(f"- {arm}, fine-tuned at {found['headline']:.4g}, by class: {listed}")
    return told


def _draw(found: dict[str, Any], path: Path) -> None:
    """Accuracy by labels, and beside it by temperature; what has no run is left out."""

    def mean(arm: str, how: str, share: float) -> list[float]:
        values = _measured(found, named(arm, how, share))
        return [statistics.mean(values["accuracy"])] if values else []

    by_labels = {
        f"{arm}, {HOW[how]}": [(100 * share, value) for share in sorted(found["labels"]) for value in mean(arm, how, share)]
        for arm in MAIN
        for how in HOW
    }
    drawn = {name: points for name, points in by_labels.items() if points}
    if drawn:
        plot.curves(path, "accuracy on test chips", "labels, percent of the training chips", "percent", drawn, linear=True)
    drawn = {HOW[how]: points for how in HOW if len(points := _by_temperature(found, DIAL, how)) > 1}
    if drawn:
        place = path.with_name(f"{path.stem}-temperature{path.suffix}")
        plot.curves(place, "accuracy by temperature", "T", "percent", drawn, linear=True)


def _by_temperature(found: dict[str, Any], dial: dict[float, str], how: str) -> list[tuple[float, float]]:
    """Mean accuracy of each temperature that was run, over the seeds that all of these have."""
    names = {t: name for t, arm in dial.items() if (name := named(arm, how, found["headline"])) in found["measures"]}
    shared = set.intersection(*(set(found["seeds"][name]) for name in names.values())) if names else set()
    return [(t, statistics.mean(_of(found, name, seed) for seed in shared)) for t, name in names.items() if shared]


if __name__ == "__main__":
    sys.exit(main())
