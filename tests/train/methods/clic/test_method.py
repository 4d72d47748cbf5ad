"""CLIC's stages, views, measures and refusals, against what the configuration says; a broken-off run against an unbroken one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from train import checkpoint, loop
from train.config import override
from train.contract import Batch, Stage
from train.data.complexity import Rated
from train.data.entropy import grey_entropy
from train.methods.clic import METHOD
from train.methods.clic.config import SMOKE
from train.methods.clic.measures import agreement
from train.methods.clic.method import CLIC
from train.methods.clic.sets import open_sets

SETTING = loop.Setting(accelerator="cpu", checkpoint_every=1)


def made(**fields: object) -> CLIC:
    config = dataclasses.replace(SMOKE, **fields)  # type: ignore[arg-type]
    torch.manual_seed(0)
    return CLIC(config, {})


def stage(method: CLIC, name: str) -> Stage:
    return next(stage for stage in method.stages(None) if stage.name == name)


def moved(method: CLIC, name: str) -> set[str]:
    """Parameters that a step of a stage moves, by their first names."""
    own = stage(method, name)
    before = {key: value.clone() for key, value in method.named_parameters()}
    method.train()
    loss, _ = own.loss(next(own.batches(0)))
    loss.backward()
    own.optimizer.step()
    changed = {key for key, value in method.named_parameters() if not torch.equal(before[key], value)}
    return {".".join(key.split(".")[: 3 if key.startswith("moco") else 1]) for key in changed}


def test_each_stage_trains_its_own() -> None:
    assert moved(made(), "pretrain") == {"moco.query.encoder", "moco.query.head"}
    assert moved(made(), "head") == {"head"}
    assert moved(made(frozen=False, score_head="linear"), "head") >= {"head"}
    assert moved(made(frozen=False), "head") == {"head", "moco.query.encoder"}


def test_stages_are_those_that_are_asked_for() -> None:
    assert [one.name for one in made().stages(None)] == ["pretrain", "head"]
    assert [one.name for one in made(epochs=0).stages(None)] == ["head"]
    assert [one.name for one in made(score_head="none").stages(None)] == ["pretrain"]


def test_the_rates_fall_by_tenths_and_the_heads_after_a_warm_up() -> None:
    steps = stage(made(schedule="steps", epochs=20), "pretrain")
    assert steps.steps == 100
    assert [round(steps.schedule(step), 6) for step in (0, 59, 60, 79, 80, 99)] == [1, 1, 0.1, 0.1, 0.01, 0.01]
    head = stage(made(head_epochs=30, head_batch=10), "head")
    assert head.steps == 120 and head.schedule(0) == pytest.approx(0.2)
    assert [round(head.schedule(step), 6) for step in (4, 39, 40, 80, 119)] == [1, 1, 0.2, 0.04, 0.04]


@pytest.mark.parametrize("positives", ["rcm", "scm", "aug"])
def test_every_arm_has_a_finite_loss_and_the_key_no_gradient(positives: str) -> None:
    method = made(positives=positives)
    own = stage(method, "pretrain")
    loss, parts = own.loss(next(own.batches(0)))
    loss.backward()
    assert bool(loss.isfinite()) and {"contrast", "complexity"} <= set(parts)
    assert all(parameter.grad is None for parameter in method.moco.key.parameters())


def test_the_loss_is_the_contrast_and_lambda_times_the_distance_to_entropy() -> None:
    loss, parts = (own := stage(made(complexity_weight=0.5), "pretrain")).loss(next(own.batches(0)))
    torch.testing.assert_close(loss.detach(), parts["contrast"] + 0.5 * parts["complexity"])
    loss, parts = (own := stage(made(complexity_weight=0.0), "pretrain")).loss(next(own.batches(0)))
    torch.testing.assert_close(loss.detach(), parts["contrast"])
    assert "complexity" not in parts


def test_places_and_their_entropy_join_the_loss_and_the_contrast_has_a_weight() -> None:
    fields = {
        "complexity_fit": "correlation",
        "entropy": "colour",
        "regions": 16,
        "contrast_weight": 0.2,
        "complexity_weight": 0.5,
    }
    method = made(**fields)
    loss, parts = (own := stage(method, "pretrain")).loss(next(own.batches(0)))
    expected = 0.2 * parts["contrast"] + 0.5 * (parts["complexity"] + parts["regions"])
    torch.testing.assert_close(loss.detach(), expected)
    loss.backward()
    assert all(parameter.grad is not None for parameter in method.encoder.parameters())
    assert 0 < float(parts["regions"]) < 2 and 0 < float(parts["complexity"]) < 2


def test_training_on_places_raises_their_agreement() -> None:
    method = made(complexity_fit="correlation", entropy="colour", regions=8, contrast_weight=0.0, complexity_weight=1.0)
    own = stage(method, "pretrain")
    batch, found = next(own.batches(0)), []
    for _ in range(12):
        loss, parts = own.loss(batch)
        own.optimizer.zero_grad()
        loss.backward()
        own.optimizer.step()
        found.append(float(parts["regions"]))
    assert found[-1] < 0.7 * found[0]


def test_entropy_is_of_the_raw_photograph_or_of_the_cut_one() -> None:
    photos = open_sets(SMOKE, None).photos.train
    known = {round(grey_entropy(photos.read(number)), 5) for number in range(len(photos))}
    whole = next(stage(made(entropy_of="photo"), "pretrain").batches(0))
    assert all(round(value, 5) in known for value in whole["entropy"].tolist())
    cut = next(stage(made(entropy_of="view"), "pretrain").batches(0))
    assert torch.equal(whole["query"], cut["query"]) and not torch.equal(whole["entropy"], cut["entropy"])


def test_query_and_key_differ_and_no_two_steps_are_alike() -> None:
    batches = stage(made(positives="aug"), "pretrain").batches(0)
    one, other = next(batches), next(batches)
    assert one["query"].shape == one["key"].shape == (8, 3, 32, 32)
    assert not torch.equal(one["query"], one["key"]) and not torch.equal(one["query"], other["query"])


def test_a_frozen_encoder_stays_bit_for_bit_statistics_included() -> None:
    method = made(epochs=0)
    method.facts = CLIC.prepare(method.config, None)
    own = stage(method, "head")
    assert own.frozen == (method.moco,)
    before = {name: value.clone() for name, value in method.moco.state_dict().items()}
    loop._train_mode(method, own)
    batches = own.batches(0)
    for _ in range(2):
        loss, _ = own.loss(next(batches))
        loss.backward()
        own.optimizer.step()
    assert all(torch.equal(value, before[name]) for name, value in method.moco.state_dict().items())
    assert not method.moco.training and method.head is not None and method.head.training


def test_few_ratings_are_a_share_of_each_category() -> None:
    few = stage(made(head_labels=0.25, head_epochs=1, head_batch=1), "head")
    assert few.steps == len(open_sets(SMOKE, None).rated["train"]) // 4  # type: ignore[index]


class Broken(RuntimeError):
    pass


@pytest.mark.parametrize("after", [2, 5])
def test_a_resumed_run_has_the_bits_of_an_unbroken_one(after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = dataclasses.replace(SMOKE, epochs=0.6, head_epochs=0.6)
    whole = checkpoint.load(loop.fit("clic", config, None, tmp_path / "whole", SETTING)).model
    calls: list[int] = []

    def breaking(loss: object) -> object:
        def inner(self: CLIC, batch: Batch) -> object:
            calls.append(1)
            if len(calls) == after:
                raise Broken
            return loss(self, batch)  # type: ignore[operator]

        return inner

    monkeypatch.setattr(CLIC, "_contrast", breaking(CLIC._contrast))
    monkeypatch.setattr(CLIC, "_rate", breaking(CLIC._rate))
    with pytest.raises(Broken):
        loop.fit("clic", config, None, tmp_path / "broken", SETTING)
    monkeypatch.undo()
    again = loop.fit("clic", config, None, tmp_path / "broken", dataclasses.replace(SETTING, resume=True))
    found = checkpoint.load(again).model
    assert [name for name, value in whole.items() if not torch.equal(value, found[name])] == []


def test_training_starts_from_the_encoder_of_another_run_or_of_a_plain_file(tmp_path: Path) -> None:
    config = dataclasses.replace(SMOKE, score_head="none", epochs=0.2)
    first = loop.fit("clic", config, None, tmp_path / "a", SETTING)
    saved = {
        name.removeprefix("moco.query.encoder."): value
        for name, value in checkpoint.load(first).model.items()
        if name.startswith("moco.query.encoder.")
    }
    torch.save(saved, tmp_path / "encoder.pth")
    for path in (first, tmp_path / "encoder.pth"):
        method = made(weights=str(path), epochs=0)
        begin = stage(method, "head").begin
        assert begin is not None
        begin()
        for which in (method.moco.query, method.moco.key.copy):
            own = {name: value for name, value in which.encoder.state_dict().items() if "batches" not in name}
            assert all(torch.equal(value, saved[name]) for name, value in own.items())
    with pytest.raises(ValueError, match=r"holds no conv1\.weight"):
        CLIC.prepare(dataclasses.replace(SMOKE, encoder="resnet18", weights=str(first), test_size=32), None)


def test_measures_are_over_all_within_and_by_category() -> None:
    images = Rated(tuple("abcdef"), np.array([0.0, 50, 100, 10, 20, 30]), ("x",) * 3 + ("y",) * 3, source=None)  # type: ignore[arg-type]
    value = np.array([1.0, 2.0, 3.0, 3.0, 2.0, 1.0])
    found = agreement(images, {"activation": value}, {"activation": np.full(6, 50.0)})
    assert found["activation/x/pcc"] == pytest.approx(1) and found["activation/y/srcc"] == pytest.approx(-1)
    assert found["activation/within/pcc"] == pytest.approx(0)
    assert found["activation/x/rmse"] == pytest.approx(np.sqrt(0.5 / 3)) and found["activation/rmae"] > 0


def test_photographs_without_ratings_are_measured_by_entropy(photos: Path) -> None:
    config = dataclasses.replace(SMOKE, score_head="none")
    method = made(score_head="none")
    method.facts = CLIC.prepare(config, photos)
    assert set(method.evaluate(photos, "test")) == {"entropy/pcc", "entropy/srcc"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("epochs=0", "score_head=none"), "leave nothing to train"),
        (("test_size=40",), "test_size=40 was given; expected a multiple of 16"),
        (("encoder=resnet18", "test_size=48"), "expected a multiple of 32"),
        (("size=8",), "expected 16 pixels or more"),
        (("stem=3x3",), "it is a ResNet's"),
        (("crops=0",), "expected a part of the area, and 1 or more"),
        (("regions=64",), "regions=64 was given; expected 0, or 4 to size=32"),
        (("complexity_weight=-1",), "expected 0 or more"),
        (("complexity_weight=0", "contrast_weight=0"), "and one of them above 0"),
        (("frozen=false", "score_head=none"), "without a head"),
        (("held_out=1",), "expected a share above 0 and below 1"),
        (("head_labels=0",), "above 0, 1 at most"),
        (("queue=0",), "queue=0 was given; expected 1 or more"),
        (("temperature=0",), "expected above 0, and 0 to 1"),
    ],
)
def test_mistakes_are_refused_before_any_work(given: tuple[str, ...], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        CLIC.prepare(override(METHOD.smoke, given), None)
