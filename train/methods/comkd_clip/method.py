"""ComKD-CLIP's stages, evaluation and graphs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from runtime.artifact import Artifact, Axis, Graph, Port
from runtime.bank import Bank
from runtime.prepare import Geometry, fit
from train.blocks.clip import Clip, ClipSpec, VisionSpec
from train.contract import Batch, Exportable, Facts, Method, Stage
from train.data.images import ImageData, Split, few_shot
from train.loop import warm_up_cosine
from train.metrics import accuracy
from train.teachers.tokenizer import Tokenizer

from .config import Config
from .distilling import student_objective
from .evaluation import embeddings, measures
from .feed import CHUNK, Feed
from .preparation import captioned, captions, load_student, load_teacher, open_data, prepare
from .student import Closed, Embedding, Open, Student
from .teaching import PromptAverage, contrast_objective, prompt_objective, relabelled


class ComKDCLIP(Method):
    """A teacher CLIP, the student that learns from it, and the class bank between them."""

    config: Config

    def __init__(self, config: Config, facts: Facts) -> None:
        super().__init__()
        self.config, self.facts = config, facts
        about = facts["teacher"]
        spec = ClipSpec.from_dict(about["spec"])
        self.teacher = Clip(
            spec, about["prompt_length"], about["prompt_depth"], about["text_prompt_length"], about["text_prompt_depth"]
        )
        self.tokenizer = Tokenizer(facts["tokenizer"], spec.text.context)
        self.geometry = Geometry.from_dict(facts["geometry"])
        tower = VisionSpec.from_dict(facts["student"])
        self.student = Student(
            tower,
            spec.vision.embed_dim,
            len(facts["classes"]),
            prompt_length=config.student_prompt_length,
            prompt_depth=min(config.student_prompt_depth, int(tower.layers)),  # type: ignore[arg-type]
            attention=config.attention,
            attention_scale=config.attention_scale,
            attention_start=config.attention_start,
            mean=spec.mean,
            std=spec.std,
        )
        prompts = [tower.prompts for tower in (self.teacher.image, self.teacher.text) if tower.prompts is not None]
        epoch_steps = max(config.shots * len(facts["base"]) / config.prompt_batch, 1.0)
        self.prompt_average = PromptAverage(
            prompts if config.prompt_epochs else [],
            epoch_steps=epoch_steps,
            centre=config.average_epoch,
            spread=config.average_spread,
        )

    @classmethod
    def prepare(cls, config: Config, data: Path | None) -> Facts:
        return prepare(config, data)

    # stages

    def stages(self, data: Path | None) -> Iterator[Stage]:
        opened = open_data(self.config, data)
        train = self._feed(opened.train)
        if self.config.pretrain_epochs and not self.config.teacher:
            shown = captioned(opened)  # where it is train, both stages share what was read
            yield self._pretrain(opened, train if shown is opened.train else self._feed(shown))
        if self.config.prompt_epochs:
            yield self._prompt(opened)
        yield self._distil(opened, train)

    def _feed(self, split: Split) -> Feed:
        return Feed(split, self.geometry, self.config.seed)

    def _pretrain(self, data: ImageData, feed: Feed) -> Stage:
        config = self.config
        texts, number = captions(data)
        steps = _steps(config.pretrain_epochs, len(feed), config.pretrain_batch)
        self.teacher.requires_grad_(True)
        trained = [parameter for name, parameter in self.teacher.named_parameters() if "prompts" not in name]
        return Stage(
            "teacher",
            steps,
            lambda start: feed.batches(config.pretrain_batch, config.pretrain_augment, start),
            contrast_objective(self.teacher, self.tokenizer(texts), number),
            _optimizer("adamw", trained, config.pretrain_learning_rate, config.pretrain_weight_decay),
            warm_up_cosine(steps, max(steps // 20, 1)),
            clip=1.0,
            frozen=(self.student,),
        )

    def _prompt(self, data: ImageData) -> Stage:
        config = self.config
        chosen = data.train.select(few_shot(data.train, data.base, config.shots, config.seed))
        place = torch.full((len(data.classes),), -1)
        place[list(data.base)] = torch.arange(len(data.base))
        steps = _steps(config.prompt_epochs, len(chosen), config.prompt_batch)
        average = self.prompt_average

        def begin() -> None:
            self._take_teacher()
            if self.teacher.text.prompts is not None:
                self.teacher.text.init_prompts(self.tokenizer(["a photo of a"]))

        return Stage(
            "prompts",
            steps,
            lambda start: relabelled(self._feed(chosen).batches(config.prompt_batch, config.augment, start), place),
            prompt_objective(
                self.teacher,
                self.tokenizer([data.templates[0].format(data.classes[label]) for label in data.base]),
                text_weight=config.text_weight,
                image_weight=config.image_weight,
            ),
            _optimizer("sgd", average.prompts, config.prompt_learning_rate, 5e-4),
            warm_up_cosine(steps),
            begin=begin,
            after_step=average.after_step,
            end=average.end,
            frozen=(self.teacher, self.student),
        )

    def _distil(self, data: ImageData, train: Feed) -> Stage:
        config = self.config
        feed = train
        if data.unlabelled is not None:
            feed = self._feed(data.unlabelled)
        elif config.unlabelled_classes == "base":
            feed = self._feed(data.train.restrict(data.base))
        steps = _steps(config.epochs, len(feed), config.batch)
        teacher_needed = bool(config.kl_weight or config.align_weight or config.feature_weight)

        def begin() -> None:
            if not config.prompt_epochs:
                self._take_teacher()
            self._start_student()

        def batches(start: int) -> Iterator[Batch]:
            if not (config.views and teacher_needed):
                return feed.batches(config.batch, config.augment, start, views=config.views)
            digest, device = self.teacher_digest(image=True), self.teacher.logit_scale.device
            return feed.with_features(
                config.batch, config.augment, start, config.views, self._frozen_teacher, digest, config.cache, device
            )

        labelled = torch.zeros(len(data.classes), dtype=torch.bool)
        labelled[list(_whose(data, config.label_classes))] = True
        per_epoch = max(steps / config.epochs, 1.0)
        return Stage(
            "student",
            steps,
            batches,
            student_objective(config, self.student, self._frozen_teacher if teacher_needed else None, labelled),
            _optimizer(config.optimizer, self._trained(), config.learning_rate, config.weight_decay),
            warm_up_cosine(steps, round(config.warm_up * per_epoch)),
            begin=begin,
            select=self._selection(data),
            select_every=round(config.select_every * per_epoch),
            frozen=(self.teacher,),
            clip=config.clip,
        )

    def _take_teacher(self) -> None:
        """Load the weights of a ready teacher."""
        ready = load_teacher(self.config)
        if ready:
            if ready.sha256 != self.facts["teacher"]["sha256"]:
                raise ValueError(f"{self.config.teacher} has changed since this run began; start a new run for the new teacher")
            _load_into(self.teacher, ready.state)

    def _start_student(self) -> None:
        """The class bank from the loaded teacher, its temperature, and the student's ready tower if there is one."""
        ready = load_student(self.config)
        if ready:
            _load_into(
                self.student.tower,
                {name.removeprefix("image."): value for name, value in ready.state.items() if name.startswith("image.")},
            )
        self.teacher.eval()
        with torch.no_grad():
            self.student.logit_scale.copy_(self.teacher.logit_scale.exp())
            if self.config.head == "bank":
                self.student.class_vectors.copy_(self.class_vectors(self.facts["classes"], self.facts["templates"]))

    def _trained(self) -> list[nn.Parameter]:
        student = self.student
        modules: list[nn.Module] = [student.projector]
        if student.attention is not None:
            modules.append(student.attention)
        if self.config.student_trains == "all":
            modules.append(student.tower)
        trained = [parameter for module in modules for parameter in module.parameters()]
        if self.config.student_trains == "prompts" and student.tower.prompts is not None:
            trained.append(student.tower.prompts)
        if self.config.head == "learned":
            trained.append(student.class_vectors)
        return trained

    @torch.no_grad()
    def _frozen_teacher(self, image: Tensor) -> Tensor:
        """uint8 (n, 3, h, w) at the student's size -> unit rows (n, d)"""
        side = self.teacher.spec.vision.image_size
        if image.shape[-1] != side:
            resized = F.interpolate(image.float(), (side, side), mode="bicubic", antialias=True, align_corners=False)
            image = resized.round().clamp(0, 255)
        return self.teacher.encode_image(image).float()

    def _selection(self, data: ImageData) -> Callable[[], float] | None:
        """On held-out training images: agreement with the teacher, which needs no label; with labels, accuracy on those seen."""
        if not len(data.val):
            return None
        images = self._feed(data.val).images()
        label = torch.from_numpy(data.val.labels)
        seen = torch.ones(len(label), dtype=torch.bool)
        if self.config.label_weight:
            seen = torch.isin(label, torch.tensor(_whose(data, self.config.label_classes)))
        target: list[Tensor] = []

        def agreement() -> float:
            bank = self._bank_vectors()
            if not target and self.config.label_weight:
                target.append(label.to(bank.device))
            elif not target:
                target.append(self._teacher_head(embeddings(images(), self._frozen_teacher, bank.device), bank).argmax(1))
            logits = self.student.logits(embeddings(images(), self.student.embed, bank.device), bank)
            return accuracy(logits[seen], target[0][seen])

        return agreement

    # evaluation

    def class_vectors(self, names: Sequence[str], templates: Sequence[str]) -> Tensor:
        """The class bank: mean over templates of the teacher's prompted text features, unit rows (k, d)."""
        device = self.teacher.logit_scale.device
        total = torch.zeros(len(names), self.teacher.spec.vision.embed_dim, device=device)
        with torch.no_grad():
            for template in templates:
                ids = self.tokenizer([template.format(name) for name in names])
                parts = [self.teacher.encode_text(part.to(device)).float() for part in torch.split(ids, CHUNK)]
                total += torch.cat(parts)
        return F.normalize(total, dim=1)

    def teacher_digest(self, *, image: bool = False) -> str:
        """sha256 of the weights that make class vectors (with `image`, of those that make the teacher's image features)."""
        found = hashlib.sha256((self.facts["tokenizer"] if not image else repr(self.facts["teacher"]["spec"])).encode())
        for name, value in sorted(self.teacher.state_dict().items()):
            if name.startswith("image.") == image:
                found.update(name.encode())
                found.update(value.detach().float().cpu().contiguous().numpy().tobytes())
        return found.hexdigest()

    def _bank_vectors(self) -> Tensor:
        return F.normalize(self.student.class_vectors, dim=1)

    def _teacher_head(self, embedding: Tensor, bank: Tensor) -> Tensor:
        return self.student.logit_scale * embedding @ bank.T

    def evaluate(self, data: Path | None, split: str) -> dict[str, float]:
        """Base, new, harmonic mean, top-1, top-5 and calibration of student and teacher, in percent.

        On another data set than the trained one the bank is made from its class names and templates.
        """
        opened = open_data(self.config, data)
        part: Split = getattr(opened, split)
        if not len(part) or (part.labels < 0).any():
            return {}
        self.eval()
        own = list(opened.classes) == self.facts["classes"]
        taught = self.class_vectors(opened.classes, opened.templates)
        if not own and self.config.head == "learned":
            raise ValueError(f"{opened.name} has other classes than this model was trained on, and head=learned knows no others")
        images = self._feed(part).images()
        towers = (
            ("student", self.student.embed, self.student.logits, self._bank_vectors() if own else taught),
            ("teacher", self._frozen_teacher, self._teacher_head, taught),
        )
        return {
            f"{name}/{key}": value
            for name, encode, head, bank in towers
            for key, value in measures(opened, part, embeddings(images(), encode, bank.device), head, bank).items()
        }

    # export

    def exportable(self) -> Exportable:
        size, dim = self.student.tower.spec.image_size, self.teacher.spec.vision.embed_dim
        classes = len(self.facts["classes"])
        image = Port("image", "uint8", ("batch", 3, size, size))
        modules: dict[str, nn.Module] = {"closed": Closed(self.student).eval()}
        graphs = [
            Graph(
                "closed",
                (image,),
                (Port("logits", "float32", ("batch", classes)), Port("probabilities", "float32", ("batch", classes))),
            )
        ]
        if self.config.head == "bank":
            vectors = Port("class_vectors", "float32", ("classes", dim))
            answers = (Port("logits", "float32", ("batch", "classes")), Port("probabilities", "float32", ("batch", "classes")))
            graphs.append(Graph("open", (image, vectors), answers))
            modules["open"] = Open(self.student).eval()
        graphs.append(Graph("embedding", (image,), (Port("embedding", "float32", ("batch", dim)),)))
        modules["embedding"] = Embedding(self.student).eval()
        raw = tuple(sample.numpy() for sample in self.facts["samples"])
        prepared = np.stack([fit(sample, self.geometry).transpose(2, 0, 1) for sample in raw])  # (n, 3, h, w)
        bank = self._bank()
        samples: dict[str, dict[str, np.ndarray]] = {graph.name: {"image": prepared} for graph in graphs}
        if "open" in samples:
            samples["open"]["class_vectors"] = bank.vectors
        options = {
            "classes": self.facts["classes"],
            "templates": self.facts["templates"],
            "geometry": self.geometry.to_dict(),
            "teacher": bank.teacher,
            "temperature": 1 / float(self.student.logit_scale),
            "embedding_dim": dim,
            "attention": self.config.attention,
        }
        axes = {"batch": Axis(1, 8, 64), "classes": Axis(1, classes, max(1024, 2 * classes))}
        artifact = Artifact(
            "comkd_clip", "zero_shot", tuple(graphs), axes if "open" in modules else {"batch": axes["batch"]}, options
        )
        return Exportable(artifact, modules, samples, raw, {"bank.npz": bank.to_bytes()} if "open" in modules else {})

    def _bank(self) -> Bank:
        vectors = self._bank_vectors().detach().cpu().numpy().astype(np.float32)
        return Bank(vectors, tuple(self.facts["classes"]), self.teacher_digest(), tuple(self.facts["templates"]))


def _load_into(module: nn.Module, weights: dict[str, Tensor]) -> None:
    """Load all but prompts of another shape: those are this run's own."""
    own = module.state_dict()
    kept = {
        name: value
        for name, value in weights.items()
        if not name.endswith("prompts") or (name in own and own[name].shape == value.shape)
    }
    module.load_state_dict({**{name: value for name, value in own.items() if name.endswith("prompts")}, **kept})


def _whose(data: ImageData, which: str) -> tuple[int, ...]:
    return data.base if which == "base" else tuple(range(len(data.classes)))


def _steps(epochs: float, images: int, batch: int) -> int:
    return max(round(epochs * images / batch), 1)


def _optimizer(kind: str, trained: Sequence[nn.Parameter], rate: float, decay: float) -> torch.optim.Optimizer:
    """SGD with momentum 0.9 decays all; AdamW leaves vectors and scalars (norms, biases, gates) undecayed."""
    if kind == "sgd":
        return torch.optim.SGD(trained, lr=rate, momentum=0.9, weight_decay=decay)
    groups = [
        {"params": [parameter for parameter in trained if parameter.ndim > 1], "weight_decay": decay},
        {"params": [parameter for parameter in trained if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=rate)
