"""Base-to-new accuracy as CoOp defines it, and calibration."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from train.data.images import ImageData, Split
from train.metrics import accuracy, calibration_error, harmonic_mean

Images = Callable[[], Iterator[Tensor]]  # uint8 (chunk, 3, h, w)
Encode = Callable[[Tensor], Tensor]  # images -> embeddings (n, d)
Head = Callable[[Tensor, Tensor], Tensor]  # embeddings (n, d), class vectors (k, d) -> logits (n, k)


@torch.no_grad()
def embeddings(images: Iterator[Tensor], encode: Encode, device: torch.device) -> Tensor:
    """Of all images, (n, d)."""
    return torch.cat([encode(image.to(device)).float() for image in images])


@torch.no_grad()
def measures(data: ImageData, part: Split, embedding: Tensor, head: Head, bank: Tensor) -> dict[str, float]:
    """In percent.

    base is the accuracy among base classes on their images, new among new classes on theirs, hm their harmonic mean; top1, top5
    and ece (expected calibration error, 15 bins) are over all classes.

    Args:
        embedding: (n, d), of the part's images.
        bank: (k, d), the class vectors of all classes.
    """
    label = torch.from_numpy(part.labels).to(bank.device)
    logits = head(embedding, bank)
    found = {}
    for name, classes in (("base", data.base), ("new", data.new)):
        rows = torch.isin(label, torch.tensor(classes, device=label.device))
        if rows.any():
            place = torch.full((len(data.classes),), -1, device=label.device)
            place[list(classes)] = torch.arange(len(classes), device=label.device)
            found[name] = accuracy(head(embedding[rows], bank[list(classes)]), place[label[rows]])
    if len(found) == 2:
        found["hm"] = harmonic_mean(found["base"], found["new"])
    found |= {"top1": accuracy(logits, label), "top5": accuracy(logits, label, 5)}
    return found | {"ece": calibration_error(logits.softmax(1), label)}
