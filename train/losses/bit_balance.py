"""How far bits are from being set in half of a batch."""

from __future__ import annotations

from torch import Tensor


def bit_balance(relaxed: Tensor) -> Tensor:
    r"""$\frac{1}{K} \sum_k (\frac{1}{n} \sum_i b_{ik})^2$: 0 where every bit is balanced, 1 where all are constant.

    Args:
        relaxed: (n, K), in -1..1, such as a tanh.

    Returns:
        ()
    """
    return relaxed.float().mean(0).square().mean()
