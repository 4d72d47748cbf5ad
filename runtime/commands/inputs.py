"""What the commands share: options, the files that were named, progress, and errors of single files."""

from __future__ import annotations

import glob
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..prepare import SUFFIXES

_Read = TypeVar("_Read")
_Answer = TypeVar("_Answer")


def add_shared(parser: Any) -> None:
    """Options that several tasks take; a command names those that are its own in SHARED."""
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        metavar="OUT",
        help="where to write: the larger image or video, a folder for several; the index of codes; or a table of answers",
    )
    parser.add_argument("--batch-size", type=int, default=8, help="images, clouds or chips in one inference (default 8)")
    parser.add_argument("--top-k", type=int, default=5, help="classes an image (default 5)")


def paths(inputs: Iterable[str]) -> Iterator[Path]:
    """Files in order; a folder or a pattern without any image is an error."""
    for path, _ in rooted(inputs):
        yield path


def rooted(
    inputs: Iterable[str], suffixes: Sequence[str] = SUFFIXES, what: str = "image", also: re.Pattern[str] | None = None
) -> Iterator[tuple[Path, Path]]:
    """Files in order, each with its place below the folder that was named, or its own name.

    In folders suffixes tell what is meant, or a pattern that names may match too.
    """

    def meant(path: Path) -> bool:
        return path.suffix.lower() in suffixes or (also is not None and also.search(path.name) is not None)

    for text in inputs:
        path = Path(text)
        if path.is_dir():
            found = sorted(item for item in path.rglob("*") if meant(item) and item.is_file())
            if not found:
                raise ValueError(f"there is no {what} below the folder {path}; expected {', '.join(suffixes)}")
            yield from ((item, item.relative_to(path)) for item in found)
        elif any(mark in text for mark in "*?[") and not path.exists():
            matches = sorted(item for item in map(Path, glob.glob(text, recursive=True)) if item.is_file())
            if not matches:
                raise ValueError(f"no file matches {text}")
            yield from ((item, Path(item.name)) for item in matches)
        else:
            yield path, Path(path.name)


def picture_places(option: str, files: Sequence[Path], out: Path | None) -> dict[Path, Path]:
    """Where the picture of each file goes; what would be written over an input or another picture is refused.

    Args:
        option: that `out` was given with, for messages.
        out: a file for one image, a folder for several; None draws none.
    """
    if out is None:
        return {}
    if len(files) == 1 and not out.is_dir() and out.suffix:
        found = {files[0]: out}
        folder = out.parent
        if not folder.is_dir():
            raise FileNotFoundError(f"there is no folder {folder} to write {out.name} to")
        if out.suffix.lower() not in SUFFIXES:
            raise ValueError(f"{out} has the suffix {out.suffix!r}; expected one of {', '.join(SUFFIXES)}")
    else:
        if out.exists() and not out.is_dir():
            raise ValueError(f"{out} is a file and there are several images; give a folder")
        found = {path: out / f"{path.stem}.png" for path in files}
    taken: dict[Path, Path] = {}
    for path, place in found.items():
        if place in taken:
            raise ValueError(f"the pictures of {path} and {taken[place]} would both be {place}; give them one by one")
        if place.exists() and any(item.exists() and item.resolve() == place.resolve() for item in files):
            raise ValueError(f"{place} is one of the inputs; give another {option}")
        taken[place] = path
    return found


class Progress:
    """A bar on standard error, where that is a terminal and there is something to wait for."""

    def __init__(self, total: int, *, always: bool = False) -> None:
        self._total, self._done = total, 0
        self._shown = total > 1 and sys.stderr.isatty() and (always or sys.stdout.isatty() is False)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            print(file=sys.stderr)

    def advance(self, count: int = 1) -> None:
        self._done += count
        if self._shown:
            filled = min(30 * self._done // self._total, 30)
            print(f"\r[{'#' * filled}{'.' * (30 - filled)}] {self._done}/{self._total}", end="", file=sys.stderr, flush=True)


def read_in_batches(
    files: Sequence[Path], size: int, read: Callable[[Path], _Read], *, always: bool
) -> Iterator[list[tuple[Path, _Read | Exception]]]:
    """Batches of files, each with what was read or with what is wrong with it; with a progress bar.

    Args:
        always: the bar is drawn also where answers are printed to the terminal.
    """
    if size < 1:
        raise ValueError(f"--batch-size {size} was given; expected 1 or more")
    with Progress(len(files), always=always) as progress:
        for start in range(0, len(files), size):
            part: list[tuple[Path, _Read | Exception]] = []
            for path in files[start : start + size]:
                try:
                    part.append((path, read(path)))
                except (ValueError, OSError, MemoryError) as error:
                    part.append((path, error))
            yield part
            progress.advance(len(part))


def prepared(
    files: Sequence[Path], size: int, prepare: Callable[[list[Path]], NDArray[np.uint8]], *, always: bool = True
) -> Iterator[list[tuple[Path, NDArray[np.uint8] | Exception]]]:
    """Batches of files, each with its image in the graph's size (h, w, 3), or with what is wrong with it.

    Args:
        prepare: images -> uint8 (n, 3, h, w).
    """
    return read_in_batches(files, size, lambda path: prepare([path])[0].transpose(1, 2, 0), always=always)


def each(
    files: Sequence[Path],
    size: int,
    read: Callable[[Path], _Read],
    ask: Callable[[list[_Read]], Sequence[_Answer]],
    *,
    always: bool = False,
) -> Iterator[tuple[Path, _Answer | Exception]]:
    """Path and answer, or path and the error: one bad file does not lose the others of its batch.

    Args:
        size: files in a batch.
    """
    for part in read_in_batches(files, size, read, always=always):
        given = [value for _, value in part if not isinstance(value, Exception)]
        answers = iter(ask(given) if given else ())
        for path, value in part:
            yield path, value if isinstance(value, Exception) else next(answers)


def report_error(path: Path, error: BaseException, *, as_json: bool) -> None:
    """One file could not be used."""
    if as_json:
        print(json.dumps({"path": str(path), "error": str(error)}, ensure_ascii=False))
    else:
        print(f"{path}: {error}", file=sys.stderr)
