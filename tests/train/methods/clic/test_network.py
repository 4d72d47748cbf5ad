"""Read-outs and heads against their definitions on maps that are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from train.methods.clic.config import PRESETS
from train.methods.clic.graphs import ComplexityGraph
from train.methods.clic.measures import place, principal, quantiles
from train.methods.clic.network import Gate, LinearHead, ScoreHead, activation, embedding, made, normalised, regions


def maps() -> tuple[torch.Tensor, ...]:
    torch.manual_seed(0)
    return tuple(torch.rand(2, 2 * 2**at, 16 // 2**at, 16 // 2**at) for at in range(4))


def test_the_activation_is_the_sum_of_the_stages_means() -> None:
    stages = maps()
    by_hand = [sum(float(stage[row].mean()) for stage in stages) for row in range(2)]
    torch.testing.assert_close(activation(stages), torch.tensor(by_hand))


def test_the_embedding_is_mean_and_deviation_of_each_channel() -> None:
    stages, found = maps(), embedding(maps())
    assert found.shape == (2, 2 * (2 + 4 + 8 + 16))
    assert float(found[1, 1]) == pytest.approx(float(stages[0][1, 1].mean()), rel=1e-5)
    assert float(found[1, 2 + 1]) == pytest.approx(float(stages[0][1, 1].std(correction=0)), rel=1e-3)


def test_the_map_has_the_second_stages_places_and_the_activations_mean() -> None:
    flat = [torch.full((1, 3, side, side), value) for side, value in zip((16, 8, 4, 2), (0.5, 1.0, 2.0, 4.0), strict=True)]
    torch.testing.assert_close(regions(tuple(flat)), torch.full((1, 8, 8), 7.5))
    found = regions(maps())
    assert found.shape == (2, 8, 8)
    torch.testing.assert_close(found.mean((1, 2)), activation(maps()), atol=0.02, rtol=0)
    spot = tuple(torch.zeros(1, 2, side, side) for side in (16, 8, 4, 2))
    spot[0][0, :, 4, 10] = 1.0
    assert regions(spot)[0].argmax() == 2 * 8 + 5


def test_images_are_normalised_by_imagenets_numbers() -> None:
    found = normalised(torch.tensor([0.485, 0.456, 0.406])[None, :, None, None].expand(1, 3, 2, 2))
    torch.testing.assert_close(found, torch.zeros(1, 3, 2, 2))


def test_the_paper_preset_is_a_resnet50_with_one_linear_layer() -> None:
    config = PRESETS["paper"]
    with torch.device("meta"):
        encoder = made(config)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 23_508_032
    assert (config.dim, config.queue, config.momentum, config.temperature) == (128, 65_536, 0.999, 0.07)


def test_a_gate_is_a_factor_for_each_channel() -> None:
    torch.manual_seed(0)
    gate, shown = Gate(4, 8), torch.rand(2, 3, 4, 4) + 0.1
    factor = (gate(shown) / shown).detach()
    torch.testing.assert_close(factor, factor[:, :, :1, :1].expand_as(factor))
    assert float(factor.min()) > 0 and float(factor.max()) < 1


def test_icnets_head_answers_between_0_and_1_and_the_linear_one_begins_in_the_middle() -> None:
    score, mean = ScoreHead(16, 8, 4)(maps(), torch.zeros(2, 1))
    assert score.shape == mean.shape == (2,)
    assert bool(((score > 0) & (score < 1) & (mean > 0) & (mean < 1)).all())
    assert LinearHead(5)(maps(), torch.randn(2, 5))[0].tolist() == [0.5, 0.5]


def test_a_score_is_cut_to_0_and_100() -> None:
    encoder, head = made(PRESETS["small"]), LinearHead(480)
    for bias, expected in ((2.0, 100.0), (-1.0, 0.0), (0.25, 25.0)):
        torch.nn.init.constant_(head.linear.bias, bias)
        graph = ComplexityGraph(encoder, head, torch.zeros(480), torch.ones(480), torch.zeros(480)).eval()
        assert graph(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))[4].tolist() == [expected]


def test_the_label_free_score_is_the_place_among_quantiles() -> None:
    among = quantiles(np.arange(101, dtype=float) ** 2)
    assert len(among) == 101 and (np.diff(among) > 0).all()
    np.testing.assert_allclose(place(np.array([-5.0, 0.0, 25.0, 30.5, 1e4, 1e5]), among), [0, 0, 5, 5.5, 100, 100])
    assert (np.diff(np.float32(quantiles(np.full(7, 3.0)))) > 0).all()  # also where all images are alike


def test_the_principal_direction_is_on_entropys_side() -> None:
    generator = np.random.default_rng(0)
    hidden = generator.normal(size=50)
    rows = np.outer(hidden, [3.0, -1.0, 0.5]) + 0.1 * generator.normal(size=(50, 3))
    for sign in (1, -1):
        along = rows @ principal(rows, sign * hidden)
        assert np.corrcoef(along, sign * hidden)[0, 1] > 0.99
