"""The teacher inside a model.pt of this project."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from train.blocks.clip import ClipSpec

from .teacher import Parts

_NEWEST = 1  # checkpoint format


def is_own(content: object) -> bool:
    """Whether a file's content is a checkpoint of this project."""
    return isinstance(content, Mapping) and all(name in content for name in ("format", "method", "config", "facts", "model"))


def read_own(path: Path, content: object) -> Parts:
    """The weights below `teacher.`, the architecture and the tokenizer from the facts."""
    assert isinstance(content, Mapping)
    form, facts, model = content["format"], content["facts"], content["model"]
    if not isinstance(form, int) or form > _NEWEST:
        raise ValueError(f"{path} has checkpoint format {form}; this version reads up to {_NEWEST}: install a newer one")
    about = facts.get("teacher") if isinstance(facts, Mapping) else None
    if not isinstance(about, Mapping) or not isinstance(about.get("spec"), Mapping) or not isinstance(model, Mapping):
        raise ValueError(f"{path} is a model.pt of {content['method']}, which holds no teacher; expected one of comkd_clip")
    weights = {
        name.removeprefix("teacher."): value
        for name, value in model.items()
        if isinstance(name, str) and isinstance(value, Tensor) and name.startswith("teacher.")
    }
    try:
        spec = ClipSpec.from_dict(about["spec"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} describes its teacher in an unknown form: {error}") from error
    tokenizer = facts.get("tokenizer")
    return Parts(spec, weights, f"{content['method']} model.pt", tokenizer if isinstance(tokenizer, str) else None)
