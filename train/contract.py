"""What the rest of the house knows of a method: its configuration, stages, evaluation and graphs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeAlias

import numpy as np
from torch import Tensor, nn
from torch.optim import Optimizer

from runtime.artifact import Artifact

Batch: TypeAlias = dict[str, Tensor]
Losses: TypeAlias = dict[str, Tensor]
Facts: TypeAlias = dict[str, Any]  # plain: str, int, float, bool, None, Tensor, and lists, tuples and dicts of these


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stretch of optimisation over one set of parameters.

    Args:
        name: unique within a method; it labels metrics and the progress bar.
        steps: optimizer steps, >= 1.
        batches: start step -> this process's share of every batch from that step on. The batch of step i is a function of
            the seed and i alone, so that a resumed run sees what an unbroken one sees.
        loss: this process's share of a batch -> the scalar to minimise, with parts to log. A loss that looks across the
            batch gathers first (train.blocks.gather), so that its value is that of the global batch.
        optimizer: holds exactly the parameters that this stage trains; all others are frozen by the loop.
        schedule: step -> factor on the optimizer's learning rates, but on those of groups with `scheduled` False.
        begin: called once before step 0, not on resume (its results are saved with the model).
        select: returns a score on held-out training data, higher is better. It is asked every `select_every` steps and after
            the last; the stage ends with the weights of its best score. Never test data.
        after_step: called with the step just taken: momentum copies, running averages.
        end: called once after the last step, before the best weights are put back.
        frozen: modules that stay in evaluation mode (their normalisation statistics do not move).
        clip: largest gradient norm; 0 leaves gradients as they are.
    """

    name: str
    steps: int
    batches: Callable[[int], Iterator[Batch]]
    loss: Callable[[Batch], tuple[Tensor, Losses]]
    optimizer: Optimizer
    schedule: Callable[[int], float]
    begin: Callable[[], None] | None = None
    select: Callable[[], float] | None = None
    select_every: int = 0
    after_step: Callable[[int], None] | None = None
    end: Callable[[], None] | None = None
    frozen: tuple[nn.Module, ...] = ()
    clip: float = 0.0


@dataclasses.dataclass(frozen=True)
class Exportable:
    """Plain data and one module per graph: all that export needs.

    Args:
        artifact: schema, graphs, axes and the task's options; `files` is filled by export.
        modules: graph name -> module in evaluation mode; its positional inputs and tuple of outputs follow the graph's ports.
        samples: graph name -> real inputs for its ports after preprocessing, as many rows as there are images.
        images: the same samples before preprocessing, each uint8 (h, w, 3) RGB; empty where the method has none.
        files: further files of the artifact, name -> content.
        clouds: the samples of a graph of centres and neighbourhoods before they were grouped, each float32 (points, 3).
        chips: the samples of a recognizer before their middle was cut, each uint8 or float32 (h, w).
    """

    artifact: Artifact
    modules: Mapping[str, nn.Module]
    samples: Mapping[str, Mapping[str, np.ndarray]]
    images: tuple[np.ndarray, ...] = ()
    files: Mapping[str, bytes] = dataclasses.field(default_factory=dict)
    clouds: tuple[np.ndarray, ...] = ()
    chips: tuple[np.ndarray, ...] = ()


class Config(Protocol):
    """A flat frozen dataclass whose defaults are the paper's."""

    __dataclass_fields__: ClassVar[dict[str, Any]]
    seed: int


class Method(nn.Module):
    """The signatures of a system; a base class without behaviour.

    Args:
        config: the method's flat frozen Config.
        facts: what the modules need to be built beside the config (class names, the teacher's architecture). They come
            from `prepare` on a fresh run and from the checkpoint afterwards, when the data may be elsewhere.
    """

    config: Any
    facts: Facts

    @classmethod
    def prepare(cls, config: Any, data: Path | None) -> Facts:
        """Read what the modules are built from, and refuse bad configuration and data before any work."""
        raise NotImplementedError

    def stages(self, data: Path | None) -> Iterator[Stage]:
        """Yield the stages lazily: a stage is built when the one before has ended."""
        raise NotImplementedError

    def evaluate(self, data: Path | None, split: str) -> dict[str, float]:
        """Measure on `split` ("val" or "test")."""
        raise NotImplementedError

    def exportable(self) -> Exportable:
        """Describe the graphs and hand over their modules."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Entry:
    """How the registry holds a method: its class, its Config class, a config small enough for a test, and named presets."""

    method: type[Method]
    config: type[Any]
    smoke: Any
    presets: Mapping[str, Any] = dataclasses.field(default_factory=dict)
