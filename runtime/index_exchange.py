"""Packed codes as other engines store them: FAISS's binary index files, pgvector's bit strings, Milvus's rows.

All keep bit j of a code at place j: FAISS and Milvus in bytes as they are here, pgvector as the j-th character.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .index_file import Content

_FAISS_HEADER = struct.Struct("<4siiqBi")  # name, bits, bytes, codes, trained, metric
_LENGTH = struct.Struct("<Q")
_FLAT, _ID_MAPS = b"IBxF", (b"IBMp", b"IBM2")


def to_faiss(content: Content) -> bytes:
    """What faiss.write_index_binary makes of an IndexBinaryFlat, inside an IndexBinaryIDMap where there are ids."""
    count, width = content.codes.shape

    def header(name: bytes) -> bytes:
        return _FAISS_HEADER.pack(name, 8 * width, width, count, 1, 1)

    flat = header(_FLAT) + _LENGTH.pack(count * width) + content.codes.tobytes()
    if content.ids is None:
        return flat
    return header(_ID_MAPS[0]) + flat + _LENGTH.pack(count) + content.ids.astype("<i8").tobytes()


def from_faiss(data: bytes) -> Content:
    """Read an IndexBinaryFlat, or one inside an IndexBinaryIDMap or IDMap2; ids are in the file's order."""
    mapped = data[:4] in _ID_MAPS
    begin = _FAISS_HEADER.size if mapped else 0
    if mapped:
        _faiss_header(data, 0, _ID_MAPS)
    width, count = _faiss_header(data, begin, (_FLAT,))
    codes, end = _faiss_vector(data, begin + _FAISS_HEADER.size, np.dtype(np.uint8), count * width)
    ids = None
    if mapped:
        ids, end = _faiss_vector(data, end, np.dtype("<i8"), count)
    if end != len(data):
        raise ValueError(f"the FAISS index ends after {end} bytes, but {len(data)} were given")
    return Content(codes.reshape(count, width), ids)


def _faiss_header(data: bytes, begin: int, names: tuple[bytes, ...]) -> tuple[int, int]:
    """Bytes of a code, and codes."""
    if len(data) < begin + _FAISS_HEADER.size:
        raise ValueError("the FAISS index is truncated: it ends within a header")
    name, bits, width, count, _, _ = _FAISS_HEADER.unpack_from(data, begin)
    if name not in names:
        raise ValueError(f"a FAISS index of kind {name!r} was given; expected IndexBinaryFlat, or one inside an IndexBinaryIDMap")
    if bits != 8 * width or not 1 <= width <= 512 or count < 0:
        raise ValueError(f"the FAISS index is damaged: it states {count} codes of {bits} bits in {width} bytes")
    return width, count


def _faiss_vector(data: bytes, begin: int, dtype: np.dtype[Any], expected: int) -> tuple[NDArray[Any], int]:
    """An array and where it ends."""
    start = begin + _LENGTH.size
    if len(data) < start or len(data) < start + expected * dtype.itemsize:
        raise ValueError(f"the FAISS index is truncated: an array of {expected} entries does not fit into its {len(data)} bytes")
    if (length := _LENGTH.unpack_from(data, begin)[0]) != expected:
        raise ValueError(f"the FAISS index is damaged: an array has {length} entries, its header needs {expected}")
    return np.frombuffer(data, dtype, expected, start), start + expected * dtype.itemsize


def to_bit_text(codes: NDArray[np.uint8]) -> list[str]:
    """pgvector's and PostgreSQL's text form of bit(n), for INSERT or COPY."""
    characters = np.unpackbits(codes, axis=1, bitorder="little") + np.uint8(ord("0"))
    return [row.tobytes().decode("ascii") for row in characters]


def from_bit_text(texts: Iterable[str]) -> NDArray[np.uint8]:
    """The inverse; all texts must have the same number of bits, a multiple of 8."""
    rows = list(texts)
    if not rows:
        raise ValueError("no rows were given, which leaves the number of bits open; make an empty HammingIndex(bits)")
    bits = len(rows[0])
    for place, text in enumerate(rows):
        if len(text) != bits or bits % 8 or not bits or set(text) - {"0", "1"}:
            raise ValueError(
                f"bit string {place} is {text[:20]!r} of {len(text)} characters; expected {bits} of 0 and 1, in whole bytes"
            )
    characters = np.frombuffer("".join(rows).encode("ascii"), np.uint8).reshape(len(rows), bits)
    return np.packbits(characters - np.uint8(ord("0")), axis=1, bitorder="little")


def to_milvus(content: Content, id_field: str, vector_field: str) -> Iterator[dict[str, Any]]:
    """Rows for MilvusClient.insert into a collection with a BINARY_VECTOR field."""
    for place, code in enumerate(content.codes):
        yield {id_field: place if content.ids is None else int(content.ids[place]), vector_field: code.tobytes()}


def from_milvus(rows: Iterable[Mapping[str, Any]], id_field: str, vector_field: str) -> Content:
    """Rows as MilvusClient.query returns them: the vector as bytes, or as a list that holds them."""
    ids: list[Any] = []
    vectors: list[bytes] = []
    for place, row in enumerate(rows):
        if id_field not in row or vector_field not in row:
            raise ValueError(f"row {place} has the fields {', '.join(row) or 'none'}; expected {id_field} and {vector_field}")
        vector = row[vector_field]
        vector = vector[0] if isinstance(vector, list | tuple) and len(vector) == 1 else vector
        if not isinstance(vector, bytes | bytearray) or len(vector) != len(vectors[0] if vectors else vector) or not vector:
            raise ValueError(f"the vector of row {place} is {vector!r:.40}; expected as many bytes as in the first row")
        ids.append(row[id_field])
        vectors.append(bytes(vector))
    if not vectors:
        raise ValueError("no rows were given, which leaves the number of bits open; make an empty HammingIndex(bits)")
    return Content(np.frombuffer(b"".join(vectors), np.uint8).reshape(len(vectors), -1), np.array(ids))
