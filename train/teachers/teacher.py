"""What every reader returns, and the last step they share: the weights must be exactly those that the architecture has."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from train.blocks.clip import Clip, ClipSpec
from train.blocks.vit import resize_positions

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)  # OpenAI's, of pixels in 0..1
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclasses.dataclass(frozen=True)
class Given:
    """What the user says of a file; None where the file is to say it."""

    activation: str | None = None
    image_size: int | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    tokenizer: Path | None = None
    base: Path | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Teacher:
    """A CLIP as read.

    Args:
        state: float32, for `Clip.load_state_dict`.
        tokenizer: the JSON text of the tokenizers library; None where none was found.
        format: of the file, in words.
        sha256: of the content of all weight files.
        prompt_length, prompt_depth: of the image tower's learned prompts; 0 without.
        text_prompt_length, text_prompt_depth: of the text tower's.
    """

    spec: ClipSpec
    state: dict[str, Tensor]
    tokenizer: str | None
    format: str
    sha256: str
    prompt_length: int = 0
    prompt_depth: int = 0
    text_prompt_length: int = 0
    text_prompt_depth: int = 0


@dataclasses.dataclass(frozen=True, eq=False)
class Parts:
    """What a format's reader finds: architecture, weights in `Clip`'s names, and the name of the format."""

    spec: ClipSpec
    state: Mapping[str, Tensor]
    format: str
    tokenizer: str | None = None
    digests: tuple[str, ...] = ()  # of further weight files


def image_statistics(
    path: Path, given: Given, missing: Mapping[str, str] | None = None
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and standard deviation where no file says them.

    Args:
        missing: what else is not said, field -> what to give.

    Raises:
        ValueError: asks for all that is missing.
    """
    missing = dict(missing or {})
    for name, value, usual in (("mean", given.mean, CLIP_MEAN), ("std", given.std, CLIP_STD)):
        if value is None:
            missing[f"teacher_{name}"] = f"the {name} of its preprocessing (OpenAI CLIP's is {','.join(map(str, usual))})"
    if missing:
        fields = "; ".join(f"{name}={values}" for name, values in missing.items())
        raise ValueError(f"{path} does not say everything that is needed to run it. Give {fields}")
    assert given.mean is not None and given.std is not None
    return given.mean, given.std


def three_numbers(config: Path, values: object) -> tuple[float, float, float]:
    """Three numbers, of the channels."""
    if isinstance(values, int | float):
        values = (values,) * 3
    if not isinstance(values, list | tuple) or len(values) != 3 or not all(isinstance(value, int | float) for value in values):
        raise ValueError(f"{config} has mean or std {values!r}; expected three numbers")
    return (float(values[0]), float(values[1]), float(values[2]))


def assemble(path: Path, parts: Parts, given: Given, sha256: str) -> Teacher:
    """Apply what was given, check every weight's name and shape, and make them float32.

    Raises:
        ValueError: weights are missing, left over, of a wrong shape or not finite; what was given contradicts the file.
    """
    spec, state = _apply(path, parts, given)
    image, text = (state.get(f"{tower}.prompts") for tower in ("image", "text"))
    lengths = [0 if prompts is None else prompts.shape[1] for prompts in (image, text)]
    depths = [0 if prompts is None else prompts.shape[0] for prompts in (image, text)]
    expected = _expected(path, spec, state, (lengths[0], depths[0], lengths[1], depths[1]))
    for name, value in expected.items():  # old files lack batch counters, which nothing reads
        if name.endswith("num_batches_tracked"):
            state.setdefault(name, torch.zeros((), dtype=value.dtype))
    _check_names(path, parts.format, state, expected)
    converted = {}
    for name, value in expected.items():
        tensor = state[name].to(value.dtype).contiguous()
        if not torch.isfinite(tensor).all():
            raise ValueError(
                f"{path} ({parts.format}) holds a weight that is not finite, {name}; the file is damaged or its training diverged"
            )
        converted[name] = tensor
    return Teacher(spec, converted, parts.tokenizer, parts.format, sha256, lengths[0], depths[0], lengths[1], depths[1])


def _apply(path: Path, parts: Parts, given: Given) -> tuple[ClipSpec, dict[str, Tensor]]:
    spec, state = parts.spec, dict(parts.state)
    if given.activation and given.activation != spec.vision.activation:
        raise ValueError(
            f"teacher_activation={given.activation} was given, but {path} ({parts.format}) "
            f"says {spec.vision.activation}; leave it out"
        )
    if given.image_size and given.image_size != spec.vision.image_size:
        vision = dataclasses.replace(spec.vision, image_size=given.image_size)
        patch = 32 if vision.kind == "resnet" else vision.patch_size
        if given.image_size % patch:
            raise ValueError(f"teacher_image_size={given.image_size} was given; {path} needs a multiple of {patch}")
        name = "image.attnpool.positional_embedding" if vision.kind == "resnet" else "image.positional_embedding"
        if name in state:
            state[name] = resize_positions(state[name], given.image_size // patch)
        spec = dataclasses.replace(spec, vision=vision)
    return dataclasses.replace(spec, mean=given.mean or spec.mean, std=given.std or spec.std), state


def _expected(path: Path, spec: ClipSpec, state: Mapping[str, Tensor], prompts: tuple[int, int, int, int]) -> dict[str, Tensor]:
    """The architecture's weights, without memory; a hostile configuration must not build more layers than there are weights."""
    layers = spec.vision.layers
    try:
        if spec.text.layers + (sum(layers) if isinstance(layers, tuple) else layers) > len(state):
            raise ValueError("more layers than weights")
        with torch.device("meta"):
            return Clip(spec, *prompts).state_dict()
    except (RuntimeError, TypeError, ZeroDivisionError, OverflowError, ValueError) as error:
        raise ValueError(f"the architecture described with {path} cannot be built: {error}") from error


def _check_names(path: Path, form: str, state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    missing, extra = sorted(set(expected) - set(state)), sorted(set(state) - set(expected))
    if missing or extra:
        raise ValueError(
            f"{path} ({form}) does not hold the weights of the architecture that it describes: "
            f"{len(missing)} missing ({_some(missing)}), {len(extra)} unknown ({_some(extra)})"
        )
    for name, value in expected.items():
        if state[name].shape != value.shape:
            raise ValueError(
                f"{path} ({form}) holds {name} of shape {tuple(state[name].shape)}; its architecture has {tuple(value.shape)}"
            )


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") if names else "none"
