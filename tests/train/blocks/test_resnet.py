"""Encoders against torchvision's published numbers of weights and names, and the sizes of their maps."""

from __future__ import annotations

import pytest
import torch

from train.blocks.resnet import ResNet, SmallNet

TORCHVISION = {"resnet18": 11_689_512, "resnet34": 21_797_672, "resnet50": 25_557_032}  # with the classifier of 1000 classes


@pytest.mark.parametrize("name", TORCHVISION)
def test_weights_are_torchvisions_without_the_classifier(name: str) -> None:
    with torch.device("meta"):
        net = ResNet(name)
    assert sum(parameter.numel() for parameter in net.parameters()) == TORCHVISION[name] - 1000 * (net.dim + 1)


def test_names_are_torchvisions() -> None:
    with torch.device("meta"):
        names = set(ResNet("resnet50").state_dict())
    assert {"conv1.weight", "bn1.running_var", "layer1.0.downsample.0.weight", "layer4.2.bn3.bias"} <= names


@pytest.mark.parametrize(("stem", "sides"), [("7x7", [16, 8, 4, 2]), ("3x3", [64, 32, 16, 8])])
def test_the_stem_decides_on_the_maps_sizes(stem: str, sides: list[int]) -> None:
    net = ResNet("resnet18", stem=stem, in_channels=1).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        maps = net(torch.rand(1, 1, 64, 64))
    assert [tuple(stage.shape[1:]) for stage in maps] == [(c, s, s) for c, s in zip(net.dims, sides, strict=True)]


def test_the_small_network_halves_four_times() -> None:
    net = SmallNet(in_channels=1)
    assert [tuple(stage.shape) for stage in net(torch.rand(2, 1, 64, 48))] == [
        (2, 16, 32, 24),
        (2, 32, 16, 12),
        (2, 64, 8, 6),
        (2, 128, 4, 3),
    ]
    assert sum(parameter.numel() for parameter in SmallNet().parameters()) == 97_680  # 97,200 of convolutions
    with pytest.raises(ValueError, match="four stages"):
        SmallNet((8, 8))
