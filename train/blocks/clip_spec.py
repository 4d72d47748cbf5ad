"""The architecture of a CLIP as plain values: what a checkpoint must say besides its weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal


@dataclasses.dataclass(frozen=True)
class VisionSpec:
    """An image tower.

    Args:
        kind: "vit", or "resnet" for CLIP's ModifiedResNet.
        image_size: pixels, of a square.
        layers: transformer layers; of a resnet the blocks of its four stages.
        heads: of a resnet those of its attention pooling.
        embed_dim: d, of the joint space.
        patch_size: pixels; 0 for a resnet.
        stem: widths of stride-2 convolutional stages in place of the patch embedding; empty: the patch embedding.
        hidden: width of the perceptrons; 0: four times `width`.
    """

    kind: Literal["vit", "resnet"]
    image_size: int
    width: int
    layers: int | tuple[int, ...]
    heads: int
    embed_dim: int
    patch_size: int = 0
    activation: Literal["quick_gelu", "gelu"] = "quick_gelu"
    stem: tuple[int, ...] = ()
    norm_eps: float = 1e-5
    hidden: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and checkpoints."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> VisionSpec:
        """The inverse of `to_dict`; lists become tuples."""
        return cls(**_fields(cls, values))


@dataclasses.dataclass(frozen=True)
class TextSpec:
    """A text tower.

    Args:
        context: tokens of a text, start, end and padding included.
        vocabulary: number of tokens.
        embed_dim: d, of the joint space.
        causal: a token sees only those before it.
        end_token: the feature is read at the first token of this id; None: at the largest id (CLIP's rule).
        hidden: width of the perceptrons; 0: four times `width`.
    """

    context: int
    vocabulary: int
    width: int
    heads: int
    layers: int
    embed_dim: int
    activation: Literal["quick_gelu", "gelu"] = "quick_gelu"
    causal: bool = True
    end_token: int | None = None
    norm_eps: float = 1e-5
    hidden: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and checkpoints."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TextSpec:
        """The inverse of `to_dict`."""
        return cls(**_fields(cls, values))


@dataclasses.dataclass(frozen=True)
class ClipSpec:
    """Both towers and the preprocessing that belongs to them.

    Args:
        mean, std: of the three channels, for pixels in 0..1.
        resize: "crop" brings the shorter side to `image_size` and crops the centre, "squash" resizes both sides.
    """

    vision: VisionSpec
    text: TextSpec
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    resize: Literal["crop", "squash"] = "crop"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and checkpoints."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ClipSpec:
        """The inverse of `to_dict`; lists become tuples."""
        fields = _fields(cls, values)
        fields["vision"] = VisionSpec.from_dict(fields["vision"])
        fields["text"] = TextSpec.from_dict(fields["text"])
        return cls(**fields)


def _fields(cls: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Lists as tuples; names checked."""
    known = {field.name: field.default is dataclasses.MISSING for field in dataclasses.fields(cls)}
    unknown = sorted(set(values) - set(known))
    missing = [name for name, required in known.items() if required and name not in values]
    if unknown or missing:
        raise ValueError(
            f"a {cls.__name__} has the fields {', '.join(known)}; unknown: {unknown or 'none'}, missing: {missing or 'none'}"
        )
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
