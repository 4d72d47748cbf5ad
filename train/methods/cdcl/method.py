"""CdCL's stages, evaluation and graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from runtime.artifact import Artifact, Axis, Graph, Port
from train.contract import Batch, Exportable, Facts, Losses, Method, Stage
from train.data.degradations import bicubic_up, degrade, draw, published
from train.data.photos import PhotoSets, open_photos
from train.fidelity import luma, psnr, ssim
from train.loop import warm_up_cosine

from . import readout
from .config import Config
from .contrast import Contrast
from .feed import batches
from .graphs import EstimatorGraph, GeneratorGraph
from .network import CELL, Estimator, Generator, fast, moments, unfold

SAMPLES, SAMPLE_SIDE = 8, 48  # images that travel with an artifact, pixels of the low resolution
LARGEST = 2048  # side of an image that a graph is held against torch with


class CdCL(Method):
    """An estimator of degradations and the generator that it steers."""

    config: Config
    readout_weight: Tensor
    readout_offset: Tensor

    def __init__(self, config: Config, facts: Facts) -> None:
        super().__init__()
        self.config, self.facts = config, facts
        code = 4 * config.estimator_width
        self.contrast = Contrast(
            config.estimator_width,
            objective=config.objective,
            temperature=config.temperature,
            momentum=config.momentum,
            tiles=config.tiles,
            standardise=config.standardise,
        )
        self.generator = Generator(
            config.scale,
            config.width,
            config.groups,
            config.blocks,
            code if config.code != "none" else 0,
            upsampler=config.upsampler,
            skip=config.skip,
            layer_scale=config.layer_scale,
        )
        self.register_buffer("readout_weight", torch.zeros(code))
        self.register_buffer("readout_offset", torch.zeros(()))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def estimator(self) -> Estimator:
        """The one whose map steers the generator."""
        return self.contrast.encoder.estimator

    @classmethod
    def prepare(cls, config: Config, data: Path | None) -> Facts:
        _check(config)
        photos = _open(config, data)
        side = config.scale * SAMPLE_SIDE
        return {"samples": [readout.middle(photos.val.read(row % len(photos.val)), side, 1)[0] for row in range(SAMPLES)]}

    # stages

    def stages(self, data: Path | None) -> Iterator[Stage]:
        photos = _open(self.config, data)
        if self.config.code != "none" and self.config.contrast_steps:
            yield self._contrast(photos)
        yield self._joint(photos)

    def _contrast(self, photos: PhotoSets) -> Stage:
        config = self.config
        steps = config.contrast_steps

        def loss(batch: Batch) -> tuple[Tensor, Losses]:
            return self.contrast(self._degraded(batch)), {}

        return Stage(
            "contrast",
            steps,
            self._batches(photos, config.contrast_batch, config.contrast_patch, 0),
            loss,
            torch.optim.AdamW(self._contrasted(), lr=config.contrast_learning_rate, weight_decay=config.weight_decay),
            lambda step: 1.0 if step < 0.6 * steps else config.contrast_decay,
            after_step=lambda _: self.contrast.follow(),
        )

    def _joint(self, photos: PhotoSets) -> Stage:
        config = self.config
        contrasted = config.code != "none" and config.contrast_weight > 0
        trained: list[dict[str, Any]] = [{"params": [*self.generator.parameters()]}]
        if config.code != "none":
            estimating = self._contrasted() if contrasted else [*self.estimator.parameters()]
            trained.append({"params": estimating, "lr": config.learning_rate * config.estimator_rate})

        def loss(batch: Batch) -> tuple[Tensor, Losses]:
            low = self._degraded(batch)  # (b, D, 3, h, w)
            high = self.super_resolve(low[:, 0])
            distance = (255 * high - batch["high"][:, 0].float()).abs().mean()
            if not contrasted:
                return distance, {"l1": distance.detach()}
            contrast = self.contrast(low)
            return distance + config.contrast_weight * contrast, {"l1": distance.detach(), "contrast": contrast.detach()}

        return Stage(
            "joint",
            config.steps,
            self._batches(photos, config.batch, config.patch, 1, views=config.views if contrasted else 1),
            loss,
            torch.optim.AdamW(trained, lr=config.learning_rate, weight_decay=config.weight_decay),
            warm_up_cosine(config.steps, round(config.warm_up * config.steps), config.last_learning_rate / config.learning_rate),
            after_step=(lambda _: self.contrast.follow()) if contrasted else None,
            end=lambda: self._fit_readout(photos),
        )

    def _batches(
        self, photos: PhotoSets, batch: int, patch: int, stage: int, views: int | None = None
    ) -> Callable[[int], Iterator[Batch]]:
        config = self.config
        return lambda start: batches(
            photos.train,
            batch=batch,
            size=patch * config.scale,
            views=config.views if views is None else views,
            sampling=config.sampling,
            shifts=config.shifts,
            seed=2 * config.seed + stage,
            start=start,
        )

    def _contrasted(self) -> list[nn.Parameter]:
        return [*self.contrast.encoder.parameters(), *self.contrast.predictor.parameters()]

    def _degraded(self, batch: Batch) -> Tensor:
        """A batch's crops at low resolution, those of a row by one degradation, (b, D, 3, h, w)."""
        config, (rows, views) = self.config, batch["high"].shape[:2]
        how = draw(config.setting, batch["how"], (config.sigma_low, config.sigma_high)).repeated(views)
        low = degrade(batch["high"].flatten(0, 1), how, config.scale)
        return low.reshape(rows, views, *low.shape[1:])

    def super_resolve(self, low: Tensor) -> Tensor:
        """(n, 3, h, w) in 0..1 -> (n, 3, s h, s w), about 0..1"""
        low = fast(low)
        if self.config.code == "none":
            nothing = low[:, :0, 0, 0]
            return self.generator(low, nothing, nothing)  # type: ignore[no-any-return]
        degradation = self.estimator(low)  # (n, d, h / 4, w / 4)
        code = degradation.mean((2, 3))
        if self.config.code == "vector":
            degradation = code[:, :, None, None].expand_as(degradation)
        return self.generator(low, code, unfold(degradation, *low.shape[2:]))  # type: ignore[no-any-return]

    def encode(self, low: Tensor) -> Tensor:
        """Degradation codes: (n, 3, h, w) -> (n, d)"""
        return self.estimator(fast(low.to(self.readout_weight.device))).mean((2, 3))  # type: ignore[no-any-return]

    @torch.no_grad()
    def _fit_readout(self, photos: PhotoSets) -> None:
        if self.config.code == "none":
            return
        self.eval()
        code, blur = readout.codes(photos.train, self.config, self.encode, each=4, seed=1)
        weight, offset = readout.fit(code, blur)
        self.readout_weight.copy_(weight)
        self.readout_offset.copy_(offset)

    # evaluation

    @torch.no_grad()
    def evaluate(self, data: Path | None, split: str) -> dict[str, float]:
        """PSNR and SSIM of luma in dB and 0..1 at each of the setting's test degradations, beside bicubic enlargement's; and how
        much of the blur's variance the code tells on these photographs (R^2 of the read-out fitted on training ones).

        Protocol: 8-bit low and high images, `scale` pixels shaved off each edge, means over photographs.
        """
        photos = _open(self.config, data)
        sets = {"val": {"held_out": photos.val}, "train": {"train": photos.train}}.get(split, photos.test)
        self.eval()
        found: dict[str, float] = {}
        for name, members in sets.items():
            for how, degradation in published(self.config.setting).items():
                rows: dict[str, list[Tensor]] = {}
                for number in range(len(members)):
                    high = readout.middle(members.read(number), 1 << 20, self.config.scale).to(self.readout_weight.device)
                    low = degrade(high, degradation.to(high.device), self.config.scale, _generator(number, high.device))
                    answers = {"": self.super_resolve(low), "bicubic_": bicubic_up(low, self.config.scale)}
                    true = luma(high, self.config.scale)
                    for prefix, answer in answers.items():
                        own = luma((255 * answer).round().clamp(0, 255), self.config.scale)
                        rows.setdefault(f"{prefix}psnr", []).append(psnr(own, true).clamp(max=100.0))
                        rows.setdefault(f"{prefix}ssim", []).append(ssim(own, true))
                found |= {f"{name}/{how}/{measure}": float(torch.cat(values).mean()) for measure, values in rows.items()}
            if self.config.code != "none":
                code, blur = readout.codes(members, self.config, self.encode, each=8, seed=2)
                read = code @ self.readout_weight.double().cpu() + self.readout_offset.double().cpu()
                found[f"{name}/blur_r2"] = readout.r_squared(read, blur)
        return found

    # export

    def exportable(self) -> Exportable:
        config = self.config
        if config.code == "none":
            raise ValueError("a network with code=none has no estimator to export; it is a baseline for comparison only")
        device = self.readout_weight.device
        code = 4 * config.estimator_width
        image = Port("image", "float32", ("batch", 3, "height", "width"))
        vector = Port("code", "float32", ("batch", code))
        degradation = Port("degradation", "float32", ("batch", code // CELL**2, "height", "width"))
        blur = Port("blur", "float32", ("batch",))
        whole = tuple(Port(name, "float32", ("batch",)) for name in ("mean", "deviation")) if config.standardise else ()
        high = Port("high", "float32", ("batch", 3, f"{config.scale}*height", f"{config.scale}*width"))
        graphs = (
            Graph("estimator", (image, *whole), (vector, degradation, blur)),
            Graph("generator", (image, vector, degradation), (high,)),
        )
        raw = torch.stack(self.facts["samples"])
        numbers = torch.linspace(0.1, 0.9, len(raw))[:, None].expand(-1, 7)
        low = degrade(
            raw, draw(config.setting, numbers, (config.sigma_low, config.sigma_high)), config.scale, _generator(0, "cpu")
        )
        with torch.no_grad():
            estimator = EstimatorGraph(self.estimator, self.readout_weight, self.readout_offset, vector=config.code == "vector")
            generator = GeneratorGraph(self.generator)
            codes, maps, _ = estimator(low.to(device))
        samples = {"image": low.numpy(), "code": codes.cpu().numpy(), "degradation": maps.cpu().numpy()}
        light = dict(zip(("mean", "deviation"), (value.numpy() for value in moments(low)), strict=True)) if whole else {}
        options: dict[str, Any] = {
            "scale": config.scale,
            "channels": 3,
            "code_dim": code,
            "cell": CELL,
            "reach": 11,
            "setting": config.setting,
            "uniform": config.code == "vector",
            "blur_weight": self.readout_weight.tolist(),
            "blur_offset": float(self.readout_offset),
        }
        axes = {"batch": Axis(1, 1, 8), "height": Axis(1, 64, LARGEST), "width": Axis(1, 64, LARGEST)}
        return Exportable(
            Artifact("cdcl", "super_resolver", graphs, axes, options),
            {"estimator": estimator.eval(), "generator": generator.eval()},
            {"estimator": {"image": samples["image"], **light}, "generator": samples},
        )


def _check(config: Config) -> None:
    if config.scale not in (2, 3, 4):
        raise ValueError(f"scale={config.scale} was given; expected 2, 3 or 4")
    if not 0 <= config.sigma_low <= config.sigma_high:
        raise ValueError(f"sigma_low={config.sigma_low} and sigma_high={config.sigma_high} were given; expected 0 <= low <= high")
    if config.views < 2 and config.code != "none":
        raise ValueError(f"views={config.views} was given; a contrast needs 2 or more")
    least = min(config.batch, config.contrast_batch)
    if config.sampling == "cyclic" and config.views > min(config.shifts, least - 1) + 1:
        raise ValueError(
            f"views={config.views} crops of a row need {config.views - 1} distinct shifts below the batch; "
            f"shifts={config.shifts} and a batch of {least} give fewer"
        )
    if (config.width % 4 or config.estimator_width % 4) and config.code != "none":
        raise ValueError(f"width={config.width} and estimator_width={config.estimator_width} must be multiples of 4")


def _open(config: Config, data: Path | None) -> PhotoSets:
    return open_photos(
        data,
        train=config.train_folder,
        tests=config.test_folders,
        held_out=config.held_out,
        count=config.scenes,
        size=config.scene_size,
    )


def _generator(seed: int, device: Any) -> torch.Generator:
    return torch.Generator(device).manual_seed(seed)
