"""Save and load model.pt; the only place that calls torch.load, always weights_only."""

from __future__ import annotations

import dataclasses
import os
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from train import registry
from train.config import from_dict
from train.contract import Facts, Method

FORMAT = 1


@dataclasses.dataclass
class Checkpoint:
    """All of a run: what it is, its weights, and what it takes to go on.

    Args:
        method: command name.
        config: the fields of the method's Config.
        facts: what the modules are built from beside the config.
        metrics: name -> value; empty until the run has ended.
        model: state dict.
        optimizer: the running stage's; empty once the run has ended.
        step: {"stage": index, "step": steps done in it, "total": steps done in all}.
        rng: {"torch": state, "cuda": [states]}.
        best: {"score": float, "step": int, "model": state dict} of the running stage, or empty.
    """

    method: str
    config: dict[str, Any]
    facts: Facts
    model: dict[str, Tensor]
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    optimizer: dict[str, Any] = dataclasses.field(default_factory=dict)
    step: dict[str, int] = dataclasses.field(default_factory=dict)
    rng: dict[str, Any] = dataclasses.field(default_factory=dict)
    best: dict[str, Any] = dataclasses.field(default_factory=dict)
    format: int = FORMAT


def save(checkpoint: Checkpoint, path: Path) -> None:
    """Write to a temporary file, fsync, rename: whatever happens, `path` is the old file or the whole new one.

    Raises:
        OSError: the disk is full or not writable; the old file is untouched and the temporary one removed.
    """
    temporary = path.with_name(f".{path.name}.tmp")  # one name: what a killed process leaves, the next save replaces
    try:
        with temporary.open("wb") as file:
            torch.save({field.name: getattr(checkpoint, field.name) for field in dataclasses.fields(checkpoint)}, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except (OSError, RuntimeError) as error:
        kept = f"the one before it is kept in {path}" if path.exists() else "there was none before it"
        raise OSError(f"the checkpoint could not be written to {path.parent} ({_reason(error)}); {kept}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _reason(error: BaseException) -> str:
    """The operating system's words where there are any: torch hides 'no space left' behind its own error."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.strerror:
            return seen.strerror
        seen = seen.__cause__ or seen.__context__
    return str(error).splitlines()[0]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def load(path: Path) -> Checkpoint:
    """Read a checkpoint; no code in it can run.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a checkpoint of this project, is damaged, or is of a newer format.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file; expected the model.pt that `python -m train.run` writes")
    with path.open("rb") as file:
        try:
            with warnings.catch_warnings():  # of a foreign pickle torch first says which protocol it has
                warnings.simplefilter("ignore", UserWarning)
                content = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # over damaged bytes torch's reader stumbles with any exception there is
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            if isinstance(error, pickle.UnpicklingError):  # torch's own words advise to run what is inside
                reason = "it is damaged or holds more than plain values and tensors; nothing in it was run"
            raise ValueError(
                f"{path} is not a readable checkpoint of this project (truncated, or another kind of file): {reason}"
            ) from error
    names = {field.name for field in dataclasses.fields(Checkpoint)}
    if not isinstance(content, Mapping) or "format" not in content or not isinstance(content["format"], int):
        raise ValueError(f"{path} holds no 'format' entry; expected the model.pt that `python -m train.run` writes")
    if content["format"] > FORMAT:
        raise ValueError(
            f"{path} has checkpoint format {content['format']}; this version reads up to {FORMAT}: install a newer one"
        )
    missing = {"method", "config", "facts", "model"} - set(content)
    if missing:
        raise ValueError(f"{path} lacks {', '.join(sorted(missing))}; it was not written by `python -m train.run`")
    wrong = [name for name in ("config", "facts", "model") if not isinstance(content[name], Mapping)]
    if wrong or not isinstance(content["method"], str):
        raise ValueError(
            f"{path} has {', '.join(wrong) or 'method'} of another type; it was not written by `python -m train.run`"
        )
    return Checkpoint(**{name: content[name] for name in names & set(content)})


def restore(path: Path) -> Method:
    """Build the method that a checkpoint holds, with its weights, in evaluation mode.

    Raises:
        FileNotFoundError, ValueError: as `load`; or the weights are not those of the method that the file describes.
    """
    checkpoint = load(path)
    entry = registry.entry(checkpoint.method)
    method = entry.method(from_dict(entry.config, checkpoint.config), checkpoint.facts)
    try:
        method.load_state_dict(checkpoint.model)
    except RuntimeError as error:
        raise ValueError(f"{path} does not hold the weights that its configuration describes: {error}") from error
    return method.eval()
