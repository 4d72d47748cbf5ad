"""MAE's loss: masked patches, each normalised by itself."""

from __future__ import annotations

from torch import Tensor

EPSILON = 1e-6  # of the variance


def masked_pixels(prediction: Tensor, patches: Tensor) -> Tensor:
    r"""$\mathrm{mean}\,(\hat{x} - (x - \mu) / \sqrt{\sigma^2 + \epsilon})^2$ over masked patches, with mean and unbiased variance of each
    (He et al. 2022, sec. 3).

    Args:
        prediction: (..., d).
        patches: (..., d), pixels of the same patches.

    Returns:
        ()
    """
    pixels = patches.float()
    spread = (pixels.var(-1, keepdim=True) + EPSILON).sqrt()
    target = (pixels - pixels.mean(-1, keepdim=True)) / spread
    return (prediction.float() - target).square().mean()
