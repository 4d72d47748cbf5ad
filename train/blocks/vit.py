"""CLIP's two transformers, with prompts that enter their layers.

They are our own and not the transformers library's: prompts replace tokens between layers, and exported graphs must stay free
of what a library adds (masks, output classes, data-dependent checks). Parameter names follow OpenAI CLIP's state dict.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .clip_spec import TextSpec, VisionSpec
from .gather import BatchNorm2d


class QuickGELU(nn.Module):
    r"""$x \sigma(1.702 x)$, the activation of OpenAI's weights."""

    def forward(self, tokens: Tensor) -> Tensor:
        """(...) -> (...)"""
        return tokens * torch.sigmoid(1.702 * tokens)


def _activation(name: str) -> nn.Module:
    if name not in ("quick_gelu", "gelu"):
        raise ValueError(f"activation {name!r} was given; expected quick_gelu or gelu")
    return QuickGELU() if name == "quick_gelu" else nn.GELU()


def split_heads(tokens: Tensor, heads: int) -> Tensor:
    """(n, t, c) -> (n, heads, t, c/heads)"""
    return torch.unflatten(tokens, 2, (heads, -1)).transpose(1, 2)


class Attention(nn.Module):
    """Self-attention; query, key and value come from one matrix."""

    def __init__(self, width: int, heads: int, *, causal: bool) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise ValueError(f"a width of {width} cannot be split into {heads} heads; give a number of heads that divides it")
        self.heads, self.causal = heads, causal
        self.in_proj_weight = nn.Parameter(torch.randn(3 * width, width) * width**-0.5)
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(n, t, c) -> (n, t, c)"""
        joint = F.linear(tokens, self.in_proj_weight, self.in_proj_bias)  # (n, t, 3c)
        query, key, value = (split_heads(part, self.heads) for part in joint.chunk(3, 2))  # (n, heads, t, c/heads)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=self.causal)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class MLP(nn.Module):
    """Two linear layers with an activation between."""

    def __init__(self, width: int, hidden: int, activation: str) -> None:
        super().__init__()
        self.c_fc = nn.Linear(width, hidden)
        self.gelu = _activation(activation)
        self.c_proj = nn.Linear(hidden, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(n, t, c) -> (n, t, c)"""
        return self.c_proj(self.gelu(self.c_fc(tokens)))  # type: ignore[no-any-return]


class Block(nn.Module):
    """Attention and perceptron, each on the normalised tokens and added to them."""

    def __init__(self, width: int, heads: int, hidden: int, activation: str, norm_eps: float, *, causal: bool) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width, norm_eps)
        self.attn = Attention(width, heads, causal=causal)
        self.ln_2 = nn.LayerNorm(width, norm_eps)
        self.mlp = MLP(width, hidden or 4 * width, activation)

    def forward(self, tokens: Tensor) -> Tensor:
        """(n, t, c) -> (n, t, c)"""
        tokens = tokens + self.attn(self.ln_1(tokens))
        return tokens + self.mlp(self.ln_2(tokens))  # type: ignore[no-any-return]


class Transformer(nn.Module):
    """Blocks; before block i, if there is a prompt i > 0, `length` tokens from `first` on are replaced by it.

    Initialised as CLIP does: what is added to the residual stream shrinks with the depth.
    """

    def __init__(self, layers: int, blocks: nn.ModuleList) -> None:
        super().__init__()
        self.resblocks = blocks
        for block in blocks:
            assert isinstance(block, Block)
            width = block.ln_1.normalized_shape[0]
            added = (2 * width * layers) ** -0.5
            nn.init.normal_(block.attn.out_proj.weight, std=added)
            nn.init.normal_(block.mlp.c_fc.weight, std=(2 * width) ** -0.5)
            nn.init.normal_(block.mlp.c_proj.weight, std=added)
            for layer in (block.attn.out_proj, block.mlp.c_fc, block.mlp.c_proj):
                nn.init.zeros_(layer.bias)

    def forward(self, tokens: Tensor, prompts: Tensor | None, first: int) -> Tensor:
        """(n, t, c), (depth, length, c) -> (n, t, c)"""
        for index, block in enumerate(self.resblocks):
            if prompts is not None and 0 < index < prompts.shape[0]:
                tokens = _replace(tokens, prompts[index], first)
            tokens = block(tokens)
        return tokens


def _replace(tokens: Tensor, prompt: Tensor, first: int) -> Tensor:
    """(n, t, c), (length, c) -> (n, t, c) whose tokens first, first+1, ... are the prompt"""
    rows = prompt.expand(tokens.shape[0], -1, -1).to(tokens.dtype)  # (n, length, c)
    return torch.cat([tokens[:, :first], rows, tokens[:, first + prompt.shape[0] :]], 1)


def _transformer(spec: VisionSpec | TextSpec, *, causal: bool) -> Transformer:
    layers = spec.layers
    assert isinstance(layers, int)
    blocks = [Block(spec.width, spec.heads, spec.hidden, spec.activation, spec.norm_eps, causal=causal) for _ in range(layers)]
    return Transformer(layers, nn.ModuleList(blocks))


def _prompts(length: int, depth: int, layers: int, width: int) -> nn.Parameter | None:
    if not 0 <= depth <= layers or length < 0:
        raise ValueError(
            f"prompts of length {length} and depth {depth} were given; expected a depth of 0 to {layers}, the number of layers"
        )
    return nn.Parameter(0.02 * torch.randn(depth, length, width)) if length and depth else None


class Stage(nn.Module):
    """Halve the side by a convolution, then one residual block."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(channels, width, 3, 2, 1, bias=False), BatchNorm2d(width), nn.ReLU())
        self.residual = nn.Sequential(
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            BatchNorm2d(width),
        )
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, image: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, width, h/2, w/2)"""
        maps = self.down(image)
        return F.relu(maps + self.residual(maps))


def _stem(spec: VisionSpec) -> nn.Module:
    """(n, 3, h, w) -> (n, width, h/patch_size, w/patch_size)"""
    if not spec.patch_size or spec.image_size % spec.patch_size:
        raise ValueError(f"patch_size={spec.patch_size} was given for images of {spec.image_size} pixels; it must divide them")
    if not spec.stem:
        return nn.Conv2d(3, spec.width, spec.patch_size, spec.patch_size, bias=False)
    if spec.patch_size != 2 ** len(spec.stem):
        stages = len(spec.stem)
        raise ValueError(
            f"a stem of {stages} stages divides the side by {2**stages}, but patch_size={spec.patch_size}; make them agree"
        )
    channels = (3, *spec.stem)
    stages_ = [Stage(before, after) for before, after in zip(channels, spec.stem, strict=False)]
    return nn.Sequential(*stages_, nn.Conv2d(spec.stem[-1], spec.width, 1))


class ImageTower(nn.Module):
    """CLIP's vision transformer: the class token after the last layer, projected.

    Prompts (PromptSRC's): `prompts` (depth, length, width). The first follows the patch tokens, after the positions were added
    and before `ln_pre`; before layers 1 to depth-1 the last `length` tokens are replaced by that layer's own.
    """

    def __init__(self, spec: VisionSpec, prompt_length: int = 0, prompt_depth: int = 0) -> None:
        super().__init__()
        if spec.kind != "vit" or not isinstance(spec.layers, int):
            raise ValueError(
                f"kind {spec.kind!r} with layers={spec.layers} was given; an ImageTower has kind 'vit' and one number of layers"
            )
        self.spec = spec
        scale = spec.width**-0.5
        self.conv1 = _stem(spec)
        self.class_embedding = nn.Parameter(scale * torch.randn(spec.width))
        self.positional_embedding = nn.Parameter(scale * torch.randn((spec.image_size // spec.patch_size) ** 2 + 1, spec.width))
        self.ln_pre = nn.LayerNorm(spec.width, spec.norm_eps)
        self.transformer = _transformer(spec, causal=False)
        self.ln_post = nn.LayerNorm(spec.width, spec.norm_eps)
        self.proj = nn.Parameter(scale * torch.randn(spec.width, spec.embed_dim))
        self.prompts = _prompts(prompt_length, prompt_depth, spec.layers, spec.width)

    def forward(self, image: Tensor, prompted: bool = True) -> Tensor:
        """Features, not of unit length: normalised pixels (n, 3, h, w) -> (n, embed_dim)"""
        patches = self.conv1(image).flatten(2).transpose(1, 2)  # (n, t, width)
        start = self.class_embedding.to(patches.dtype).expand(patches.shape[0], 1, -1)  # (n, 1, width)
        tokens = torch.cat([start, patches], 1) + self.positional_embedding  # (n, 1+t, width)
        prompts = self.prompts if prompted else None
        first = tokens.shape[1]
        if prompts is not None:
            rows = prompts[0].expand(patches.shape[0], -1, -1).to(tokens.dtype)  # (n, length, width)
            tokens = torch.cat([tokens, rows], 1)  # (n, 1+t+length, width)
        tokens = self.transformer(self.ln_pre(tokens), prompts, first)
        return self.ln_post(tokens[:, 0]) @ self.proj  # type: ignore[no-any-return]


class TextTower(nn.Module):
    """CLIP's text transformer: the end token after the last layer, projected.

    Prompts (PromptSRC's): `prompts` (depth, length, width). The first takes the place of the embeddings of tokens 1 to length,
    positions are added as to any token; before layers 1 to depth-1 the same places are replaced by that layer's own. So the
    texts should begin with `length` tokens that may be lost ("a photo of a").
    """

    def __init__(self, spec: TextSpec, prompt_length: int = 0, prompt_depth: int = 0) -> None:
        super().__init__()
        if prompt_length + 2 > spec.context:
            raise ValueError(
                f"prompts of length {prompt_length} were given; a context of {spec.context} has room for {spec.context - 2}"
            )
        self.spec = spec
        self.token_embedding = nn.Embedding(spec.vocabulary, spec.width)
        self.positional_embedding = nn.Parameter(0.01 * torch.randn(spec.context, spec.width))
        self.transformer = _transformer(spec, causal=spec.causal)
        self.ln_final = nn.LayerNorm(spec.width, spec.norm_eps)
        self.text_projection = nn.Parameter(spec.width**-0.5 * torch.randn(spec.width, spec.embed_dim))
        self.prompts = _prompts(prompt_length, prompt_depth, spec.layers, spec.width)
        nn.init.normal_(self.token_embedding.weight, std=0.02)

    def end(self, ids: Tensor) -> Tensor:
        """Where the feature is read: (k, context) -> (k,)"""
        if self.spec.end_token is None:
            return ids.argmax(1)
        return (ids == self.spec.end_token).int().argmax(1)

    def forward(self, ids: Tensor, prompted: bool = True) -> Tensor:
        """Features, not of unit length: int64 (k, context) -> (k, embed_dim)"""
        prompts = self.prompts if prompted else None
        tokens = self.token_embedding(ids)  # (k, t, width)
        if prompts is not None:
            tokens = _replace(tokens, prompts[0], 1)
        tokens = self.transformer(tokens + self.positional_embedding, prompts, 1)
        place = self.end(ids)[:, None, None].expand(-1, 1, tokens.shape[2])  # (k, 1, width)
        return self.ln_final(tokens.gather(1, place)[:, 0]) @ self.text_projection  # type: ignore[no-any-return]

    @torch.no_grad()
    def init_prompts(self, ids: Tensor) -> None:
        """Start the first layer's prompt from the words of one text, (1, context); a shorter text fills its part only."""
        assert self.prompts is not None
        words = ids[0, 1 : int(self.end(ids)[0])][: self.prompts.shape[1]]
        self.prompts[0, : len(words)] = self.token_embedding(words)


def resize_positions(positions: Tensor, side: int) -> Tensor:
    """Positions of a square grid for another one, bicubic with antialiasing as in open_clip; the class token's stays.

    Args:
        positions: (1 + s*s, c), the class token's first.
        side: of the new grid, in patches.

    Returns:
        (1 + side*side, c)
    """
    old = round((positions.shape[0] - 1) ** 0.5)
    if old * old + 1 != positions.shape[0]:
        raise ValueError(f"{positions.shape[0]} positions are not a class token and a square grid; they cannot be interpolated")
    if old == side:
        return positions
    grid = positions[1:].float().T.reshape(1, -1, old, old)  # (1, c, s, s)
    grid = F.interpolate(grid, (side, side), mode="bicubic", antialias=True, align_corners=False)
    return torch.cat([positions[:1], grid[0].flatten(1).T.to(positions.dtype)])
