"""What the commands share: options, the files that were named, progress, and errors of single files."""

from __future__ import annotations

import glob
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

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
        always: show progress also where the answers are printed to a terminal.
    """
    if size < 1:
        raise ValueError(f"--batch-size {size} was given; expected 1 or more")
    with Progress(len(files), always=always) as progress:
        for start in range(0, len(files), size):
            part = files[start : start + size]
            given: list[_Read] = []
            errors: dict[int, Exception] = {}
            for place, path in enumerate(part):
                try:
                    given.append(read(path))
                except (ValueError, OSError) as error:
                    errors[place] = error
            answers = iter(ask(given) if given else ())
            for place, path in enumerate(part):
                yield path, errors[place] if place in errors else next(answers)
            progress.advance(len(part))


def report_error(path: Path, error: BaseException, *, as_json: bool) -> None:
    """One file could not be used."""
    if as_json:
        print(json.dumps({"path": str(path), "error": str(error)}, ensure_ascii=False))
    else:
        print(f"{path}: {error}", file=sys.stderr)
