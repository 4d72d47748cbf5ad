"""A method is found by its file's name; listing imports nothing."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from train.contract import Entry

_METHODS = Path(__file__).parent / "methods"


def names() -> tuple[str, ...]:
    """The command names of all methods, sorted, without importing any."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules([str(_METHODS)])))


def entry(name: str) -> Entry:
    """Import one method and return its entry; ValueError lists the known names."""
    if name not in names():
        raise ValueError(f"there is no method {name!r}; the methods are: {', '.join(names())}")
    from train import contract  # needs torch

    found = importlib.import_module(f"train.methods.{name}").METHOD
    assert isinstance(found, contract.Entry), f"train/methods/{name} must end with METHOD = Entry(...)"
    return found
