"""Few-shot episodes asked of a trained backbone under several rules: its descriptors are computed once, and nothing is asked twice."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

Results: TypeAlias = dict[
    str, dict[str, list[float]]
]  # "name/shots" or "name@fraction/shots" -> measure -> value of each episode

FILE = "episodes.json"
SHOTS = (1, 5)
FRACTIONS = (1.0, 0.75, 0.5, 0.25, 0.125)
CURVE_EPISODES = 500
BARE = ("query=none", "one_image=contrast")
RULES = ("classifier", "selection", "fraction", "threshold", "score", "other_images", "one_image", "center", "query", "query_fraction",
         "neighbours", "class_offset")  # fmt: skip
# for each arm whose backbone they are drawn on: name -> rules; the fraction is varied, queries are all kept
CURVES: dict[str, dict[str, tuple[str, ...]]] = {
    "DN4": {"DN4, random": (*BARE, "selection=random"), "DN4, contrast": BARE},
    "TCDSNet": {"TCDSNet, random": (*BARE, "selection=random"), "TCDSNet, contrast": BARE},
}


def ask(
    model: Path,
    data: Path,
    part: str,
    variants: Mapping[str, Sequence[str]],
    curves: Mapping[str, Sequence[str]],
    overrides: Sequence[str],
    preset: str,
    episodes: int,
    *,
    asked: bool = True,
) -> Results:
    """Accuracy in percent and share of the most predicted class, episode by episode, kept beside the model.

    Args:
        part: "val" or "test".
        variants: name -> fields that are put on the preset's rules, whatever the model's own are, asked `episodes` times with each number of shots.
        curves: name -> fields, asked CURVE_EPISODES times at each of FRACTIONS.
        overrides: fields of every arm.
        preset: of the method, whose rules hold where fields say nothing.
        asked: False only reads what was asked before.
    """
    from train.config import override
    from train.methods.tcdsnet.config import PRESETS

    path = model.with_name(FILE)
    kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    wanted = {f"{name}/{shots}": ([*fields, *overrides], shots, episodes) for name, fields in variants.items() for shots in SHOTS}
    for name, fields in curves.items():
        for fraction in FRACTIONS:
            for shots in SHOTS:
                key, rules = f"{name}@{fraction:g}/{shots}", [*overrides, *fields, f"fraction={fraction}"]
                wanted[key] = rules, shots, CURVE_EPISODES
    found: Results = {}
    missing = {}
    for key, (fields, shots, count) in wanted.items():
        config = override(PRESETS[preset], fields)
        asking = {"part": part, "rules": {name: getattr(config, name) for name in RULES}, "episodes": count}
        if kept.get(key, {}).get("asking") == asking:
            found[key] = kept[key]["results"]
        else:
            missing[key] = (asking, shots)
    if not missing or not asked:
        return found
    for key, (asking, results) in _asked(model, data, part, missing).items():
        found[key] = results
        kept[key] = {"asking": asking, "results": results}
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(kept), encoding="utf-8")
    temporary.replace(path)
    return found


def _asked(
    model: Path, data: Path, part: str, missing: Mapping[str, tuple[dict[str, Any], int]]
) -> dict[str, tuple[dict[str, Any], dict[str, list[float]]]]:
    from train import checkpoint
    from train.methods.tcdsnet.measures import score
    from train.methods.tcdsnet.rules import rules

    method: Any = checkpoint.restore(model)
    images = method.part(data, part)
    bank = method.bank(images)
    found = {}
    for key, (asking, shots) in missing.items():
        config = dataclasses.replace(method.config, **asking["rules"])
        outcome = score(bank, method.episodes(images, shots), asking["episodes"], rules(config))
        results = {"accuracy": _rounded(outcome.accuracy), "most_predicted": _rounded(outcome.most_predicted)}
        found[key] = asking, results
    return found


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 4) for value in values]
