"""MAE's decoder: from the tokens that were seen to what stood at the masked places."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .vit import Block, Transformer


class MaskedDecoder(nn.Module):
    """A mask token at every masked place, a few blocks over all tokens, a linear head on the masked ones.

    Args:
        width: of the encoder's tokens.
        inner: of the decoder's.
        outputs: numbers that are told of a masked token.
    """

    def __init__(self, width: int, inner: int, heads: int, layers: int, outputs: int) -> None:
        super().__init__()
        self.enter = nn.Linear(width, inner)
        self.mask = nn.Parameter(0.02 * torch.randn(inner))
        self.transformer = Transformer(
            layers, nn.ModuleList(Block(inner, heads, 0, "gelu", 1e-5, causal=False) for _ in range(layers))
        )
        self.norm = nn.LayerNorm(inner)
        self.head = nn.Linear(inner, outputs)

    def forward(self, seen: Tensor, seen_places: Tensor, masked_places: Tensor) -> Tensor:
        """
        Args:
            seen: (n, v, width), the encoder's tokens.
            seen_places: (n, v, inner), their positions' embedding.
            masked_places: (n, m, inner), that of the masked ones.

        Returns:
            (n, m, outputs)
        """
        tokens = torch.cat([self.enter(seen) + seen_places, self.mask + masked_places], 1)  # (n, v+m, inner)
        tokens = self.transformer(tokens, None, 0)[:, seen.shape[1] :]  # (n, m, inner)
        return self.head(self.norm(tokens))  # type: ignore[no-any-return]
