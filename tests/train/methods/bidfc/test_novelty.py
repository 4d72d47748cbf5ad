"""Novelty scores against their formulas in NumPy, on known clouds and strange ones; the threshold against counting."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from train.methods.bidfc.novelty import SHRINKAGE, Kind, Novelty, threshold
from train.metrics import auroc

DIM, CLASSES, EACH = 8, 3, 20


def drawn(count: int, *, strange: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of `count` chips of each class, (n, d), and labels; strange ones lie around means of their own."""
    generator = torch.Generator().manual_seed(7)
    means = 3 * torch.randn(2 * CLASSES, DIM, generator=generator)
    label = torch.arange(CLASSES).repeat_interleave(count)
    return means[label + CLASSES * strange] + torch.randn(len(label), DIM), label


def fitted(kind: Kind, neighbours: int = 3) -> tuple[Novelty, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    features, label = drawn(EACH)
    novelty = Novelty(kind, DIM, len(features), CLASSES, neighbours)
    novelty.fit(features, features, label)
    return novelty, features, label


def test_neighbours_is_the_distance_to_the_kth_nearest_direction() -> None:
    novelty, features, _ = fitted("neighbours")
    asked = torch.randn(5, DIM)
    centred, rows = (part.numpy() - features.numpy().mean(0) for part in (asked, features))
    cosines = centred @ rows.T / np.linalg.norm(centred, axis=1)[:, None] / np.linalg.norm(rows, axis=1)
    expected = 1 - np.sort(cosines, axis=1)[:, -3]
    np.testing.assert_allclose(novelty(asked, torch.zeros(5, CLASSES)).numpy(), expected, atol=1e-5)


def test_mahalanobis_is_the_distance_to_the_nearest_class() -> None:
    novelty, features, label = fitted("mahalanobis")
    means = np.stack([features[label == row].double().numpy().mean(0) for row in range(CLASSES)])
    apart = features.double().numpy() - means[label]
    covariance = apart.T @ apart / len(apart)
    shrunk = (1 - SHRINKAGE) * covariance + SHRINKAGE * np.trace(covariance) / DIM * np.eye(DIM)
    asked = torch.randn(5, DIM)
    gap = asked.double().numpy()[:, None] - means  # (n, c, d)
    expected = np.einsum("ncd,de,nce->nc", gap, np.linalg.inv(shrunk), gap).min(1) / DIM
    np.testing.assert_allclose(novelty(asked, torch.zeros(5, CLASSES)).numpy(), expected, rtol=1e-4)


def test_energy_falls_where_a_logit_is_large() -> None:
    novelty = Novelty("energy", DIM, 0, CLASSES, 1)
    logits = torch.tensor([[0.0, 0.0, 0.0], [9.0, 0.0, 0.0]])
    np.testing.assert_allclose(novelty(torch.zeros(2, DIM), logits), [-np.log(3), -np.log(2 + np.exp(9))], rtol=1e-6)


@pytest.mark.parametrize("kind", ["neighbours", "mahalanobis"])
def test_strange_features_are_above_known_ones(kind: Kind) -> None:
    novelty, _, _ = fitted(kind)
    known, strange = (novelty(drawn(EACH, strange=strange)[0], torch.zeros(3 * EACH, CLASSES)) for strange in (False, True))
    assert auroc(known, strange) > 90


def test_one_label_of_each_class_is_enough_for_a_covariance() -> None:
    torch.manual_seed(0)
    features, label = drawn(1)
    novelty = Novelty("mahalanobis", DIM, 3, CLASSES, 1)
    novelty.fit(features, features, label)
    assert bool(novelty(torch.randn(4, DIM), torch.zeros(4, CLASSES)).isfinite().all())


def test_no_more_than_the_share_is_above_the_threshold() -> None:
    known = torch.arange(40.0)
    assert threshold(known, 0.05) == (37.0, 0.05)
    assert threshold(known[:10], 0.05) == (9.0, 0.0)
    assert threshold(torch.ones(40), 0.05) == (1.0, 0.0)
