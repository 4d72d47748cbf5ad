"""The file of enrolled classes (.fsc), version 1; ARCHITECTURE.md has its table."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .whole import writing

VERSION = 1
MAGIC = b"\x89FSCLAS\n"
SUFFIX = ".fsc"
_HEADER = struct.Struct("<8sIIIIQQ32s32s32s")  # its last field is the SHA-256 of what stands before it
_CHECKED = _HEADER.size - 32
_ALIGN = 64
_PART = 8 << 20  # bytes read or written at once


class Header(NamedTuple):
    """What the file's first bytes state."""

    locations: int
    d: int
    classes: int
    images: int
    names_size: int
    maker: str
    digest: bytes

    @property
    def nbytes(self) -> int:
        """Of the descriptors."""
        return 4 * self.images * self.locations * self.d


class Content(NamedTuple):
    """Name -> descriptors (images, locations, d), and the SHA-256 of the graph that made them, in hexadecimal."""

    classes: dict[str, NDArray[np.float32]]
    maker: str


def write(path: Path, classes: Mapping[str, NDArray[np.float32]], shape: tuple[int, int], maker: str) -> None:
    """Write to a temporary file, flush it to the disk and rename: `path` is the old file or the whole new one, also after a crash.

    Args:
        classes: name -> descriptors (images, locations, d), finite.
        shape: (locations, d).
        maker: the SHA-256 of the graph that made them, in hexadecimal.
    """
    images = sum(map(len, classes.values()))
    names = _names(classes)
    with writing(path) as file:
        digest = hashlib.sha256()
        file.write(bytes(_HEADER.size))
        for part in _body(classes, names):
            digest.update(part)
            file.write(part)
        fields = (MAGIC, VERSION, *shape, len(classes), images, len(names), bytes.fromhex(maker), digest.digest(), bytes(32))
        start = _HEADER.pack(*fields)[:_CHECKED]
        file.seek(0)
        file.write(start + hashlib.sha256(start).digest())


def header(path: Path) -> Header:
    """Read and check the header alone, and the file's size against it; raises as `read`."""
    with _opened(path) as file:
        return _parse(path, file)


def read(path: Path) -> Content:
    """Read and check a file. No code in it can run.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is none of enrolled classes, truncated, damaged, or of a newer version.
    """
    with _opened(path) as file:
        found = _parse(path, file)
        if _digest(file) != found.digest:
            raise ValueError(
                f"{path} is damaged or was changed: its content does not have the checksum in its header; copy it again"
            )
        file.seek(_HEADER.size)
        counts = _counts(path, found, file.read(found.names_size))
        file.seek(_descriptors_at(found.names_size))
        size = found.locations * found.d
        classes = {}
        for name, images in counts.items():
            rows = np.fromfile(file, np.dtype("<f4"), images * size)
            if len(rows) != images * size or not np.isfinite(rows).all():
                raise ValueError(f"{path} was changed while it was read, or holds what is no number; copy it again")
            classes[name] = rows.astype(np.float32, copy=False).reshape(images, found.locations, found.d)
    return Content(classes, found.maker)


def _opened(path: Path) -> BinaryIO:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path} of enrolled classes")
    return path.open("rb")


def _names(classes: Mapping[str, NDArray[np.float32]]) -> bytes:
    """JSON: [[name, images], ...], in the order of the descriptors."""
    return json.dumps([[name, len(descriptors)] for name, descriptors in classes.items()]).encode("ascii")


def _descriptors_at(names_size: int) -> int:
    return -(-(_HEADER.size + names_size) // _ALIGN) * _ALIGN


def _body(classes: Mapping[str, NDArray[np.float32]], names: bytes) -> Iterator[bytes]:
    """All that follows the header, in parts."""
    yield names
    yield bytes(_descriptors_at(len(names)) - _HEADER.size - len(names))
    for descriptors in classes.values():
        for image in descriptors:
            yield image.astype("<f4", copy=False).tobytes()


def _digest(file: BinaryIO) -> bytes:
    file.seek(_HEADER.size)
    digest = hashlib.sha256()
    while part := file.read(_PART):
        digest.update(part)
    return digest.digest()


def _parse(path: Path, file: BinaryIO) -> Header:
    start = file.read(_HEADER.size)
    if start[:8] != MAGIC:
        raise ValueError(f"{path} is no file of enrolled classes, or its beginning is damaged; `enroll` and `save` write one")
    if len(start) >= 12 and (version := int.from_bytes(start[8:12], "little")) > VERSION:
        raise ValueError(f"{path} has version {version}, and this one reads up to {VERSION}; install a newer contrastrt")
    if len(start) < _HEADER.size:
        raise ValueError(f"{path} is truncated: it ends within its header; copy it again")
    _, version, locations, d, classes, images, names_size, maker, digest, check = _HEADER.unpack(start)
    if hashlib.sha256(start[:_CHECKED]).digest() != check:
        raise ValueError(f"{path} is damaged: its header does not have the checksum it states; copy it again")
    found = Header(locations, d, classes, images, names_size, maker.hex(), digest)
    if version != VERSION or not locations or not d or images < classes:
        raise ValueError(f"{path} has a header that no version wrote; `enroll` and `save` write one")
    size = _descriptors_at(names_size) + found.nbytes
    if (actual := os.fstat(file.fileno()).st_size) != size:
        what = "truncated" if actual < size else "longer than it should be"
        raise ValueError(
            f"{path} is {what}: it has {actual} bytes, {images} images of {classes} classes need {size}; copy it again"
        )
    return found


def _counts(path: Path, found: Header, names: bytes) -> dict[str, int]:
    """Name -> images; the names' JSON is checked like anything from outside, since a checksum does not say who wrote it."""
    try:
        listed: Any = json.loads(names)
        pairs = [(name, count) for name, count in listed]
        counts = dict(pairs)
        sound = all(type(name) is str and type(count) is int and count > 0 for name, count in pairs)
        whole = sound and len(counts) == len(pairs) == found.classes and sum(counts.values()) == found.images
    except (ValueError, TypeError, RecursionError):
        whole = False
    if not whole:
        raise ValueError(f"{path} has names that no version wrote; `enroll` and `save` write one")
    return counts
