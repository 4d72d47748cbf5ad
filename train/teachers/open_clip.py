"""A folder as open_clip's `local-dir:` reads it: open_clip_config.json says what the weights do not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from train.blocks.clip import ClipSpec, TextSpec, VisionSpec

from .openai import clip_names
from .teacher import CLIP_MEAN, CLIP_STD, Given, Parts, image_statistics, three_numbers
from .weights import read_json

CONFIG = "open_clip_config.json"
WEIGHTS = (  # open_clip's order of preference
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
    "open_clip_pytorch_model.pt",
    "model.safetensors",
    "pytorch_model.bin",
    "pytorch_model.pth",
    "model.pth",
)

_RESIZE: dict[str, Literal["crop", "squash"]] = {"shortest": "crop", "squash": "squash"}

# Settings that change the arithmetic, with the value under which they do not.
_VISION_NEUTRAL: dict[str, object] = {
    "timm_model_name": None,
    "input_patchnorm": False,
    "attentional_pool": False,
    "global_average_pool": False,
    "no_ln_pre": False,
    "ls_init_value": None,
    "final_ln_after_pool": False,
    "pos_embed_type": "learnable",
    "pool_type": "tok",
    "act_kwargs": None,
    "block_type": None,
    "qk_norm": False,
    "scaled_cosine_attn": False,
    "scale_heads": False,
    "scale_attn_inner": False,
    "scale_attn": False,
    "scale_fc": False,
}
_TEXT_NEUTRAL = {
    name: _VISION_NEUTRAL[name] for name in _VISION_NEUTRAL if not name.startswith(("timm", "input", "pos", "pool", "no_ln"))
} | {
    "hf_model_name": None,
    "embed_cls": False,
    "proj_type": "linear",
    "proj_bias": False,
}


def read_open_clip(path: Path, config: Path, state: Mapping[str, Tensor], given: Given) -> Parts:
    """Weights with the configuration beside them."""
    content = read_json(config)
    model = content.get("model_cfg")
    if not isinstance(model, dict):
        raise ValueError(f"{config} holds no model_cfg; expected the file that open_clip saves beside its weights")
    try:
        spec = _spec(path, config, model, content.get("preprocess_cfg"), given)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{config} lacks {error} or holds it in an unknown form") from error
    if "logit_bias" in state:
        raise ValueError(f"{path} was trained with SigLIP's loss (it has a logit_bias); only CLIP's softmax models are read")
    return Parts(spec, clip_names(state), "open_clip folder")


def _spec(path: Path, config: Path, model: dict[str, Any], preprocess: object, given: Given) -> ClipSpec:
    activation: Literal["quick_gelu", "gelu"] = "quick_gelu" if model.get("quick_gelu") else "gelu"
    vision, text, dim = model["vision_cfg"], model["text_cfg"], int(model["embed_dim"])
    _refuse_unknown(config, "vision_cfg", vision, _VISION_NEUTRAL)
    _refuse_unknown(config, "text_cfg", text, _TEXT_NEUTRAL)
    mean, std, interpolation, resize = _preprocessing(path, config, preprocess, given)
    return ClipSpec(
        _vision(config, vision, dim, activation), _text(config, text, dim, activation), mean, std, interpolation, resize
    )


def _refuse_unknown(config: Path, part: str, settings: Mapping[str, object], neutral: Mapping[str, object]) -> None:
    for name, value in neutral.items():
        if settings.get(name) and settings[name] != value:
            raise ValueError(
                f"{config} has {part}.{name}={settings[name]!r}, an architecture that is not read; a plain CLIP has {value!r}"
            )


def _vision(config: Path, settings: dict[str, Any], dim: int, activation: Literal["quick_gelu", "gelu"]) -> VisionSpec:
    size, layers, width = settings.get("image_size", 224), settings.get("layers", 12), int(settings.get("width", 768))
    if isinstance(size, list):
        if len(set(size)) != 1:
            raise ValueError(f"{config} has image_size={size}; only square images are read")
        size = size[0]
    head = int(settings.get("head_width", 64))
    if isinstance(layers, list):
        return VisionSpec("resnet", int(size), width, tuple(int(count) for count in layers), width * 32 // head, dim)
    return VisionSpec(
        kind="vit",
        image_size=int(size),
        width=width,
        layers=int(layers),
        heads=width // head,
        embed_dim=dim,
        patch_size=int(settings.get("patch_size", 16)),
        activation=activation,
        norm_eps=_epsilon(settings),
        hidden=int(width * settings.get("mlp_ratio", 4.0)),
    )


def _text(config: Path, settings: dict[str, Any], dim: int, activation: Literal["quick_gelu", "gelu"]) -> TextSpec:
    width, pool = int(settings.get("width", 512)), settings.get("pool_type", "argmax")
    if pool not in ("argmax", "eos"):
        raise ValueError(f"{config} has text_cfg.pool_type={pool!r}; expected argmax or eos")
    return TextSpec(
        context=int(settings.get("context_length", 77)),
        vocabulary=int(settings.get("vocab_size", 49408)),
        width=width,
        heads=int(settings.get("heads", 8)),
        layers=int(settings.get("layers", 12)),
        embed_dim=dim,
        activation=activation,
        causal=not settings.get("no_causal_mask", False),
        end_token=int(settings.get("eos_id", 2)) if pool == "eos" else None,
        norm_eps=_epsilon(settings),
        hidden=int(width * settings.get("mlp_ratio", 4.0)),
    )


def _epsilon(settings: dict[str, Any]) -> float:
    return float((settings.get("norm_kwargs") or {}).get("eps", 1e-5))


def _preprocessing(
    path: Path, config: Path, settings: object, given: Given
) -> tuple[tuple[float, float, float], tuple[float, float, float], Literal["bicubic", "bilinear"], Literal["crop", "squash"]]:
    """open_clip's own defaults hold for entries that preprocess_cfg leaves out, not for a missing preprocess_cfg."""
    if not isinstance(settings, dict):
        return *image_statistics(path, given), "bicubic", "crop"
    interpolation, resize = settings.get("interpolation", "bicubic"), settings.get("resize_mode", "shortest")
    if interpolation not in ("bicubic", "bilinear") or resize not in ("shortest", "squash"):
        raise ValueError(
            f"{config} has interpolation={interpolation!r} and resize_mode={resize!r}; "
            "expected bicubic or bilinear, and shortest or squash"
        )
    return (
        three_numbers(config, settings.get("mean", CLIP_MEAN)),
        three_numbers(config, settings.get("std", CLIP_STD)),
        interpolation,
        _RESIZE[resize],
    )
