"""MSTAR's raw files: a Phoenix header of text lines, then magnitude and phase of every pixel, big-endian float32, one block after
the other.

The header is `[PhoenixHeaderVer01.04]` (or another version), lines of `key= value`, and `[EndofPhoenixHeader]`. The pixels begin
PhoenixHeaderLength + native_header_length bytes into the file; without these keys, on the line after the header. PhoenixSigSize is
the size of the whole file. (Format: the headers of the public SDMS release, as open readers of it have them.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .prepare import UnreadableImage

BEGIN, END = b"[PhoenixHeaderVer", b"[EndofPhoenixHeader]"
HEADER_LIMIT = 1 << 16  # bytes; headers of the release have about 2,000
SIDE_LIMIT = 1 << 13  # pixels


@dataclass(frozen=True, eq=False)
class Phoenix:
    """A raw chip.

    Args:
        fields: the header's keys and values, as text.
        magnitude, phase: float32 (h, w); the phase in radians.
    """

    fields: dict[str, str]
    magnitude: NDArray[np.float32]
    phase: NDArray[np.float32]


def is_phoenix(content: bytes) -> bool:
    """Whether a file begins as a Phoenix header does; its first 64 bytes are enough."""
    return content[:64].lstrip().startswith(BEGIN)


def header(content: bytes, name: str = "the file given as bytes") -> dict[str, str]:
    """The header's keys and values; the first 64 kB of a file are enough.

    Raises:
        UnreadableImage: it begins otherwise, or the header does not end within 64 kB.
    """
    if not is_phoenix(content):
        raise UnreadableImage(f"{name} has no Phoenix header: it does not begin with {BEGIN.decode()}")
    end = content.find(END, 0, HEADER_LIMIT)
    if end < 0:
        raise UnreadableImage(f"{name}: the Phoenix header does not end ({END.decode()}) within {HEADER_LIMIT} bytes")
    fields = {}
    for line in content[:end].decode("ascii", "replace").splitlines():
        key, equals, value = line.partition("=")
        if equals:
            fields[key.strip()] = value.strip()
    return fields


def read(content: bytes, name: str = "the file given as bytes") -> Phoenix:
    """A file's bytes.

    Raises:
        UnreadableImage: the header is none, contradicts the file's size, or a magnitude is negative or not finite.
    """
    fields = header(content, name)
    rows = _number(fields, "NumberOfRows", 1, SIDE_LIMIT, name)
    columns = _number(fields, "NumberOfColumns", 1, SIDE_LIMIT, name)
    text = content.find(END) + len(END)
    start = _start(fields, content, text, name)
    needed, found = 8 * rows * columns, len(content) - start
    if found == needed // 2:
        raise UnreadableImage(
            f"{name}: {rows}x{columns} pixels of 4 bytes were found, as full scenes have; expected a chip, 8 bytes a pixel"
        )
    if not needed <= found < needed + 8 * columns:  # a few bytes of padding pass
        raise UnreadableImage(
            f"{name}: the header promises {rows}x{columns} pixels, {needed} bytes, and {found} follow; the file is "
            f"{'truncated' if found < needed else 'another one than its header says'}"
        )
    blocks = np.frombuffer(content, ">f4", 2 * rows * columns, start).reshape(2, rows, columns).astype(np.float32)
    if not (np.isfinite(blocks).all() and blocks[0].min() >= 0):
        raise UnreadableImage(f"{name}: a magnitude is negative, or a value is not finite; expected magnitude, then phase")
    return Phoenix(fields, blocks[0], blocks[1])


def _start(fields: dict[str, str], content: bytes, text: int, name: str) -> int:
    """Where the pixels begin; `text` is where the header's words end."""
    if "PhoenixHeaderLength" not in fields:
        while text < len(content) and content[text : text + 1] in (b"\r", b"\n"):
            text += 1
            if content[text - 1 : text] == b"\n":
                break
        return text
    own = _number(fields, "PhoenixHeaderLength", text, len(content), name)
    native = _number(fields, "native_header_length", 0, len(content), name) if "native_header_length" in fields else 0
    return own + native


def _number(fields: dict[str, str], key: str, low: int, high: int, name: str) -> int:
    text = fields.get(key, "")
    try:
        found = int(text) if len(text) < 20 else math.nan
    except ValueError:
        found = math.nan
    if not low <= found <= high:
        raise UnreadableImage(f"{name}: the Phoenix header says {key}= {text[:40]!r}; expected a number from {low} to {high}")
    return int(found)
