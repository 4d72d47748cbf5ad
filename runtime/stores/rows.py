"""What a store is given: the codes of an index, named or not, or of a corpus of shards, a chunk at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..index import HammingIndex
from ..index_checks import Codes, Ids
from ..index_names import NamedIndex

CHUNK = 1 << 16  # codes that are on their way at once


class Chunk(NamedTuple):
    """Ids (m,), codes (m, bits / 8) and, where they have any, m names."""

    ids: Ids
    codes: Codes
    names: list[str] | None


@dataclass(frozen=True)
class Rows:
    """Codes in ascending order of ids, which `chunks` begins anew at each call."""

    bits: int
    count: int
    chunks: Callable[[], Iterator[Chunk]]


Source = HammingIndex | NamedIndex | Rows


def of(source: Source) -> Rows:
    """The codes of an index or of whatever has been made one of these."""
    if isinstance(source, Rows):
        return source
    index, paths = (source.index, source.paths) if isinstance(source, NamedIndex) else (source, None)

    def chunks() -> Iterator[Chunk]:
        for ids, codes in index.chunks(CHUNK):
            yield Chunk(ids, codes, None if paths is None else [paths[key] for key in ids.tolist()])

    return Rows(index.bits, len(index), chunks)


def some(rows: Rows, count: int) -> Codes:
    """`count` codes spread evenly over all of them, or all where there are fewer."""
    places, begin = np.unique(np.linspace(0, rows.count - 1, min(count, rows.count)).astype(np.int64)), 0
    found = [np.empty((0, rows.bits // 8), np.uint8)]
    for chunk in rows.chunks():
        here = places[(places >= begin) & (places < begin + len(chunk.ids))]
        found.append(chunk.codes[here - begin])
        begin += len(chunk.ids)
    return np.concatenate(found)
