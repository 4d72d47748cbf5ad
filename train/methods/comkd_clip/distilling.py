"""Stage 2: the student's objective, ComKD-CLIP's and its baselines', by the weights of the configuration."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from train.blocks.gather import gather
from train.contract import Batch, Losses
from train.losses.distillation import distillation
from train.losses.statistics_alignment import statistics_alignment

from .config import Config
from .student import Student


def student_objective(
    config: Config, student: Student, teach: Callable[[Tensor], Tensor] | None, labelled: Tensor
) -> Callable[[Batch], tuple[Tensor, Losses]]:
    r"""$w_{kl} L_{stu} + w_a L_{align} + w_f \|u_s - u_t\|^2 + w_l CE$.

    Args:
        teach: uint8 (n, 3, h, w) -> unit rows (n, d) of the frozen teacher; None where no loss needs it. A batch that brings
            "teacher" features is not encoded again.
        labelled: (k,), true for the classes whose labels may be seen.
    """

    def features_of(batch: Batch) -> Tensor:
        assert teach is not None
        feature = batch["teacher"] if "teacher" in batch else teach(batch["image"])
        return gather(feature.float())  # (n, d)

    def head(features: Tensor, batch: Batch) -> tuple[Tensor, Losses]:
        raw = student.projector(features)  # (n, d)
        unit = F.normalize(raw, dim=1)
        bank = F.normalize(student.class_vectors, dim=1)
        logits = student.logits(unit, bank)  # (n, k)
        parts: Losses = {}
        if teach:
            taught = features_of(batch)
            if config.kl_weight:
                target = student.logit_scale * taught @ bank.detach().T
                parts["kl"] = config.kl_weight * distillation(logits, target, config.kl_temperature, config.kl_reduction)
            if config.align_weight:
                aligned = unit if config.align_features == "unit" else raw
                parts["align"] = config.align_weight * statistics_alignment(aligned, taught, config.align_reduction)
            if config.feature_weight:
                parts["feature"] = config.feature_weight * F.mse_loss(unit, taught)
        if config.label_weight:
            parts["label"] = config.label_weight * _cross_entropy(logits, gather(batch["label"]), labelled)
        total = torch.stack(list(parts.values())).sum()
        if student.attention is not None:
            parts["alpha"] = student.attention.alpha
            if not (config.kl_weight or config.label_weight):
                total = total + 0 * logits.sum()  # data-parallel training wants every trained parameter to take part
        return total, parts

    def loss(batch: Batch) -> tuple[Tensor, Losses]:
        features = gather(student.features(batch["image"]).float())  # (n, width), of all processes
        with torch.autocast(features.device.type, enabled=False):
            return head(features, batch)

    return loss


def _cross_entropy(logits: Tensor, label: Tensor, labelled: Tensor) -> Tensor:
    """Mean over images whose label may be seen; 0 where none may."""
    seen = (label >= 0) & labelled.to(label.device)[label.clamp(min=0)]
    total = F.cross_entropy(logits, torch.where(seen, label, -1), ignore_index=-1, reduction="sum")
    return total / seen.sum().clamp(min=1)
