"""The file of a Hamming index, version 1; ARCHITECTURE.md has its table."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .whole import writing

VERSION = 1
MAGIC = b"\x89HAMIDX\n"
_HEADER = struct.Struct("<8sIIQIIQQ32s32s")  # its last field is the SHA-256 of what stands before it
_CHECKED = _HEADER.size - 32
_CODES_AT = 4096  # a page, so that codes can be mapped
_ALIGN = 64
_PART = 8 << 20  # bytes read or written at once


class Content(NamedTuple):
    """Codes (n, w) in ascending order of ids (n,); ids None where they are the row numbers."""

    codes: NDArray[np.uint8]
    ids: NDArray[np.int64] | None


class Header(NamedTuple):
    """Where things lie in the file."""

    width: int
    codes: int
    ids_at: int  # 0 where ids are the row numbers
    size: int
    digest: bytes


def write(path: Path, content: Content) -> None:
    """Write to a temporary file, flush it to the disk and rename: `path` is the old file or the whole new one, also after a crash."""
    with writing(path) as file:
        digest = hashlib.sha256()
        file.write(bytes(_HEADER.size))
        for part in _body(content):
            digest.update(part)
            file.write(part)
        file.seek(0)
        file.write(_header(content, digest.digest()))


def read(path: Path, *, mmap: bool) -> Content:
    """Read and check a file; with `mmap` only its header is checked, and the arrays are pages of the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no index, truncated, damaged, or of a newer version.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no index {path}; HammingIndex.save writes one")
    with path.open("rb") as file:
        header = _parse(path, file)
        if not mmap:
            verify(path)
        codes = _array(path, file, np.uint8, _CODES_AT, header.codes * header.width, mmap=mmap)
        ids = _array(path, file, np.dtype("<i8"), header.ids_at, header.codes, mmap=mmap) if header.ids_at else None
    if ids is not None and not mmap and ((header.codes and ids[0] < 0) or (ids[1:] <= ids[:-1]).any()):
        raise ValueError(f"{path} is damaged: its ids are not in ascending order; save or copy it again")
    return Content(codes.reshape(header.codes, header.width), ids)


def verify(path: Path) -> None:
    """Hold the whole file against its checksum; ValueError where it differs."""
    with path.open("rb") as file:
        header = _parse(path, file)
        digest = hashlib.sha256()
        file.seek(_HEADER.size)
        while part := file.read(_PART):
            digest.update(part)
    if digest.digest() != header.digest:
        raise ValueError(f"{path} is damaged or was changed: its content does not have the checksum in its header; copy it again")


def seal(path: Path) -> str:
    """The header's own checksum, in hexadecimal: another index has another one. Only the header is read, and checked."""
    with path.open("rb") as file:
        _parse(path, file)
        file.seek(_CHECKED)
        return file.read(_HEADER.size - _CHECKED).hex()


def _header(content: Content, digest: bytes) -> bytes:
    count, width = content.codes.shape
    ids_at = 0 if content.ids is None else _ids_at(count, width)
    start = _HEADER.pack(MAGIC, VERSION, 8 * width, count, ids_at > 0, 0, _CODES_AT, ids_at, digest, bytes(32))[:_CHECKED]
    return start + hashlib.sha256(start).digest()


def _ids_at(count: int, width: int) -> int:
    return -(-(_CODES_AT + count * width) // _ALIGN) * _ALIGN


def _body(content: Content) -> Iterator[bytes]:
    """All that follows the header, in parts."""
    count, width = content.codes.shape
    yield bytes(_CODES_AT - _HEADER.size)
    yield from _parts(content.codes)
    if content.ids is not None:
        yield bytes(_ids_at(count, width) - _CODES_AT - count * width)
        yield from _parts(content.ids.astype("<i8", copy=False))


def _parts(rows: NDArray[Any]) -> Iterator[bytes]:
    step = max(1, _PART * len(rows) // max(1, rows.nbytes))
    for begin in range(0, len(rows), step):
        yield rows[begin : begin + step].tobytes()


def _parse(path: Path, file: BinaryIO) -> Header:
    file.seek(0)
    start = file.read(_HEADER.size)
    if start[:8] != MAGIC:
        raise ValueError(f"{path} is not a Hamming index, or its beginning is damaged; HammingIndex.save writes one")
    if len(start) >= 12 and (version := int.from_bytes(start[8:12], "little")) > VERSION:
        raise ValueError(f"{path} has index version {version}, and this one reads up to {VERSION}; install a newer contrastrt")
    if len(start) < _HEADER.size:
        raise ValueError(f"{path} is truncated: it ends within its header; copy it again")
    _, version, bits, count, with_ids, zero, codes_at, ids_at, digest, check = _HEADER.unpack(start)
    if hashlib.sha256(start[:_CHECKED]).digest() != check:
        raise ValueError(f"{path} is damaged: its header does not have the checksum it states; copy it again")
    width = bits // 8
    expected = (VERSION, 0, _CODES_AT, _ids_at(count, width) if with_ids else 0)
    if (version, zero, codes_at, ids_at) != expected or with_ids > 1 or bits % 8 or not 8 <= bits <= 4096:
        raise ValueError(f"{path} has a header that no version wrote; HammingIndex.save writes one")
    size = ids_at + 8 * count if with_ids else _CODES_AT + count * width
    if (actual := os.fstat(file.fileno()).st_size) != size:
        what = "truncated" if actual < size else "longer than it should be"
        raise ValueError(f"{path} is {what}: it has {actual} bytes, {count} codes of {bits} bits need {size}; copy it again")
    return Header(width, count, ids_at, size, digest)


def _array(path: Path, file: BinaryIO, dtype: Any, begin: int, count: int, *, mmap: bool) -> NDArray[Any]:
    if count == 0:
        return np.empty(0, dtype)
    if mmap:
        return np.memmap(file, dtype, "r", begin, (count,)).view(np.ndarray)
    file.seek(begin)
    found = np.fromfile(file, dtype, count)
    if len(found) != count:
        raise ValueError(f"{path} was changed while it was read; read it again")
    return found
