"""Each measure is compared with its definition counted out by hand, and with cases whose answer is plain."""

from __future__ import annotations

import pytest
import torch

from train.metrics import accuracy, auroc, calibration_error, harmonic_mean


def test_accuracy_counts_rows_whose_label_is_among_the_best() -> None:
    logits = torch.tensor([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0], [2.0, 3.0, 1.0], [3.0, 1.0, 2.0]])
    label = torch.tensor([0, 0, 0, 2])
    assert accuracy(logits, label) == 25.0
    assert accuracy(logits, label, 2) == 75.0
    assert accuracy(logits, label, 5) == 100.0, "k is capped at the number of classes"


def test_the_harmonic_mean_is_drawn_to_the_smaller() -> None:
    assert harmonic_mean(80.0, 80.0) == pytest.approx(80.0)
    assert harmonic_mean(90.0, 45.0) == pytest.approx(60.0)
    assert harmonic_mean(0.0, 50.0) == 0.0 == harmonic_mean(0.0, 0.0)


def test_calibration_error_equals_its_bins_counted_out() -> None:
    generator = torch.Generator().manual_seed(0)
    probability = (2 * torch.randn(200, 4, generator=generator)).softmax(1)
    label = torch.randint(0, 4, (200,), generator=generator)
    total = 0.0
    for low in range(10):
        inside = [
            (max(row), row.index(max(row)) == right)
            for row, right in zip(probability.tolist(), label.tolist(), strict=True)
            if low / 10 <= max(row) < (low + 1) / 10
        ]
        if inside:
            confidence = sum(value for value, _ in inside) / len(inside)
            right = sum(hit for _, hit in inside) / len(inside)
            total += len(inside) / 200 * abs(right - confidence)
    assert calibration_error(probability, label, bins=10) == pytest.approx(100 * total, abs=1e-4)


def test_certainty_is_calibrated_when_right_and_wholly_off_when_wrong() -> None:
    sure = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert calibration_error(sure, torch.tensor([0, 1])) == 0.0
    assert calibration_error(sure, torch.tensor([1, 0])) == 100.0
    half = torch.full((4, 2), 0.5)
    assert calibration_error(half, torch.tensor([0, 0, 1, 1])) == 0.0


def test_the_area_under_the_roc_curve_is_the_share_of_pairs_in_order() -> None:
    generator = torch.Generator().manual_seed(0)
    known, strange = (torch.randint(0, 9, (count,), generator=generator) for count in (40, 25))
    pairs = [1.0 if high > low else 0.5 if high == low else 0.0 for low in known.tolist() for high in strange.tolist()]
    assert auroc(known, strange) == pytest.approx(100 * sum(pairs) / len(pairs))
    assert auroc(torch.zeros(3), torch.ones(2)) == 100.0 and auroc(torch.ones(3), torch.ones(2)) == 50.0
