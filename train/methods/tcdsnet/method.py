"""TCDSNet's stages, evaluation and graphs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from runtime.artifact import Artifact, Axis, Graph, Port
from runtime.prepare import Geometry, fit
from train import checkpoint
from train.blocks.gather import rank, world_size
from train.blocks.selection import unit
from train.contract import Batch, Exportable, Facts, Losses, Method, Stage
from train.data import loader
from train.data.episodes import Episodes
from train.data.fewshot import ClassSets, open_classes
from train.data.split import Split
from train.loop import warm_up_cosine

from . import feed, measures
from .config import Config
from .graphs import DescriptorGraph, MatcherGraph
from .head import Threshold, classify
from .network import Conv4, ResNet12, grid, pixels
from .rules import Floats, rules

EPISODE_SEED = 20_240  # of the episodes of val and test: the same for every seed of training, so that runs can be paired
SAMPLE_QUERIES = 2  # of each class, among the images that travel with an artifact
MOST_CLASSES, MOST_BATCH = 20, 64  # that the graphs take
MOST_SIMILARITIES = 1 << 27  # that the matcher's graph makes at a time


class TCDSNet(Method):
    """A backbone of local descriptors, trained through their selection."""

    config: Config

    def __init__(self, config: Config, facts: Facts) -> None:
        super().__init__()
        self.config, self.facts, self.rules = config, facts, rules(config)
        self.backbone: Conv4 | ResNet12
        if config.backbone == "conv4":
            self.backbone = Conv4(config.width, config.pools)
        else:
            self.backbone = ResNet12(config.width, config.pools, config.drop_block)
        dim = self.backbone.dim
        self.places: nn.Parameter | None = None  # one class vector each, for the classifier at every place
        if _pretrains(config):
            self.places = nn.Parameter(unit(torch.randn(facts["classes"], dim)))
        self.temperature = nn.Parameter(torch.tensor(10.0)) if self.rules.prototypes else None
        self.threshold: Threshold | None = None
        if self.rules.query == "adaptive":
            self.threshold = Threshold(dim, config.adaptive_from, config.adaptive_interval)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def geometry(self) -> Geometry:
        return Geometry((self.config.size, self.config.size))

    @classmethod
    def prepare(cls, config: Config, data: Path | None) -> Facts:
        _check(config)
        found = _open(config, data)
        for part, queries in (("train", config.queries), ("val", config.test_queries), ("test", config.test_queries)):
            ways = config.ways if part == "train" else config.test_ways
            shots = max(config.shots if part == "train" else config.test_shots)
            try:
                Episodes(found.part(part).labels, ways=ways, shots=shots, queries=queries, seed=0, names=found.classes)
            except ValueError as error:
                raise ValueError(f"the {part} part of {data or 'the embedded data'}: {error}") from error
        sample = Episodes(
            found.val.labels, ways=config.test_ways, shots=max(config.shots), queries=SAMPLE_QUERIES, seed=config.seed
        ).draw(0)
        geometry = Geometry((config.size, config.size))

        def read(images: NDArray[np.int64]) -> list[Tensor]:
            return [torch.from_numpy(np.ascontiguousarray(fit(found.val.read(int(i)), geometry))) for i in images.ravel()]

        return {
            "classes": len(np.unique(found.train.labels)),
            "support": read(sample.support),
            "samples": read(sample.query),
        }

    # stages

    def stages(self, data: Path | None) -> Iterator[Stage]:
        found = _open(self.config, data)
        train = found.train.in_memory(self.geometry)
        if _pretrains(self.config):
            yield self._pretrain(train)
        if self.config.episodes:
            yield self._episodes(train, found)

    def _pretrain(self, train: Split) -> Stage:
        config, places = self.config, self.places
        assert places is not None
        steps = max(round(config.pretrain_epochs * len(train) / config.pretrain_batch), 1)

        def batches(start: int) -> Iterator[Batch]:
            return loader.batches(
                train,
                self.geometry,
                config.pretrain_batch,
                augment=config.augment,
                seed=config.seed,
                start=start,
                rank=rank(),
                world=world_size(),
            )

        def loss(batch: Batch) -> tuple[Tensor, Losses]:
            descriptors = self.describe(batch["image"])  # (n, l, d)
            with torch.autocast(descriptors.device.type, enabled=False):
                logits = config.pretrain_scale * descriptors @ unit(places).T  # (n, l, classes)
                distance = F.cross_entropy(logits.flatten(0, 1), batch["label"].repeat_interleave(logits.shape[1]))
            right = (logits.detach().mean(1).argmax(1) == batch["label"]).float().mean()
            return distance, {"accuracy": 100 * right}

        return Stage(
            "pretrain",
            steps,
            batches,
            loss,
            torch.optim.AdamW(
                [*self.backbone.parameters(), places], lr=config.pretrain_learning_rate, weight_decay=config.weight_decay
            ),
            warm_up_cosine(steps, steps // 20),
        )

    def _episodes(self, train: Split, found: ClassSets) -> Stage:
        config = self.config

        def batches(start: int) -> Iterator[Batch]:
            return feed.batches(
                train,
                self.geometry,
                ways=config.ways,
                shots=config.shots,
                queries=config.queries,
                each=config.episodes_per_step,
                augment=config.augment,
                seed=config.seed,
                start=start,
            )

        trained = [module for module in (self.backbone, self.threshold) if module is not None]
        parameters = [parameter for module in trained for parameter in module.parameters()]
        if self.temperature is not None:
            parameters.append(self.temperature)
        held: list[Split] = []

        def select() -> float:
            if not held:
                held.append(found.val.in_memory(self.geometry))
            outcomes = self._outcomes(held[0], config.val_episodes).values()
            return float(np.mean([outcome.accuracy.mean() for outcome in outcomes]))

        return Stage(
            "episodes",
            config.episodes,
            batches,
            self._loss,
            torch.optim.Adam(parameters, lr=config.learning_rate, weight_decay=config.weight_decay),
            warm_up_cosine(config.episodes),
            begin=self._start if config.start else None,
            select=select if config.select_every else None,
            select_every=config.select_every,
        )

    def _start(self) -> None:
        self.backbone.load_state_dict(_backbone(self.config))

    def _loss(self, batch: Batch) -> tuple[Tensor, Losses]:
        """Cross-entropy of the queries of this process's episodes, and the share that their most predicted class got."""
        image, config = batch["image"], self.config
        episodes, ways, images = image.shape[:3]
        shots = images - config.queries
        descriptors = self.describe(image.flatten(0, 2))
        descriptors = descriptors.reshape(episodes, ways, images, *descriptors.shape[1:])  # (e, c, images, l, d)
        truth = torch.arange(ways, device=image.device).repeat_interleave(config.queries)
        if self.temperature is not None:
            scale: Tensor | float = self.temperature
        else:
            scale = config.logit_scale / self.rules.terms(descriptors.shape[3], shots) if config.logit_scale else 1.0
        losses, right, most = [], [], []
        with torch.autocast(descriptors.device.type, enabled=False):
            for episode in descriptors:
                support, query = episode[:, :shots].flatten(1, 2), episode[:, shots:].flatten(0, 1)  # (c, m, d), (n, l, d)
                threshold = None if self.threshold is None else self.threshold(query)
                scores = classify(support, query, self.rules, shots, threshold=threshold, sharpness=config.sharpness)
                if threshold is not None and self.rules.gridded(shots):
                    scores = scores + 0 * threshold.sum()  # data-parallel training asks for a gradient of every parameter
                losses.append(F.cross_entropy(scale * scores, truth))
                guess = scores.detach().argmax(1)
                right.append((guess == truth).float().mean())
                most.append(guess.bincount(minlength=ways).max() / len(guess))
        return torch.stack(losses).mean(), {
            "accuracy": 100 * torch.stack(right).mean(),
            "most_predicted": torch.stack(most).mean(),
        }

    def describe(self, image: Tensor) -> Tensor:
        """uint8 (n, 3, h, w) -> unit descriptors (n, l, d), float32"""
        maps = self.backbone(pixels(image).contiguous(memory_format=torch.channels_last))  # (n, d, h', w')
        return unit(maps.flatten(2).transpose(1, 2))

    # evaluation

    def evaluate(self, data: Path | None, split: str) -> dict[str, float]:
        """N-way K-shot accuracy in percent with half of its 95 % interval, and the mean share of the most predicted class.

        Protocol: `test_episodes` episodes (of val `val_episodes`) that are the same for every run on the data, `test_queries` queries
        of each class; descriptors in evaluation mode, answered by the runtime's ops.
        """
        part = self.part(data, split)
        count = self.config.test_episodes if split == "test" else self.config.val_episodes
        found: dict[str, float] = {}
        for shots, outcome in self._outcomes(part, count).items():
            found |= outcome.metrics(shots)
        return found

    def part(self, data: Path | None, name: str) -> Split:
        """The images of "train", "val" or "test", in memory where they fit."""
        return _open(self.config, data).part(name).in_memory(self.geometry)

    def episodes(self, part: Split, shots: int) -> Episodes:
        """What a part is measured by, the same for every run."""
        config = self.config
        return Episodes(part.labels, ways=config.test_ways, shots=shots, queries=config.test_queries, seed=EPISODE_SEED)

    def _outcomes(self, part: Split, count: int) -> dict[int, measures.Outcome]:
        bank, threads = self.bank(part), torch.get_num_threads()
        return {
            shots: measures.score(bank, self.episodes(part, shots), count, self.rules, threads=threads)
            for shots in self.config.test_shots
        }

    def bank(self, part: Split) -> measures.Bank:
        """The descriptors of a part's images."""
        rows, columns = grid(self.config.size, self.config.pools)
        return measures.Bank(len(part), 4 * rows * columns * self.backbone.dim, self._describer(part))

    def _describer(self, part: Split) -> measures.Describe:
        device = next(self.backbone.parameters()).device

        @torch.no_grad()
        def describe(images: NDArray[np.int64]) -> tuple[Floats, Floats | None]:
            rows, columns = grid(self.config.size, self.config.pools)
            found = np.empty((len(images), rows * columns, self.backbone.dim), np.float32)
            thresholds = None if self.threshold is None else np.empty(found.shape[:2], np.float32)
            begin = 0
            for some in measures.pixels(part, self.geometry, images):
                descriptors = self.describe(torch.from_numpy(some).to(device))
                found[begin : begin + len(some)] = descriptors.cpu().numpy()
                if self.threshold is not None and thresholds is not None:
                    thresholds[begin : begin + len(some)] = self.threshold(descriptors).cpu().numpy()
                begin += len(some)
            return found, thresholds

        return describe

    # export

    def exportable(self) -> Exportable:
        config, how = self.config, self.rules
        if how.prototypes or how.selection in ("random", "grid"):
            what = "classifier=protonet" if how.prototypes else f"selection={how.selection}"
            raise ValueError(f"a model with {what} is a baseline for comparison only; there is no task that answers with it")
        shots, side = max(config.shots), config.size
        rows, columns = grid(side, config.pools)
        locations, dim = rows * columns, self.backbone.dim
        image = Port("image", "uint8", ("batch", 3, side, side))
        descriptors = Port("descriptors", "float32", ("batch", locations, dim))
        support = Port("support", "float32", ("classes", shots * locations, dim))
        query = Port("query", "float32", ("batch", locations, dim))
        thresholds = (Port("threshold", "float32", ("batch", locations)),) if self.threshold is not None else ()
        scores = Port("scores", "float32", ("batch", "classes"))
        graphs = (
            Graph("descriptors", (image,), (descriptors, *thresholds)),
            Graph("matcher", (support, query, *thresholds), (scores,)),
        )
        modules = {
            "descriptors": DescriptorGraph(self.backbone, self.threshold).cpu().eval(),
            "matcher": MatcherGraph(how, shots).eval(),
        }
        images = tuple(sample.numpy() for sample in self.facts["samples"])
        prepared = np.ascontiguousarray(np.stack(images).transpose(0, 3, 1, 2))  # (n, 3, h, w)
        shown = torch.stack(self.facts["support"]).permute(0, 3, 1, 2).contiguous()  # (c k, 3, h, w)
        with torch.no_grad():
            known = modules["descriptors"](shown)[0].reshape(-1, shots * locations, dim)
            asked = [output.numpy() for output in modules["descriptors"](torch.from_numpy(prepared))]
        sample = {"support": known.numpy(), "query": asked[0], **({"threshold": asked[1]} if thresholds else {})}
        batch = max(min(MOST_BATCH, MOST_SIMILARITIES // (locations * MOST_CLASSES * shots * locations)), 1)
        axes = {"batch": Axis(1, 1, batch), "classes": Axis(2, config.test_ways, MOST_CLASSES)}
        options: dict[str, Any] = {
            "geometry": self.geometry.to_dict(),
            "locations": locations,
            "grid": [rows, columns],
            "dim": dim,
            "shots": shots,
            **how.options(),
        }
        return Exportable(
            Artifact("tcdsnet", "few_shot_classifier", graphs, axes, options),
            modules,
            {"descriptors": {"image": prepared}, "matcher": sample},
            images,
        )


def _pretrains(config: Config) -> bool:
    return config.pretrain_epochs > 0 and not config.start


def _open(config: Config, data: Path | None) -> ClassSets:
    return open_classes(
        data,
        test_data=Path(config.test_data) if config.test_data else None,
        turned=config.turned,
        scenes=config.scenes,
        scene_classes=config.scene_classes,
        scene_size=max(config.size, 16),
        seed=config.seed,
    )


def _backbone(config: Config) -> dict[str, Tensor]:
    """The backbone's weights in `start`; ValueError where it has another one."""
    path = Path(config.start)
    saved = checkpoint.load(path)
    if saved.method != "tcdsnet":
        raise ValueError(f"start={path} is a model of {saved.method}; expected one of tcdsnet")
    for field in ("backbone", "width", "pools", "size"):
        theirs, ours = saved.config[field], getattr(config, field)
        if theirs != ours:
            raise ValueError(f"start={path} has {field}={theirs}, and {field}={ours} is asked for; they must be equal")
    prefix = "backbone."
    return {name.removeprefix(prefix): value for name, value in saved.model.items() if name.startswith(prefix)}


def _check(config: Config) -> None:
    how = rules(config)
    for name in ("fraction", "query_fraction"):
        if not 0 < getattr(config, name) <= 1:
            raise ValueError(f"{name}={getattr(config, name)} was given; expected more than 0, and 1 at most")
    if not config.shots or not config.test_shots or min(config.shots + config.test_shots) < 1:
        raise ValueError(
            f"shots={config.shots} and test_shots={config.test_shots} were given; expected one or more, each at least 1"
        )
    if not config.episodes and not _pretrains(config):
        raise ValueError("episodes=0 and no pretraining leave nothing to train; give episodes= or pretrain_epochs=")
    if config.start:
        _backbone(config)
    if min(grid(config.size, config.pools)) < 1 or not set(config.pools) <= {1, 2, 3, 4}:
        raise ValueError(f"size={config.size} and pools={config.pools} leave no descriptor; expected blocks of 1 to 4, and size 2 to their number at least")  # fmt: skip
    if config.backbone == "conv4" and config.drop_block != Config.drop_block:
        raise ValueError(f"drop_block={config.drop_block} was given; it is resnet12's, and backbone=conv4")
    if config.backbone == "resnet12" and config.width % 2:
        raise ValueError(f"width={config.width} was given; resnet12 needs an even number")
    if not 1 <= config.neighbours < 64 or how.neighbours < 1:
        raise ValueError(f"neighbours={config.neighbours} was given; expected 1 to 63")
