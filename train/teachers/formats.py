"""Tell the formats of CLIPs apart and read each."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from . import hugging_face, open_clip
from .dassl import is_dassl, read_dassl
from .hugging_face import is_hugging_face_names, read_hugging_face
from .open_clip import read_open_clip
from .openai import is_openai_names, read_openai
from .own import is_own, read_own
from .teacher import Given, Parts, Teacher, assemble
from .tokenizer import Tokenizer, beside, find, installed
from .weights import digest, open_weights, state_of

_READ = (
    "OpenAI's CLIP (.pt), open_clip's state dict or folder with open_clip_config.json, a Hugging Face CLIPModel folder, "
    "a PromptSRC or PromptKD teacher's checkpoint, and a model.pt of this project"
)


def load(
    path: Path,
    *,
    activation: str | None = None,
    image_size: int | None = None,
    mean: tuple[float, float, float] | None = None,
    std: tuple[float, float, float] | None = None,
    tokenizer: Path | None = None,
    base: Path | None = None,
) -> Teacher:
    """Read a CLIP of any known format; no code in it can run.

    Args:
        path: file or folder.
        activation: "quick_gelu" or "gelu", where the file does not say.
        image_size: another one than the file's; the positions are interpolated.
        mean, std: of the preprocessing, where the file does not say, or instead of what it says.
        tokenizer: CLIP's vocabulary, where the file has none beside it (train.teachers.tokenizer.find).
        base: the CLIP that a PromptSRC checkpoint has prompted, for its token embedding.

    Raises:
        FileNotFoundError: there is nothing at `path`.
        ValueError: the format is unknown, the file is damaged, or something it does not say was not given.
    """
    given = Given(activation, image_size, mean, std, tokenizer, base)
    if not path.exists():
        raise FileNotFoundError(f"there is no teacher at {path}; expected {_READ}")
    files = _weight_files(path) if path.is_dir() else [path]
    parts = _read(path, files, given)
    words = _tokenizer(path, parts, given)
    sha256 = digest(files)
    if parts.digests:
        sha256 = hashlib.sha256(" ".join([sha256, *parts.digests]).encode()).hexdigest()
    return assemble(path, dataclasses.replace(parts, tokenizer=words), given, sha256)


def _weight_files(folder: Path) -> list[Path]:
    """A folder's weight files, in the order of preference of the library that wrote it."""
    ours = [folder / name for name in open_clip.WEIGHTS if (folder / name).is_file()]
    theirs = hugging_face.weight_files(folder)
    has_config = (folder / hugging_face.CONFIG).is_file()
    if (folder / open_clip.CONFIG).is_file() and ours and (ours[0].name.startswith("open_clip") or not has_config):
        return ours[:1]
    if has_config and theirs:
        return theirs
    found = sorted(entry.name for entry in folder.iterdir())
    if (folder / open_clip.CONFIG).is_file() or has_config:
        raise ValueError(f"{folder} has a configuration but no weights beside it (found: {_listed(found)}); fetch them too")
    raise ValueError(
        f"{folder} holds neither {open_clip.CONFIG} nor {hugging_face.CONFIG} (found: {_listed(found)}); expected {_READ}"
    )


def _read(path: Path, files: list[Path], given: Given) -> Parts:
    content, archive = open_weights(files[0])
    if is_own(content):
        return read_own(path, content)
    state, keys = state_of(content)
    for file in files[1:]:
        state |= state_of(open_weights(file)[0])[0]
    if is_dassl(state):
        base = load(given.base, tokenizer=given.tokenizer) if given.base else None
        return read_dassl(path, state, given, base)
    folder = path if path.is_dir() else path.parent
    if is_hugging_face_names(state):
        if not (folder / hugging_face.CONFIG).is_file():
            raise ValueError(
                f"{path} holds the weights of a Hugging Face CLIPModel without their {hugging_face.CONFIG}; give the whole folder"
            )
        return read_hugging_face(folder, state, given)
    if not is_openai_names(state):
        found = f"its first keys are {_listed(list(keys))}" if keys else f"it holds a {type(content).__name__} without tensors"
        raise ValueError(f"{path} is no CLIP of a known format ({found}); read are {_READ}")
    if not archive and (folder / open_clip.CONFIG).is_file():
        return read_open_clip(path, folder / open_clip.CONFIG, _plain(state), given)
    return read_openai(path, _plain(state), given, archive=archive)


def _plain(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """open_clip's CustomTextCLIP has a `text.` prefix; without it both classes have the same names."""
    return {name.removeprefix("text."): value for name, value in state.items()}


def _tokenizer(path: Path, parts: Parts, given: Given) -> str | None:
    """What was given, the file's own, one in its folder, or an installed one; what is merely lying about must fit."""
    sure = find(given.tokenizer) if given.tokenizer else parts.tokenizer or (beside(path) if path.is_dir() else None)
    if sure is not None:
        _check_vocabulary(path, parts, sure)
        return sure
    for candidate in (beside(path.parent) if path.is_file() else None, installed()):
        if candidate is not None:
            try:
                _check_vocabulary(path, parts, candidate)
            except ValueError:
                continue
            return candidate
    return None


def _check_vocabulary(path: Path, parts: Parts, words: str) -> None:
    spec = parts.spec.text
    tokenizer = Tokenizer(words, spec.context)
    if tokenizer.vocabulary > spec.vocabulary:
        raise ValueError(
            f"the tokenizer has {tokenizer.vocabulary} tokens and the text tower of {path} has {spec.vocabulary}; "
            "it belongs to another model: give tokenizer=PATH of the right one"
        )
    if spec.end_token is not None and spec.end_token != tokenizer.end:
        raise ValueError(
            f"the tokenizer ends texts with token {tokenizer.end} and {path} reads its feature at token {spec.end_token}; "
            "they do not belong together: give tokenizer=PATH of the right one"
        )


def _listed(names: list[str]) -> str:
    return (", ".join(names[:5]) + (", ..." if len(names) > 5 else "")) or "nothing"
