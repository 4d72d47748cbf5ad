"""A folder as transformers' CLIPModel saves it."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from train.blocks.clip import ClipSpec, TextSpec, VisionSpec

from .openai import checked_activation
from .teacher import Given, Parts, image_statistics, three_numbers
from .weights import read_json, shards

CONFIG = "config.json"
_INDICES = {"model.safetensors": "model.safetensors.index.json", "pytorch_model.bin": "pytorch_model.bin.index.json"}
_PREPROCESSORS = ("preprocessor_config.json", "processor_config.json")

# Sub-configurations are saved without what equals transformers' defaults.
_VISION = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 32,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
    "num_channels": 3,
}
_TEXT = {
    "vocab_size": 49408,
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "max_position_embeddings": 77,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
    "eos_token_id": 49407,
}
_RENAMED = (
    (r"^vision_model\.embeddings\.class_embedding$", "image.class_embedding"),
    (r"^vision_model\.embeddings\.patch_embedding\.", "image.conv1."),
    (r"^vision_model\.embeddings\.position_embedding\.weight$", "image.positional_embedding"),
    (r"^vision_model\.pre_layrnorm\.", "image.ln_pre."),  # sic
    (r"^vision_model\.post_layernorm\.", "image.ln_post."),
    (r"^text_model\.embeddings\.token_embedding\.", "text.token_embedding."),
    (r"^text_model\.embeddings\.position_embedding\.weight$", "text.positional_embedding"),
    (r"^text_model\.final_layer_norm\.", "text.ln_final."),
    (r"^vision_model\.encoder\.layers\.", "image.transformer.resblocks."),
    (r"^text_model\.encoder\.layers\.", "text.transformer.resblocks."),
    (r"\.self_attn\.out_proj\.", ".attn.out_proj."),
    (r"\.layer_norm1\.", ".ln_1."),
    (r"\.layer_norm2\.", ".ln_2."),
    (r"\.mlp\.fc1\.", ".mlp.c_fc."),
    (r"\.mlp\.fc2\.", ".mlp.c_proj."),
)


def weight_files(folder: Path) -> list[Path]:
    """Safetensors before bin, whole before sharded; empty where there are none."""
    for whole, index in _INDICES.items():
        if (folder / whole).is_file():
            return [folder / whole]
        if (folder / index).is_file():
            return shards(folder / index)
    return []


def is_hugging_face_names(state: Mapping[str, Tensor]) -> bool:
    """Whether a state dict has the names of transformers' CLIPModel."""
    return any(name.startswith("vision_model.") for name in state)


def read_hugging_face(folder: Path, state: Mapping[str, Tensor], given: Given) -> Parts:
    """Weights with config.json and the preprocessor's configuration."""
    config = folder / CONFIG
    content = read_json(config)
    if content.get("model_type") != "clip":
        raise ValueError(f"{config} is of model_type {content.get('model_type')!r}; expected clip")
    try:
        spec = _spec(folder, content, given)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{config} lacks {error} or holds it in an unknown form") from error
    return Parts(spec, _our_names(state), "Hugging Face CLIPModel folder")


def _spec(folder: Path, content: dict[str, Any], given: Given) -> ClipSpec:
    vision = _VISION | (content.get("vision_config") or content.get("vision_config_dict") or {})
    text = _TEXT | (content.get("text_config") or content.get("text_config_dict") or {})
    dim = int(content.get("projection_dim", 512))
    if vision["num_channels"] != 3:
        raise ValueError(f"{folder / CONFIG} has num_channels={vision['num_channels']}; expected 3")
    end = text["eos_token_id"]
    mean, std, interpolation, resize = _preprocessing(folder, int(vision["image_size"]), given)
    return ClipSpec(
        VisionSpec(
            kind="vit",
            image_size=int(vision["image_size"]),
            width=int(vision["hidden_size"]),
            layers=int(vision["num_hidden_layers"]),
            heads=int(vision["num_attention_heads"]),
            embed_dim=dim,
            patch_size=int(vision["patch_size"]),
            activation=checked_activation(vision["hidden_act"]),
            norm_eps=float(vision["layer_norm_eps"]),
            hidden=int(vision["intermediate_size"]),
        ),
        TextSpec(
            context=int(text["max_position_embeddings"]),
            vocabulary=int(text["vocab_size"]),
            width=int(text["hidden_size"]),
            heads=int(text["num_attention_heads"]),
            layers=int(text["num_hidden_layers"]),
            embed_dim=dim,
            activation=checked_activation(text["hidden_act"]),
            end_token=None if end == 2 else int(end),  # old files say 2 and mean the largest id
            norm_eps=float(text["layer_norm_eps"]),
            hidden=int(text["intermediate_size"]),
        ),
        mean,
        std,
        interpolation,
        resize,
    )


def _preprocessing(
    folder: Path, image_size: int, given: Given
) -> tuple[tuple[float, float, float], tuple[float, float, float], Literal["bicubic", "bilinear"], Literal["crop", "squash"]]:
    config = next((folder / name for name in _PREPROCESSORS if (folder / name).is_file()), None)
    if config is None:
        return *image_statistics(folder, given), "bicubic", "crop"
    settings: dict[str, Any] = read_json(config)
    settings = settings.get("image_processor") or settings
    if settings.get("do_normalize", True):
        missing = [name for name in ("image_mean", "image_std") if name not in settings]
        if missing:
            raise ValueError(
                f"{config} lacks {' and '.join(missing)}; give them as teacher_mean= and teacher_std=, and remove the file"
            )
        mean, std = three_numbers(config, settings["image_mean"]), three_numbers(config, settings["image_std"])
    else:
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if abs(settings.get("rescale_factor", 1 / 255) * 255 - 1) > 1e-3 or not settings.get("do_rescale", True):
        raise ValueError(f"{config} has rescale_factor={settings.get('rescale_factor')}; expected pixels scaled by 1/255")
    resample = settings.get("resample", 3)
    if resample not in (2, 3):
        raise ValueError(f"{config} has resample={resample}; expected 3 (bicubic) or 2 (bilinear)")
    return mean, std, "bicubic" if resample == 3 else "bilinear", _resize(config, settings, image_size)


def _resize(config: Path, settings: dict[str, Any], image_size: int) -> Literal["crop", "squash"]:
    size = settings.get("size", image_size)
    if isinstance(size, dict) and "height" in size:
        return "squash"
    shorter = size.get("shortest_edge", image_size) if isinstance(size, dict) else size
    if shorter != image_size and settings.get("do_center_crop", True):
        logging.getLogger(__name__).warning(
            "%s resizes the shorter side to %s pixels and crops %s; here it is resized to %s before the crop",
            config,
            shorter,
            image_size,
            image_size,
        )
    return "crop"


def _our_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our names; query, key and value joined, projections transposed."""
    renamed: dict[str, Tensor] = {}
    for name, value in state.items():
        if name.endswith("position_ids"):  # a constant in old files
            continue
        for pattern, replacement in _RENAMED:
            name = re.sub(pattern, replacement, name)
        renamed[name] = value
    for ours, theirs in (("image.proj", "visual_projection.weight"), ("text.text_projection", "text_projection.weight")):
        if theirs in renamed:
            renamed[ours] = renamed.pop(theirs).T
    for name in [name for name in renamed if ".self_attn.q_proj." in name]:
        parts = [name.replace(".q_proj.", f".{part}_proj.") for part in "qkv"]
        if all(part in renamed for part in parts):
            block, _, kind = name.partition(".self_attn.q_proj.")
            renamed[f"{block}.attn.in_proj_{kind}"] = torch.cat([renamed.pop(part) for part in parts])
    return renamed
