"""Which tokens a masked view keeps."""

from __future__ import annotations

from torch import Tensor


def split(scores: Tensor, masked: float) -> tuple[Tensor, Tensor]:
    """The places of kept and of masked tokens, both in ascending order: the floor of masked * t highest scores are masked.

    Args:
        scores: (n, t), drawn at random.
        masked: part of the tokens, 0..1; at least one token is kept.

    Returns:
        int64 (n, t - m) and (n, m).
    """
    t = scores.shape[1]
    hidden = min(int(masked * t), t - 1)
    order = scores.argsort(dim=1, stable=True)
    return order[:, : t - hidden].sort(1).values, order[:, t - hidden :].sort(1).values


def pick(tokens: Tensor, places: Tensor) -> Tensor:
    """Rows of tokens: (n, t, ...), (n, k) -> (n, k, ...)"""
    index = places.reshape(*places.shape, *(1,) * (tokens.dim() - 2)).expand(-1, -1, *tokens.shape[2:])
    return tokens.gather(1, index)
