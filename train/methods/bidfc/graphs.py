"""The graph that is deployed."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from .network import Encoder
from .novelty import Novelty


class RecognizerGraph(nn.Module):
    """A chip -> logits, probabilities at the calibrated temperature, novelty."""

    temperature: Tensor

    def __init__(self, encoder: Encoder, classifier: nn.Linear, novelty: Novelty, temperature: Tensor) -> None:
        super().__init__()
        self.encoder, self.classifier, self.novelty = copy.deepcopy(encoder), copy.deepcopy(classifier), copy.deepcopy(novelty)
        self.register_buffer("temperature", temperature.detach().clone())
        self.to(device="cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]

    def forward(self, chip: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(n, 1, h, w) -> (n, classes), (n, classes), (n,)"""
        features = self.encoder.features(chip)
        logits = self.classifier(features)
        return logits, (logits / self.temperature).softmax(1), self.novelty(features, logits)
