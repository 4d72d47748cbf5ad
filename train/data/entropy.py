"""Entropy of an image: how evenly its grey levels or its colours are used, over all of it or place by place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BINS = 256  # of grey
BITS = 4  # of each channel of a colour
Levels = Literal["grey", "colour"]


def grey_entropy(image: NDArray[np.uint8]) -> float:
    r"""$-\sum_b p_b \ln p_b$ over 256 bins of grey, the mean of the channels, in nats: 0 to ln 256 = 5.545.

    As in CLIC's complexity-aware loss (arXiv 2411.12792), of the pixels as read: normalised ones would leave the bins.

    Args:
        image: (h, w, 3).
    """
    grey = image.sum(2, dtype=np.int64)  # (h, w), three times the mean
    return _entropy(np.minimum(grey * BINS // (3 * 255), BINS - 1), BINS)


def colour_entropy(image: NDArray[np.uint8]) -> float:
    """The same of colours, 4 bits of each channel together, in nats: 0 to ln 4096 = 8.318 (ours).

    Args:
        image: (h, w, 3).
    """
    high = image.astype(np.int64) >> (8 - BITS)
    return _entropy(high @ np.array([1 << 2 * BITS, 1 << BITS, 1], np.int64), 1 << 3 * BITS)


ENTROPIES: dict[Levels, Callable[[NDArray[np.uint8]], float]] = {"grey": grey_entropy, "colour": colour_entropy}


def _entropy(levels: NDArray[np.int64], bins: int) -> float:
    share = np.bincount(levels.ravel(), minlength=bins) / levels.size
    share = share[share > 0]
    return float(abs((share * np.log(share)).sum()))


@torch.no_grad()
def local_entropy(images: Tensor, side: int, of: Levels) -> Tensor:
    """Entropy of each place of side x side pixels; a rest at the right and below is left out.

    Args:
        images: float (n, 3, h, w) in 0..1, colours as seen: not normalised.
        side: at most h and w.

    Returns:
        float32 (n, h // side, w // side), nats.
    """
    pixels = (255 * images.float()).round().clamp(0, 255).long()
    if of == "grey":
        bins, levels = BINS, (pixels.sum(1) * BINS // (3 * 255)).clamp(max=BINS - 1)  # (n, h, w)
    else:
        red, green, blue = (pixels >> (8 - BITS)).unbind(1)
        bins, levels = 1 << 3 * BITS, (red << 2 * BITS) | (green << BITS) | blue
    n, rows, columns = levels.shape[0], levels.shape[1] // side, levels.shape[2] // side
    places = levels[:, : rows * side, : columns * side].reshape(n, rows, side, columns, side).transpose(2, 3)
    first = torch.arange(n * rows * columns, device=levels.device) * bins  # of each place's bins
    counts = torch.bincount((places.reshape(-1, side * side) + first[:, None]).flatten(), minlength=len(first) * bins)
    share = counts.reshape(len(first), bins).float() / side**2
    return -torch.xlogy(share, share).sum(1).reshape(n, rows, columns)
