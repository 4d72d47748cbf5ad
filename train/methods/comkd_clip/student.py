"""What is deployed: the student's image tower, the projector, EduAttention and the class bank."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.blocks.clip import ImageTower, VisionSpec


class Projector(nn.Module):
    """P: two layers with normalisation and ReLU between (PromptKD's 1x1 convolutions, on vectors)."""

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, dim)
        self.norm = nn.BatchNorm1d(dim)
        self.second = nn.Linear(dim, dim)

    def forward(self, feature: Tensor) -> Tensor:
        """(n, width) -> (n, dim)"""
        return self.second(F.relu(self.norm(self.first(feature))))  # type: ignore[no-any-return]


class EduAttention(nn.Module):
    r"""Attention of the student's image feature over the teacher's class vectors.

    $f_{att} = softmax(FC_q(u) FC_k(W)^\top / \sqrt{C}) FC_v(W)$ and $f_e = u + \alpha f_{att}$, alpha starting at 0. Found: the
    cross-relation, FC, C and alpha. Inferred: which layer maps what ("learned", E1), or one layer after a plain softmax ("plain",
    E2, where C is a temperature near 1e-4). Also inferred is what the layers start from: where it is the identity and C is the
    square of the temperature, f_att is at first the mean of the class vectors under the student's own prediction.

    FC_k and FC_v are never applied to W: $q (W W_k^\top)^\top = (q W_k) W^\top$, and rows of the softmax sum to 1, so that
    $A (W W_v^\top + b) = (A W) W_v^\top + b$. The cost is independent of the number of classes but for two products with W.
    """

    def __init__(
        self, dim: int, kind: Literal["learned", "plain"], scale: float, start: Literal["random", "identity"] = "random"
    ) -> None:
        super().__init__()
        self.kind = kind
        self.scale = scale or float(dim)  # C
        if kind == "learned":
            self.query = nn.Linear(dim, dim)
            self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.alpha = nn.Parameter(torch.zeros(()))
        if start == "identity":
            for layer in self.children():
                assert isinstance(layer, nn.Linear)
                nn.init.eye_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, image: Tensor, class_vectors: Tensor) -> Tensor:
        """(n, d), (k, d) -> (n, d)"""
        query, offset = image, 0.0
        if self.kind == "learned":
            asked = self.query(image)  # (n, d)
            query = asked @ self.key.weight  # (n, d)
            offset = asked @ self.key.bias[:, None]  # (n, 1)
        relation = ((query @ class_vectors.T + offset) / math.sqrt(self.scale)).softmax(1)  # (n, k)
        return image + self.alpha * self.value(relation @ class_vectors)  # type: ignore[no-any-return]


class Student(nn.Module):
    """Image -> unit feature in the teacher's space -> logits over class vectors.

    Args:
        spec: the tower's architecture.
        dim: d, of the teacher's joint space.
        classes: number of class vectors held.
        mean, std: of the three channels, for pixels in 0..1.
    """

    mean: Tensor
    std: Tensor
    logit_scale: Tensor

    def __init__(
        self,
        spec: VisionSpec,
        dim: int,
        classes: int,
        *,
        prompt_length: int,
        prompt_depth: int,
        attention: Literal["learned", "plain", "none"],
        attention_scale: float,
        attention_start: Literal["random", "identity"] = "random",
        mean: tuple[float, ...],
        std: tuple[float, ...],
    ) -> None:
        super().__init__()
        self.tower = ImageTower(spec, prompt_length, prompt_depth)
        self.projector = Projector(spec.embed_dim, dim)
        self.attention = None if attention == "none" else EduAttention(dim, attention, attention_scale, attention_start)
        self.class_vectors = nn.Parameter(F.normalize(torch.randn(classes, dim), dim=1))
        self.register_buffer("logit_scale", torch.tensor(100.0))  # 1/tau, the teacher's
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1) * 255)

    def features(self, image: Tensor) -> Tensor:
        """The tower's answer: uint8 (n, 3, h, w) -> (n, width)"""
        return self.tower((image.float() - self.mean) / self.std)  # type: ignore[no-any-return]

    def embed(self, image: Tensor) -> Tensor:
        """uint8 (n, 3, h, w) -> unit rows (n, d)"""
        return F.normalize(self.projector(self.features(image).float()), dim=1)

    def logits(self, embedding: Tensor, class_vectors: Tensor) -> Tensor:
        """Unit rows (n, d), unit rows (k, d) -> (n, k)"""
        if self.attention is not None:
            embedding = F.normalize(self.attention(embedding, class_vectors), dim=1)
        return self.logit_scale * embedding @ class_vectors.T  # type: ignore[no-any-return]


class Embedding(nn.Module):
    """Graph "embedding"."""

    def __init__(self, student: Student) -> None:
        super().__init__()
        self.student = student

    def forward(self, image: Tensor) -> tuple[Tensor]:
        return (self.student.embed(image),)


class Open(nn.Module):
    """Graph "open": the class vectors are an input."""

    def __init__(self, student: Student) -> None:
        super().__init__()
        self.student = student

    def forward(self, image: Tensor, class_vectors: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.student.logits(self.student.embed(image), class_vectors)
        return logits, logits.softmax(1)


class Closed(nn.Module):
    """Graph "closed": the bank is inside."""

    def __init__(self, student: Student) -> None:
        super().__init__()
        self.student = student

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.student.logits(self.student.embed(image), F.normalize(self.student.class_vectors, dim=1))
        return logits, logits.softmax(1)
