"""Trainings that a comparison needs: each in a process of its own, several at a time, and never twice."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.machine import describe

if TYPE_CHECKING:
    from train.checkpoint import Checkpoint

BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


def precision() -> str:
    """Lightning Fabric's name of the faster precision on this processor: bfloat16 is emulated, many times slower, where AVX-512 is absent."""
    import torch

    return "bf16-mixed" if "AVX512" in torch.backends.cpu.get_cpu_capability() else "32-true"


def folder(out: Path, arm: str, seed: int) -> Path:
    """Of one run."""
    name = "".join(letter if letter.isalnum() else "_" for letter in arm)
    return out / f"{name}-{seed}"


def train(method: str, out: Path, data: Path | None, threads: int, arguments: Sequence[str]) -> Path:
    """The model.pt of one run of `train.run`, trained if it is not there, from its checkpoint if there is one.

    Its times go beside it into seconds.json, its words into log.txt. Without `data` it is the embedded data.

    Raises:
        SystemExit: the training failed; with its last words.
    """
    model = out / "model.pt"
    if model.exists():
        return model
    out.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    where = ["--data", str(data)] if data else []
    command = [sys.executable, "-m", "train.run", method, *where, "--out", str(out), "--resume", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    with (out / "log.txt").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if status:
        raise SystemExit(f"{out.name} failed; its last words in {out / 'log.txt'}:\n{(out / 'log.txt').read_text()[-800:]}")
    seconds = {"wall": time.perf_counter() - began, "cpu": used.ru_utime + used.ru_stime}
    (out / "seconds.json").write_text(json.dumps(seconds), encoding="utf-8")
    return model


def cpu_seconds(out: Path) -> float | None:
    """That a run took, where that is known."""
    path = out / "seconds.json"
    return float(json.loads(path.read_text(encoding="utf-8"))["cpu"]) if path.exists() else None


def threads(jobs: int) -> int:
    """Of each run where `jobs` share the machine."""
    return max((os.cpu_count() or 1) // jobs, 1)


def in_order(arms: Collection[str], seeds: int, later: Sequence[str] = ()) -> list[tuple[str, int]]:
    """Arms and seeds, seed by seed; those of some arms after all others."""
    pairs = [(arm, seed) for seed in range(seeds) for arm in arms]
    return sorted(pairs, key=lambda pair: pair[0] in later)  # stable


def together(run: Callable[..., object], pairs: Iterable[tuple[str, int]], jobs: int) -> None:
    """Call for each arm and seed, `jobs` at a time, and say on standard error when each has ended."""

    def told(arm: str, seed: int) -> None:
        run(arm, seed)
        print(f"seed {seed}, {arm}: done", file=sys.stderr, flush=True)

    with ThreadPoolExecutor(jobs) as pool:
        for ended in [pool.submit(told, *pair) for pair in pairs]:
            ended.result()


def collect(out: Path, arms: Iterable[str], seeds: int, size: Callable[[Checkpoint], int]) -> dict[str, Any]:
    """Test figures of all finished runs by arm, in the order of seeds.

    Args:
        size: the parameters of what a run's model deploys.
    """
    from train import checkpoint

    measures: dict[str, dict[str, list[float]]] = {}
    found: dict[str, Any] = {"machine": describe().to_dict(), "seeds": {}, "parameters": {}, "cpu_seconds": {}, "config": {}}
    for arm in arms:
        for seed in range(seeds):
            place = folder(out, arm, seed)
            if not (place / "model.pt").exists():
                continue
            saved = checkpoint.load(place / "model.pt")
            found["seeds"].setdefault(arm, []).append(seed)
            found["parameters"][arm] = size(saved)
            found["config"][arm] = saved.config
            spent = cpu_seconds(place)
            if spent is not None:
                found["cpu_seconds"].setdefault(arm, []).append(spent)
            for name, value in saved.metrics.items():
                split, _, measure = name.partition("/")
                if split == "test":
                    measures.setdefault(arm, {}).setdefault(measure, []).append(value)
    return {**found, "measures": measures}


def parameters(state: dict[str, Any], *prefixes: str, without: tuple[str, ...] = ()) -> int:
    """Parameters below some names, without running statistics and what else is named."""
    left = (*BUFFERS, *without)
    return sum(value.numel() for name, value in state.items() if name.startswith(prefixes) and not name.endswith(left))


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Mean and standard deviation; of one value, the value."""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{statistics.mean(values):.{digits}f} ± {statistics.stdev(values):.{digits}f}"
