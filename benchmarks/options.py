"""What several benchmarks ask for on the command line."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any


def choose(option: str, given: str, known: Sequence[str]) -> list[str]:
    """The parts of an option's text with commas; ValueError where one is not known."""
    chosen = given.split(",")
    if wrong := [name for name in chosen if name not in known]:
        expected = ", ".join(known) if len(known) < 20 else f"{known[0]} to {known[-1]}"
        raise ValueError(f"{option} {', '.join(wrong)} was given; expected one or several of {expected}, separated by commas.")
    return chosen


def comparison(
    command: str, description: str | None, examples: str, *, data: str, drawn: str = "", required: bool = True, seeds: int = 3
) -> argparse.ArgumentParser:
    """The parser of a comparison of trained arms over seeds; what is special to one is added to it.

    Args:
        command: of `benchmarks`.
        data: what --data is; `required` says whether there is a benchmark without it.
        drawn: what --plot draws; empty: there is none.
        seeds: how many there are where none are asked for.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{command}",
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    out = Path("runs") / command
    add = parser.add_argument
    add("overrides", nargs="*", metavar="field=value", help="change a field of every arm")
    add("--data", type=Path, required=required, help=data)
    add("--out", type=Path, default=out, help=f"runs (default {out.as_posix()}); a second call goes on")
    add("--seeds", type=int, default=seeds, help=f"default {seeds}")
    add("--jobs", type=int, default=os.cpu_count() or 1, help="runs at a time (default: one for each core)")
    add("--arm", action="append", help="only this one; may be repeated")
    add("--report", action="store_true", help="only tell of what has been trained")
    add("--write", type=Path, metavar="MD", help="also write the tables as Markdown")
    if drawn:
        add("--plot", type=Path, metavar="PNG", help=f"also draw {drawn}")
    return parser


def refusal(given: argparse.Namespace, arms: Collection[str], *also: Path | None) -> str | None:
    """A sentence on what a comparison cannot be run with, or None; `also` are further paths of data."""
    for path in (given.data, *also):
        if path is not None and not path.exists():
            return f"there is no {path}; --help tells what is expected"
    for arm in given.arm or ():
        if arm not in arms:
            return f"there is no arm {arm!r}; there are {', '.join(arms)}"
    if given.seeds < 1 or given.jobs < 1:
        return f"{given.seeds} seeds and {given.jobs} jobs were given; expected 1 or more of each"
    return None


def fail(sentence: str) -> int:
    """Say what is wrong; the exit status."""
    print(f"error: {sentence}", file=sys.stderr)
    return 2


def tell(text: str, found: dict[str, Any], out: Path, write: Path | None) -> None:
    """Print a report, keep its figures as `out`/results.json, and write it as Markdown where that is asked for."""
    print(text)
    (out / "results.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if write:
        write.parent.mkdir(parents=True, exist_ok=True)
        write.write_text(text + "\n", encoding="utf-8")
