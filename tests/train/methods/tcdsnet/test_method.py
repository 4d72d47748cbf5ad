"""TCDSNet's stages, measures and refusals, against what the configuration says and against the published sizes of its backbones."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from train import checkpoint, loop
from train.config import override
from train.data.split import Split
from train.methods.tcdsnet import METHOD
from train.methods.tcdsnet.config import PRESETS, SMOKE, Config
from train.methods.tcdsnet.measures import Bank, Outcome
from train.methods.tcdsnet.method import TCDSNet
from train.methods.tcdsnet.network import Conv4, ResNet12, drop_block, grid

SETTING = loop.Setting(accelerator="cpu", checkpoint_every=1)


def made(**fields: object) -> TCDSNet:
    config = dataclasses.replace(SMOKE, **fields)  # type: ignore[arg-type]
    torch.manual_seed(0)
    return TCDSNet(config, TCDSNet.prepare(config, None))


def moved(method: TCDSNet, name: str) -> set[str]:
    """The parts whose parameters a step of a stage moves."""
    stage = next(stage for stage in method.stages(None) if stage.name == name)
    before = {key: value.clone() for key, value in method.named_parameters()}
    method.train()
    loss, _ = stage.loss(next(stage.batches(0)))
    loss.backward()
    stage.optimizer.step()
    return {key.split(".")[0] for key, value in method.named_parameters() if not torch.equal(before[key], value)}


def test_conv4_has_dn4s_descriptors_and_size() -> None:
    conv4 = Conv4(Config().width, Config().pools)
    assert conv4(torch.zeros(1, 3, 84, 84)).shape == (1, 64, 21, 21)
    assert sum(parameter.numel() for parameter in conv4.parameters()) == 112_832
    assert grid(84, (1, 2)) == (21, 21) and grid(32, PRESETS["cifar_fs"].pools) == (8, 8)


def test_resnet12_has_25_descriptors_of_640() -> None:
    config = PRESETS["resnet12"]
    resnet12 = ResNet12(config.width, config.pools, config.drop_block).eval()
    with torch.no_grad():
        assert resnet12(torch.zeros(1, 3, 84, 84)).shape == (1, 640, 5, 5)
        assert ResNet12(64, (1, 2, 3), 0.1).eval()(torch.zeros(1, 3, 84, 84)).shape == (1, 640, 10, 10)
    assert sum(parameter.numel() for parameter in resnet12.parameters()) == pytest.approx(12.42e6, rel=0.01)


def test_drop_block_takes_about_its_share_in_squares_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    maps = drop_block(torch.ones(64, 16, 20, 20), 0.1)
    zero = maps == 0
    assert 0.06 < float(zero.float().mean()) < 0.12 and float(maps.mean()) == pytest.approx(1, abs=1e-5)
    corner = int(zero[0].flatten(1).any(1).nonzero()[0])  # a channel with a square in it
    assert int(zero[0, corner].sum()) >= 25
    assert torch.equal(drop_block(torch.ones(2, 3, 1, 1), 1e-9), torch.ones(2, 3, 1, 1))


def test_each_stage_trains_its_own() -> None:
    assert moved(made(), "pretrain") == {"backbone", "places"}
    assert moved(made(), "episodes") == {"backbone"}
    assert moved(made(query="adaptive"), "episodes") == {"backbone", "threshold"}
    assert moved(made(classifier="protonet"), "episodes") == {"backbone", "temperature"}


def test_stages_are_those_that_are_asked_for() -> None:
    assert [stage.name for stage in made().stages(None)] == ["pretrain", "episodes"]
    assert [stage.name for stage in made(episodes=0).stages(None)] == ["pretrain"]
    assert [stage.name for stage in made(pretrain_epochs=0).stages(None)] == ["episodes"]


def test_shots_are_taken_in_turn_and_images_are_disjoint() -> None:
    stage = list(made(shots=(2, 1), episodes_per_step=2).stages(None))[1]
    batches = stage.batches(0)
    assert [tuple(next(batches)["image"].shape) for _ in range(3)] == [
        (2, 3, 4, 3, 16, 16),
        (2, 3, 3, 3, 16, 16),
        (2, 3, 4, 3, 16, 16),
    ]


@pytest.mark.parametrize("fields", [{"classifier": "dn4"}, {"selection": "random", "query": "none"}, {"query": "adaptive"}])
def test_every_arm_has_a_finite_loss_and_gradient(fields: dict[str, object]) -> None:
    method = made(**fields)
    stage = list(method.stages(None))[1]
    loss, parts = stage.loss(next(stage.batches(0)))
    loss.backward()
    assert bool(loss.isfinite()) and 0 <= float(parts["accuracy"]) <= 100 and float(parts["most_predicted"]) + 1e-6 >= 1 / 3
    assert all(bool(p.grad.isfinite().all()) for p in method.backbone.parameters() if p.grad is not None)


@pytest.mark.parametrize("fields", [{"classifier": "dn4"}, {}])
def test_the_scale_of_the_loss_is_of_the_mean_cosine(fields: dict[str, object]) -> None:
    bare = made(**fields)
    scaled = made(**fields, logit_scale=bare.rules.terms(16, 2))  # 4x4 descriptors
    batch = next(list(bare.stages(None))[1].batches(0))
    first, second, milder = (method._loss(batch)[0] for method in (bare, scaled, made(**fields, logit_scale=1.0)))
    torch.testing.assert_close(first, second)
    assert milder.item() != pytest.approx(first.item(), rel=1e-3)


def test_training_starts_from_another_models_backbone(tmp_path: Path) -> None:
    first = loop.fit("tcdsnet", dataclasses.replace(SMOKE, episodes=0, classifier="dn4"), None, tmp_path / "a", SETTING)
    config = dataclasses.replace(SMOKE, start=str(first))
    method = TCDSNet(config, TCDSNet.prepare(config, None))
    (stage,) = method.stages(None)
    assert stage.begin is not None
    stage.begin()
    for name, value in checkpoint.load(first).model.items():
        if name.startswith("backbone."):
            assert torch.equal(method.state_dict()[name], value)
    with pytest.raises(ValueError, match="has width=8, and width=16 is asked for"):
        TCDSNet.prepare(dataclasses.replace(config, width=16), None)
    with pytest.raises(FileNotFoundError):
        TCDSNet.prepare(dataclasses.replace(config, start=str(tmp_path / "none.pt")), None)


class Broken(RuntimeError):
    pass


def test_a_resumed_run_has_the_bits_of_an_unbroken_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = dataclasses.replace(SMOKE, selection="random", query="none", pretrain_epochs=0.3, episodes=4)
    whole = checkpoint.load(loop.fit("tcdsnet", config, None, tmp_path / "whole", SETTING)).model
    loss, calls = TCDSNet._loss, []

    def breaking(self: TCDSNet, batch: dict[str, torch.Tensor]) -> object:
        calls.append(1)
        if len(calls) == 3:
            raise Broken
        return loss(self, batch)

    monkeypatch.setattr(TCDSNet, "_loss", breaking)
    with pytest.raises(Broken):
        loop.fit("tcdsnet", config, None, tmp_path / "broken", SETTING)
    monkeypatch.undo()
    again = loop.fit("tcdsnet", config, None, tmp_path / "broken", dataclasses.replace(SETTING, resume=True))
    found = checkpoint.load(again).model
    assert [name for name, value in whole.items() if not torch.equal(value, found[name])] == []


def test_the_interval_is_that_of_a_mean() -> None:
    found = Outcome(np.array([40.0, 60.0, 50.0, 70.0]), np.array([0.2, 0.4, 0.4, 0.2])).metrics(5)
    assert found["5shot/accuracy"] == 55 and found["5shot/most_predicted"] == pytest.approx(0.3)
    assert found["5shot/interval"] == pytest.approx(1.96 * np.sqrt(500 / 3) / 2)


def test_descriptors_are_the_same_computed_at_once_or_by_episode() -> None:
    method = made().eval()
    part = method.part(None, "test")
    assert isinstance(part, Split) and part.pixels is not None
    whole, single = method.bank(part), Bank(len(part), 1, method._describer(part), limit=0)
    images = np.array([3, 1, 7])
    np.testing.assert_allclose(whole.take(images)[0], single.take(images)[0], atol=1e-5)
    opened = method.part(None, "test").select(np.arange(len(part)))
    assert np.array_equal(opened.labels, part.labels)


def test_val_and_test_are_asked_the_same_whatever_the_seed() -> None:
    one, other = made(seed=0), made(seed=1)
    episodes = [method.episodes(method.part(None, "test"), 1).draw(5) for method in (one, other)]
    assert np.array_equal(episodes[0].query, episodes[1].query)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("ways=30",), "the train part of the embedded data: 30-way episodes were asked for, and the data has 9 classes"),
        (("test_shots=7",), "the val part of the embedded data: the class .* has 8 images"),
        (("selection=all_support", "query=none"), "give query=quantile or query=adaptive"),
        (("selection=none",), "selection=none keeps all descriptors; give query=none"),
        (("threshold=much",), "threshold=much was given; expected none, mean or a number"),
        (("fraction=0",), "fraction=0.0 was given; expected more than 0"),
        (("episodes=0", "pretrain_epochs=0"), "leave nothing to train"),
        (("shots=()",), "expected one or more, each at least 1"),
        (("size=2",), "leave no descriptor"),
        (("pools=1,7",), "leave no descriptor"),
        (("drop_block=0.2",), "it is resnet12's"),
        (("neighbours=64",), "expected 1 to 63"),
    ],
)
def test_mistakes_are_refused_before_any_work(given: tuple[str, ...], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        TCDSNet.prepare(override(METHOD.smoke, given), None)


@pytest.mark.parametrize("fields", [{"classifier": "protonet"}, {"selection": "random", "query": "none"}])
def test_baselines_without_a_task_are_not_exported(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="is a baseline for comparison only"):
        made(**fields).exportable()
