"""The artifact's schema: ports, axes and graphs; read and written here only."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

SCHEMA = 1
MANIFEST = "artifact.json"
PARITY = "parity.json"
GOLDEN = "golden.npz"


@dataclass(frozen=True)
class Port:
    """One input or output of a graph.

    Args:
        name: public; chosen like a function's name.
        dtype: NumPy's name, such as "uint8" or "float32".
        shape: a size, an axis ("batch"), or on outputs a multiple of one ("4*height").
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class Axis:
    """The sizes a named dimension may take: from `min` to `max` in steps of `multiple`; `opt` is the usual one."""

    min: int
    opt: int
    max: int
    multiple: int = 1


@dataclass(frozen=True)
class Graph:
    """One ONNX file, `<name>.onnx`."""

    name: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


@dataclass(frozen=True)
class Artifact:
    """What artifact.json holds.

    Args:
        method: the command name of the system that was trained.
        task: the runtime's task that answers with it.
        options: the task's own: class names, geometry, scale.
        files: file name -> sha256, written at export and checked at load.
    """

    method: str
    task: str
    graphs: tuple[Graph, ...]
    axes: dict[str, Axis]
    options: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    schema: int = SCHEMA
