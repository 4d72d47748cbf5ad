"""Selection of descriptors on tensors against runtime.ops, against the definition by all cosines, and on cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from runtime import ops
from runtime.ops.descriptors import share
from train.blocks.selection import CHUNK, Kept, best, contrast, density, image_to_class, keep, keep_above, margin, unit


def drawn(*shape: int, seed: int = 0, zero: bool = False) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(0.3, 1, shape).astype(np.float32)
    if zero:
        rows[0, 0, 0] = 0
    return rows


def flat(support: np.ndarray) -> Tensor:
    """(c, images, l, d) -> unit (c, m, d)"""
    return unit(torch.from_numpy(support).flatten(1, 2))


@pytest.mark.parametrize(
    ("classes", "images", "other"), [(5, 3, False), (5, 3, True), (2, 1, False), (1, 2, False), (3, 2, True)]
)
@pytest.mark.parametrize("fraction", [0.25, 0.5, 1.0])
def test_scores_and_kept_rows_are_the_ops(classes: int, images: int, other: bool, fraction: float) -> None:
    support = drawn(classes, images, 7, 16, zero=True)
    expected = ops.select_descriptors(support, fraction, other_images=other)
    score = contrast(flat(support), images, other_images=other)
    np.testing.assert_allclose(score.numpy(), expected.score, atol=1e-5)
    assert np.array_equal(best(score, share(fraction, images * 7)).numpy(), expected.rows)


@pytest.mark.parametrize("threshold", ["mean", 0.02])
def test_a_threshold_keeps_what_the_ops_keep(threshold: str | float) -> None:
    support = drawn(4, 2, 9, 16, zero=True)
    expected = ops.select_descriptors(support, threshold=threshold)
    unitary = flat(support)
    kept = keep_above(unitary, contrast(unitary, 2), None if threshold == "mean" else float(threshold))
    assert kept.counts is not None
    for own, rows in zip(kept.counts, expected.rows, strict=True):
        assert np.array_equal(np.flatnonzero(own.numpy()), rows[rows >= 0])
    query = drawn(6, 9, 16, seed=1)
    scores = image_to_class(unit(torch.from_numpy(query)), kept, None, 3)
    np.testing.assert_allclose(scores.numpy(), ops.image_to_class(query, support, expected.rows), atol=1e-4)
    gap = margin(unit(torch.from_numpy(query)), kept)
    np.testing.assert_allclose(gap.numpy(), ops.select_queries(query, support, expected.rows).margin, atol=1e-5)


def test_margins_masks_and_scores_are_the_ops() -> None:
    support, query = drawn(5, 2, 8, 16), drawn(7, 8, 16, seed=1, zero=False)
    query[0, 0] = 0
    chosen = ops.select_descriptors(support, 0.5)
    asked = ops.select_queries(query, support, chosen.rows, 0.5)
    unitary, rows = flat(support), unit(torch.from_numpy(query))
    kept = keep(unitary, contrast(unitary, 2), 8)
    gap = margin(rows, kept)
    np.testing.assert_allclose(gap.numpy(), asked.margin, atol=1e-5)
    place = best(gap, 4)
    assert np.array_equal(place.numpy(), np.stack([np.flatnonzero(row) for row in asked.mask]))
    weight = torch.from_numpy(asked.mask.astype(np.float32))
    expected = ops.image_to_class(query, support, chosen.rows, asked.mask, 3)
    np.testing.assert_allclose(image_to_class(rows, kept, weight, 3).numpy(), expected, atol=1e-5)


def test_the_score_is_the_difference_of_two_means_of_cosines() -> None:
    rows = flat(drawn(3, 2, 4, 8))
    cosines = torch.einsum("cmd,knd->cmkn", rows, rows)
    for c in range(3):
        for i in range(8):
            own = [float(cosines[c, i, c, j]) for j in range(8) if j != i]
            foreign = [float(cosines[c, i, k, j]) for k in range(3) if k != c for j in range(8)]
            own_image = [float(cosines[c, i, c, j]) for j in range(8) if j // 4 != i // 4]
            difference, ratio = np.mean(own) - np.mean(foreign), np.mean(own) / (np.mean(foreign) + 1e-6)
            assert float(contrast(rows, 2)[c, i]) == pytest.approx(difference, abs=1e-6)
            assert float(contrast(rows, 2, ratio=True)[c, i]) == pytest.approx(ratio, rel=1e-3)
            assert float(contrast(rows, 2, other_images=True)[c, i]) == pytest.approx(
                np.mean(own_image) - np.mean(foreign), abs=1e-6
            )


def test_equal_scores_go_to_the_earlier_row() -> None:
    assert best(torch.tensor([[1.0, 2.0, 2.0, 2.0, 0.0]]), 2).tolist() == [[1, 2]]
    assert best(torch.zeros(1, 40), 3).tolist() == [[0, 1, 2]]


def test_the_score_is_made_in_float32_whatever_it_is_given() -> None:
    near = torch.nn.functional.normalize(torch.ones(2, 6, 64) + 1e-3 * torch.randn(2, 6, 64), dim=2)
    assert unit(near.half()).dtype == contrast(unit(near.half()), 1).dtype == torch.float32


def test_chunks_change_no_score_and_no_gradient() -> None:
    support, query = flat(drawn(3, 2, 6, 8)), unit(torch.from_numpy(drawn(4, 6, 8, seed=1)))
    found = []
    for chunk in (CHUNK, 40, None):
        one, other = support.clone().requires_grad_(), query.clone().requires_grad_()
        scores = image_to_class(other, Kept(one, None), None, 3, chunk=chunk)
        scores[:, 0].sum().backward()
        assert one.grad is not None and other.grad is not None
        found.append((scores.detach(), one.grad, other.grad))
    for values in found[1:]:
        for mine, theirs in zip(values, found[0], strict=True):
            torch.testing.assert_close(mine, theirs)


def test_gradients_reach_only_what_was_kept() -> None:
    rows = torch.from_numpy(drawn(2, 6, 8)).requires_grad_()
    unitary = unit(rows)
    score = contrast(unitary.detach(), 1)
    kept = keep(unitary, score, 2)
    image_to_class(unit(torch.from_numpy(drawn(3, 4, 8, seed=2))), kept, None, 2).sum().backward()
    assert rows.grad is not None
    touched = rows.grad.abs().sum(2) > 0  # (c, m)
    allowed = torch.zeros_like(touched).scatter(1, best(score, 2), True)
    assert touched.any() and not (touched & ~allowed).any()


@pytest.mark.parametrize("counted", [False, True])
def test_density_is_the_mean_of_the_nearest_others(counted: bool) -> None:
    rows = flat(drawn(2, 1, 5, 8))
    counts = torch.tensor([[True, True, False, True, True], [True] * 5]) if counted else None
    found = density(Kept(rows, counts), 2)
    for c in range(2):
        own = rows[c] if counts is None else rows[c][counts[c]]
        cosines = own @ own.T
        sums = [sorted((float(cosines[i, j]) for j in range(len(own)) if j != i), reverse=True)[:2] for i in range(len(own))]
        assert float(found[c]) == pytest.approx(np.mean([sum(two) for two in sums]), abs=1e-5)


def test_classes_with_one_support_have_one_score() -> None:
    one = flat(drawn(1, 2, 6, 8))
    same, query = one.expand(4, -1, -1), unit(torch.from_numpy(drawn(5, 6, 8, seed=3)))
    for count in (3, 6, 12):
        kept = keep(same, contrast(same, 2), count)
        scores = image_to_class(query, kept, None, 3) - 6 * density(kept, 3)
        torch.testing.assert_close(scores, scores[:, :1].expand_as(scores))
