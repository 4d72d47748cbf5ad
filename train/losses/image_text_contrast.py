"""CLIP's symmetric contrast of images and captions (Radford et al. 2021, fig. 3), with equal captions as positives."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def image_text_contrast(image: Tensor, text: Tensor, scale: Tensor, caption: Tensor) -> Tensor:
    r"""Pull each image to its caption, and to no other caption of the batch.

    $\frac12 (CE(s\,I T^\top, P) + CE(s\,T I^\top, P^\top))$ where row i of P spreads 1 over the captions equal to caption i (as
    UniCL does, Yang et al. 2022, eq. 3); with all captions different P is the identity and this is CLIP's loss.

    Args:
        image: (n, d), unit rows.
        text: (n, d), unit rows; row i describes image i.
        scale: (), the inverse temperature.
        caption: (n,), equal numbers where captions are equal.

    Returns:
        ()
    """
    logits = scale * image @ text.T  # (n, n)
    same = (caption[:, None] == caption[None, :]).to(logits.dtype)
    target = same / same.sum(1, keepdim=True)  # symmetric groups: its transpose is the texts' target
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
