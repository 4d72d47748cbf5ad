"""Complexity on the command line: scores of images, printed or in a CSV file, a filter, a curriculum's order, pictures of regions."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import heat
from ..pictures import write
from ..prepare import decode
from ..score_file import Row, ScoreFile
from .inputs import paths, picture_places, prepared, report_error

if TYPE_CHECKING:
    from ..tasks.complexity_scorer import Complexity, ComplexityScorer

TITLE = "complexity (complexity_scorer)"
SHARED = ("out", "batch_size")
LOWEST, HIGHEST = 0.0, 100.0  # of a score
_ROUNDING = 1e-5  # of a map's largest value


def add_options(parser: Any) -> None:
    """To a parser or a group of one."""
    parser.add_argument("--keep-above", type=float, metavar="S", help="only list images with a score of S or more")
    parser.add_argument("--keep-below", type=float, metavar="S", help="only list images with a score of S or less")
    parser.add_argument("--order", action="store_true", help="list the images by their score, the simplest first (a curriculum)")
    parser.add_argument(
        "--map",
        type=Path,
        metavar="OUT.png",
        help="also draw the regions: red above the image's mean, blue below; a folder for several",
    )


def answer(task: ComplexityScorer, given: argparse.Namespace) -> int:
    """Score everything; returns the exit status: 1 where an image could not be used and the others were, 2 where none could."""
    _check(given)
    files = list(dict.fromkeys(paths(given.inputs)))
    places = picture_places("--map", files, given.map)
    record = ScoreFile(given.out, task.maker) if given.out is not None else None
    at_once = record is None and not given.order
    found: dict[str, Row] = {}
    try:
        for row in _scored(task, files, record, places, given):
            found[row.path] = row
            if at_once and _passes(row, given):
                _say(row, places, given)
        if not found:
            raise ValueError(f"none of the {len(files)} images could be used")
        rows = [found[str(path)] for path in files if str(path) in found]
        if given.order:
            rows.sort(key=lambda row: row.score)
        if record is not None:
            record.finish(rows)
    finally:
        if record is not None:
            record.close()
    if not at_once:
        _tell(rows, len(files) - len(found), places, given)
    return 1 if len(found) < len(files) else 0


def _check(given: argparse.Namespace) -> None:
    for option, value in (("--keep-above", given.keep_above), ("--keep-below", given.keep_below)):
        if value is not None and not LOWEST <= value <= HIGHEST:
            raise ValueError(f"{option} {value:g} was given; scores run from {LOWEST:g} to {HIGHEST:g}")
    if None not in (given.keep_above, given.keep_below) and given.keep_above > given.keep_below:
        raise ValueError(
            f"--keep-above {given.keep_above:g} and --keep-below {given.keep_below:g} keep nothing; expected a range"
        )
    if given.batch_size < 1:
        raise ValueError(f"--batch-size {given.batch_size} was given; expected 1 or more")


def _scored(
    task: ComplexityScorer,
    files: Sequence[Path],
    record: ScoreFile | None,
    places: Mapping[Path, Path],
    given: argparse.Namespace,
) -> Iterator[Row]:
    """Rows that are known, then those of the other images in their order; what cannot be used is reported."""
    missing = []
    for path in files:
        row = record.known(path) if record is not None else None
        if row is None or (path in places and not places[path].exists()):
            missing.append(path)
        else:
            yield row
    always = given.order or record is not None
    size = min(given.batch_size, task.artifact.axes["batch"].max)
    for part in prepared(missing, given.batch_size, task.prepare, always=always):
        good = [image for _, image in part if not isinstance(image, Exception)]
        answers = iter(task.score(good, batch_size=size))
        rows = []
        for path, image in part:
            if isinstance(image, Exception):
                report_error(path, image, as_json=given.json)
                continue
            complexity = next(answers)
            if path in places:
                _draw(task, path, complexity, places[path])
            rows.append(Row(str(path), round(complexity.score, 3), float(f"{complexity.activation:.7g}")))
        if record is not None:
            record.add(rows)
        yield from rows


def _draw(task: ComplexityScorer, path: Path, complexity: Complexity, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    cells = complexity.map
    above = cells - cells.mean(dtype=np.float32)
    above[np.abs(above) < _ROUNDING * np.abs(cells).max()] = 0  # of a plain image nothing else is left
    write(place, heat.overlay(heat.visible(decode(path), task.geometry), above, np.ones(cells.shape, np.bool_)))


def _passes(row: Row, given: argparse.Namespace) -> bool:
    above = LOWEST if given.keep_above is None else given.keep_above
    below = HIGHEST if given.keep_below is None else given.keep_below
    return bool(above <= row.score <= below)


def _listing(given: argparse.Namespace) -> bool:
    """Whether paths are asked for, to be read by another program."""
    return given.order or given.keep_above is not None or given.keep_below is not None


def _say(row: Row, places: Mapping[Path, Path], given: argparse.Namespace) -> None:
    place = places.get(Path(row.path))
    if given.json:
        line = {"path": row.path, "score": row.score, "activation": row.activation}
        print(json.dumps(line if place is None else {**line, "map": str(place)}, ensure_ascii=False))
    elif _listing(given):
        print(row.path)
    else:
        print(f"{row.path}: {row.score:.1f}" + ("" if place is None else f"  ({place})"))


def _tell(rows: Sequence[Row], failed: int, places: Mapping[Path, Path], given: argparse.Namespace) -> None:
    """At the end: the list that was asked for, or how many scores lie where."""
    if _listing(given):
        for row in rows:
            if _passes(row, given):
                _say(row, places, given)
    elif given.json:
        print(json.dumps({"scored": len(rows), "failed": failed, "file": str(given.out)}, ensure_ascii=False))
    else:
        skipped = f"; {failed} could not be used" if failed else ""
        print(f"{len(rows)} image{'s' if len(rows) > 1 else ''} scored in {given.out}{skipped}")
