"""A class bank: the class vectors that a teacher's text tower made, with their names and origin."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from .whole import writing

SCHEMA = 1


@dataclass(frozen=True, eq=False)
class Bank:
    """Class vectors. An image's answer depends on all of them together, so a bank is one versioned thing.

    Args:
        vectors: float32 (k, d), unit rows.
        classes: k display names, all different.
        teacher: sha256 of the text-side weights that made the vectors.
        templates: the sentences the names were put into.
    """

    vectors: NDArray[np.float32]
    classes: tuple[str, ...]
    teacher: str
    templates: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or self.vectors.dtype != np.float32 or len(self.vectors) != len(self.classes):
            raise ValueError(
                f"a bank of {len(self.classes)} classes was given vectors of shape {self.vectors.shape} and type "
                f"{self.vectors.dtype}; expected float32 ({len(self.classes)}, d)"
            )
        if not self.classes:
            raise ValueError("a bank needs at least one class")
        doubled = sorted({name for name in self.classes if self.classes.count(name) > 1})
        if doubled:
            raise ValueError(f"a bank's class names must differ; given twice: {', '.join(doubled[:5])}")
        norms = np.linalg.norm(self.vectors, axis=1)
        if not np.isfinite(norms).all() or np.abs(norms - 1).max() > 1e-3:
            raise ValueError("a bank's vectors must be finite and of unit length")

    @property
    def digest(self) -> str:
        """sha256 of vectors and names."""
        found = hashlib.sha256(np.ascontiguousarray(self.vectors).tobytes())
        found.update(json.dumps(self.classes).encode())
        return found.hexdigest()

    def write(self, file: BinaryIO) -> None:
        """Write as .npz: `vectors` and the UTF-8 bytes of a JSON `header`."""
        header = {
            "schema": SCHEMA,
            "classes": self.classes,
            "teacher": self.teacher,
            "templates": self.templates,
            "digest": self.digest,
        }
        np.savez(file, vectors=self.vectors, header=np.frombuffer(json.dumps(header).encode(), np.uint8))

    def to_bytes(self) -> bytes:
        """What `write` writes."""
        buffer = io.BytesIO()
        self.write(buffer)
        return buffer.getvalue()

    def save(self, path: Path) -> None:
        """Write to a temporary file and rename: `path` is the old bank or the whole new one."""
        with writing(path) as file:
            self.write(file)

    @classmethod
    def load(cls, path: Path) -> Bank:
        """Read a bank; FileNotFoundError or ValueError say what is wrong with the file. No code in it can run."""
        if not path.is_file():
            raise FileNotFoundError(f"there is no bank {path}; `python -m export.bank` writes one")
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
                header = json.loads(content["header"].tobytes())
                vectors = content["vectors"]
        except (OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(f"{path} is not a readable bank (truncated, or another kind of file): {error}") from error
        if not isinstance(header, dict) or not isinstance(header.get("schema"), int):
            raise ValueError(f"{path} has no bank schema; it was not written by `python -m export.bank`")
        if header["schema"] > SCHEMA:
            raise ValueError(
                f"{path} has bank schema {header['schema']}, and this version reads up to {SCHEMA}; install a newer contrastrt"
            )
        try:
            bank = cls(vectors, tuple(header["classes"]), str(header["teacher"]), tuple(header["templates"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path} lacks {error} in its header; it was not written by `python -m export.bank`") from error
        if bank.digest != header.get("digest"):
            raise ValueError(f"{path} is damaged: its content has sha256 {bank.digest}, its header says {header.get('digest')}")
        return bank
