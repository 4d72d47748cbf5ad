"""Global entropy of an image: how evenly its grey levels are used."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BINS = 256


def grey_entropy(image: NDArray[np.uint8]) -> float:
    r"""$-\sum_b p_b \ln p_b$ over 256 bins of grey, the mean of the channels, in nats: 0 to ln 256 = 5.545.

    As in CLIC's complexity-aware loss (arXiv 2411.12792), of the pixels as read: normalised ones would leave the bins.

    Args:
        image: (h, w, 3).
    """
    grey = image.sum(2, dtype=np.int64)  # (h, w), three times the mean
    bins = np.minimum(grey * BINS // (3 * 255), BINS - 1)
    share = np.bincount(bins.ravel(), minlength=BINS) / bins.size
    share = share[share > 0]
    return float(abs((share * np.log(share)).sum()))
