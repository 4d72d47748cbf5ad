"""Weights with OpenAI CLIP's names: the architecture is read off their shapes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from torch import Tensor

from train.blocks.clip import ClipSpec, TextSpec, VisionSpec, from_openai_names

from .teacher import CLIP_MEAN, CLIP_STD, Given, Parts, image_statistics

SCALARS = ("input_resolution", "context_length", "vocab_size")  # only OpenAI's own files hold them
_DROPPED = (*SCALARS, "attn_mask")
_WIDEST = 1024  # beyond it open_clip's heads are not 64 wide, and a state dict does not tell
Activation = Literal["quick_gelu", "gelu"]


def is_openai_names(state: Mapping[str, Tensor]) -> bool:
    """Whether a state dict has the names of OpenAI's and open_clip's CLIP."""
    return any(name.startswith("visual.") for name in state) and any(name.endswith("token_embedding.weight") for name in state)


def read_openai(path: Path, state: Mapping[str, Tensor], given: Given, *, archive: bool) -> Parts:
    """OpenAI's TorchScript archive or state dict, or open_clip's bare state dict, which lacks what must then be given."""
    if archive or all(name in state for name in SCALARS):
        activation, mean, std = "quick_gelu", given.mean or CLIP_MEAN, given.std or CLIP_STD
        form = "OpenAI CLIP, TorchScript archive" if archive else "OpenAI CLIP state dict"
    else:
        unsaid = "quick_gelu or gelu (OpenAI's weights and open_clip's models named -quickgelu have quick_gelu)"
        mean, std = image_statistics(path, given, {} if given.activation else {"teacher_activation": unsaid})
        activation, form = given.activation or "", "open_clip state dict"
    weights = clip_names(state)
    return Parts(infer(path, weights, checked_activation(activation), mean, std), weights, form)


def checked_activation(activation: str) -> Activation:
    """One of the two activations that CLIPs have."""
    if activation == "quick_gelu":
        return "quick_gelu"
    if activation == "gelu":
        return "gelu"
    raise ValueError(f"the activation {activation!r} was given; expected quick_gelu or gelu")


def clip_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our names, without the entries that are no weights."""
    return from_openai_names({name: value for name, value in state.items() if name.rpartition(".")[2] not in _DROPPED})


def infer(
    path: Path,
    weights: Mapping[str, Tensor],
    activation: Activation,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
) -> ClipSpec:
    """The architecture from the shapes of weights in our names; heads are 64 wide, as in all of OpenAI's models."""
    try:
        vision = _resnet(weights) if "image.layer1.0.conv1.weight" in weights else _vit(weights, activation)
        context, text_width = weights["text.positional_embedding"].shape
        text = TextSpec(
            context=context,
            vocabulary=weights["text.token_embedding.weight"].shape[0],
            width=text_width,
            heads=_heads(text_width),
            layers=_count(weights, "text.transformer.resblocks."),
            embed_dim=weights["text.text_projection"].shape[1],
            activation=activation,
            hidden=weights["text.transformer.resblocks.0.mlp.c_fc.weight"].shape[0],
        )
    except KeyError as error:
        raise ValueError(f"{path} lacks the weight {error}; it is not a whole CLIP of OpenAI's architecture") from error
    except (IndexError, ValueError) as error:
        raise ValueError(
            f"the architecture cannot be read off the weights in {path}: {error}; give the folder with its configuration"
        ) from error
    return ClipSpec(vision, text, mean, std)


def _vit(weights: Mapping[str, Tensor], activation: Activation) -> VisionSpec:
    width, _, patch, _ = weights["image.conv1.weight"].shape
    return VisionSpec(
        kind="vit",
        image_size=_side(weights["image.positional_embedding"]) * patch,
        width=width,
        layers=_count(weights, "image.transformer.resblocks."),
        heads=_heads(width),
        embed_dim=weights["image.proj"].shape[1],
        patch_size=patch,
        activation=activation,
        hidden=weights["image.transformer.resblocks.0.mlp.c_fc.weight"].shape[0],
    )


def _resnet(weights: Mapping[str, Tensor]) -> VisionSpec:
    width = weights["image.layer1.0.conv1.weight"].shape[0]
    return VisionSpec(
        kind="resnet",
        image_size=_side(weights["image.attnpool.positional_embedding"]) * 32,
        width=width,
        layers=tuple(_count(weights, f"image.layer{stage}.") for stage in range(1, 5)),
        heads=_heads(width * 32, math.inf),
        embed_dim=weights["image.attnpool.c_proj.weight"].shape[0],
    )


def _heads(width: int, widest: float = _WIDEST) -> int:
    if width % 64 or width > widest:
        raise ValueError(f"the number of heads of a tower {width} wide is not known")
    return width // 64


def _side(positions: Tensor) -> int:
    side = math.isqrt(positions.shape[0] - 1)
    if side * side + 1 != positions.shape[0] or not side:
        raise ValueError(f"{positions.shape[0]} positions are no class token and square grid")
    return side


def _count(weights: Mapping[str, Tensor], prefix: str) -> int:
    """Number of blocks below a prefix."""
    found = {name.removeprefix(prefix).partition(".")[0] for name in weights if name.startswith(prefix)}
    if not found:
        raise KeyError(f"{prefix}0")
    return len(found)
