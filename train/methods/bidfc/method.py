"""BIDFC's stages, evaluation and graph."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import update_bn

from runtime.artifact import Artifact, Axis, Graph, Port
from train import checkpoint
from train.blocks.gather import gather
from train.blocks.moco import MoCo
from train.blocks.momentum import Momentum
from train.contract import Batch, Exportable, Facts, Losses, Method, Stage
from train.loop import warm_up_cosine
from train.losses.dynamic_weighted_variance import dynamic_weighted_variance
from train.losses.nt_xent import nt_xent
from train.metrics import accuracy, auroc, calibration_error

from . import feed
from .config import Config, check
from .discrimination import Discrimination, Plan
from .graphs import RecognizerGraph
from .network import Encoder, projector
from .novelty import Novelty, threshold
from .parts import Part, Parts, open_parts

SAMPLES = 8  # chips that travel with an artifact
ENCODED = 256  # chips that are encoded at a time
HEALTHY, LOOKED_AT = 10, 40  # times chance that a batch's classifier reaches at its last step, once so many batches are done

log = logging.getLogger(__name__)


class BIDFC(Method):
    """An encoder pretrained without labels, its classifier trained with few, and what tells known chips from strange ones."""

    config: Config
    temperature: Tensor
    novelty_threshold: Tensor
    novelty_rate: Tensor

    def __init__(self, config: Config, facts: Facts) -> None:
        super().__init__()
        self.config, self.facts = config, facts
        self._opened: tuple[Path | None, Parts] | None = None
        self.encoder = Encoder(config.backbone, config.stem, config.widths, standardise=config.standardise)
        dim, classes = self.encoder.dim, len(facts["classes"])
        self.discrimination = self.average = self.projector = self.moco = None
        if _pretrains(config, "bidfc"):
            self.discrimination = Discrimination(dim, config.batch, temperature=config.temperature, seed=config.seed)
        if _pretrains(config, "simclr"):
            self.projector = projector(dim, config.projection)
        if _pretrains(config, "moco"):
            self.moco = MoCo(
                self.encoder,
                projector(dim, config.projection),
                dim=config.projection,
                rows=config.queue,
                momentum=config.momentum,
                temperature=config.contrast_temperature,
            )
        if _pretrains(config) and config.ema:
            self.average = Momentum(self.encoder, config.ema)
        self.classifier = nn.Linear(dim, classes)
        self.novelty = Novelty(config.novelty, dim, facts["known"], classes, config.neighbours)
        for name, value in (("temperature", 1.0), ("novelty_threshold", 0.0), ("novelty_rate", 0.0)):
            self.register_buffer(name, torch.tensor(value))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @classmethod
    def prepare(cls, config: Config, data: Path | None) -> Facts:
        check(config)
        feed.augment(config)
        if config.start:
            _encoder(config)
        parts = open_parts(config, data)
        parts.labelled(config.labels, config.seed)
        if _pretrains(config) and len(parts.train) < config.batch:
            raise ValueError(
                f"batch={config.batch} was given and {len(parts.train)} chips are pretrained on; every batch has distinct chips, so "
                f"give batch={len(parts.train)} at most"
            )
        known = min(config.known, len(parts.train))
        if known < config.neighbours:
            raise ValueError(f"neighbours={config.neighbours} was given, among {known} training chips; give fewer")
        rows = np.flatnonzero(parts.val.labels >= 0)
        chosen = parts.val.select(rows[np.linspace(0, len(rows) - 1, SAMPLES).astype(int)])
        samples = torch.from_numpy(chosen.middle(config.size).pixels[:, None].copy())
        facts = {"classes": list(parts.classes), "known": known, "samples": samples}
        if config.crop == "centre":  # of whole chips the windows are all that was kept
            facts["windows"] = torch.from_numpy(chosen.pixels)
        return facts

    def parts(self, data: Path | None) -> Parts:
        """The data set, read once for training and evaluation."""
        if self._opened is None or self._opened[0] != data:
            self._opened = data, open_parts(self.config, data)
        found = self._opened[1]
        if found.classes != tuple(self.facts["classes"]):
            raise ValueError(
                f"{data or 'the embedded data'} has the classes {', '.join(found.classes)}; the model was trained on "
                f"{', '.join(self.facts['classes'])}"
            )
        return found

    # stages

    def stages(self, data: Path | None) -> Iterator[Stage]:
        parts = self.parts(data)
        if _pretrains(self.config):
            yield self._pretrain(parts)
        yield self._with_labels(parts)

    def plan(self, chips: int) -> Plan:
        """The steps of pretraining on so many chips; baselines take as many."""
        config = self.config
        return Plan(
            config.epochs,
            chips // config.batch,
            config.repeats,
            config.variance_from * config.epochs,
            config.variance_full * config.epochs,
            config.variance_weight,
        )

    def _pretrain(self, parts: Parts) -> Stage:
        config, plan = self.config, self.plan(len(parts.train))
        heads = (self.projector, self.moco.query if self.moco is not None else None)
        trained = [self.encoder, *(head for head in heads if head is not None)]
        groups: list[dict[str, Any]] = [{"params": _parameters(trained), "lr": config.learning_rate}]
        loss: Callable[[Batch], tuple[Tensor, Losses]] = self._contrast
        if self.discrimination is not None:
            fresh = [*self.discrimination.parameters()]
            rate = config.classifier_learning_rate
            groups.append({"params": fresh, "lr": rate, "weight_decay": 0.0, "scheduled": False})
            loss = self._discriminate
        optimizer = _optimizer(config.optimizer, groups, config.learning_rate, 0.0 if config.optimizer == "adam" else 1e-4)

        def begin() -> None:
            if self.discrimination is not None:
                self.discrimination.draw(0, optimizer)

        def after(step: int) -> None:
            if self.moco is not None:
                self.moco.follow()
            batch, turn = plan.place(step + 1)
            if self.average is not None and (turn == 0 or self.discrimination is None):
                self.average.follow(self.encoder)
            if self.discrimination is not None and turn == 0:
                self.discrimination.draw(batch, optimizer)

        return Stage(
            config.pretraining,
            plan.steps,
            lambda start: feed.pretraining(parts.train, config, plan, start),
            loss,
            optimizer,
            warm_up_cosine(plan.steps),
            begin=begin,
            after_step=after,
            end=lambda: self._end_pretraining(parts, plan),
        )

    def _discriminate(self, batch: Batch) -> tuple[Tensor, Losses]:
        """A step of the batch's instance classifier, or where the batch has several views of each chip one of their variance."""
        assert self.discrimination is not None
        telling = self.discrimination
        chip = feed.seen(batch, self.config, feed.augment(self.config))  # (b, V, 1, h, w)
        told = {"instance_accuracy": telling.accuracy.detach()}
        features = self.encoder.features(chip.flatten(0, 1))  # (b V, d)
        if "weight" in batch:
            views = features.reshape(*chip.shape[:2], -1)
            variance = dynamic_weighted_variance(views, batch["weight"][0])
            # data-parallel training asks for a gradient of every parameter
            unused = sum((0 * parameter).sum() for parameter in telling.parameters())
            return variance + unused, {"variance": variance.detach(), **told}
        loss = telling(features, batch["instance"], last="last" in batch)
        return loss, {"discrimination": loss.detach(), **told}

    def _contrast(self, batch: Batch) -> tuple[Tensor, Losses]:
        """SimCLR's loss of the global batch, or MoCo's of this process's rows."""
        one, other = feed.seen(batch, self.config, feed.augment(self.config)).unbind(1)  # each (b, 1, h, w)
        if self.moco is not None:
            return self.moco(one, other), {}
        assert self.projector is not None
        rows = [self.projector(gather(self.encoder.features(view))) for view in (one, other)]
        return nt_xent(rows[0], rows[1], self.config.contrast_temperature), {}

    @torch.no_grad()
    def _end_pretraining(self, parts: Parts, plan: Plan) -> None:
        config = self.config
        if self.average is not None:
            self.encoder.load_state_dict(self.average.copy.state_dict())
        self._restate(parts)  # an average was never run
        if self.discrimination is not None and plan.epochs * plan.batches >= LOOKED_AT:
            found, least = float(self.discrimination.accuracy), HEALTHY / config.batch
            if found < least:
                log.warning(
                    "The classifier of the last batch told %.1f %% of its chips apart after %d steps; a pretraining that learns reaches "
                    "%.1f %%. Raise classifier_learning_rate (%g) or repeats.",
                    *(100 * found, config.repeats, 100 * least, config.classifier_learning_rate),
                )

    @torch.no_grad()
    def _restate(self, parts: Parts) -> None:
        """Take the encoder's normalisation statistics from training chips as a device cuts them: views are resampled, which smooths speckle."""
        mixed = feed.some(len(parts.train), len(parts.train))
        update_bn(self._batches(parts.train.select(mixed).middle(self.config.size)), self.encoder)

    def _with_labels(self, parts: Parts) -> Stage:
        config = self.config
        rows = parts.labelled(config.labels, config.seed)
        linear = config.evaluation == "linear"
        trained: tuple[nn.Module, ...] = (self.classifier,) if linear else (self.encoder, self.classifier)
        rate = config.linear_learning_rate if linear else config.label_learning_rate
        steps = max(round(config.label_epochs * len(rows) / config.label_batch), 1)
        how = feed.label_augment(config)

        def begin() -> None:
            if config.start:
                self.encoder.load_state_dict(_encoder(config))
            elif linear and config.pretraining == "none":  # a random encoder
                self._restate(parts)

        def loss(batch: Batch) -> tuple[Tensor, Losses]:
            logits = self.classifier(self.encoder.features(feed.seen(batch, config, how)[:, 0]))
            return F.cross_entropy(logits, batch["label"]), {"accuracy": torch.tensor(accuracy(logits.detach(), batch["label"]))}

        return Stage(
            config.evaluation,
            steps,
            lambda start: feed.labelled(parts.train.select(rows), config, start),
            loss,
            _optimizer(config.label_optimizer, _parameters(trained), rate, config.label_weight_decay),
            warm_up_cosine(steps) if config.label_schedule == "cosine" else lambda _: 1.0,
            begin=begin,
            end=lambda: self._fit(parts, rows),
            frozen=(self.encoder,) if linear else (),
        )

    @torch.no_grad()
    def _fit(self, parts: Parts, rows: np.ndarray) -> None:
        """The temperature of the probabilities, what novelty compares with, and its threshold."""
        self.eval()
        config = self.config
        compared = feed.some(len(parts.train), self.facts["known"])
        features, _ = self._encoded(parts.train.select(compared).middle(config.size))
        own, _ = self._encoded(parts.train.select(rows).middle(config.size))
        self.novelty.fit(features, own, torch.from_numpy(parts.train.labels[rows]).to(own.device))
        val = parts.val.select(parts.val.labels >= 0).middle(config.size)
        features, logits = self._encoded(val)
        self.temperature.fill_(calibrated(logits, torch.from_numpy(val.labels).to(logits.device)))
        at, rate = threshold(self.novelty(features, logits), config.refused)
        self.novelty_threshold.fill_(at)
        self.novelty_rate.fill_(rate)

    @torch.no_grad()
    def _encoded(self, part: Part) -> tuple[Tensor, Tensor]:
        """Features (n, d) and logits (n, classes) of a part of middles."""
        features = torch.cat([self.encoder.features(chip) for chip in self._batches(part)])
        return features, self.classifier(features)

    def _batches(self, part: Part) -> Iterator[Tensor]:
        """All windows of a part, (ENCODED, 1, h, w) at a time."""
        for begin in range(0, len(part), ENCODED):
            yield torch.from_numpy(part.pixels[begin : begin + ENCODED, None]).to(self.temperature.device)

    # evaluation

    @torch.no_grad()
    def evaluate(self, data: Path | None, split: str) -> dict[str, float]:
        """Accuracy in percent, over all chips and of each class, and the calibration error of the probabilities; of novelty the share of
        known chips above the threshold, and with held-out classes AUROC, in percent too, and the share of their chips above it.

        Protocol: middles at native resolution (or whole chips with crop=resize, which leaks the class), the weights after the last
        step. "val" chips take part in calibration and threshold only; in "val" held-out classes are told on their training chips.
        """
        self.eval()
        parts = self.parts(data)
        part = {"train": parts.train, "val": parts.val, "test": parts.test}[split].middle(self.config.size)
        features, logits = self._encoded(part)
        label = torch.from_numpy(part.labels).to(logits.device)
        known = label >= 0
        right = (logits.argmax(1) == label).double()
        found = {
            "accuracy": accuracy(logits[known], label[known]),
            "ece": calibration_error((logits[known] / self.temperature).softmax(1), label[known]),
        }
        for place, name in enumerate(parts.classes):
            if bool((label == place).any()):
                found[f"class/{name}"] = 100 * float(right[label == place].mean())
        novelty = self.novelty(features, logits)
        above = (novelty > self.novelty_threshold).double()
        found["known_refused"] = 100 * float(above[known].mean())
        if bool((~known).any()):
            found["unknown_refused"] = 100 * float(above[~known].mean())
            found["auroc"] = auroc(novelty[known].cpu(), novelty[~known].cpu())
        return found

    # export

    def exportable(self) -> Exportable:
        config, classes = self.config, self.facts["classes"]
        samples: Tensor = self.facts["samples"]
        kind = "uint8" if samples.dtype == torch.uint8 else "magnitude"
        chip = Port("chip", "uint8" if kind == "uint8" else "float32", ("batch", 1, config.size, config.size))
        outputs = (
            Port("logits", "float32", ("batch", len(classes))),
            Port("probabilities", "float32", ("batch", len(classes))),
            Port("novelty", "float32", ("batch",)),
        )
        options: dict[str, Any] = {
            "classes": list(classes),
            "size": config.size,
            "crop": config.size if config.crop == "centre" else "resize",
            "input": kind,
            "novelty_threshold": float(self.novelty_threshold),
            "novelty_rate": float(self.novelty_rate),
        }
        graph = RecognizerGraph(self.encoder, self.classifier, self.novelty, self.temperature)
        return Exportable(
            Artifact("bidfc", "recognizer", (Graph("recognizer", (chip,), outputs),), {"batch": Axis(1, 8, 64)}, options),
            {"recognizer": graph.eval()},
            {"recognizer": {"chip": samples.numpy()}},
            chips=tuple(window.numpy() for window in self.facts.get("windows", ())),  # models from before have none
        )


def calibrated(logits: Tensor, label: Tensor) -> float:
    """The temperature of 401 from 0.01 to 100 at which the likelihood of the labels is largest (Guo et al. 2017, sec. 4.2)."""
    tried = torch.logspace(-2, 2, 401, dtype=torch.float64)
    losses = [F.cross_entropy(logits.double() / float(temperature), label) for temperature in tried]
    return float(tried[torch.stack(losses).argmin()])


def _optimizer(name: str, trained: list[Any], rate: float, decay: float) -> torch.optim.Optimizer:
    if name == "adam":
        return torch.optim.Adam(trained, lr=rate, weight_decay=decay)
    return torch.optim.SGD(trained, lr=rate, momentum=0.9, weight_decay=decay)


def _parameters(modules: Sequence[nn.Module]) -> list[nn.Parameter]:
    """Those that are trained, each once."""
    return list({id(one): one for module in modules for one in module.parameters()}.values())


def _pretrains(config: Config, how: str = "") -> bool:
    return config.pretraining != "none" and not config.start and how in ("", config.pretraining)


def _encoder(config: Config) -> dict[str, Tensor]:
    """The encoder's weights in `start`; ValueError where they do not fit, or have seen labels or what is held out here."""
    path = Path(config.start)
    saved = checkpoint.load(path)
    if saved.method != "bidfc":
        raise ValueError(f"start={path} is a model of {saved.method}; expected one of bidfc")
    if saved.config["evaluation"] != "linear":
        raise ValueError(f"start={path} was fine-tuned, so that its encoder has seen labels; expected one of evaluation=linear")
    for field in ("backbone", "stem", "widths", "standardise", "size", "window", "crop", "val", "held_out", "scenes"):
        theirs, ours = saved.config[field], getattr(config, field)
        theirs = tuple(theirs) if isinstance(theirs, list) else theirs
        if theirs != ours:
            raise ValueError(f"start={path} has {field}={theirs}, and {field}={ours} is asked for; they must be equal")
    prefix = "encoder."
    return {name.removeprefix(prefix): value for name, value in saved.model.items() if name.startswith(prefix)}
