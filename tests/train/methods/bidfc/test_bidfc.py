"""BIDFC's stages, parts and refusals against what the configuration says; resumed runs against unbroken ones; the average by hand."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from train import checkpoint, loop
from train.config import override
from train.contract import Batch, Stage
from train.methods.bidfc import METHOD, feed
from train.methods.bidfc.config import SMOKE, Config
from train.methods.bidfc.method import BIDFC, calibrated
from train.methods.bidfc.network import scaled
from train.methods.bidfc.parts import open_parts

SETTING = loop.Setting(accelerator="cpu", checkpoint_every=1)
QUICK = dataclasses.replace(SMOKE, pretraining="none", label_epochs=1)


def made(config: Config = SMOKE, **fields: object) -> BIDFC:
    config = dataclasses.replace(config, **fields)  # type: ignore[arg-type]
    torch.manual_seed(0)
    return BIDFC(config, BIDFC.prepare(config, None))


def step(stage: Stage, batch: Batch, number: int) -> None:
    """One optimizer step as the loop takes it."""
    loss, _ = stage.loss(batch)
    loss.backward()
    stage.optimizer.step()
    stage.optimizer.zero_grad()
    if stage.after_step:
        stage.after_step(number)


def moved(method: BIDFC, number: int) -> set[str]:
    """The parts whose parameters a step of a stage moves."""
    stage = list(method.stages(None))[number]
    if stage.begin:
        stage.begin()
    method.train()
    before = {key: value.clone() for key, value in method.named_parameters()}
    loss, _ = stage.loss(next(stage.batches(0)))
    loss.backward()
    stage.optimizer.step()
    return {key.split(".")[0] for key, value in method.named_parameters() if not torch.equal(before[key], value)}


def test_each_stage_trains_its_own() -> None:
    assert moved(made(), 0) == {"encoder", "discrimination"}
    assert moved(made(pretraining="simclr"), 0) == {"encoder", "projector"}
    assert moved(made(pretraining="moco"), 0) == {"encoder", "moco"}
    assert moved(made(QUICK), 0) == {"encoder", "classifier"}
    assert moved(made(QUICK, evaluation="linear"), 0) == {"classifier"}


def test_baselines_take_as_many_steps_of_fresh_batches() -> None:
    stages = {how: next(iter(made(pretraining=how).stages(None))) for how in ("bidfc", "simclr", "moco")}
    assert {stage.steps for stage in stages.values()} == {2 * 2 + 2 * 3}  # two batches without the variance, two with it
    assert [stage.name for stage in made(pretraining="none").stages(None)] == ["finetune"]
    batches = stages["simclr"].batches(0)
    one, other = (feed.seen(next(batches), SMOKE, feed.augment(SMOKE)) for _ in range(2))
    assert one.shape == (14, 2, 1, 32, 32) and not torch.equal(one[:, 0], one[:, 1]) and not torch.equal(one, other)


def test_a_batch_is_seen_k_times_anew_and_then_in_k_views_at_once() -> None:
    method = made(jitter_share=0.0, noise_share=0.0, speckle_share=0.0, rotation_share=0.0)
    batches = next(iter(method.stages(None))).batches(4)  # the second epoch begins here
    given = [next(batches) for _ in range(3)]
    assert [("last" in batch, "weight" in batch) for batch in given] == [(False, False), (True, False), (False, True)]
    first, second, views = (feed.seen(batch, method.config, feed.augment(method.config)) for batch in given)
    assert first.shape == (14, 1, 1, 32, 32) and views.shape == (14, 2, 1, 32, 32)
    assert not torch.equal(first, second) and float(given[2]["weight"]) == 1.0
    spreads = [view.float().flatten(1).std(1) for view in (first, second)]
    assert float(torch.corrcoef(torch.stack(spreads))[0, 1]) > 0.5, "the same chips in the same order"


def test_every_batch_is_whole_and_of_distinct_chips() -> None:
    method = made(flip=0.0, rotation_share=0.0, jitter_share=0.0, noise_share=0.0, speckle_share=0.0, scale=1.0, window=32)
    stage = next(iter(method.stages(None)))
    batches = stage.batches(0)
    epoch = torch.cat([batch["window"] for batch in (next(batches) for _ in range(4)) if "last" in batch])
    assert len(epoch.flatten(1).unique(dim=0)) == 28 == len(method.parts(None).train)


def test_the_shares_of_two_processes_are_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    method = made()
    part, plan = method.parts(None).train, method.plan(28)

    def drawn(number: int) -> list[Batch]:
        batches = feed.pretraining(part, SMOKE, plan, number)
        return [next(batches), next(feed.labelled(part, dataclasses.replace(SMOKE, label_batch=6), number))]

    whole = drawn(6)
    monkeypatch.setattr(feed, "world_size", lambda: 2)
    shares = []
    for number in range(2):
        monkeypatch.setattr(feed, "rank", lambda number=number: number)
        shares.append(drawn(6))
    for batch, one, other in zip(whole, *shares, strict=True):
        for key in ("window", "keys", "instance", "label"):
            if key in batch:
                assert torch.equal(torch.cat([one[key], other[key]]), batch[key])
    with pytest.raises(ValueError, match="label_batch=7 cannot be shared by 2 processes"):
        next(feed.labelled(part, SMOKE, 0))


def test_the_classifiers_rate_is_its_own_and_is_not_scheduled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken_off(tmp_path, SMOKE, 8, monkeypatch)
    encoder, fresh = checkpoint.load(tmp_path / "checkpoint.pt").optimizer["param_groups"]
    assert encoder["initial_lr"] == 1e-3 and encoder["lr"] < 5e-4
    assert fresh["lr"] == 0.1


class Broken(RuntimeError):
    pass


def broken_off(out: Path, config: Config, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that ends in an error after so many steps."""
    features, calls = BIDFC._discriminate, []
    other = BIDFC._contrast

    def breaking(of: object) -> object:
        def loss(self: BIDFC, batch: Batch) -> object:
            calls.append(1)
            if len(calls) > steps:
                raise Broken
            return of(self, batch)  # type: ignore[operator]

        return loss

    monkeypatch.setattr(BIDFC, "_discriminate", breaking(features))
    monkeypatch.setattr(BIDFC, "_contrast", breaking(other))
    with pytest.raises(Broken):
        loop.fit("bidfc", config, None, out, SETTING)
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("fields", "steps"), [({}, 1), ({}, 6), ({"optimizer": "sgd"}, 3), ({"pretraining": "moco", "queue": 20}, 4)]
)
def test_a_resumed_run_has_the_bits_of_an_unbroken_one(
    fields: dict[str, object], steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dataclasses.replace(SMOKE, label_epochs=1, **fields)  # type: ignore[arg-type]
    whole = checkpoint.load(loop.fit("bidfc", config, None, tmp_path / "whole", SETTING)).model
    broken_off(tmp_path / "broken", config, steps, monkeypatch)
    again = loop.fit("bidfc", config, None, tmp_path / "broken", dataclasses.replace(SETTING, resume=True))
    found = checkpoint.load(again).model
    assert [name for name, value in whole.items() if not torch.equal(value, found[name])] == []


def test_the_average_is_one_of_the_weights_after_each_batch() -> None:
    method = made(ema=0.75)
    stage = next(iter(method.stages(None)))
    assert stage.begin and stage.end
    stage.begin()
    method.train()
    own = {name: value.clone() for name, value in method.encoder.named_parameters()}
    batches = stage.batches(0)
    for number in range(stage.steps):
        step(stage, next(batches), number)
        if method.plan(28).place(number + 1)[1] == 0:
            own = {name: 0.75 * own[name] + 0.25 * value.detach() for name, value in method.encoder.named_parameters()}
    assert not torch.allclose(own["net.layer1.0.weight"], method.encoder.net.layer1[0].weight)
    stage.end()
    for name, value in method.encoder.named_parameters():
        torch.testing.assert_close(own[name], value.detach())
    assert float(method.encoder.net.layer1[1].running_mean.abs().sum()) > 0, "statistics of the average, not of what it never ran"


def test_linear_evaluation_leaves_all_of_the_encoder_as_it_is(tmp_path: Path) -> None:
    first = checkpoint.load(loop.fit("bidfc", dataclasses.replace(SMOKE, evaluation="linear"), None, tmp_path / "a", SETTING))
    config = dataclasses.replace(SMOKE, evaluation="linear", start=str(tmp_path / "a" / "model.pt"), seed=3, label_epochs=2)
    second = checkpoint.load(loop.fit("bidfc", config, None, tmp_path / "b", SETTING))
    encoder = {name: value for name, value in second.model.items() if name.startswith("encoder.")}
    assert any("running_var" in name for name in encoder) and any("num_batches" in name for name in encoder)
    assert [name for name, value in encoder.items() if not torch.equal(value, first.model[name])] == []
    assert not torch.equal(first.model["classifier.weight"], second.model["classifier.weight"])
    with pytest.raises(ValueError, match="has size=32, and size=24 is asked for; they must be equal"):
        BIDFC.prepare(dataclasses.replace(config, size=24), None)


def test_a_frozen_encoder_has_the_statistics_of_chips_as_a_device_cuts_them() -> None:
    for method, number in ((made(QUICK, evaluation="linear"), 0), (made(ema=0.0), 0)):
        stage = list(method.stages(None))[number]
        finish = stage.begin if method.config.pretraining == "none" else stage.end
        assert finish is not None
        finish()
        first = method.encoder.net.layer1
        chips = torch.from_numpy(method.parts(None).train.middle(32).pixels[:, None])
        with torch.no_grad():
            maps = first[0](scaled(chips, True))
        torch.testing.assert_close(first[1].running_mean, maps.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)


def test_labelled_views_are_neither_scaled_nor_resampled_unless_they_are_turned() -> None:
    config = dataclasses.replace(SMOKE, label_rotation_share=0.0, flip=0.0)
    part = open_parts(SMOKE, None).train
    batch = next(feed.labelled(part, config, 0))
    windows = {
        window.tobytes()
        for chip in part.pixels
        for window in np.lib.stride_tricks.sliding_window_view(chip, (32, 32)).reshape(-1, 32, 32)
    }
    assert all(view.numpy().tobytes() in windows for view in feed.seen(batch, config, feed.label_augment(config))[:, 0, 0])


def test_a_start_that_has_seen_labels_is_refused(tmp_path: Path) -> None:
    first = loop.fit("bidfc", QUICK, None, tmp_path / "a", SETTING)
    with pytest.raises(ValueError, match="was fine-tuned, so that its encoder has seen labels"):
        BIDFC.prepare(dataclasses.replace(SMOKE, start=str(first)), None)
    with pytest.raises(FileNotFoundError):
        BIDFC.prepare(dataclasses.replace(SMOKE, start=str(tmp_path / "none.pt")), None)


def test_validation_is_the_same_for_every_seed_and_labels_are_not() -> None:
    one, other = open_parts(SMOKE, None), open_parts(dataclasses.replace(SMOKE, seed=5), None)
    assert np.array_equal(one.val.pixels, other.val.pixels)
    rows = [one.labelled(14, seed) for seed in (0, 0, 5)]
    assert np.array_equal(rows[0], rows[1]) and not np.array_equal(rows[0], rows[2])
    assert np.bincount(one.train.labels[rows[0]]).tolist() == [2] * 7
    assert len(one.labelled(0.5, 0)) == 21  # of 28 training and 14 validation chips
    assert "crane" not in one.classes and set(one.train.labels) == set(range(7))
    assert int((one.val.labels < 0).sum()) == 6 == int((one.test.labels < 0).sum())


def test_a_device_cuts_the_same_middle() -> None:
    parts = open_parts(SMOKE, None)
    chip = parts.train.pixels[0]
    assert parts.train.pixels.shape[1:] == (40, 40)
    assert np.array_equal(parts.train.middle(32).pixels[0], chip[4:36, 4:36])
    whole = open_parts(dataclasses.replace(SMOKE, crop="resize"), None)
    assert whole.test.pixels.shape[1:] == (32, 32) == whole.test.middle(32).pixels.shape[1:]


def test_the_published_protocol_is_told_to_the_device() -> None:
    assert made(QUICK, crop="resize").exportable().artifact.options["crop"] == "resize"
    assert made(QUICK).exportable().artifact.options["crop"] == 32


def magnitudes(folder: Path) -> Path:
    generator = np.random.default_rng(0)
    for part in ("train", "test"):
        for label in range(3):
            (folder / part / f"class{label}").mkdir(parents=True)
            for row in range(6):
                chip = generator.rayleigh(30 * (1 + label), (40, 40)).astype(np.float32)
                np.save(folder / part / f"class{label}" / f"{row}.npy", chip)
    return folder


def test_magnitudes_of_any_unit_are_trained_on_and_deployed(tmp_path: Path) -> None:
    config = dataclasses.replace(QUICK, held_out=(), labels=6, label_batch=6)
    path = loop.fit("bidfc", config, magnitudes(tmp_path / "data"), tmp_path / "run", SETTING)
    exportable = checkpoint.restore(path).exportable()
    (port,) = exportable.artifact.graphs[0].inputs
    assert (port.dtype, exportable.artifact.options["input"]) == ("float32", "magnitude")
    chip = torch.from_numpy(exportable.samples["recognizer"]["chip"])
    with torch.no_grad():
        one, other = (exportable.modules["recognizer"](factor * chip) for factor in (1.0, 1000.0))
    for mine, theirs in zip(one, other, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


def test_a_windows_gain_and_level_do_not_count_when_standardised_and_a_flat_one_is_no_special_case() -> None:
    chip = torch.randint(0, 100, (2, 1, 8, 8), dtype=torch.uint8)
    torch.testing.assert_close(scaled(chip, True), scaled(2 * chip + 20, True), rtol=1e-4, atol=1e-4)
    assert float(scaled(torch.full((1, 1, 2, 2), 255, dtype=torch.uint8)).max()) == 1.0
    for flat in (torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4, dtype=torch.uint8)):
        assert bool(scaled(flat).isfinite().all()) and bool(scaled(flat, True).isfinite().all())


def test_the_temperature_is_found_again() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(4000, 5, generator=generator)
    label = torch.multinomial((logits / 4).softmax(1), 1, generator=generator)[:, 0]
    assert calibrated(logits, label) == pytest.approx(4, rel=0.1)


def test_a_pretraining_that_learns_nothing_is_told(caplog: pytest.LogCaptureFixture) -> None:
    method = made(ema=0.0, epochs=40)
    assert method.discrimination is not None
    for accuracy, told in ((0.05, True), (0.9, False)):
        method.discrimination.accuracy.fill_(accuracy)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            method._end_pretraining(method.parts(None), method.plan(28))
        assert ("Raise classifier_learning_rate" in caplog.text) == told


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("held_out=crane,boat",), "held_out=boat was given; the classes are: bridgelayer"),
        (("held_out=bridgelayer,carrier,crane,howitzer,lorry,radar,tank",), "1 classes are left to train on"),
        (("labels=5",), "labels=5 was given, which is 5 of 28 training chips; expected at least one for each of 7"),
        (("labels=0.9",), "no more than there are"),
        (("batch=29",), "28 chips are pretrained on; every batch has distinct chips, so give batch=28 at most"),
        (("scenes=2",), "the class 'bridgelayer' has 2 training chips; expected 3 at least"),
        (("window=41",), "larger by an even number of pixels"),
        (("window=24",), "expected a size of 8 or more in a window"),
        (("repeats=0",), "expected 1 or more"),
        (("label_batch=1",), "expected 2 or more"),
        (("val=0",), "expected parts of 1, val above 0"),
        (("variance_from=0.9",), "the first no later than the second"),
        (("temperature=0",), "expected more than 0"),
        (("neighbours=17",), "neighbours=17 was given, among 16 training chips"),
        (("jitter=2",), "a jitter from 0 to 1"),
    ],
)
def test_mistakes_are_refused_before_any_work(given: tuple[str, ...], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        BIDFC.prepare(override(METHOD.smoke, given), None)


def test_another_data_sets_classes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has the classes class0, class1, class2; the model was trained on"):
        made(dataclasses.replace(QUICK, held_out=())).evaluate(magnitudes(tmp_path), "test")
