"""The alignment of statistics is compared with its sums written out, with a case worked by hand, and with itself."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from train.losses.statistics_alignment import statistics_alignment


def written_out(student: Tensor, teacher: Tensor) -> float:
    total = 0.0
    for ours, theirs in zip(student.T.tolist(), teacher.T.tolist(), strict=True):  # one feature after the other
        means = [sum(values) / len(values) for values in (ours, theirs)]
        variances = [sum((v - m) ** 2 for v in values) / len(values) for values, m in zip((ours, theirs), means, strict=True)]
        total += abs(means[0] - means[1]) + abs(variances[0] - variances[1])
    return total


def pair(n: int = 6, d: int = 5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, d, generator=generator, dtype=torch.float64), torch.rand(n, d, generator=generator, dtype=torch.float64)


def test_equals_the_formula_written_out() -> None:
    student, teacher = pair()
    assert statistics_alignment(student, teacher).item() == pytest.approx(written_out(student, teacher), rel=1e-12)


def test_two_images_of_two_features() -> None:
    student = torch.tensor([[0.0, 1.0], [2.0, 1.0]])  # means 1, 1; variances 1, 0
    teacher = torch.tensor([[0.0, 0.0], [0.0, 4.0]])  # means 0, 2; variances 0, 4
    assert statistics_alignment(student, teacher).item() == 1 + 1 + 1 + 4
    assert statistics_alignment(student, teacher, "mean").item() == (1 + 1 + 1 + 4) / 2


def test_does_not_depend_on_which_image_is_which() -> None:
    student, teacher = pair()
    torch.testing.assert_close(statistics_alignment(student[torch.randperm(6)], teacher), statistics_alignment(student, teacher))
    assert statistics_alignment(student[torch.randperm(6)], student).item() < 1e-12


def test_a_shift_of_all_images_changes_the_means_only() -> None:
    student, _ = pair()
    assert statistics_alignment(student + 0.5, student).item() == pytest.approx(0.5 * 5)


def test_one_image_has_no_variance() -> None:
    student, teacher = pair(n=1)
    assert statistics_alignment(student, teacher).item() == pytest.approx((student - teacher).abs().sum().item())


def test_only_the_student_gets_a_gradient_and_following_it_helps() -> None:
    student, teacher = pair()
    student.requires_grad_(True)
    before = statistics_alignment(student, teacher)
    before.backward()
    assert student.grad is not None
    assert statistics_alignment(student.detach() - 0.01 * student.grad, teacher) < before
