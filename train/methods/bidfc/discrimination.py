"""Batch instance discrimination: every batch has a classifier of its own, which tells its chips apart after a few steps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.blocks.gather import gather
from train.data import draws
from train.losses.dynamic_weighted_variance import ramp

_CLASSIFIER = 51  # first part of the keys here


@dataclass(frozen=True)
class Plan:
    """Which batch each optimizer step takes: `repeats` steps of discrimination, then one of the variance where its weight is not 0.

    Args:
        epochs: of `batches` batches each.
        repeats: K.
        begin, full, height: of the variance's ramp, in epochs counted from 0.
    """

    epochs: int
    batches: int
    repeats: int
    begin: float
    full: float
    height: float

    def weight(self, batch: int) -> float:
        """alpha at the epoch of a batch."""
        return ramp(batch // self.batches, self.begin, self.full, self.height)

    @property
    def plain(self) -> int:
        """Batches at the start without a step of the variance."""
        return sum(ramp(epoch, self.begin, self.full, self.height) == 0 for epoch in range(self.epochs)) * self.batches

    @property
    def steps(self) -> int:
        return self.epochs * self.batches * (self.repeats + 1) - self.plain

    def place(self, step: int) -> tuple[int, int]:
        """The batch that a step takes and which of its steps this is; number `repeats` is that of the variance."""
        before = self.plain * self.repeats
        if step < before:
            return step // self.repeats, step % self.repeats
        later, turn = divmod(step - before, self.repeats + 1)
        return self.plain + later, turn


class Discrimination(nn.Module):
    r"""$-\frac{1}{B} \sum_b \log \operatorname{softmax}(W f(\tilde x_b) / T)_b$ with a W that is drawn anew for every batch.

    The larger T, the weaker the contrast and the smaller the distances between chips.

    Args:
        dim: of the features.
        batch: B of the global batch, which is the number of classes.
        temperature: T.
        seed: of W.

    The accuracy of W at the last of a batch's steps is kept in `accuracy`, since it tells whether anything is learned: 1 / B is chance.
    """

    accuracy: Tensor

    def __init__(self, dim: int, batch: int, *, temperature: float, seed: int) -> None:
        super().__init__()
        self.temperature, self.seed = temperature, seed
        self.classifier = nn.Linear(dim, batch)
        self.register_buffer("accuracy", torch.zeros(()))

    @torch.no_grad()
    def draw(self, number: int, optimizer: torch.optim.Optimizer) -> None:
        """Draw the classifier of batch `number`, and forget what the optimizer remembers of the one before."""
        generator = torch.Generator().manual_seed(int(draws.key(_CLASSIFIER, self.seed, number) >> 1))
        weight = nn.init.xavier_normal_(torch.empty(self.classifier.weight.shape), generator=generator)
        self.classifier.weight.copy_(weight)
        self.classifier.bias.zero_()
        for parameter in self.classifier.parameters():
            optimizer.state.pop(parameter, None)

    def forward(self, features: Tensor, instance: Tensor, *, last: bool) -> Tensor:
        """The loss of this process's rows, ().

        Args:
            features: (n, d).
            instance: (n,), the place of each row in the global batch.
            last: whether this is the last of the batch's steps.
        """
        with torch.autocast(features.device.type, enabled=False):
            logits = self.classifier(features.float()) / self.temperature  # (n, B)
        if last:
            right = (logits.detach().argmax(1) == instance).float().mean()
            self.accuracy.copy_(gather(right[None]).mean())
        return F.cross_entropy(logits, instance)
