"""Facts: what a run's modules are built from, read once from the data and the teacher's file, kept in every checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from runtime.prepare import Geometry
from train import teachers
from train.blocks.clip import ClipSpec, TextSpec, VisionSpec
from train.contract import Facts
from train.data.images import ImageData, Split, open_images
from train.teachers.tokenizer import Tokenizer

from .config import Config

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # CLIP's, of pixels in 0..1
_SAMPLES = 8  # images that travel with the checkpoint, as proof for export
_SAMPLE_SIDE = 512  # pixels at most


def open_data(config: Config, data: Path | None) -> ImageData:
    """The data set with this configuration's split into base and new classes and its templates."""
    unlabelled = Path(config.unlabelled) if config.unlabelled else None
    opened = open_images(data, seed=config.split_seed, held_out=config.held_out, unlabelled=unlabelled, scenes=config.scenes)
    if config.templates:
        opened = replace(opened, templates=config.templates)
    count = len(opened.classes)
    if config.base_classes:
        if not 1 <= config.base_classes <= count:
            raise ValueError(f"base_classes={config.base_classes} was given for {count} classes; expected 1 to {count}, or 0")
        opened = replace(opened, base=tuple(range(config.base_classes)), new=tuple(range(config.base_classes, count)))
    return opened


def prepare(config: Config, data: Path | None) -> Facts:
    """Read the data's class names and the teacher's architecture; refuse what cannot work before any training."""
    _check(config)
    opened = open_data(config, data)
    if len(opened.classes) < 2:
        raise ValueError(f"{data} has {len(opened.classes)} class; a classifier needs at least two class folders")
    teacher = load_teacher(config)
    if teacher:
        tokenizer = teacher.tokenizer
        if tokenizer is None:
            raise ValueError(
                f"{config.teacher} ({teacher.format}) has no tokenizer; give tokenizer=PATH of CLIP's vocabulary "
                "(bpe_simple_vocab_16e6.txt.gz, or a folder with vocab.json and merges.txt)"
            )
        spec = teacher.spec
        prompts = {
            "prompt_length": teacher.prompt_length,
            "prompt_depth": teacher.prompt_depth,
            "text_prompt_length": teacher.text_prompt_length,
            "text_prompt_depth": teacher.text_prompt_depth,
        }
        origin = {"format": teacher.format, "sha256": teacher.sha256}
    else:
        tokenizer = Tokenizer.train(_corpus(opened), config.vocabulary)
        spec = _own_teacher(config, Tokenizer(tokenizer, config.text_context).vocabulary)
        prompts = dict.fromkeys(("prompt_length", "prompt_depth", "text_prompt_length", "text_prompt_depth"), 0)
        origin = {"format": "trained here", "sha256": ""}
    if config.prompt_epochs:
        depth = min(config.prompt_depth, spec.text.layers)
        prompts.update(text_prompt_length=config.prompt_length, text_prompt_depth=depth)
        if spec.vision.kind == "vit":
            prompts.update(prompt_length=config.prompt_length, prompt_depth=min(config.prompt_depth, int(spec.vision.layers)))  # type: ignore[arg-type]
    _check_templates(opened.templates, prompts["text_prompt_length"])
    student = _student(config, spec)
    geometry = Geometry((student.image_size, student.image_size), spec.resize, spec.interpolation)
    return {
        "data": opened.name,
        "classes": list(opened.classes),
        "base": list(opened.base),
        "new": list(opened.new),
        "templates": list(opened.templates),
        "teacher": {"spec": spec.to_dict(), **prompts, **origin},
        "student": VisionSpec.to_dict(student),
        "geometry": geometry.to_dict(),
        "tokenizer": tokenizer,
        "samples": _samples(opened),
    }


def load_teacher(config: Config) -> teachers.Teacher | None:
    """Read the teacher's file, or None where one is to be trained here."""
    if not config.teacher:
        return None
    return teachers.load(
        Path(config.teacher),
        activation=config.teacher_activation or None,
        image_size=config.teacher_image_size or None,
        mean=config.teacher_mean or None,  # type: ignore[arg-type]
        std=config.teacher_std or None,  # type: ignore[arg-type]
        tokenizer=Path(config.tokenizer) if config.tokenizer else None,
        base=Path(config.teacher_base) if config.teacher_base else None,
    )


def load_student(config: Config) -> teachers.Teacher | None:
    """Read the file whose image tower starts the student, or None where it starts from scratch.

    Its preprocessing is the teacher's, so the mean and deviation asked for are of no account.
    """
    if not config.student:
        return None
    if not Path(config.student).exists():
        raise FileNotFoundError(f"there is no student at {config.student}; expected a CLIP as for teacher=")
    return teachers.load(Path(config.student), activation=config.student_activation or None, mean=MEAN, std=STD)


def _check(config: Config) -> None:
    if not config.teacher and not config.pretrain_epochs:
        raise ValueError(
            "there is no teacher: give teacher=PATH (an OpenAI, open_clip, Hugging Face or Dassl CLIP, or a model.pt of this "
            "method), or train one here with --preset scenes, --preset cifar100 or pretrain_epochs="
        )
    if config.student_trains == "prompts" and not config.student:
        raise ValueError(
            "student_trains=prompts needs a ready image tower: give student=PATH, or student_trains=all to train one from scratch"
        )
    weights = {name: getattr(config, name) for name in ("kl_weight", "align_weight", "feature_weight", "label_weight")}
    if not any(weights.values()):
        raise ValueError("every loss has weight 0; give one of " + ", ".join(weights) + " a value above 0")
    if any(value < 0 for value in weights.values()):
        raise ValueError(
            "a loss has a negative weight: " + ", ".join(f"{name}={value}" for name, value in weights.items() if value < 0)
        )
    if config.batch < 2:
        raise ValueError(f"batch={config.batch} was given; the projector's normalisation needs at least 2 images")


def _check_templates(templates: tuple[str, ...], prompted: int) -> None:
    """Prompts take the place of a text's first words: the class name must come after them."""
    for template in templates:
        if "{}" not in template:
            raise ValueError(f"the template {template!r} has no {{}} for the class name")
        if len(template.split("{}")[0].split()) < prompted:
            raise ValueError(
                f"the template {template!r} has fewer than {prompted} words before the class name, and the teacher's learned "
                "prompts take the place of that many; begin it with 'a photo of a'"
            )


def _own_teacher(config: Config, vocabulary: int) -> ClipSpec:
    vision = VisionSpec(
        kind="vit",
        image_size=config.image_size,
        width=config.teacher_width,
        layers=config.teacher_layers,
        heads=max(config.teacher_width // 64, 1),
        embed_dim=config.teacher_dim,
        patch_size=config.teacher_patch,
        activation="gelu",
        stem=config.teacher_stem,
    )
    text = TextSpec(
        context=config.text_context,
        vocabulary=vocabulary,
        width=config.text_width,
        heads=max(config.text_width // 64, 1),
        layers=config.text_layers,
        embed_dim=config.teacher_dim,
        activation="gelu",
        end_token=None,
    )
    return ClipSpec(vision, text, MEAN, STD, "bicubic", "crop")


def _student(config: Config, teacher: ClipSpec) -> VisionSpec:
    ready = load_student(config)
    if ready:
        if ready.spec.vision.kind != "vit":
            raise ValueError(f"{config.student} has a ResNet image tower; prompts need a ViT student")
        return ready.spec.vision
    return VisionSpec(
        kind="vit",
        image_size=config.image_size if not config.teacher else teacher.vision.image_size,
        width=config.student_width,
        layers=config.student_layers,
        heads=max(config.student_width // 64, 1),
        embed_dim=config.student_dim,
        patch_size=config.student_patch,
        activation="gelu",
        stem=config.student_stem,
    )


def captioned(data: ImageData) -> Split:
    """The images that a teacher trained here learns from."""
    return data.train if data.captioned is None else data.captioned


def captions(data: ImageData) -> tuple[tuple[str, ...], torch.Tensor]:
    """Distinct captions of the teacher's images, and each image's number among them, (n,); the first template where none are."""
    shown = captioned(data)
    if shown.captions is not None:
        distinct = tuple(dict.fromkeys(shown.captions))
        number = {caption: index for index, caption in enumerate(distinct)}
        return distinct, torch.tensor([number[caption] for caption in shown.captions])
    if (shown.labels < 0).any():
        raise ValueError(
            f"{data.name} has images without class; a teacher can only be trained here on labelled or captioned images"
        )
    return tuple(data.templates[0].format(name) for name in data.classes), torch.from_numpy(shown.labels)


def _corpus(data: ImageData) -> list[str]:
    texts = [template.format(name) for template in data.templates for name in data.classes]
    return texts + list(captions(data)[0])


def _samples(data: ImageData) -> list[torch.Tensor]:
    """A few held-out training images, uint8 (h, w, 3), evenly spread."""
    split = data.val if len(data.val) else data.train
    picked = []
    for index in range(0, len(split), max(len(split) // _SAMPLES, 1)):
        image = split.read(index)
        height, width = image.shape[:2]
        image = image[max(height - _SAMPLE_SIDE, 0) // 2 :][:_SAMPLE_SIDE, max(width - _SAMPLE_SIDE, 0) // 2 :][:, :_SAMPLE_SIDE]
        picked.append(torch.from_numpy(image.copy()))
    return picked[:_SAMPLES]
