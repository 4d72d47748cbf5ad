"""Which implementation of the ops answers."""

from __future__ import annotations

import functools
import importlib
import os
from types import ModuleType

INTERFACE = 4  # of the native module that this package can use
_PACKAGE = __name__.rsplit(".", 2)[0]  # the runtime, under whatever name it was copied


@functools.cache
def native() -> ModuleType | None:
    """The compiled module: beside the runtime's files where it is shipped alone, else that of cpp_ext; None where none is built."""
    for name, package in (("._ops", _PACKAGE), ("cpp_ext._ops", None)):
        try:
            found = importlib.import_module(name, package)
        except ImportError:
            continue
        if getattr(found, "INTERFACE", None) == INTERFACE:
            return found
    return None


def backend() -> str:
    """ "native" where the C++ ops answer, "numpy" where they are not built."""
    return "numpy" if native() is None else "native"


def usable_threads(given: int | None) -> int:
    """What was given, or the cores this process may use."""
    if given is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if given < 1:
        raise ValueError(f"threads = {given} was given; expected 1 or more, or None for one a core")
    return given
