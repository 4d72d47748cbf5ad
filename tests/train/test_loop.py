"""Runs that were killed, or spread over two processes, are compared with an unbroken run in one process."""

from __future__ import annotations

import csv
import dataclasses
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from train import checkpoint, loop, registry
from train.config import override

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
EVERY = ("--checkpoint-every", "3", "--log-every", "1")
LIMIT = 240  # seconds that any child may take


def command(photos: Path, out: Path, tiny: Sequence[str], *more: str) -> list[str]:
    return ["-m", "train.run", "comkd_clip", *tiny, *more, "--smoke", "--data", str(photos), "--out", str(out), *EVERY]


def start(arguments: Sequence[str], errors: Path) -> subprocess.Popen[bytes]:
    with errors.open("ab") as file:
        return subprocess.Popen([sys.executable, *arguments], env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=file)


def finish(arguments: Sequence[str], errors: Path) -> None:
    assert start(arguments, errors).wait(LIMIT) == 0, errors.read_text()


def weights(out: Path) -> dict[str, Tensor]:
    return checkpoint.load(out / "model.pt").model


def told(out: Path) -> list[tuple[str, ...]]:
    """All rows of metrics.csv but the waiting times."""
    with (out / "metrics.csv").open(newline="") as file:
        return [tuple(row) for row in csv.reader(file) if row[3] != "wait"]


def done(out: Path) -> int:
    """Steps told so far."""
    try:
        rows = (out / "metrics.csv").read_text().splitlines()[1:]
        return max((int(row.split(",")[0]) for row in rows if row.count(",") == 4), default=0)
    except FileNotFoundError:
        return 0


@pytest.fixture(scope="module")
def unbroken(photos: Path, tiny: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("unbroken")
    finish(command(photos, out, tiny, "optimizer=sgd"), out / "errors")
    return out


def test_a_run_killed_at_random_steps_ends_in_the_same_bits(
    unbroken: Path, photos: Path, tiny: tuple[str, ...], tmp_path: Path
) -> None:
    out, errors = tmp_path / "run", tmp_path / "errors"
    arguments = [*command(photos, out, tiny, "optimizer=sgd"), "--resume"]
    total = done(unbroken)
    killed = 0
    for target in sorted(random.Random(5).sample(range(2, total - 2), 3)):
        child = start(arguments, errors)
        began = time.monotonic()
        while child.poll() is None and done(out) < target:
            assert time.monotonic() - began < LIMIT, errors.read_text()
            time.sleep(0.005)
        child.send_signal(signal.SIGKILL)
        killed += child.wait() == -signal.SIGKILL
    assert killed == 3, errors.read_text()
    finish(arguments, errors)
    expected, found = weights(unbroken), weights(out)
    assert list(found) == list(expected)
    assert [name for name in expected if not torch.equal(found[name], expected[name])] == []
    assert told(out) == told(unbroken)
    assert sorted(path.name for path in out.iterdir()) == ["metrics.csv", "model.pt", "tensorboard"]


def test_two_processes_reach_the_weights_of_one(unbroken: Path, photos: Path, tiny: tuple[str, ...], tmp_path: Path) -> None:
    out, cache = tmp_path / "run", tmp_path / "cache"
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    finish([*launcher, *command(photos, out, tiny, "optimizer=sgd", f"cache={cache}")], tmp_path / "errors")
    expected, found = weights(unbroken), weights(out)
    assert any("running_mean" in name for name in expected) and float(expected["student.attention.alpha"]) != 0
    for name, value in expected.items():
        if name.endswith("in_proj_bias"):  # attention does not depend on the keys' bias: its gradient is rounding alone,
            query, _, last = value.chunk(3)  # which AdamW brings to the size of any other
            one, _, other = found[name].chunk(3)
            torch.testing.assert_close(torch.cat([one, other]), torch.cat([query, last]), rtol=1e-3, atol=3e-4)
        else:
            torch.testing.assert_close(found[name], value, rtol=1e-3, atol=3e-4, msg=lambda said, name=name: f"{name}: {said}")
    assert [path.suffix for path in cache.iterdir()] == [".npy"], "one file, whole, though both processes wrote it"


# in this process


def smoke(tiny: Sequence[str], *more: str) -> Any:
    return override(registry.entry("comkd_clip").smoke, [*tiny, *more])


SETTING = loop.Setting(accelerator="cpu", checkpoint_every=3, log_every=1)


def test_a_loss_that_is_no_number_stops_the_run_at_its_step_and_keeps_the_checkpoint(
    photos: Path, tiny: tuple[str, ...], tmp_path: Path
) -> None:
    config = smoke(tiny, "optimizer=sgd", "learning_rate=1e30", "clip=0", "prompt_epochs=0", "select_every=100")
    setting = dataclasses.replace(SETTING, log_every=100, checkpoint_every=100)
    with pytest.raises(loop.Diverged, match=r"of stage 'student' was not a finite number at step [1-9]; the last good") as error:
        loop.fit("comkd_clip", config, photos, tmp_path, setting)
    assert str(tmp_path / "checkpoint.pt") in str(error.value)
    kept = checkpoint.load(tmp_path / "checkpoint.pt")
    assert kept.step["stage"] == 1 and all(bool(value.isfinite().all()) for value in kept.model.values())
    assert not (tmp_path / "model.pt").exists()


def test_weights_that_are_no_numbers_never_replace_a_good_checkpoint(photos: Path, tiny: tuple[str, ...], tmp_path: Path) -> None:
    """The step before the loss shows it: the loss is finite, the update is not."""
    config = smoke(tiny, "optimizer=sgd", "learning_rate=inf", "clip=0", "prompt_epochs=0", "select_every=100")
    setting = dataclasses.replace(SETTING, log_every=100, checkpoint_every=1)
    with pytest.raises(loop.Diverged, match="a weight of stage 'student' was not a finite number at step 0"):
        loop.fit("comkd_clip", config, photos, tmp_path, setting)
    assert all(bool(value.isfinite().all()) for value in checkpoint.load(tmp_path / "checkpoint.pt").model.values())


@pytest.fixture
def stopped(photos: Path, tiny: tuple[str, ...], tmp_path: Path) -> Path:
    """A folder with a checkpoint between two stages."""
    method = registry.entry("comkd_clip").method
    config = smoke(tiny)
    made = method(config, method.prepare(config, photos))
    step = {"stage": 1, "step": 0, "total": 1}
    saved = checkpoint.Checkpoint(
        "comkd_clip",
        dataclasses.asdict(config),
        made.facts,
        made.state_dict(),
        step=step,
        rng={"torch": torch.get_rng_state(), "cuda": []},
    )
    checkpoint.save(saved, tmp_path / "checkpoint.pt")
    return tmp_path


def test_a_folder_with_a_run_in_it_is_not_overwritten(stopped: Path, photos: Path, tiny: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"exists already: give --resume .* or another --out"):
        loop.fit("comkd_clip", smoke(tiny), photos, stopped, SETTING)


def test_a_run_is_not_resumed_with_another_configuration(stopped: Path, photos: Path, tiny: tuple[str, ...]) -> None:
    resume = dataclasses.replace(SETTING, resume=True)
    with pytest.raises(ValueError, match="other values of seed, kl_weight; resume with the same configuration"):
        loop.fit("comkd_clip", smoke(tiny, "seed=1", "kl_weight=2"), photos, stopped, resume)


def test_a_run_that_has_ended_is_not_resumed(photos: Path, tiny: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "model.pt").touch()
    with pytest.raises(ValueError, match=r"has ended: .* there is nothing to resume"):
        loop.fit("comkd_clip", smoke(tiny), photos, tmp_path, dataclasses.replace(SETTING, resume=True))


def test_a_stage_ends_with_its_best_weights(photos: Path, tiny: tuple[str, ...], tmp_path: Path) -> None:
    config = smoke(tiny, "prompt_epochs=0", "select_every=0.5")
    path = loop.fit("comkd_clip", config, photos, tmp_path, SETTING)
    with (tmp_path / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    scores = [float(row["value"]) for row in rows if row["name"] == "select"]
    assert len(scores) > 2
    *_, stage = checkpoint.restore(path).stages(photos)
    assert stage.name == "student" and stage.select is not None
    with torch.no_grad():
        assert stage.select() == pytest.approx(max(scores))


@pytest.mark.parametrize(("steps", "warm_up"), [(10, 0), (10, 4), (1, 0), (3, 5)])
def test_the_schedule_rises_to_one_and_falls_to_its_floor(steps: int, warm_up: int) -> None:
    factor = loop.warm_up_cosine(steps, warm_up, floor=0.1)
    values = [factor(step) for step in range(steps)]
    assert all(0 < value <= 1 for value in values)
    assert values[:warm_up] == sorted(values[:warm_up])
    assert values[warm_up:] == sorted(values[warm_up:], reverse=True)
    if warm_up < steps:
        assert values[warm_up] == 1.0
    assert factor(max(steps, warm_up + 1)) == pytest.approx(0.1)
