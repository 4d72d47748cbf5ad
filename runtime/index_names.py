"""An index whose ids have names: the index's file, and beside it `<file>.names`, a JSON object a line.

The first line ties the two together: the seal of the index file, bits and codes, and who made the codes. Each further line is an id
and its path, in ascending order of ids.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import index_file
from .index import HammingIndex
from .whole import writing

SCHEMA = 1
SUFFIX = ".names"


@dataclass(frozen=True, eq=False)
class NamedIndex:
    """An index with a path for each id.

    Args:
        paths: id -> path, as it was given.
        maker: of the codes, such as the digest of an artifact's graphs; codes of different makers are not comparable.
    """

    index: HammingIndex
    paths: Mapping[int, str]
    maker: str


def names_of(path: Path) -> Path:
    """Where the names of an index lie."""
    return path.with_name(path.name + SUFFIX)


def save(path: Path, named: NamedIndex) -> None:
    """Write both files. Both are on the disk before either takes its place; what falls between the two renames is refused by `load`.

    Raises:
        ValueError: the names are not those of the index's ids.
        OSError: a file cannot be written; the old ones stay.
    """
    _hold(named.index, list(named.paths), "the index cannot be saved with these names")
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        named.index.save(beside)
        first = {"schema": SCHEMA, "index": index_file.seal(beside), "bits": named.index.bits, "codes": len(named.paths)}
        with writing(names_of(path)) as file:
            file.write((json.dumps({**first, "maker": named.maker}) + "\n").encode())
            file.writelines((json.dumps({"id": key, "path": name}) + "\n").encode() for key, name in named.paths.items())
            file.flush()
            os.fsync(file.fileno())
            beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def load(path: Path, *, mmap: bool = False, threads: int | None = None) -> NamedIndex:
    """Read what `save` wrote; `mmap` and `threads` are those of HammingIndex.load.

    Raises:
        FileNotFoundError: one of the two files is missing.
        ValueError: one is damaged or of a newer version, or the two were not written together.
    """
    index = HammingIndex.load(path, mmap=mmap, threads=threads)
    names = names_of(path)
    if not names.is_file():
        raise FileNotFoundError(f"there is no {names}, the names of {path}'s codes; copy both files")
    try:
        with names.open(encoding="ascii") as file:
            head = json.loads(file.readline())
            schema, maker, sealed = int(head["schema"]), str(head["maker"]), head["index"]
            paths = dict(_entries(file)) if schema <= SCHEMA and sealed == index_file.seal(path) else None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{names} is damaged, or no file of names ({error!r}); copy it again, or make the index again"
        ) from error
    if schema > SCHEMA:
        raise ValueError(f"{names} has schema {schema}, and this version reads up to {SCHEMA}; install a newer contrastrt")
    if paths is None:
        raise ValueError(f"{names} is of another index than {path}: they were not written together; make the index again")
    _hold(index, list(paths), f"{names} does not fit {path}; make the index again")
    return NamedIndex(index, paths, maker)


def _entries(lines: Any) -> Iterator[tuple[int, str]]:
    for line in lines:
        entry = json.loads(line)
        yield int(entry["id"]), str(entry["path"])


def _hold(index: HammingIndex, ids: list[int], sentence: str) -> None:
    """The ids of the names against those of the codes."""
    if len(ids) != len(index):
        raise ValueError(f"{sentence}: there are {len(ids)} names and {len(index)} codes")
    begin = 0
    for found, _ in index.chunks():
        named = np.array(ids[begin : begin + len(found)])
        if not np.array_equal(found, named):
            at = int(np.flatnonzero(found != named)[0])
            raise ValueError(f"{sentence}: code {begin + at} has id {found[at]} and its name id {named[at]}")
        begin += len(found)
