"""What several benchmarks ask for on the command line."""

from __future__ import annotations

from collections.abc import Sequence


def choose(option: str, given: str, known: Sequence[str]) -> list[str]:
    """The parts of an option's text with commas; ValueError where one is not known."""
    chosen = given.split(",")
    if wrong := [name for name in chosen if name not in known]:
        expected = ", ".join(known) if len(known) < 20 else f"{known[0]} to {known[-1]}"
        raise ValueError(f"{option} {', '.join(wrong)} was given; expected one or several of {expected}, separated by commas.")
    return chosen
