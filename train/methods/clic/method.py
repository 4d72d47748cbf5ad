"""CLIC's stages, evaluation and graph."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from runtime.artifact import Artifact, Axis, Graph, Port
from runtime.prepare import Geometry, fit
from train.blocks.gather import gather, rank, world_size
from train.blocks.moco import MoCo
from train.contract import Batch, Exportable, Facts, Losses, Method, Stage
from train.correlation import pearson, spearman
from train.data import loader
from train.data.complexity import HIGHEST, Rated
from train.data.entropy import ENTROPIES, local_entropy
from train.data.split import hold_out
from train.loop import warm_up_cosine
from train.losses.complexity_aware import complexity_aware, complexity_correlation
from train.teachers.encoders import load_encoder

from . import feed, measures
from .config import Config
from .graphs import ComplexityGraph
from .network import MIX, LinearHead, ScoreHead, activation, embedding, made, normalised, projection, regions, stride
from .sets import Sets, labels, open_sets, ratings, some, split

SAMPLES = 8  # images that travel with an artifact
MOST_READ = 1000  # photographs whose embeddings give the mean, the deviation and the principal direction
LEAST_PHOTOS = 3
DROP = 0.2  # of the head's rate, three times in its epochs; fine_tuning.py

log = logging.getLogger(__name__)


class CLIC(Method):
    """Momentum contrast of an image and mosaics of its crops, whose activation follows the image's entropy."""

    config: Config
    center: Tensor
    spread: Tensor
    direction: Tensor
    quantiles: Tensor

    def __init__(self, config: Config, facts: Facts) -> None:
        super().__init__()
        self.config, self.facts = config, facts
        encoder = made(config)
        self.moco = MoCo(
            encoder,
            projection(config, encoder.dim),
            dim=config.dim,
            rows=config.queue,
            momentum=config.momentum,
            temperature=config.temperature,
        )
        width = 2 * sum(encoder.dims)  # of the embedding
        self.head: LinearHead | ScoreHead | None = None
        if config.score_head == "linear":
            self.head = LinearHead(width)
        elif config.score_head == "icnet":
            self.head = ScoreHead(encoder.dim, config.head_width, max(config.test_size // 8, 2))
        self.register_buffer("center", torch.zeros(width))
        self.register_buffer("spread", torch.ones(width))
        self.register_buffer("direction", torch.zeros(width))
        self.register_buffer("quantiles", torch.linspace(0, 1, measures.QUANTILES))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def encoder(self) -> torch.nn.Module:
        """The one that is trained and deployed."""
        return self.moco.query.encoder

    @property
    def geometry(self) -> Geometry:
        """Of read-outs: the whole image, whatever its shape."""
        return Geometry((self.config.test_size, self.config.test_size), "squash")

    @classmethod
    def prepare(cls, config: Config, data: Path | None) -> Facts:
        _check(config)
        if config.weights:
            load_encoder(made(config), Path(config.weights))
        found = open_sets(config, data)
        if min(len(found.photos.train), config.batch) < LEAST_PHOTOS:
            raise ValueError(
                f"there are {len(found.photos.train)} photographs to train on in batches of {config.batch}; give 3 or more"
            )
        if config.score_head != "none" and found.rated is None:
            raise ValueError(
                f"score_head={config.score_head} is trained on ratings, which {data} has not; give rated=, or score_head=none"
            )
        geometry = Geometry((config.test_size, config.test_size), "squash")
        held = found.photos.val
        return {"samples": [torch.from_numpy(fit(held.read(row % len(held)), geometry).copy()) for row in range(SAMPLES)]}

    # stages

    def stages(self, data: Path | None) -> Iterator[Stage]:
        found = open_sets(self.config, data)
        if self.config.epochs:
            yield self._pretrain(found)
        if self.config.score_head != "none":
            yield self._head(found)

    def _pretrain(self, found: Sets) -> Stage:
        config, photos = self.config, found.photos.train
        steps = max(round(config.epochs * len(photos) / config.batch), 1)
        optimizer = torch.optim.SGD(
            self.moco.query.parameters(), lr=config.learning_rate, momentum=0.9, weight_decay=config.weight_decay
        )
        return Stage(
            "pretrain",
            steps,
            lambda start: feed.batches(photos, config, start),
            self._contrast,
            optimizer,
            warm_up_cosine(steps)
            if config.schedule == "cosine"
            else lambda step: 0.1 ** sum(step >= part * steps for part in (0.6, 0.8)),
            begin=self._load if config.weights else None,
            after_step=lambda _: self.moco.follow(),
            end=lambda: self._fit(found),
        )

    def _contrast(self, batch: Batch) -> tuple[Tensor, Losses]:
        r"""$L = L_{NCE} + \lambda L_{CA}$"""
        config = self.config
        query = feed.changed(batch["query"], batch["query_numbers"], config.blur, key=False)
        key = feed.changed(batch["key"], batch["key_numbers"], config.blur, key=True)
        maps = self.encoder(_fast(normalised(query)))
        contrast = self.moco.contrast(self.moco.query.project(maps), _fast(normalised(key)))
        energy = activation(maps)
        parts = {"contrast": contrast.detach(), "activation": energy.detach().mean(), "entropy": batch["entropy"].mean()}
        loss = config.contrast_weight * contrast
        if not config.complexity_weight:
            return loss, parts
        complexity = self._complexity(energy, batch["entropy"])
        parts["complexity"] = complexity.detach()
        if config.regions:
            local = local_entropy(query, config.regions, config.entropy)  # (n, rows, columns)
            found = F.adaptive_avg_pool2d(regions(maps)[:, None], (local.shape[1], local.shape[2]))[:, 0]
            by_place = self._complexity(found, local)
            complexity, parts["regions"] = complexity + by_place, by_place.detach()
        return loss + config.complexity_weight * complexity, parts

    def _complexity(self, energy: Tensor, entropy: Tensor) -> Tensor:
        """The complexity-aware loss of the global batch's activations, of images or of places."""
        if self.config.complexity_fit == "distance":
            return complexity_aware(energy, entropy)
        return complexity_correlation(gather(energy), gather(entropy))

    def _load(self) -> None:
        """The encoder's first weights, of which the copy then has the same."""
        match = load_encoder(self.encoder, Path(self.config.weights))
        self.moco.key.copy.load_state_dict(self.moco.query.state_dict())
        log.info("%s: %d weights taken, %d left out", self.config.weights, len(match.loaded), len(match.left_out))

    def _head(self, found: Sets) -> Stage:
        config, head = self.config, self.head
        assert head is not None and found.rated is not None
        images = found.rated["train"]
        if config.head_labels < 1:
            images = some(images, hold_out(images.names, labels(images), config.head_labels, config.seed)[1])
        part = split(images).in_memory(self.geometry)
        targets = torch.from_numpy(images.scores / HIGHEST).float()
        steps = max(round(config.head_epochs * len(images) / config.head_batch), 1)
        trained = [*head.parameters(), *(() if config.frozen else self.encoder.parameters())]
        optimizer: torch.optim.Optimizer
        if config.score_head == "icnet":
            optimizer = torch.optim.SGD(
                trained, lr=config.head_learning_rate, momentum=0.9, weight_decay=config.head_weight_decay
            )
        else:
            optimizer = torch.optim.AdamW(trained, lr=0.1 * config.head_learning_rate, weight_decay=config.head_weight_decay)
        warm_up = round(steps / config.head_epochs) if config.head_epochs > 1 else 0  # an epoch

        def batches(start: int) -> Iterator[Batch]:
            drawn = loader.batches(
                part,
                self.geometry,
                config.head_batch,
                augment="flip",
                seed=config.seed,
                start=start,
                rank=rank(),
                world=world_size(),
            )
            return ({"image": batch["image"], "score": targets[batch["index"]]} for batch in drawn)

        def begin() -> None:
            if config.weights and not config.epochs:
                self._load()
            if not config.epochs:
                self._fit(found)

        return Stage(
            "head",
            steps,
            batches,
            self._rate,
            optimizer,
            lambda step: (step + 1) / (warm_up + 1) if step < warm_up else DROP ** (3 * step // steps),
            begin=begin,
            frozen=(self.moco,) if config.frozen else (self.moco.key, self.moco.queue),
            end=None if config.frozen else (lambda: self._fit(found, standard=False)),
        )

    def _rate(self, batch: Batch) -> tuple[Tensor, Losses]:
        """0.9 times the squared error of the score and 0.1 times that of the map's mean, both in 0..1."""
        assert self.head is not None
        with torch.set_grad_enabled(not self.config.frozen and torch.is_grad_enabled()):
            maps = self.encoder(_fast(normalised(batch["image"].float() / 255)))
            features = (embedding(maps) - self.center) / self.spread
        score, mean = self.head(maps, features)
        error = F.mse_loss(score.float(), batch["score"])
        return MIX[0] * error + MIX[1] * F.mse_loss(mean.float(), batch["score"]), {"rmse": error.detach().sqrt()}

    @torch.no_grad()
    def _fit(self, found: Sets, *, standard: bool = True) -> None:
        """What is read off without labels: quantiles on held-out photographs; the principal direction on training ones.

        Args:
            standard: mean and deviation of the embedding too; not once a head has been trained on them.
        """
        self.eval()
        photos, count = found.photos.train, min(len(found.photos.train), MOST_READ)
        embedded = self.readings(photos.read, count).embedding
        if standard:
            self.center.copy_(torch.from_numpy(embedded.mean(0)))
            self.spread.copy_(torch.from_numpy(embedded.std(0) + 1e-3 * embedded.std() + 1e-6))
        direction = measures.principal(self._standardised(embedded), self._entropy(photos.read, count))
        self.direction.copy_(torch.from_numpy(direction))
        held = self.readings(found.photos.val.read, len(found.photos.val))
        self.quantiles.copy_(torch.from_numpy(measures.quantiles(self.label_free(held))))

    def _entropy(self, read: measures.Read, count: int) -> measures.Floats:
        """What the activation should follow, of whole images: (n,)"""
        return np.array([ENTROPIES[self.config.entropy](read(number)) for number in range(count)])

    def label_free(self, read: measures.Readings) -> measures.Floats:
        """What the score without a head is of: (n,)"""
        return read.component if self.config.label_free == "component" else read.activation

    # evaluation

    @torch.no_grad()
    def evaluate(self, data: Path | None, split: str) -> dict[str, float]:
        """Agreement with ratings where there are any: `activation` and `pc1` without labels, `score` of the head; each over all images,
        in each category and as the mean within them. On photographs without ratings, `entropy`: the activation against their entropy.

        Protocol: as `measures.agreement`; images are squashed to test_size. Ratings of val are held out of the head's training images;
        without a head, all rated images that have no part of their own are test.
        """
        self.eval()
        rated = ratings(self.config, data)
        if rated is not None:
            return self._agreement(rated[split])
        photos = open_sets(self.config, data).photos
        members = {"train": photos.train, "val": photos.val}.get(split) or next(iter(photos.test.values()))
        found = self.readings(members.read, len(members)).activation
        entropy = self._entropy(members.read, len(members))
        return {"entropy/pcc": pearson(found, entropy), "entropy/srcc": spearman(found, entropy)}

    def _agreement(self, images: Rated) -> dict[str, float]:
        read = self.readings(images.image, len(images))
        values = {"activation": read.activation, "pc1": read.component}
        chosen = "pc1" if self.config.label_free == "component" else "activation"
        scores = {chosen: measures.place(self.label_free(read), self.quantiles.double().cpu().numpy())}
        if read.score is not None:
            values["score"] = scores["score"] = read.score
        return measures.agreement(images, values, scores)

    def _standardised(self, embedded: measures.Floats) -> measures.Floats:
        return np.asarray((embedded - self.center.double().cpu().numpy()) / self.spread.double().cpu().numpy())

    def readings(self, read: measures.Read, count: int) -> measures.Readings:
        """What the deployed graph reads from images 0 .. count - 1, on this model's device."""
        graph = self._graph()
        return measures.readings(lambda image: graph(image.to(self.center.device)), read, count, self.geometry)

    def _graph(self) -> ComplexityGraph:
        """A copy that is deployed, in evaluation mode."""
        return ComplexityGraph(self.encoder, self.head, self.center, self.spread, self.direction).eval()

    # export

    def exportable(self) -> Exportable:
        config = self.config
        side = config.test_size
        cells = _cells(config)
        outputs = [
            Port("activation", "float32", ("batch",)),
            Port("component", "float32", ("batch",)),
            Port("embedding", "float32", ("batch", len(self.center))),
            Port("map", "float32", ("batch", cells, cells)),
        ]
        if self.head is not None:
            outputs.append(Port("score", "float32", ("batch",)))
        graph = Graph("complexity", (Port("image", "uint8", ("batch", 3, side, side)),), tuple(outputs))
        options: dict[str, Any] = {
            "geometry": self.geometry.to_dict(),
            "quantiles": self.quantiles.tolist(),
            "percentile_of": config.label_free,
            "scored": self.head is not None,
        }
        images = tuple(sample.numpy() for sample in self.facts["samples"])
        prepared = np.ascontiguousarray(np.stack(images).transpose(0, 3, 1, 2))  # (n, 3, h, w)
        return Exportable(
            Artifact("clic", "complexity_scorer", (graph,), {"batch": Axis(1, 1, 32)}, options),
            {"complexity": self._graph().cpu()},
            {"complexity": {"image": prepared}},
            images,
        )


def _fast(image: Tensor) -> Tensor:
    return image.contiguous(memory_format=torch.channels_last)


def _cells(config: Config) -> int:
    """Rows of the second stage's map."""
    return config.test_size // (stride(config) // 4)


def _check(config: Config) -> None:
    if not config.epochs and config.score_head == "none":
        raise ValueError("epochs=0 and score_head=none leave nothing to train; give epochs=, or a score_head and rated images")
    if config.test_size % max(stride(config), 16) or config.test_size < 16:
        raise ValueError(f"test_size={config.test_size} was given; expected a multiple of {max(stride(config), 16)}")
    if config.size < 16:
        raise ValueError(f"size={config.size} was given; expected 16 pixels or more")
    if config.regions and not 4 <= config.regions <= config.size:
        raise ValueError(f"regions={config.regions} was given; expected 0, or 4 to size={config.size} pixels a side")
    if config.complexity_weight < 0 or config.contrast_weight < 0 or config.complexity_weight + config.contrast_weight == 0:
        raise ValueError(
            f"complexity_weight={config.complexity_weight} and contrast_weight={config.contrast_weight} were given; expected 0 or more, "
            "and one of them above 0"
        )
    if config.encoder == "small" and config.stem != "7x7":
        raise ValueError(f"stem={config.stem} was given; it is a ResNet's, and encoder=small")
    if not 0 < config.crop_low <= 1 or config.crops < 1:
        raise ValueError(
            f"crop_low={config.crop_low} and crops={config.crops} were given; expected a part of the area, and 1 or more"
        )
    if not config.frozen and config.score_head == "none":
        raise ValueError("frozen=False was given without a head; the encoder would never be trained with one")
    for name, above in (("held_out", 0.0), ("rated_test", 0.0), ("head_labels", 0.0)):
        value = getattr(config, name)
        if not above < value <= 1 or (value == 1 and name != "head_labels"):
            raise ValueError(
                f"{name}={value} was given; expected a share above 0"
                + (", 1 at most" if name == "head_labels" else " and below 1")
            )
    for name in ("queue", "batch", "head_batch", "dim", "head_width"):
        if getattr(config, name) < 1:
            raise ValueError(f"{name}={getattr(config, name)} was given; expected 1 or more")
    if config.temperature <= 0 or not 0 <= config.momentum <= 1:
        raise ValueError(
            f"temperature={config.temperature} and momentum={config.momentum} were given; expected above 0, and 0 to 1"
        )
