"""The divergence of logits is compared with its sum written out in float64, with a case worked by hand, and with itself."""

from __future__ import annotations

import math

import pytest
import torch

from train.losses.distillation import distillation


def written_out(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> float:
    """tau^2 sum_i sum_j p_ij log(p_ij / q_ij) / n with p, q the softmax of row i."""
    total = 0.0
    for ours, theirs in zip(student.tolist(), teacher.tolist(), strict=True):
        p = [math.exp(value / temperature) for value in theirs]
        q = [math.exp(value / temperature) for value in ours]
        for a, b in zip(p, q, strict=True):
            total += a / sum(p) * math.log((a / sum(p)) / (b / sum(q)))
    return temperature**2 * total / len(student)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_equals_the_formula_written_out(temperature: float) -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = (3 * torch.randn(5, 7, generator=generator, dtype=torch.float64) for _ in range(2))
    assert distillation(student, teacher, temperature).item() == pytest.approx(
        written_out(student, teacher, temperature), rel=1e-9
    )


def test_a_fair_coin_taught_by_a_biased_one() -> None:
    student, teacher = torch.zeros(1, 2, dtype=torch.float64), torch.tensor([[math.log(3.0), 0.0]], dtype=torch.float64)
    expected = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert distillation(student, teacher, 1.0).item() == pytest.approx(expected, rel=1e-12)


def test_numel_divides_by_the_classes_too() -> None:
    student, teacher = torch.randn(4, 6), torch.randn(4, 6)
    torch.testing.assert_close(distillation(student, teacher, 2.0, "numel") * 6, distillation(student, teacher, 2.0))


def test_is_zero_where_student_and_teacher_agree_up_to_a_constant_and_positive_elsewhere() -> None:
    teacher = torch.randn(4, 6, dtype=torch.float64)
    assert abs(distillation(teacher + 5.0, teacher, 1.0).item()) < 1e-12
    assert distillation(torch.randn(4, 6, dtype=torch.float64), teacher, 1.0) > 0


def test_does_not_depend_on_the_order_of_images_or_classes() -> None:
    student, teacher = torch.randn(4, 6, dtype=torch.float64), torch.randn(4, 6, dtype=torch.float64)
    rows, columns = torch.randperm(4), torch.randperm(6)
    torch.testing.assert_close(
        distillation(student[rows][:, columns], teacher[rows][:, columns], 3.0), distillation(student, teacher, 3.0)
    )


def test_the_gradient_is_the_difference_of_the_distributions() -> None:
    student = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(3, 5, dtype=torch.float64)
    distillation(student, teacher, 2.0).backward()
    expected = 2.0 * ((student / 2).softmax(1) - (teacher / 2).softmax(1)) / 3  # tau^2 / tau / n
    torch.testing.assert_close(student.grad, expected.detach())


def test_stays_finite_at_logits_far_apart() -> None:
    student = torch.tensor([[500.0, -500.0]], requires_grad=True)
    value = distillation(student, torch.tensor([[-500.0, 500.0]]), 1.0)
    value.backward()
    assert value.item() == pytest.approx(1000.0) and student.grad is not None and bool(student.grad.isfinite().all())
