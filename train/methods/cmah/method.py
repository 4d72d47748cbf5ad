"""CMAH's stage, losses, evaluation and graphs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from runtime.artifact import Artifact, Axis, Graph, Port
from train.blocks.gather import gather
from train.blocks.masking import pick, split
from train.contract import Batch, Exportable, Facts, Losses, Method, Stage
from train.data.shapes3d import Shapes, ShapeSets, open_shapes
from train.loop import warm_up_cosine
from train.losses.bit_balance import bit_balance
from train.losses.chamfer import chamfer
from train.losses.image_text_contrast import image_text_contrast
from train.losses.masked_pixels import masked_pixels
from train.losses.quantisation import quantisation

from . import measures
from .config import Config
from .feed import batches, channels_first, grouped
from .graphs import ImageHash, PointHash, scaled
from .network import Autoencoder, Heads, ImageEncoder, PointEncoder, patches, pool

SAMPLES = 8  # pairs that travel with an artifact

Codes = dict[str, Tensor]


class CMAH(Method):
    """Encoders of clouds and images, their heads, and the masked autoencoder where it is trained."""

    config: Config

    def __init__(self, config: Config, facts: Facts) -> None:
        super().__init__()
        self.config, self.facts = config, facts
        self._opened: tuple[Path | None, ShapeSets] | None = None
        sizes = (config.width, config.heads, config.depth)
        self.points = PointEncoder(config.point_width, *sizes)
        self.image = ImageEncoder(config.image_size, config.patch, *sizes)
        heads = (2 * config.width, config.hidden, config.bits, config.embedding)
        self.point_heads, self.image_heads = Heads(*heads), Heads(*heads)
        self.autoencoder = None
        if config.reconstruction_weight:
            self.autoencoder = Autoencoder(
                config.width,
                config.heads,
                config.fusion_depth,
                config.decoder_width,
                config.decoder_heads,
                config.decoder_depth,
                tokens=self._tokens,
                pixels=3 * config.patch**2,
                neighbours=config.neighbours,
            )

    @property
    def _tokens(self) -> int:
        return (self.config.image_size // self.config.patch) ** 2

    @classmethod
    def prepare(cls, config: Config, data: Path | None) -> Facts:
        _check(config)
        sets = _open(config, data)
        if len(sets.train) < 2:
            raise ValueError(f"{data} has {len(sets.train)} instances to train on; a contrast needs 2 at least")
        rows = [row % len(sets.val) for row in range(SAMPLES)]
        return {
            "families": [sets.train.families[label] for label in np.unique(sets.train.labels).tolist() if label >= 0],
            "images": [torch.from_numpy(sets.val.image(row, 0)) for row in rows],
            "clouds": [torch.from_numpy(sets.val.cloud(row)) for row in rows],
        }

    def _sets(self, data: Path | None) -> ShapeSets:
        """The data set with its training part in memory, which is made once for training and evaluation."""
        if self._opened is None or self._opened[0] != data:
            sets = _open(self.config, data)
            self._opened = data, replace(sets, train=sets.train.in_memory())
        return self._opened[1]

    # the stage

    def stages(self, data: Path | None) -> Iterator[Stage]:
        config = self.config
        sets = self._sets(data)
        train, val = sets.train, sets.val
        used: list[nn.Module | None] = [self.points, self.image, self.autoencoder]
        if config.contrast_weight:
            used += [self.point_heads, self.image_heads]
        yield Stage(
            "hash",
            config.steps,
            lambda start: batches(
                train,
                batch=config.batch,
                groups=config.groups,
                neighbours=config.neighbours,
                tokens=self._tokens,
                steps=config.steps,
                seed=config.seed,
                start=start,
            ),
            self.loss,
            torch.optim.AdamW(
                _groups([module for module in used if module is not None], config.weight_decay), lr=config.learning_rate
            ),
            warm_up_cosine(config.steps, round(config.warm_up * config.steps), 1e-3),
            select=(lambda: self._score(train, val)) if config.select_every else None,
            select_every=config.select_every,
            clip=config.clip,
        )

    def loss(self, batch: Batch) -> tuple[Tensor, Losses]:
        r"""$w_c L_c + \lambda_r (w_p L_{3D} + w_i L_{2D})$, with the quantisation and balance of codes where their weights are not 0.

        $L_c$ = NCE(P, I) + $w_m$ (NCE(P̃, I) + NCE(P, Ĩ)) + $w_{mm}$ NCE(P̃, Ĩ), the mean over code lengths and the float embedding, of
        the global batch.
        """
        config = self.config
        pixels = scaled(batch["image"])
        points, image = self.points.embed(batch["centres"], batch["neighbourhoods"]), self.image.embed(pixels)  # (n, t, c)
        total = torch.zeros((), device=points.device)
        parts: Losses = {}
        whole: list[Codes] = []
        if config.contrast_weight:
            whole = self._codes(self.points.encoder(points), self.image.encoder(image), tracked=True)
        masked: list[Codes] = []
        if self._masks:
            kept_groups, hidden_groups = split(batch["group_scores"], config.mask_points)
            kept_patches, hidden_patches = split(batch["patch_scores"], config.mask_image)
            seen = self.points.encoder(pick(points, kept_groups)), self.image.encoder(pick(image, kept_patches))
            if config.contrast_weight and (config.masked_weight or config.masked_masked_weight):
                masked = self._codes(*seen, tracked=False)
            if self.autoencoder is not None:
                cloud, image_told = self.autoencoder(
                    *seen, batch["centres"], (kept_groups, kept_patches), (hidden_groups, hidden_patches)
                )
                parts["points"] = chamfer(cloud, pick(batch["neighbourhoods"], hidden_groups))
                parts["pixels"] = masked_pixels(image_told, pick(patches(pixels, config.patch), hidden_patches))
                reconstruction = config.points_weight * parts["points"] + config.pixels_weight * parts["pixels"]
                total = total + self._reconstruction(batch["progress"]) * reconstruction
        if config.contrast_weight:
            instance = gather(batch["instance"])
            parts |= self._contrasts(whole, masked, instance)
            weight = {"contrast": 1.0, "masked": config.masked_weight, "masked_masked": config.masked_masked_weight}
            weight |= {"quantisation": config.quantisation_weight, "balance": config.balance_weight}
            total = total + config.contrast_weight * sum(weight[name] * parts[name] for name in weight if name in parts)
        return total, {name: part.detach() for name, part in parts.items()}

    @property
    def _masks(self) -> bool:
        config = self.config
        contrasted = config.contrast_weight and (config.masked_weight or config.masked_masked_weight)
        return bool(config.reconstruction_weight or contrasted)

    def _reconstruction(self, progress: Tensor) -> Tensor:
        """lambda_r at this step."""
        config = self.config
        rise = (progress[0] / config.reconstruction_warm_up).clamp(max=1.0) if config.reconstruction_warm_up else 1.0
        return config.reconstruction_weight * rise  # type: ignore[return-value]

    def _codes(self, points: Tensor, image: Tensor, *, tracked: bool) -> list[Codes]:
        """This process's tokens -> relaxed codes and embedding of all processes' rows, of points and of images."""
        return [
            heads(gather(pool(tokens)), tracked=tracked)
            for heads, tokens in ((self.point_heads, points), (self.image_heads, image))
        ]

    def _contrasts(self, whole: list[Codes], masked: list[Codes], instance: Tensor) -> Losses:
        scale = torch.tensor(1 / self.config.temperature, device=instance.device)

        def nce(one: Codes, other: Codes) -> Tensor:
            """Over code lengths and the float embedding."""
            unit = ((F.normalize(one[name].float(), dim=1), F.normalize(other[name].float(), dim=1)) for name in one)
            return torch.stack([image_text_contrast(first, second, scale, instance) for first, second in unit]).mean()

        parts = {"contrast": nce(*whole)}
        if masked:
            parts["masked"] = nce(masked[0], whole[1]) + nce(whole[0], masked[1])
            if self.config.masked_masked_weight:
                parts["masked_masked"] = nce(*masked)
        relaxed = [values for side in whole for name, values in side.items() if name != "float"]
        if self.config.quantisation_weight:
            parts["quantisation"] = torch.stack([quantisation(values) for values in relaxed]).mean()
        if self.config.balance_weight:
            parts["balance"] = torch.stack([bit_balance(values) for values in relaxed]).mean()
        return parts

    # evaluation

    @torch.no_grad()
    def evaluate(self, data: Path | None, split: str) -> dict[str, float]:
        """mAP in both directions of every code length, the float embedding and its random hyperplanes, and within a modality of codes and
        embedding; names are direction/way/measure, with "conditions/" or "unseen/" before them.

        Queries are the split's instances, the database is the training split; an instance has one cloud and `test_views` images.
        "train" asks with every eighth training instance among the others. "conditions": the test instances under held-out rendering
        conditions, images to shapes. "unseen": families never trained on, of which every other instance asks and the others join the
        database. Recall is of the very instance within the queries' own set.
        """
        self.eval()
        sets = self._sets(data)
        train = self._encoded(sets.train)
        if split == "train":
            asks = np.arange(len(sets.train)) % 8 == 0
            return self._measured(train.some(asks), train.some(~asks), "", recall=False)
        queries = self._encoded(sets.val if split == "val" else sets.test)
        found = self._measured(queries, train, "")
        if split == "val":
            return found
        if sets.conditions is not None and len(sets.conditions):
            changed = self._encoded(sets.conditions)
            found |= self._measured(changed, train, "conditions/", both=False)
        if sets.unseen is not None and len(sets.unseen) > 1:
            asking, joining = map(self._encoded, sets.unseen.halves())
            found |= self._measured(asking, train.and_also(joining), "unseen/", recall=False)
        return found

    @torch.no_grad()
    def _encoded(self, shapes: Shapes) -> measures.Encoded:
        config = self.config

        def answer(pooled: Tensor, heads: Heads) -> Codes:
            if not config.contrast_weight:
                return {"float": pooled}
            found = dict(zip(map(str, config.bits), heads.logits(pooled), strict=True))
            if heads.embedding is not None:
                found["float"] = heads.embedding(pooled)
            return found

        device = self.image.places.device
        return measures.encode(
            shapes,
            lambda image: answer(self.image(scaled(image.to(device))), self.image_heads),
            lambda centres, near: answer(self.points(centres.to(device), near.to(device)), self.point_heads),
            views=min(config.test_views, shapes.views),
            groups=config.groups,
            neighbours=config.neighbours,
        )

    def _measured(
        self, queries: measures.Encoded, database: measures.Encoded, prefix: str, *, both: bool = True, recall: bool = True
    ) -> dict[str, float]:
        lengths = self.config.bits
        found: dict[str, float] = {}
        if self.config.contrast_weight:
            found |= measures.bits(queries, lengths)
        else:
            queries, database = measures.aligned(queries, database)
        found |= measures.measure(queries, database, lengths, both=both)
        if both:
            found |= measures.within(queries, database, lengths)
        if recall:
            found |= measures.recalls(queries, lengths)
        return {prefix + name: value for name, value in found.items()}

    @torch.no_grad()
    def _score(self, train: Shapes, val: Shapes) -> float:
        """Of held-out training instances, the mean over code lengths and directions of mAP, or of recall at 10 where no family is known."""
        found = self._measured(self._encoded(val), self._encoded(train), "")
        ways = set(map(str, self.config.bits)) if self.config.contrast_weight else {"float"}
        values: dict[str, list[float]] = {}
        for name, value in found.items():
            direction, way, measure = name.split("/")
            if way in ways and direction in measures.ACROSS:
                values.setdefault(measure, []).append(value)
        return float(np.mean(values.get("map") or values["r10"]))

    # export

    def exportable(self) -> Exportable:
        config = self.config
        if not config.contrast_weight:
            raise ValueError("a model of contrast_weight=0 has no hash codes to export; it is a baseline for comparison only")
        size = config.image_size
        logits = tuple(Port(f"code_{length}", "float32", ("batch", length)) for length in config.bits)
        image = Port("image", "uint8", ("batch", 3, size, size))
        centres = Port("centres", "float32", ("batch", config.groups, 3))
        neighbourhoods = Port("neighbourhoods", "float32", ("batch", config.groups, config.neighbours, 3))
        graphs = (
            Graph("image_hash", (image,), logits),
            Graph("point_hash", (centres, neighbourhoods), logits),
        )
        images = tuple(row.numpy() for row in self.facts["images"])
        clouds = np.stack([row.numpy() for row in self.facts["clouds"]])
        options: dict[str, Any] = {
            "bits": list(config.bits),
            "points": config.points,
            "groups": config.groups,
            "neighbours": config.neighbours,
            "geometry": {"size": [size, size], "mode": "crop", "interpolation": "bicubic"},
            "families": list(self.facts["families"]),
        }
        found = grouped(clouds, config.groups, config.neighbours)
        return Exportable(
            Artifact("cmah", "cross_modal_hasher", graphs, {"batch": Axis(1, 8, 64)}, options),
            {
                "image_hash": ImageHash(self.image, self.image_heads).eval(),
                "point_hash": PointHash(self.points, self.point_heads).eval(),
            },
            {
                "image_hash": {"image": channels_first(np.stack(images)).numpy()},
                "point_hash": {name: value.numpy() for name, value in found.items()},
            },
            images,
            clouds=tuple(clouds),
        )


def _groups(modules: list[nn.Module], decay: float) -> list[dict[str, Any]]:
    """Matrices decay; vectors (biases, normalisation) do not."""
    trained = [parameter for module in modules for parameter in module.parameters()]
    matrices = [parameter for parameter in trained if parameter.dim() > 1]
    vectors = [parameter for parameter in trained if parameter.dim() < 2]
    return [{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}]


def _check(config: Config) -> None:
    if config.image_size % config.patch:
        raise ValueError(f"patch={config.patch} was given for images of {config.image_size} pixels; it must divide them")
    wrong = [length for length in config.bits if length < 8 or length % 8]
    if wrong or not config.bits or len(set(config.bits)) < len(config.bits):
        raise ValueError(f"bits={config.bits} was given; expected different multiples of 8")
    for name in ("mask_points", "mask_image"):
        if not 0 < getattr(config, name) < 1:
            raise ValueError(f"{name}={getattr(config, name)} was given; expected a part between 0 and 1")
    if not config.contrast_weight and not config.reconstruction_weight:
        raise ValueError("contrast_weight and reconstruction_weight are both 0; there is nothing to learn by")
    if config.width % 4 or config.decoder_width % 4:
        raise ValueError(f"width={config.width} and decoder_width={config.decoder_width} must be multiples of 4")
    if not 1 <= config.test_views <= config.views:
        raise ValueError(f"test_views={config.test_views} was given; expected 1 to views={config.views}")
    if config.points < config.neighbours:
        raise ValueError(f"points={config.points} was given; a cloud needs neighbours={config.neighbours} at least")


def _open(config: Config, data: Path | None) -> ShapeSets:
    return open_shapes(
        data,
        seed=config.seed,
        size=config.image_size,
        points=config.points,
        views=config.views,
        train=config.instances,
        val=config.val_instances,
        test=config.test_instances,
        unseen=config.unseen or None,
        held_out=config.held_out,
        up=config.up,
    )
