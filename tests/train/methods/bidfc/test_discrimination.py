"""The plan of steps against counting them out; the classifier of a batch against its formula, and whether it learns within its steps."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from train.losses.dynamic_weighted_variance import ramp
from train.methods.bidfc.discrimination import Discrimination, Plan


@pytest.mark.parametrize("plan", [Plan(10, 3, 5, 1.0, 5.0, 1.0), Plan(4, 2, 1, 0.0, 2.0, 0.5), Plan(3, 2, 4, 1.0, 2.0, 0.0)])
def test_a_batch_takes_k_steps_and_one_of_the_variance_once_it_counts(plan: Plan) -> None:
    expected = []
    for batch in range(plan.epochs * plan.batches):
        alpha = ramp(batch // plan.batches, plan.begin, plan.full, plan.height)
        assert plan.weight(batch) == alpha
        expected += [(batch, turn) for turn in range(plan.repeats + (alpha > 0))]
    assert [plan.place(step) for step in range(plan.steps)] == expected


def test_it_is_the_formula() -> None:
    torch.manual_seed(0)
    telling = Discrimination(4, 3, temperature=2.0, seed=0)
    features = torch.randn(3, 4)
    weight, bias = (parameter.detach() for parameter in telling.classifier.parameters())
    logits = [[float(row @ weight[b] + bias[b]) / 2 for b in range(3)] for row in features]
    expected = -sum(row[b] - math.log(sum(map(math.exp, row))) for b, row in enumerate(logits)) / 3
    assert float(telling(features, torch.arange(3), last=False).detach()) == pytest.approx(expected, rel=1e-5)


def test_every_batch_has_a_classifier_of_its_own_that_any_run_draws_alike() -> None:
    drawn = []
    for number, seed in ((0, 0), (1, 0), (0, 1)):
        telling = Discrimination(64, 128, temperature=2.0, seed=seed)
        optimizer = torch.optim.Adam(telling.parameters())
        telling(torch.randn(8, 64), torch.arange(8), last=True).backward()
        optimizer.step()
        telling.draw(number, optimizer)
        assert not optimizer.state, "what the optimizer knew is of another classifier"
        assert not telling.classifier.bias.any()
        assert float(telling.classifier.weight.detach().std()) == pytest.approx((2 / (64 + 128)) ** 0.5, rel=0.05)
        drawn.append(telling.classifier.weight.detach().clone())
        telling.draw(number, optimizer)
        assert torch.equal(telling.classifier.weight, drawn[-1])
    assert not any(torch.equal(one, other) for one, other in itertools.combinations(drawn, 2))


def test_only_the_last_step_of_a_batch_is_looked_at() -> None:
    telling = Discrimination(4, 4, temperature=1.0, seed=0)
    torch.nn.init.eye_(telling.classifier.weight)
    torch.nn.init.zeros_(telling.classifier.bias)
    telling(torch.eye(4), torch.arange(4), last=False)
    assert float(telling.accuracy) == 0.0
    telling(torch.eye(4), torch.tensor([0, 1, 2, 0]), last=True)
    assert float(telling.accuracy) == 0.75


def test_a_larger_temperature_is_a_weaker_pull() -> None:
    features = torch.randn(6, 4)
    gradients = []
    for temperature in (0.5, 4.0):
        torch.manual_seed(0)
        telling = Discrimination(4, 6, temperature=temperature, seed=0)
        given = features.clone().requires_grad_()
        telling(given, torch.arange(6), last=False).backward()
        gradients.append(float(given.grad.norm()))  # type: ignore[union-attr]
    assert gradients[1] < gradients[0] / 4


def told_apart(classifier_rate: float) -> float:
    """The mean share of a batch that its classifier tells apart at its fifth step, of the last ten of 40 batches."""
    torch.manual_seed(0)
    batch, side = 64, 16
    encoder = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3, 2, 1), torch.nn.BatchNorm2d(8), torch.nn.ReLU(),
        torch.nn.Conv2d(8, 32, 3, 2, 1), torch.nn.BatchNorm2d(32), torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten(),
    )  # fmt: skip
    telling = Discrimination(128, batch, temperature=2.0, seed=0)
    groups = [{"params": encoder.parameters(), "lr": 1e-3}, {"params": telling.parameters(), "lr": classifier_rate}]
    optimizer = torch.optim.Adam(groups)
    found = []
    for number in range(40):
        telling.draw(number, optimizer)
        chips = F.interpolate(torch.rand(batch, 1, 4, 4), side)
        for turn in range(5):
            views = chips * (1 + 0.3 * torch.randn(batch, 1, side, side))  # speckle
            optimizer.zero_grad()
            telling(encoder(views), torch.arange(batch), last=turn == 4).backward()
            optimizer.step()
        found.append(float(telling.accuracy))
    return sum(found[-10:]) / 10


def test_a_fresh_classifier_learns_within_five_steps_at_its_own_rate_alone() -> None:
    assert told_apart(0.1) > 10 / 64
    assert told_apart(1e-3) < 10 / 64
