"""Tokens of two modalities that look at each other: self-attention, then cross-attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .vit import MLP, Attention, split_heads


class CrossAttention(nn.Module):
    """Queries of one set of tokens, keys and values of another."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor, context: Tensor) -> Tensor:
        """(n, t, c), (n, s, c) -> (n, t, c)"""
        query = split_heads(self.query(tokens), self.heads)  # (n, heads, t, c/heads)
        key, value = (split_heads(part, self.heads) for part in self.key_value(context).chunk(2, 2))
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class FusionLayer(nn.Module):
    """Self-attention, cross-attention to own and other tokens, perceptron; each on normalised tokens and added to them."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2, self.ln_3 = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)
        self.ln_context = nn.LayerNorm(width)
        self.attn = Attention(width, heads, causal=False)
        self.cross = CrossAttention(width, heads)
        self.mlp = MLP(width, 4 * width, "gelu")

    def forward(self, tokens: Tensor, other: Tensor) -> Tensor:
        """(n, t, c), (n, s, c) -> (n, t, c)"""
        tokens = tokens + self.attn(self.ln_1(tokens))
        context = self.ln_context(torch.cat([tokens, other], 1))  # (n, t+s, c)
        tokens = tokens + self.cross(self.ln_2(tokens), context)
        return tokens + self.mlp(self.ln_3(tokens))  # type: ignore[no-any-return]


class Fusion(nn.Module):
    """Layers for both modalities; each looks at what the other one was before the layer."""

    def __init__(self, width: int, heads: int, layers: int) -> None:
        super().__init__()
        self.first = nn.ModuleList(FusionLayer(width, heads) for _ in range(layers))
        self.second = nn.ModuleList(FusionLayer(width, heads) for _ in range(layers))

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """(n, t, c), (n, s, c) -> the same"""
        for one, other in zip(self.first, self.second, strict=True):
            first, second = one(first, second), other(second, first)
        return first, second
