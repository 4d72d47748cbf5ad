"""Alignment of feature statistics: ComKD-CLIP's IFAlign (arXiv 2408.04145), in the form of PromptAlign (NeurIPS 2023)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn import functional as F


def statistics_alignment(student: Tensor, teacher: Tensor, reduction: Literal["sum", "mean"] = "sum") -> Tensor:
    r"""Bring the mean and the variance of the student's features over the batch to the teacher's.

    $\|\mu_s - \mu_t\|_1 + \|\sigma^2_s - \sigma^2_t\|_1$ with the population variance. Found: L1 on both statistics. Inferred
    from the lineage: the batch as their axis. Not found: whether the norm is a sum or a mean over channels, hence `reduction`.

    Args:
        student: (n, d), carries the gradient.
        teacher: (n, d), of the same images.
        reduction: "sum" is the norm as written; "mean" divides it by d, as PromptAlign's code does.

    Returns:
        ()
    """
    mean = F.l1_loss(student.mean(0), teacher.mean(0), reduction=reduction)
    variance = F.l1_loss(student.var(0, correction=0), teacher.var(0, correction=0), reduction=reduction)
    return mean + variance
