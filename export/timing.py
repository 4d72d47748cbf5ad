"""Time several ways of doing the same thing side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Timing:
    """Milliseconds a call, over `rounds` calls."""

    median: float
    p10: float
    p90: float
    p95: float
    p99: float
    rounds: int


def timing(milliseconds: Sequence[float]) -> Timing:
    """The spread of single calls."""
    p10, median, p90, p95, p99 = (float(value) for value in np.percentile(milliseconds, (10, 50, 90, 95, 99)))
    return Timing(median=median, p10=p10, p90=p90, p95=p95, p99=p99, rounds=len(milliseconds))


def interleaved(calls: Mapping[str, Callable[[], object]], *, rounds: int = 30, warm_up: int = 3) -> dict[str, Timing]:
    """Call each in turn, round after round, so that a change in the machine's load meets all of them alike.

    The order is drawn anew each round: none always follows the same neighbour. `warm_up` rounds are not counted.
    """
    names, generator = list(calls), np.random.default_rng(0)
    spent: dict[str, list[float]] = {name: [] for name in names}
    for number in range(warm_up + rounds):
        for name in (names[at] for at in generator.permutation(len(names))):
            start = time.perf_counter()
            calls[name]()
            elapsed = time.perf_counter() - start
            if number >= warm_up:
                spent[name].append(elapsed * 1e3)
    return {name: timing(times) for name, times in spent.items()}


def in_blocks(
    calls: Mapping[str, Callable[[], object]],
    *,
    seconds: float,
    spinning: Collection[str] = (),
    passes: int = 2,
    pause: float = 0.3,
) -> dict[str, Timing]:
    """Call each many times before the next, `passes` times over: each finds its data in the cache where they fit, whatever others read.

    Args:
        seconds: about what all together may take; each is called twice a pass at least, after one call to warm up.
        spinning: those whose threads go on spinning after a call, as OpenMP's do; `pause` seconds are waited after them.
    """
    spent: dict[str, list[float]] = {name: [] for name in calls}
    waits = False
    for _ in range(passes):
        for name, call in calls.items():
            if waits:
                time.sleep(pause)
            once = _milliseconds(call) / 1e3
            rounds = int(np.clip(seconds / len(calls) / passes / once, 2, 100))
            spent[name] += [_milliseconds(call) for _ in range(rounds)]
            waits = name in spinning
    return {name: timing(times) for name, times in spent.items()}


def _milliseconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e3
