"""Files under a folder or inside a zip, listed once and read lazily from any number of threads."""

from __future__ import annotations

import mmap
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")


@dataclass(frozen=True)
class Files:
    """What lies under `root`, by paths with forward slashes; hidden files are left out.

    Args:
        root: the folder or the zip.
        names: every file, sorted.
        folders: every folder, sorted, also those without files.
        read: name -> content.
    """

    root: Path
    names: tuple[str, ...]
    folders: tuple[str, ...]
    read: Callable[[str], bytes]

    def where(self, name: str) -> str:
        """How to name a file in a message."""
        return f"{self.root}/{name}"

    def under(self, folder: str) -> Files:
        """The files in `folder`, named from there."""
        prefix = folder + "/"
        names = tuple(name[len(prefix) :] for name in self.names if name.startswith(prefix))
        folders = tuple(name[len(prefix) :] for name in self.folders if name.startswith(prefix))
        return Files(self.root / folder, names, folders, lambda name: self.read(prefix + name))


def is_image(name: str) -> bool:
    return name.lower().endswith(IMAGES)


def open_files(path: Path) -> Files:
    """List a folder or a zip."""
    if path.is_dir():
        return _folder(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no folder or zip at {path}.")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is neither a folder nor a zip archive. Give a folder of images, or a zip of one.")
    return _archive(path)


def _hidden(part: str) -> bool:
    return part.startswith(".") or part == "__MACOSX"


def _folder(root: Path) -> Files:
    names: list[str] = []
    folders: list[str] = []
    seen = set()  # links are followed, but never in a circle
    for place, inner, files in os.walk(root, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            inner.clear()
            continue
        seen.add(real)
        inner[:] = [name for name in inner if not _hidden(name)]
        relative = os.path.relpath(place, root).replace(os.sep, "/")
        prefix = "" if relative == "." else relative + "/"
        folders += [prefix + name for name in inner]
        names += [prefix + name for name in files if not _hidden(name)]
    return Files(root, tuple(sorted(names)), tuple(sorted(folders)), lambda name: (root / name).read_bytes())


def _archive(path: Path) -> Files:
    """Entries are read from a memory map: a slice of it needs neither a lock nor a file position."""
    entries: dict[str, zipfile.ZipInfo] = {}
    folders: set[str] = set()
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            parts = entry.filename.rstrip("/").split("/")
            if any(_hidden(part) for part in parts):
                continue
            folders.update("/".join(parts[:depth]) for depth in range(1, len(parts) + entry.is_dir()))
            if not entry.is_dir():
                if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or entry.flag_bits & 1:
                    raise ValueError(
                        f"{path}/{entry.filename} is encrypted or uses a rare compression; unpack the zip and give the folder."
                    )
                entries[entry.filename] = entry
    with path.open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def read(name: str) -> bytes:
        if name not in entries:
            raise FileNotFoundError(f"There is no {name} in {path}.")
        entry = entries[name]
        name_length, extra_length = struct.unpack("<HH", content[entry.header_offset + 26 : entry.header_offset + 30])
        begin = entry.header_offset + 30 + name_length + extra_length
        data = content[begin : begin + entry.compress_size]
        if entry.compress_type == zipfile.ZIP_DEFLATED:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, entry.file_size)
        if len(data) != entry.file_size or zlib.crc32(data) != entry.CRC:
            raise ValueError(f"{path}/{name} is damaged: its checksum differs from the archive's. Fetch the zip again.")
        return data

    return Files(path, tuple(sorted(entries)), tuple(sorted(folders)), read)
