"""Short runs are compared with what their configuration says: what trains, which losses, whose weights, which teacher."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from train import checkpoint, loop
from train.blocks.clip import Clip, ClipSpec, TextSpec, VisionSpec
from train.config import override
from train.contract import Stage
from train.methods.comkd_clip import METHOD
from train.methods.comkd_clip.distilling import student_objective
from train.methods.comkd_clip.method import ComKDCLIP
from train.methods.comkd_clip.preparation import MEAN, STD
from train.teachers.tokenizer import from_merges

SETTING = loop.Setting(accelerator="cpu", log_every=1)
PLAIN = ("prompt_epochs=0", "weight_decay=0", "optimizer=sgd", "learning_rate=0.1", "warm_up=0", "clip=0")


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def made(photos: Path, fields: Sequence[str]) -> ComKDCLIP:
    config = override(METHOD.smoke, fields)
    return ComKDCLIP(config, ComKDCLIP.prepare(config, photos))


def fit(fields: Sequence[str], photos: Path, out: Path) -> dict[str, Tensor]:
    return checkpoint.load(loop.fit("comkd_clip", override(METHOD.smoke, fields), photos, out, SETTING)).model


def stage_of(method: ComKDCLIP, photos: Path, name: str) -> Stage:
    return next(stage for stage in method.stages(photos) if stage.name == name)


def changed(method: ComKDCLIP, stage: Stage, steps: int = 2) -> tuple[set[str], set[str]]:
    """Take some steps; the modules (two names deep) whose parameters are other ones now, and the names of the losses."""
    if stage.begin:
        stage.begin()
    method.train()
    for module in stage.frozen:
        module.eval()
    before = {name: parameter.detach().clone() for name, parameter in method.named_parameters()}
    parts: dict[str, Tensor] = {}
    for batch in islice(stage.batches(0), steps):
        loss, parts = stage.loss(batch)
        stage.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        stage.optimizer.step()
    moved = {name for name, parameter in method.named_parameters() if not torch.equal(parameter, before[name])}
    return {".".join(name.split(".")[:2]) for name in moved}, set(parts)


# what trains

BASELINES = {
    "ComKD": ((), {"student.tower", "student.projector", "student.attention"}, {"kl", "align", "alpha"}),
    "plain attention": (
        ("attention=plain",),
        {"student.tower", "student.projector", "student.attention"},
        {"kl", "align", "alpha"},
    ),
    "KL (PromptKD)": (("align_weight=0", "attention=none"), {"student.tower", "student.projector"}, {"kl"}),
    "FD (CLIP-KD)": (
        ("align_weight=0", "kl_weight=0", "feature_weight=10", "attention=none"),
        {"student.tower", "student.projector"},
        {"feature"},
    ),
    "KL and FD": (
        ("align_weight=0", "feature_weight=10", "attention=none"),
        {"student.tower", "student.projector"},
        {"kl", "feature"},
    ),
    "supervised": (
        ("head=learned", "label_weight=1", "kl_weight=0", "align_weight=0", "attention=none"),
        {"student.tower", "student.projector", "student.class_vectors"},
        {"label"},
    ),
}


@pytest.mark.parametrize("views", [0, 2])
@pytest.mark.parametrize("baseline", BASELINES)
def test_a_baseline_trains_what_it_should_with_its_losses_and_nothing_else(photos: Path, baseline: str, views: int) -> None:
    fields, modules, losses = BASELINES[baseline]
    method = made(photos, [*PLAIN, *fields, f"views={views}"])
    stage = stage_of(method, photos, "student")
    assert changed(method, stage) == (modules, losses)
    assert ("teacher" in next(stage.batches(0))) == (views > 0 and "label" not in losses), "features are kept where needed"


def test_pretraining_trains_the_teacher_without_its_prompts(photos: Path) -> None:
    method = made(photos, ["pretrain_epochs=1"])
    before = {name: value.clone() for name, value in method.named_parameters() if "prompts" in name}
    modules, _ = changed(method, stage_of(method, photos, "teacher"))
    assert modules == {"teacher.image", "teacher.text", "teacher.logit_scale"}
    assert before and all(torch.equal(value, dict(method.named_parameters())[name]) for name, value in before.items())


def test_prompt_tuning_trains_prompts_alone(photos: Path) -> None:
    method = made(photos, ["pretrain_epochs=1"])
    stage = stage_of(method, photos, "prompts")
    trained = {id(parameter) for group in stage.optimizer.param_groups for parameter in group["params"]}
    assert trained == {id(value) for name, value in method.teacher.named_parameters() if name.endswith("prompts")}
    before = method.teacher.text.token_embedding.weight.detach().clone()
    _, parts = changed(method, stage)
    assert parts == {"cross_entropy", "text", "image", "logits"}
    assert torch.equal(method.teacher.text.token_embedding.weight, before)


def test_only_allowed_labels_reach_the_supervised_student(photos: Path) -> None:
    fields = ["head=learned", "label_weight=1", "kl_weight=0", "align_weight=0", "attention=none"]
    method = made(photos, [*PLAIN, *fields])
    labelled = torch.zeros(12, dtype=torch.bool)
    labelled[:6] = True
    loss = student_objective(method.config, method.student, None, labelled)
    image = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    base, new = torch.tensor([0, 1, 2, 3]), torch.tensor([6, 7, -1, 11])
    assert float(loss({"image": image, "label": new})[0].detach()) == 0.0
    one, other = (loss({"image": image, "label": label})[0].detach() for label in (base, torch.cat([base[:2], new[:2]])))
    logits = method.student.logits(method.student.embed(image), F.normalize(method.student.class_vectors, dim=1)).detach()
    torch.testing.assert_close(one, F.cross_entropy(logits, base))
    torch.testing.assert_close(other, F.cross_entropy(logits[:2], base[:2]))


def test_the_losses_are_their_formulas_of_the_students_answers(photos: Path) -> None:
    method = made(photos, [*PLAIN, "kl_weight=2", "kl_temperature=3", "align_weight=0.5", "feature_weight=7"])
    method.eval()
    assert method.student.attention is not None
    method.student.attention.alpha.data.fill_(0.5)
    image = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    taught = F.normalize(torch.randn(4, 32), dim=1)
    total, parts = student_objective(method.config, method.student, lambda _: taught, torch.ones(12, dtype=torch.bool))(
        {"image": image}
    )
    unit, bank = method.student.embed(image), F.normalize(method.student.class_vectors, dim=1)
    p, q = (100 * taught @ bank.T / 3).softmax(1), (method.student.logits(unit, bank) / 3).softmax(1)
    statistics = (unit.mean(0) - taught.mean(0)).abs().sum() + (unit.var(0, False) - taught.var(0, False)).abs().sum()
    torch.testing.assert_close(parts["kl"], 2 * 9 * (p * (p.log() - q.log())).sum() / 4, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(parts["align"], 0.5 * statistics)
    torch.testing.assert_close(parts["feature"], 7 * (unit - taught).square().mean())
    torch.testing.assert_close(total, parts["kl"] + parts["align"] + parts["feature"])


def test_images_of_new_classes_stay_unseen_where_asked(photos: Path) -> None:
    def labels(which: str) -> set[int]:
        stage = stage_of(made(photos, [*PLAIN, f"unlabelled_classes={which}"]), photos, "student")
        return {label for batch in islice(stage.batches(0), 5) for label in batch["label"].tolist()}

    assert labels("all") == set(range(12)) and labels("base") == set(range(6))


def test_a_folder_of_unlabelled_images_takes_the_place_of_the_training_images(photos: Path) -> None:
    stage = stage_of(made(photos, [*PLAIN, f"unlabelled={photos / 'fox'}"]), photos, "student")
    batch = next(stage.batches(0))
    assert set(batch["label"].tolist()) == {-1} and batch["index"].max() < 5


# the class bank


def test_the_bank_is_the_mean_of_the_teachers_text_features_as_trained(photos: Path, tmp_path: Path) -> None:
    fields = ["templates=a photo of a {}.,a blurred photo of a {}."]
    path = loop.fit("comkd_clip", override(METHOD.smoke, fields), photos, tmp_path, SETTING)
    method = checkpoint.restore(path)
    assert isinstance(method, ComKDCLIP)
    total = torch.zeros(12, 32)
    for template in ("a photo of a {}.", "a blurred photo of a {}."):
        for row, name in enumerate(method.facts["classes"]):
            total[row] += method.teacher.encode_text(method.tokenizer([template.format(name)]))[0].detach()
    torch.testing.assert_close(method.student.class_vectors.detach(), F.normalize(total, dim=1), rtol=1e-4, atol=1e-5)
    assert method.student.logit_scale == method.teacher.logit_scale.exp()


def test_the_digest_changes_with_what_makes_the_vectors_and_with_nothing_else(photos: Path) -> None:
    method = made(photos, [])
    text, image = method.teacher_digest(), method.teacher_digest(image=True)
    method.teacher.image.proj.data += 1
    assert method.teacher_digest() == text and method.teacher_digest(image=True) != image
    method.teacher.text.text_projection.data += 1
    assert method.teacher_digest() != text


# teachers from files


def test_the_teacher_inside_a_model_of_this_method_teaches_again(photos: Path, tmp_path: Path) -> None:
    first = fit([], photos, tmp_path / "first")
    fields = [f"teacher={tmp_path / 'first' / 'model.pt'}", "pretrain_epochs=0", "prompt_epochs=0", "seed=1"]
    second = fit(fields, photos, tmp_path / "second")
    names = [name for name in first if name.startswith("teacher.")]
    assert any("prompts" in name for name in names)
    assert all(torch.equal(first[name], second[name]) for name in names)
    torch.testing.assert_close(second["student.class_vectors"], first["student.class_vectors"])
    assert not torch.equal(second["student.projector.first.weight"], first["student.projector.first.weight"])


def test_a_teacher_that_changed_under_the_run_is_refused(photos: Path, tmp_path: Path) -> None:
    fit([], photos, tmp_path / "first")
    path = tmp_path / "first" / "model.pt"
    method = made(photos, [f"teacher={path}", "pretrain_epochs=0", "prompt_epochs=0"])
    saved = checkpoint.load(path)
    saved.model["teacher.image.proj"] += 1
    checkpoint.save(saved, path)
    stage = stage_of(method, photos, "student")
    assert stage.begin is not None
    with pytest.raises(ValueError, match="has changed since this run began; start a new run"):
        stage.begin()


def open_clip_folder(folder: Path, width: int, layers: int) -> dict[str, Tensor]:
    """A random CLIP as open_clip saves one in a folder, with the byte-level tokenizer beside it; its weights by our names."""
    vision = VisionSpec("vit", 32, width, layers, max(width // 64, 1), 24, 8, "gelu")
    text = TextSpec(40, 514, 64, 1, 2, 24, "gelu")
    clip = Clip(ClipSpec(vision, text, MEAN, STD))
    state = {name.replace("image.", "visual.").removeprefix("text."): value for name, value in clip.state_dict().items()}
    folder.mkdir()
    torch.save(state, folder / "open_clip_pytorch_model.bin")
    model: dict[str, Any] = {
        "embed_dim": 24,
        "quick_gelu": False,
        "vision_cfg": {"image_size": 32, "layers": layers, "width": width, "patch_size": 8},
        "text_cfg": {"context_length": 40, "vocab_size": 514, "width": 64, "heads": 1, "layers": 2},
    }
    preprocess = {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model, "preprocess_cfg": preprocess}))
    (folder / "tokenizer.json").write_text(from_merges([]))
    return {name: value.clone() for name, value in clip.state_dict().items()}


def test_a_ready_teacher_is_prompted_and_teaches_the_prompts_of_a_ready_student(photos: Path, tmp_path: Path) -> None:
    """The paper's own setting at a small size: both towers frozen, prompts of both learned, the projector between them."""
    teacher = open_clip_folder(tmp_path / "large", 128, 3)
    student = open_clip_folder(tmp_path / "small", 64, 2)
    fields = [
        f"teacher={tmp_path / 'large'}", "pretrain_epochs=0", "prompt_epochs=1", "prompt_depth=2",
        f"student={tmp_path / 'small'}", "student_trains=prompts", "student_prompt_length=4", "student_prompt_depth=2",
        "optimizer=sgd", "epochs=2", "batch=16", "templates=a photo of a {}.",
    ]  # fmt: skip
    out = tmp_path / "run"
    found = fit(fields, photos, out)
    for name, value in teacher.items():
        assert torch.equal(found[f"teacher.{name}"], value), name
    for name, value in student.items():
        if name.startswith("image."):
            assert torch.equal(found[f"student.tower.{name.removeprefix('image.')}"], value), name
    assert found["student.tower.prompts"].shape == (2, 4, 64) and found["teacher.text.prompts"].shape == (2, 2, 64)
    assert float(found["student.attention.alpha"]) != 0
    with (out / "metrics.csv").open(newline="") as file:
        assert {row["stage"] for row in csv.DictReader(file)} == {"prompts", "student", "result"}
    restored = checkpoint.restore(out / "model.pt")
    assert {graph.name for graph in restored.exportable().artifact.graphs} == {"closed", "open", "embedding"}


# evaluation


def test_other_classes_are_measured_with_a_bank_of_their_names(photos: Path, tmp_path: Path) -> None:
    fit([], photos, tmp_path / "run")
    method = checkpoint.restore(tmp_path / "run" / "model.pt")
    others = tmp_path / "others"
    for name in ("fox", "gull", "kite"):
        shutil.copytree(photos / name, others / f"{name}s")
    found = method.evaluate(others, "test")
    assert {"student/top1", "teacher/hm", "student/ece"} <= set(found)
    assert all(0 <= value <= 100 for value in found.values())
    assert found["student/top5"] == 100.0, "of three classes"


def test_a_learned_head_knows_no_other_classes(photos: Path, tmp_path: Path) -> None:
    fit(["head=learned", "label_weight=1", "attention=none"], photos, tmp_path / "run")
    method = checkpoint.restore(tmp_path / "run" / "model.pt")
    with pytest.raises(ValueError, match="has other classes than this model was trained on"):
        method.evaluate(None, "test")
    assert {graph.name for graph in method.exportable().artifact.graphs} == {"closed", "embedding"}
