"""Weight files: safetensors, torch zip files and TorchScript archives as plain content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from .unpickle import Inert, module_tensors, read


def digest(paths: Sequence[Path]) -> str:
    """sha256 of the files' contents, one after the other."""
    found = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                found.update(block)
    return found.hexdigest()


def open_weights(path: Path) -> tuple[object, bool]:
    """A weight file's content, and whether it is a TorchScript archive (whose content is its state dict).

    Raises:
        ValueError: the file is of no known kind, truncated or contradicts itself.
    """
    with path.open("rb") as file:
        head = file.read(9)
    if head[8:] == b"{":
        return _safetensors(path), False
    content = read(path)
    if isinstance(content, Inert) and content.name.startswith("__torch__."):
        return module_tensors(content), True
    return content, False


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise ImportError(
            "reading .safetensors needs the package safetensors; install it with: pip install safetensors"
        ) from error
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is truncated or damaged ({error}); fetch it again") from error


def state_of(content: object) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The state dict in a content, without the prefix of data-parallel training, and the first keys seen.

    The state dict may be the content itself or its entry "state_dict" or "model".
    """
    if isinstance(content, Inert):
        content = content.fields
    if not isinstance(content, Mapping):
        return {}, ()
    for name in ("state_dict", "model"):
        inner = content.get(name)
        if isinstance(inner, Inert):
            inner = inner.fields
        if isinstance(inner, Mapping):
            content = inner
            break
    state = {name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if state and all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): value for name, value in state.items()}
    return state, tuple(str(name) for name in list(state or content)[:4])


def read_json(path: Path) -> dict[str, object]:
    """A JSON file that holds an object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a JSON {type(content).__name__}; expected an object")
    return content


def shards(index: Path) -> list[Path]:
    """The weight files that an index (`model.safetensors.index.json`) names, all beside it."""
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise ValueError(f"{index} holds no weight_map")
    files = sorted({str(name) for name in names.values()})
    for name in files:
        if Path(name).name != name or not (index.parent / name).is_file():
            raise ValueError(f"{index} names the weight file {name!r}, which is not in {index.parent}; fetch it too")
    return [index.parent / name for name in files]
