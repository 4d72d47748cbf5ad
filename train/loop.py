"""The only training loop: stages, precision, devices, logging, progress, checkpoints, resume."""

from __future__ import annotations

import dataclasses
import math
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from train import checkpoint, registry
from train.checkpoint import Checkpoint
from train.config import from_dict
from train.contract import Batch, Losses, Method, Stage
from train.journal import Journal

if TYPE_CHECKING:
    from lightning_fabric import Fabric

RUNNING, FINISHED = "checkpoint.pt", "model.pt"


class Diverged(RuntimeError):
    """The loss or a weight is no longer a finite number."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """How a run is carried out; none of it changes what the method is.

    Args:
        accelerator: "auto", "cpu" or "gpu".
        devices: processes to start; 0 takes what torchrun started, else one.
        precision: Lightning Fabric's name, such as "32-true" or "bf16-mixed".
        strategy: Lightning Fabric's name, such as "auto", "ddp" or "fsdp".
        checkpoint_every: steps between two checkpoints.
        log_every: steps between two rows of metrics.
        resume: go on from the checkpoint in the output folder.
    """

    accelerator: str = "auto"
    devices: int = 0
    precision: str = "32-true"
    strategy: str = "auto"
    checkpoint_every: int = 200
    log_every: int = 10
    resume: bool = False


def fabric(setting: Setting) -> Fabric:
    """Lightning Fabric for this setting; under torchrun it joins the processes that torchrun started."""
    from lightning_fabric import Fabric

    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    nodes = int(os.environ.get("WORLD_SIZE", "1")) // local
    devices = setting.devices or local
    strategy = setting.strategy
    if strategy == "auto" and devices * nodes > 1:
        strategy = "ddp"
    made = Fabric(
        accelerator=setting.accelerator,
        devices=devices,
        num_nodes=nodes,
        strategy=strategy,
        precision=setting.precision,  # type: ignore[arg-type]
    )
    made.launch()
    return made


def fit(name: str, config: Any, data: Path | None, out: Path, setting: Setting) -> Path:
    """Train a method from its first stage to its last and write `out/model.pt`.

    A killed run leaves `out/checkpoint.pt`; with `setting.resume` it goes on to the same weights as an unbroken run.

    Args:
        name: the method's command name.
        config: its Config.
        data: a data set, or None for the embedded one.
        out: the folder of the run, made if it is missing.

    Raises:
        Diverged: the loss became NaN or infinite; the last good checkpoint is kept.
        ValueError: a bad configuration or data set, or a checkpoint of another run.
    """
    runner = fabric(setting)
    out.mkdir(parents=True, exist_ok=True)
    saved = _resumable(name, config, out, setting)
    torch.manual_seed(config.seed)
    kind = registry.entry(name).method
    method = kind(config, saved.facts if saved else kind.prepare(config, data))
    if saved:
        method.load_state_dict(saved.model)
    method.to(runner.device)
    run = _Run(runner, method, out, setting, Checkpoint(name, dataclasses.asdict(config), method.facts, {}))
    with Journal(out, setting.log_every, saved.step["total"] if saved else 0, enabled=runner.is_global_zero) as journal:
        run.go(data, journal, saved)
        method.eval()
        metrics = {f"{split}/{key}": value for split in ("val", "test") for key, value in method.evaluate(data, split).items()}
        journal.result(run.total, metrics)
    run.write(FINISHED, metrics=metrics, optimizer={}, best={})
    if runner.is_global_zero:
        (out / RUNNING).unlink(missing_ok=True)
    runner.barrier()
    return out / FINISHED


def _resumable(name: str, config: Any, out: Path, setting: Setting) -> Checkpoint | None:
    """The checkpoint to go on from, or None for a fresh run; ValueError where that would lose or mix up work."""
    path = out / RUNNING
    if not setting.resume:
        taken = [file for file in (path, out / FINISHED) if file.exists()]
        if taken:
            raise ValueError(f"{taken[0]} exists already: give --resume to go on with that run, or another --out")
        return None
    if not path.exists():
        if (out / FINISHED).exists():
            raise ValueError(f"the run in {out} has ended: {out / FINISHED} is complete, there is nothing to resume")
        return None
    saved = checkpoint.load(path)
    differing: list[str] = []
    if saved.method == name:
        before = from_dict(type(config), saved.config)
        names = [field.name for field in dataclasses.fields(config)]
        differing = [field for field in names if getattr(config, field) != getattr(before, field)]
    if saved.method != name or differing:
        what = f"method {saved.method}" if saved.method != name else f"other values of {', '.join(differing)}"
        raise ValueError(f"{path} was written with {what}; resume with the same configuration, or give another --out")
    return saved


class _Objective(nn.Module):
    """A method and one stage's loss as a module, so that data-parallel wrappers see a forward pass."""

    def __init__(self, method: Method, stage: Stage) -> None:
        super().__init__()
        self.method = method
        self._loss = stage.loss

    def forward(self, batch: Batch) -> tuple[Tensor, Losses]:
        return self._loss(batch)


class _Run:
    """One run's moving parts: where it is, and how its state reaches the disk."""

    def __init__(self, runner: Fabric, method: Method, out: Path, setting: Setting, header: Checkpoint) -> None:
        self.runner, self.method, self.out, self.setting, self.header = runner, method, out, setting, header
        self.stage, self.step, self.total = 0, 0, 0
        self.best: dict[str, Any] = {}
        self.optimizer: dict[str, Any] = {}

    def go(self, data: Path | None, journal: Journal, saved: Checkpoint | None) -> None:
        if saved:
            self.stage, self.step, self.total = saved.step["stage"], saved.step["step"], saved.step["total"]
            self.best = saved.best
        for index, stage in enumerate(self.method.stages(data)):
            if index < self.stage:
                continue
            if saved:
                _set_rng(saved.rng)  # a stage that begins anew draws what it would have drawn
            self._train(stage, journal, saved if self.step else None)
            saved = None
            self.stage, self.step, self.best = index + 1, 0, {}
            self.write(RUNNING, optimizer={}, best={})

    def _train(self, stage: Stage, journal: Journal, saved: Checkpoint | None) -> None:
        if saved:
            stage.optimizer.load_state_dict(saved.optimizer)
        elif stage.begin:
            stage.begin()
        _train_only(self.method, stage)
        objective, optimizer = self.runner.setup(_Objective(self.method, stage), stage.optimizer)
        rates = [group.setdefault("initial_lr", group["lr"]) for group in stage.optimizer.param_groups]
        batches = stage.batches(self.step)
        guard = _Guard(self.step)
        if saved:
            _set_rng(saved.rng)
        with journal.stage(stage.name, stage.steps, self.step) as log:
            while self.step < stage.steps:
                began = time.perf_counter()
                batch = {name: value.to(self.runner.device, non_blocking=True) for name, value in next(batches).items()}
                waited = time.perf_counter() - began
                factor = stage.schedule(self.step)
                for group, rate in zip(stage.optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate * factor if group.get("scheduled", True) else rate
                loss, parts = objective(batch)
                self.runner.backward(loss)
                if stage.clip:
                    self.runner.clip_gradients(objective, optimizer, max_norm=stage.clip, error_if_nonfinite=False)
                optimizer.step()
                optimizer.zero_grad()
                guard.see(loss)
                if stage.after_step:
                    stage.after_step(self.step)
                self.step += 1
                self.total += 1
                last = self.step == stage.steps
                look = stage.select and (last or (stage.select_every and self.step % stage.select_every == 0))
                keep = self.step % self.setting.checkpoint_every == 0 and not last
                if log.due(self.step) or last:
                    guard.check(stage.name, self.out)
                    log.row(
                        self.step,
                        self.total,
                        loss,
                        {**parts, "lr": torch.tensor(rates[0] * factor), "wait": torch.tensor(waited)},
                    )
                if look or keep or last:
                    guard.check(stage.name, self.out, stage.optimizer)
                if look:
                    self._select(stage, log.score)
                if keep:
                    self.write(RUNNING, optimizer=stage.optimizer.state_dict(), best=self.best)
        if stage.end:
            stage.end()
        if self.best:
            self.method.load_state_dict(self.best["model"], strict=False)  # what was frozen is as it was
        self.method.requires_grad_(False)

    def _select(self, stage: Stage, report: Any) -> None:
        assert stage.select
        self.method.eval()
        with torch.no_grad():
            score = stage.select()
        _train_mode(self.method, stage)
        report(self.total, score)
        if not self.best or score > self.best["score"]:
            frozen = {name for name, parameter in self.method.named_parameters() if not parameter.requires_grad}
            weights = {
                name: value.detach().cpu().clone() for name, value in self.method.state_dict().items() if name not in frozen
            }
            self.best = {"score": score, "step": self.step, "model": weights}

    def write(self, name: str, **state: Any) -> None:
        """Save the run as it stands; the first process writes, the others wait."""
        if self.runner.is_global_zero:
            rng = {"torch": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []}
            step = {"stage": self.stage, "step": self.step, "total": self.total}
            model = self.method.state_dict()
            checkpoint.save(dataclasses.replace(self.header, model=model, step=step, rng=rng, **state), self.out / name)
        self.runner.barrier()


class _Guard:
    """Remembers the first step whose loss was not finite, without waiting for the device at every step."""

    def __init__(self, step: int) -> None:
        self._step = step
        self._first: Tensor | None = None

    def see(self, loss: Tensor) -> None:
        finite = torch.isfinite(loss.detach())
        never = torch.full_like(finite, -1, dtype=torch.int64)
        first = never if self._first is None else self._first
        self._first = torch.where(finite | (first >= 0), first, torch.full_like(first, self._step))
        self._step += 1

    def check(self, stage: str, out: Path, optimizer: Optimizer | None = None) -> None:
        """Raise Diverged if a loss seen, or with `optimizer` a weight it trains, is not a finite number."""
        first, what = -1 if self._first is None else int(self._first), "the loss"
        if first < 0 and optimizer is not None and not _finite(optimizer):
            first, what = self._step - 1, "a weight"
        if first >= 0:
            kept = (
                f"the last good checkpoint is {out / RUNNING}"
                if (out / RUNNING).exists()
                else "no checkpoint had been written yet"
            )
            raise Diverged(
                f"{what} of stage {stage!r} was not a finite number at step {first}; {kept}. "
                "Lower the learning rate, give a longer warm-up or train in 32-bit precision"
            )


def _finite(optimizer: Optimizer) -> bool:
    return all(bool(torch.isfinite(parameter).all()) for group in optimizer.param_groups for parameter in group["params"])


def _train_only(method: Method, stage: Stage) -> None:
    method.requires_grad_(False)
    for group in stage.optimizer.param_groups:
        for parameter in group["params"]:
            parameter.requires_grad_(True)
    _train_mode(method, stage)


def _train_mode(method: Method, stage: Stage) -> None:
    method.train()
    for module in stage.frozen:
        module.eval()


def _set_rng(rng: dict[str, Any]) -> None:
    torch.set_rng_state(rng["torch"])
    if rng["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(rng["cuda"])


def warm_up_cosine(steps: int, warm_up: int = 0, floor: float = 0.0) -> Any:
    """Linear warm-up, then a half cosine to `floor`: step -> factor in (0, 1]."""

    def factor(step: int) -> float:
        if step < warm_up:
            return (step + 1) / (warm_up + 1)
        progress = (step - warm_up) / max(steps - warm_up, 1)
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))

    return factor
