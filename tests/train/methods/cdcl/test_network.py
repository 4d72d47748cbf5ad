"""The networks against the published sizes and against their formulas written out."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from train.methods.cdcl.graphs import EstimatorGraph, GeneratorGraph
from train.methods.cdcl.network import Adaptation, ChannelNorm, Estimator, Generator, unfold


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_at_full_size_it_is_cdcl_s() -> None:
    estimator, generator = Estimator(64), Generator(4, 64, 6, 6, 256)
    assert (count(generator), count(estimator)) == (1_766_263, 1_147_200)
    assert count(generator) + count(estimator) == 2_913_463
    assert count(Adaptation(64, 16, 1e-6)) == 29_281


@pytest.mark.parametrize(("h", "w"), [(1, 1), (4, 8), (7, 5), (33, 61)])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_any_size_is_enlarged(h: int, w: int, scale: int) -> None:
    estimator, generator = Estimator(4).eval(), Generator(scale, 8, 1, 1, 16).eval()
    image = torch.rand(2, 3, h, w)
    cells = estimator(image)
    assert cells.shape == (2, 16, -(-h // 4), -(-w // 4))
    high = generator(image, cells.mean((2, 3)), unfold(cells, h, w))
    assert high.shape == (2, 3, scale * h, scale * w)


def test_the_unit_is_the_papers_formula() -> None:
    torch.manual_seed(0)
    unit = Adaptation(8, 2, 0.5).double()
    maps, channel, spatial = torch.randn(2, 8, 6, 7).double(), torch.randn(2, 8).double(), torch.randn(2, 2, 6, 7).double()
    first, second = (layer.weight for layer in (unit.gate[0], unit.gate[2]))

    def phi(x: torch.Tensor) -> torch.Tensor:
        return F.gelu(x @ first.T) @ second.T

    attention = 1 / (1 + torch.exp(-(phi(maps.mean((2, 3))) + phi(channel))))
    by_channel = unit.depthwise(unit.pointwise(maps * attention[:, :, None, None]))
    by_place = torch.sigmoid(unit.place[2](F.gelu(unit.place[0](spatial)))) * maps
    middle = unit.mixing.depthwise(F.gelu(by_channel + by_place))
    rows = middle.permute(0, 2, 3, 1)
    normed = (rows - rows.mean(-1, keepdim=True)) / torch.sqrt(rows.var(-1, unbiased=False, keepdim=True) + 1e-6)
    wide = F.gelu(normed @ unit.mixing.wide.weight[:, :, 0, 0].T + unit.mixing.wide.bias)
    narrow = wide @ unit.mixing.narrow.weight[:, :, 0, 0].T + unit.mixing.narrow.bias
    expected = maps + 0.5 * narrow.permute(0, 3, 1, 2)
    assert torch.allclose(unit(maps, channel, spatial), expected, atol=1e-10)


def test_the_plain_normalisation_is_the_same() -> None:
    norm = ChannelNorm(6, eps=1e-6)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    maps = 5 * torch.randn(2, 6, 3, 4) + 2
    expected = norm(maps)
    norm.plain = True
    assert torch.allclose(norm(maps), expected, atol=1e-5)


def test_the_graphs_are_the_networks() -> None:
    torch.manual_seed(0)
    estimator, generator = Estimator(4).eval(), Generator(2, 8, 1, 2, 16, layer_scale=0.3).eval()
    image = torch.rand(2, 3, 9, 13)
    cells = estimator(image)
    code, degradation, blur = EstimatorGraph(estimator, torch.ones(16), torch.tensor(2.0), vector=False)(image)
    assert torch.allclose(code, cells.mean((2, 3)), atol=1e-6) and torch.allclose(blur, code.sum(1) + 2, atol=1e-4)
    assert torch.equal(degradation, F.pixel_shuffle(cells, 4)[:, :, :9, :13])
    expected = generator(image, code, degradation)
    assert torch.allclose(GeneratorGraph(generator)(image, code, degradation)[0], expected, atol=1e-5)


def test_without_a_code_nothing_of_the_degradation_is_used() -> None:
    generator = Generator(2, 8, 1, 1, 0)
    image = torch.rand(1, 3, 8, 8)
    nothing = torch.empty(1, 0)
    other = generator(image, torch.randn(1, 16), torch.randn(1, 1, 8, 8))
    assert torch.equal(generator(image, nothing, nothing), other)
