"""Kullback-Leibler distillation of logits (Hinton et al. 2015, sec. 2; PromptKD, arXiv 2403.02781, in batchmean form)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn import functional as F

Reduction = Literal["batchmean", "numel"]


def distillation(student: Tensor, teacher: Tensor, temperature: float, reduction: Reduction = "batchmean") -> Tensor:
    r"""Make the student's distribution over classes the teacher's.

    $\tau^2 \, KL(\sigma(q^t/\tau) \,\|\, \sigma(q^s/\tau))$

    Args:
        student: (n, k) logits, carry the gradient.
        teacher: (n, k) logits.
        temperature: the paper's tau, > 0.
        reduction: "batchmean" is the mean over images; "numel" divides by n*k instead, as PromptKD's released code does, which
            makes its weight of 1000 stand for 1000/k here.

    Returns:
        ()
    """
    log_student = F.log_softmax(student / temperature, dim=1)
    log_teacher = F.log_softmax(teacher / temperature, dim=1)
    total = F.kl_div(log_student, log_teacher, reduction="sum", log_target=True) * temperature**2
    return total / (student.shape[0] if reduction == "batchmean" else student.numel())
