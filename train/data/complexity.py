"""Images with people's ratings of their complexity, in Savoias' and in IC9600's layout.

- Savoias (Saraee et al. 2020): seven categories, rated 0 to 100 within each. Here as `<category>.csv` with the columns `image` and
  `complexity` beside a folder `<category>` of images. The published ground truth is xlsx, one column without names, which has to be
  saved in that form first.
- IC9600 (Feng et al. 2022): `train.txt` and `test.txt` beside `images/`; a line is a name, two spaces, a score in 0..1
  (https://github.com/tinglyfeng/IC9600). Scores are multiplied by 100. The category is our reading: the folder that a name states, else its
  letters before an underscore, else `images`.
"""

from __future__ import annotations

import csv
import io
import logging
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .files import Files, is_image, open_files
from .split import Encoded, Source

HIGHEST = 100.0  # of a score
COLUMNS = ("image", "complexity")
EXPECTED = (
    "<category>.csv with the columns image and complexity beside the folder <category> (Savoias), or train.txt and test.txt, each \
line a name, two spaces and a score in 0..1, beside images/ (IC9600)"
)
_SHOWN = 3  # names that a message lists
_CATEGORY = re.compile(r"^([A-Za-z][A-Za-z -]*)_")

log = logging.getLogger(__name__)

Ratings = list[tuple[str, float]]  # names of images and their scores in 0..100


@dataclass(frozen=True)
class Rated:
    """Images and how complex people find them.

    Args:
        names: of each image, unique.
        scores: float64 (n,), 0..100.
        categories: of each image; scores of two categories need not be comparable.
        source: row -> the image.
    """

    names: tuple[str, ...]
    scores: NDArray[np.float64]
    categories: tuple[str, ...]
    source: Source

    def __len__(self) -> int:
        return len(self.names)

    def image(self, row: int) -> NDArray[np.uint8]:
        """uint8 (h, w, 3) RGB; UnreadableImage names a file that cannot be read."""
        return self.source.read(row)

    def rows(self, category: str) -> NDArray[np.int64]:
        """Of one category, ascending."""
        return np.flatnonzero([found == category for found in self.categories]).astype(np.int64)


def rated(path: Path) -> dict[str, Rated]:
    """Open rated images below a folder or in a zip; images are read only when asked for.

    Returns:
        Of IC9600's layout the parts "train" and "test" (those whose list is there), of Savoias' the part "all".

    Raises:
        FileNotFoundError: there is no such folder or zip, or a list names images that are not there.
        ValueError: it has neither layout, or a list holds no score, a name twice, or a score out of range.
    """
    files = open_files(path)
    lists = [name for name in files.names if name.rpartition("/")[2] in ("train.txt", "test.txt")]
    if lists:
        folder = min(lists, key=len).rpartition("/")[0]
        return _ic9600(files.under(folder) if folder else files)
    folders = set(files.folders)
    tables = [name for name in files.names if name.endswith(".csv") and name.removesuffix(".csv") in folders]
    if tables:
        return {"all": _savoias(files, tables)}
    if any(name.endswith(".xlsx") for name in files.names):
        raise ValueError(
            f"{path} holds ground truth as xlsx, which is not read. Save each global_ranking_<category>.xlsx as <category>.csv with "
            "the columns image and complexity beside the folder <category> (row i belongs to the image called i)."
        )
    raise ValueError(f"{path} has no ratings of complexity that are known here; expected {EXPECTED}")


def _ic9600(files: Files) -> dict[str, Rated]:
    parts: dict[str, Ratings] = {}
    for part in ("train", "test"):
        if f"{part}.txt" in files.names:
            parts[part] = _lines(files, f"{part}.txt")
    shared = sorted({name for name, _ in parts.get("train", [])} & {name for name, _ in parts.get("test", [])})
    if shared:
        raise ValueError(f"{files.root}: {_some(shared)} in train.txt and in test.txt; no image may be in both parts")
    _report_unrated(files, "images/", {name for ratings in parts.values() for name, _ in ratings})
    found = {}
    for part, ratings in parts.items():
        categories = tuple(_category(name.removeprefix("images/")) for name, _ in ratings)
        found[part] = _rated(files, ratings, categories, f"{part}.txt")
    return found


def _lines(files: Files, name: str) -> Ratings:
    """The rows of IC9600's lists."""
    ratings = []
    for number, line in enumerate(files.read(name).decode("utf-8-sig").splitlines(), 1):
        if not line.strip():
            continue
        image, gap, score = line.strip().rpartition("  ")
        if not gap or not image.strip():
            raise ValueError(f"{files.where(name)}, line {number}: {line!r} was found; expected a name, two spaces and a score")
        ratings.append(("images/" + image.strip(), HIGHEST * _score(score, 1.0, f"{files.where(name)}, line {number}")))
    return ratings


def _category(name: str) -> str:
    if "/" in name:
        return name.rpartition("/")[0]
    match = _CATEGORY.match(name)
    return match[1] if match else "images"


def _savoias(files: Files, tables: Sequence[str]) -> Rated:
    ratings: Ratings = []
    categories: list[str] = []
    for table in tables:
        folder = table.removesuffix(".csv")
        own = _rows(files, table, folder)
        _missing(files, own, table)
        _report_unrated(files, folder + "/", {name for name, _ in own})
        ratings += own
        categories += [folder.rpartition("/")[2]] * len(own)
    return _rated(files, ratings, tuple(categories), "its tables")


def _rows(files: Files, table: str, folder: str) -> Ratings:
    """The rows of one category's table."""
    reader = csv.DictReader(io.StringIO(files.read(table).decode("utf-8-sig")))
    if not set(COLUMNS) <= set(reader.fieldnames or ()):
        raise ValueError(
            f"{files.where(table)} has the columns {', '.join(reader.fieldnames or ('none',))}; expected image and complexity"
        )
    ratings = []
    for row in reader:
        where = f"{files.where(table)}, line {reader.line_num}"
        ratings.append((f"{folder}/{row['image']}", _score(row["complexity"] or "", HIGHEST, where)))
    return ratings


def _score(text: str, highest: float, where: str) -> float:
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if not 0 <= score <= highest:
        raise ValueError(f"{where}: the score is {text!r}; expected a number in 0..{highest:g}")
    return score


def _some(names: Sequence[str]) -> str:
    """The first few names and how many there are, with a verb: "a.jpg and 3 more are"."""
    rest = len(names) - _SHOWN
    shown = ", ".join(names[:_SHOWN])
    return f"{shown} and {rest} more are" if rest > 0 else f"{shown} {'is' if len(names) == 1 else 'are'}"


def _missing(files: Files, ratings: Ratings, table: str) -> None:
    known = set(files.names)
    missing = [name for name, _ in ratings if name not in known]
    if missing:
        raise FileNotFoundError(
            f"{files.where(table)} rates {len(missing)} images that do not exist: {_some(missing)} missing. Add the images, or take their "
            "lines out."
        )


def _report_unrated(files: Files, prefix: str, named: set[str]) -> None:
    unrated = [name for name in files.names if name.startswith(prefix) and is_image(name) and name not in named]
    if unrated:
        log.warning(
            "%s: %d images of %s have no rating and are left out: %s",
            files.root,
            len(unrated),
            prefix,
            ", ".join(unrated[:_SHOWN]),
        )


def _rated(files: Files, ratings: Ratings, categories: tuple[str, ...], table: str) -> Rated:
    """Check what both layouts have in common."""
    if not ratings:
        raise ValueError(f"{files.root}: {table} rates no image; expected {EXPECTED}")
    _missing(files, ratings, table)
    names = tuple(name for name, _ in ratings)
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"{files.root}: {_some(twice)} rated more than once; expected one score for each image")
    return Rated(names, np.array([score for _, score in ratings]), categories, Encoded(files, names))
