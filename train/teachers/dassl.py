"""Checkpoints of PromptSRC and of PromptKD's teacher, as their trainer Dassl saves them.

They hold both prompted towers of an OpenAI CLIP, but not its token embedding: class names were embedded once and for all. To
name new classes the original CLIP is needed too (`base`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from .openai import infer
from .teacher import CLIP_MEAN, CLIP_STD, Given, Parts, Teacher

_DROPPED = ("prompt_learner.ZS_image_encoder.", "prompt_learner.token_prefix", "prompt_learner.token_suffix", "VPT_image_trans.")
_TOKENS = "text.token_embedding.weight"
FORMAT = "PromptSRC checkpoint (Dassl)"


def is_dassl(state: Mapping[str, Tensor]) -> bool:
    """Whether a state dict is that of a prompt-learning CustomCLIP."""
    return any(name.startswith(("prompt_learner.", "image_encoder.")) for name in state)


def read_dassl(path: Path, state: Mapping[str, Tensor], given: Given, base: Teacher | None) -> Parts:
    """The towers with their prompts.

    Args:
        base: the CLIP that was prompted, for its token embedding and tokenizer.
    """
    if not any(name.startswith("image_encoder.") for name in state):
        raise ValueError(
            f"{path} holds a prompt learner only (first key {next(iter(state))}), not the towers; expected a PromptSRC checkpoint"
        )
    if not any(name.startswith("text_encoder.") for name in state):
        raise ValueError(f"{path} holds no text tower: it is a PromptKD student; expected the teacher that it learned from")
    weights = _our_names(state)
    if _TOKENS not in weights:
        if base is None:
            raise ValueError(
                f"{path} ({FORMAT}) holds no token embedding, so that no class can be named; "
                "give teacher_base=PATH of the CLIP that was prompted (OpenAI's ViT-L-14.pt or ViT-B-16.pt)"
            )
        weights[_TOKENS] = _tokens_of(path, weights, base)
    image, text = _prompts(path, weights, "image"), _prompts(path, weights, "text")
    spec = infer(path, weights, "quick_gelu", CLIP_MEAN, CLIP_STD)  # Dassl's CLIP is OpenAI's
    weights |= {name: prompts for name, prompts in (("image.prompts", image), ("text.prompts", text)) if prompts is not None}
    if base is not None:
        spec = dataclasses.replace(spec, mean=base.spec.mean, std=base.spec.std)
    return Parts(spec, weights, FORMAT, base.tokenizer if base else None, (base.sha256,) if base else ())


def _our_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    renamed = {}
    for name, value in state.items():
        if name.startswith(_DROPPED):
            continue
        name = {"prompt_learner.ctx": "text.VPT", "prompt_learner.token_embedding.weight": _TOKENS}.get(name, name)
        for theirs, ours in (("image_encoder.", "image."), ("text_encoder.", "text.")):
            if name.startswith(theirs):
                name = ours + name.removeprefix(theirs)
        renamed[name] = value
    return renamed


def _prompts(path: Path, weights: dict[str, Tensor], tower: str) -> Tensor | None:
    """Take a tower's prompts out: (depth, length, width), or None."""
    first = weights.pop(f"{tower}.VPT", None)
    if first is None:
        return None
    found = [first]
    while (deeper := weights.pop(f"{tower}.transformer.resblocks.{len(found)}.VPT_shallow", None)) is not None:
        found.append(deeper)
    if any(prompt.shape != first.shape or prompt.ndim != 2 for prompt in found):
        shapes = sorted({tuple(prompt.shape) for prompt in found})
        raise ValueError(f"{path} holds prompts of the shapes {shapes} in its {tower} tower; expected one shape (length, width)")
    return torch.stack([prompt.float() for prompt in found])


def _tokens_of(path: Path, weights: Mapping[str, Tensor], base: Teacher) -> Tensor:
    """The base's token embedding, if it is the base of these towers: the text tower is frozen in prompt learning."""
    name = "text.transformer.resblocks.0.attn.in_proj_weight"
    ours, theirs = weights.get(name), base.state[name]
    if ours is None or ours.shape != theirs.shape or torch.cosine_similarity(ours.float().flatten(), theirs.flatten(), 0) < 0.99:
        raise ValueError(f"teacher_base is not the CLIP that was prompted in {path}: their text towers differ; give that one")
    return base.state[_TOKENS]
