"""Radar targets on the command line: what each chip shows, or that it is unknown; to the terminal, or to a table."""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..chips import RAW, SUFFIXES
from ..whole import writing
from .inputs import each, report_error, rooted

if TYPE_CHECKING:
    from ..tasks.recognizer import Recognition, Recognizer

TITLE = "radar targets (recognizer)"
SHARED = ("out", "batch_size", "top_k")
UNKNOWN = "unknown"
COLUMNS = ("path", "label", "likeliest", "probability", "novelty", "error")


def add_options(parser: Any) -> None:
    """To a parser or a group of one."""
    parser.add_argument(
        "--refuse-above", type=float, metavar="NOVELTY", help="novelty from which a chip is unknown (default: the artifact's)"
    )


def answer(task: Recognizer, given: argparse.Namespace) -> int:
    """Recognise everything; returns the exit status: 1 where a chip could not be used and others were, 2 where none could."""
    if given.top_k < 1:
        raise ValueError(f"--top-k {given.top_k} was given; expected 1 or more")
    if given.refuse_above is not None:
        if not math.isfinite(given.refuse_above):
            raise ValueError(f"--refuse-above {given.refuse_above} was given; expected a number")
        task.threshold = given.refuse_above
    files = list(dict.fromkeys(path for path, _ in rooted(given.inputs, SUFFIXES, "chip", RAW)))
    if given.out is not None:
        _check_out(given.out, files)
    size = min(given.batch_size, task.artifact.axes["batch"].max)
    table: list[dict[str, Any]] = []
    failed = 0
    answers = each(
        files,
        size,
        lambda path: task.prepare([path])[0],
        lambda chips: task.answers(np.stack(chips)),
        always=given.out is not None,
    )
    for path, found in answers:
        if isinstance(found, Exception):
            failed += 1
            report_error(path, found, as_json=given.json)
        elif given.out is None:
            _say(path, found, given)
        table.append(_row(path, found))
    if failed == len(files):
        return 2
    if given.out is not None:
        _write(given.out, table)
        refused = sum(row["label"] == UNKNOWN for row in table)
        if given.json:
            print(json.dumps({"recognised": len(files) - failed, "unknown": refused, "failed": failed, "file": str(given.out)}))
        else:
            print(
                f"{len(files) - failed} chips in {given.out}, {refused} of them unknown"
                + (f"; {failed} could not be used" if failed else "")
            )
    return 1 if failed else 0


def _check_out(out: Path, files: Sequence[Path]) -> None:
    if out.suffix.lower() != ".csv":
        raise ValueError(f"{out} has the suffix {out.suffix!r}; the answers are a table, give a name that ends in .csv")
    if not out.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {out.parent} to write {out.name} to")
    if out.is_dir() or any(path.exists() and out.exists() and path.resolve() == out.resolve() for path in files):
        raise ValueError(f"{out} is a folder or one of the inputs; give another name")


def _row(path: Path, found: Recognition | Exception) -> dict[str, Any]:
    if isinstance(found, Exception):
        return {"path": str(path), "label": "", "error": str(found)}
    return {
        "path": str(path),
        "label": found.label or UNKNOWN,
        "likeliest": found.likeliest,
        "probability": round(found.probability, 6),
        "novelty": round(found.novelty, 6),
    }


def _write(out: Path, table: Sequence[dict[str, Any]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    with writing(out) as file:
        file.write(text.getvalue().encode("utf-8"))


def _say(path: Path, found: Recognition, given: argparse.Namespace) -> None:
    best = list(found.probabilities.items())[: given.top_k]
    if given.json:
        line = {**_row(path, found), "label": found.label, "refused": found.refused}
        line["probabilities"] = [{"label": name, "probability": round(value, 6)} for name, value in best]
        print(json.dumps(line, ensure_ascii=False))
        return
    shown = ", ".join(f"{name} {value:.1%}" for name, value in best)
    strange = f"{UNKNOWN} (novelty {found.novelty:.3g} above {found.threshold:.3g}); likeliest " if found.refused else ""
    print(f"{path}: {strange}{shown}")
