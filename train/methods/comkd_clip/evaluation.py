"""Base-to-new accuracy as CoOp defines it, and calibration."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from train.data.images import ImageData, Split
from train.metrics import accuracy, calibration_error, harmonic_mean

Images = Callable[..., Iterator[Tensor]]  # all images, or those at some rows, uint8 (chunk, 3, h, w)
Answer = Callable[[Tensor, Tensor], Tensor]  # images, class vectors (k, d) -> logits (n, k)


@torch.no_grad()
def answers(images: Iterator[Tensor], answer: Answer, bank: Tensor) -> Tensor:
    """Logits of all images, (n, k), on the CPU."""
    return torch.cat([answer(image.to(bank.device), bank).float().cpu() for image in images])


def measures(data: ImageData, part: Split, images: Images, answer: Answer, bank: Tensor) -> dict[str, float]:
    """In percent.

    base is the accuracy among base classes on their images, new among new classes on theirs, hm their harmonic mean; top1, top5
    and ece (expected calibration error, 15 bins) are over all classes.
    """
    label = torch.from_numpy(part.labels)
    logits = answers(images(), answer, bank)
    found = {}
    for name, classes in (("base", data.base), ("new", data.new)):
        rows = torch.nonzero(torch.isin(label, torch.tensor(classes)))[:, 0]
        if len(rows):
            place = torch.full((len(data.classes),), -1)
            place[list(classes)] = torch.arange(len(classes))
            found[name] = accuracy(answers(images(rows), answer, bank[list(classes)]), place[label[rows]])
    if len(found) == 2:
        found["hm"] = harmonic_mean(found["base"], found["new"])
    found |= {"top1": accuracy(logits, label), "top5": accuracy(logits, label, 5)}
    return found | {"ece": calibration_error(logits.softmax(1), label)}
