"""Loaded encoders against the network whose weights were written; files that do not fit against a refusal that says why."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from train.blocks.resnet import ResNet, SmallNet
from train.teachers.encoders import load_encoder


def write(path: Path, weights: dict[str, torch.Tensor]) -> Path:
    torch.save(weights, path)
    return path


def source() -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    return dict(SmallNet((4, 4, 8, 8)).state_dict())


def test_plain_names_are_loaded_and_a_classifier_is_reported(tmp_path: Path) -> None:
    net, theirs = SmallNet((4, 4, 8, 8)), source()
    match = load_encoder(net, write(tmp_path / "net.pth", {**theirs, "fc.weight": torch.ones(3, 8), "fc.bias": torch.ones(3)}))
    assert all(torch.equal(value, theirs[name]) for name, value in net.state_dict().items())
    assert match.left_out == ("fc.weight", "fc.bias") and len(match.loaded) == 20


def test_of_mocos_file_the_query_encoder_is_taken(tmp_path: Path) -> None:
    net, theirs = SmallNet((4, 4, 8, 8)), source()
    keys = {f"module.encoder_k.{name}": torch.zeros_like(value) for name, value in theirs.items()}
    queries = {f"module.encoder_q.{name}": value for name, value in theirs.items()}
    file = {"state_dict": {**keys, **queries, "module.encoder_q.fc.weight": torch.ones(2, 8), "module.queue": torch.ones(2, 2)}}
    load_encoder(net, write(tmp_path / "moco.pth", file))  # type: ignore[arg-type]
    assert all(torch.equal(value, theirs[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state.pop("layer4.0.weight"), "19 of 20 weights match; missing: layer4.0.weight"),
        (
            lambda state: state.update({"layer1.0.weight": torch.ones(4, 1, 3, 3)}),
            r"of another shape: layer1.0.weight \(4, 1, 3, 3\)",
        ),
        (lambda state: state.update({"layer2.3.weight": torch.ones(1)}), "without a place here: layer2.3.weight"),
        (lambda state: state.clear(), "holds no layer1.0.weight"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_loaded(change: object, said: str, tmp_path: Path) -> None:
    state = source()
    change(state)  # type: ignore[operator]
    net = SmallNet((4, 4, 8, 8))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(ValueError, match=said):
        load_encoder(net, write(tmp_path / "net.pth", state))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    with torch.device("meta"):
        deep = ResNet("resnet34")
    shallow = ResNet("resnet18")
    path = write(tmp_path / "18.pth", dict(shallow.state_dict()))
    with pytest.raises(ValueError, match=r"missing: layer1\.2\.conv1\.weight"):
        load_encoder(deep, path)
