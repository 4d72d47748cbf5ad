"""An index of binary codes with ids: exact Hamming search, top-k and by radius, in memory or from a mapped file."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import index_checks as checks
from . import index_choice, index_exchange, index_file, index_rerank, ops
from .index_checks import Codes, Ids
from .index_file import Content

_SMALLEST = 1024  # codes that a growing index has room for at first


@dataclass(frozen=True, eq=False)
class Hits:
    """The codes nearest to each of q queries, nearest first, ties by the lower id.

    Args:
        distances: int32 (q, min(k, n)).
        ids: int64 of the same shape.
        method: "scan", or "mih" for multi-index hashing; of a store or a corpus, how that answered.
        backend: the kernel that scanned, "numpy" where the native ops are not built; of a store, its version.
        scanned: of the queries of a "mih" search those that were scanned after all, because the tables would have taken longer.
        scores: float32, of re-ranked hits, which are ordered by them, highest first; else None.
    """

    distances: NDArray[np.int32]
    ids: Ids
    method: str
    backend: str
    scanned: int = 0
    scores: NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class Ranges:
    """Query i found [offsets[i], offsets[i + 1]) of distances and ids, nearest first, ties by the lower id; the rest as in Hits."""

    offsets: Ids
    distances: NDArray[np.int32]
    ids: Ids
    method: str
    backend: str
    scanned: int = 0


@dataclass(frozen=True, eq=False)
class Ranking:
    """Scores, float32, and ids, int64: (q, k) each, highest first, ties by the lower id."""

    scores: NDArray[np.float32]
    ids: Ids


class HammingIndex:
    """Packed binary codes, each under an id of 0 or more, searched exactly by Hamming distance.

    Codes are uint8 rows of bits / 8 bytes, bit j in byte j // 8, lowest first: FAISS's layout, and that of
    `np.packbits(bits, axis=1, bitorder="little")`. They are kept in ascending order of ids, so that adding ids above all
    present ones is quick, and others move the codes behind them.

    All methods may be called from several threads: a search answers from the codes that were there when it began, and
    does not wait for an addition.

    Args:
        bits: of a code, 8 to 4096, a multiple of 8.
        threads: that one search uses at most; None takes the cores this process may use.
    """

    def __init__(self, bits: int, *, threads: int | None = None) -> None:
        bits = checks.whole("bits", bits, 8)
        if bits % 8 or bits > 8 * ops.MOST_BYTES:
            raise ValueError(f"bits = {bits} was given; expected a multiple of 8 from 8 to {8 * ops.MOST_BYTES}")
        self.bits = bits
        self.threads = threads if threads is None else checks.whole("threads", threads, 1)
        self._lock = threading.Lock()  # of those that change the index
        self._now = Content(np.empty((0, bits // 8), np.uint8), None)  # replaced as a whole; its rows never change
        self._room = self._now.codes  # `_now.codes` is its beginning, where codes were appended
        self._id_room: Ids = np.empty(0, np.int64)
        self._tables: tuple[Content, index_choice.Tables] | None = None  # of that content
        self._read_only: Path | None = None

    def __len__(self) -> int:
        return len(self._now.codes)

    def __repr__(self) -> str:
        return f"HammingIndex(bits={self.bits}, {len(self)} codes)"

    def __iter__(self) -> Iterator[tuple[Ids, Codes]]:
        return self.chunks()

    def chunks(self, size: int = 1 << 16) -> Iterator[tuple[Ids, Codes]]:
        """Ids (m,) and codes (m, bits / 8) of `size` codes at a time, ascending, as they are at the first step."""
        size = checks.whole("size", size, 1)
        now = self._now
        for begin in range(0, len(now.codes), size):
            end = min(begin + size, len(now.codes))
            yield _ids_of(now, np.arange(begin, end)), now.codes[begin:end].copy()

    def add(self, codes: ArrayLike, ids: ArrayLike | None = None) -> Ids:
        """Add codes (m, bits / 8); all or, on an error, none of them.

        Args:
            ids: (m,), 0 or more, none given twice or present; None numbers on from the highest.

        Returns:
            The ids, in the order of the codes.
        """
        rows = checks.codes("codes", codes, self.bits)
        chosen = None if ids is None else checks.ids(ids, len(rows))
        with self._lock:
            self._check_writable()
            if chosen is None:
                chosen = self._next() + np.arange(len(rows), dtype=np.int64)
            elif (np.diff(chosen) <= 0).any():
                order = np.argsort(chosen, kind="stable")
                self._insert(rows[order], chosen[order])
                return chosen
            self._insert(rows, chosen)
        return chosen

    def remove(self, ids: ArrayLike, *, missing_ok: bool = False) -> int:
        """Remove codes, all or, on an error, none of them; return how many.

        Args:
            missing_ok: pass over ids that are not there, which else are a KeyError.
        """
        unwanted = checks.ids(ids, None)
        with self._lock:
            self._check_writable()
            now = self._now
            places, there = _find(now, unwanted)
            if not missing_ok and not there.all():
                raise KeyError(
                    f"there is no code with id {checks.some(unwanted[~there])} among the {len(now.codes)} in the index"
                )
            kept = np.ones(len(now.codes), bool)
            kept[places[there]] = False
            if kept.all():
                return 0
            self._room, self._id_room = now.codes[kept], _ids_of(now, np.flatnonzero(kept))
            self._now, self._tables = Content(self._room, self._id_room), None
            return len(kept) - len(self._room)

    def reconstruct(self, code_id: int) -> Codes:
        """The code (bits / 8,) under an id; KeyError where there is none."""
        wanted = checks.ids([code_id], 1)
        places, there = _find(now := self._now, wanted)
        if not there[0]:
            raise KeyError(f"there is no code with id {code_id} among the {len(now.codes)} in the index")
        return now.codes[places[0]].copy()

    def search(
        self,
        queries: ArrayLike,
        k: int,
        *,
        method: str = "auto",
        threads: int | None = None,
        rerank: ArrayLike | None = None,
        candidates: int | None = None,
    ) -> Hits:
        """The k codes nearest to each query (q, bits / 8); fewer where the index holds fewer.

        Args:
            method: "scan"; "mih", which builds tables where there are none; or "auto", which takes the one estimated to be
                faster, tables only where `build_tables` has made them. The result is the same, and says what was taken.
            threads: of this search; None takes the index's.
            rerank: the float queries (q, bits) whose signs the binary ones are; orders the nearest by `rerank`'s score.
            candidates: how many of the nearest are re-ranked, k or more; None takes 4 k.
        """
        asked, k, now = checks.codes("queries", queries, self.bits), checks.whole("k", k, 1), self._now
        given = None if rerank is None else index_rerank.floats(rerank, self.bits, len(asked))
        wanted = k if given is None else checks.whole("candidates", 4 * k if candidates is None else candidates, k)
        wanted, workers = min(wanted, max(1, len(now.codes))), self._workers(threads)
        tables, budget = self._tables_for(now, method), math.inf
        if method == "auto":
            budget = index_choice.scan_cost(len(now.codes), self.bits // 8, len(asked))
            method = index_choice.topk_method(tables, len(now.codes), self.bits // 8, len(asked), wanted, workers)
        if method == "mih" and tables:
            distances, rows, scanned = tables.built.topk(asked, wanted, budget=budget, threads=workers)
        else:
            method, scanned = "scan", 0
            distances, rows = ops.hamming_topk(now.codes, asked, wanted, threads=workers)
        scores = None
        if given is not None:
            scores, places = index_rerank.best(now.codes, given, rows, k)
            distances, rows = np.take_along_axis(distances, places, axis=1), np.take_along_axis(rows, places, axis=1)
        return Hits(distances, _ids_of(now, rows), method, ops.hamming_kernels()[0], scanned, scores)

    def range_search(self, queries: ArrayLike, radius: int, *, method: str = "auto", threads: int | None = None) -> Ranges:
        """All codes at a distance of `radius` or less from each query (q, bits / 8); the options are those of `search`."""
        asked, radius, now = checks.codes("queries", queries, self.bits), checks.whole("radius", radius, 0), self._now
        radius, workers = min(radius, self.bits), self._workers(threads)
        tables, budget = self._tables_for(now, method), math.inf
        if method == "auto":
            budget = index_choice.scan_cost(len(now.codes), self.bits // 8, len(asked))
            method = index_choice.range_method(tables, len(now.codes), self.bits // 8, len(asked), radius, workers)
        if method == "mih" and tables:
            offsets, distances, rows, scanned = tables.built.range(asked, radius, budget=budget, threads=workers)
        else:
            method, scanned = "scan", 0
            offsets, distances, rows = ops.hamming_range(now.codes, asked, radius, threads=workers)
        return Ranges(offsets, distances, _ids_of(now, rows), method, ops.hamming_kernels()[0], scanned)

    def build_tables(self, substrings: int = 0) -> int:
        """Make the tables of multi-index hashing over the present codes, for searches from now on; return their bytes.

        They hold every code once for each substring, and are dropped when the index changes. They pay where neighbours
        are much nearer than random codes are: `python -m benchmarks.hamming` measures it.

        Args:
            substrings: that a code is cut into; 0 takes as many as make buckets of about one code.
        """
        now = self._now
        made = index_choice.build(now.codes, substrings, self.threads)
        with self._lock:
            if now is self._now:
                self._tables = now, made
        return made.built.bytes

    def drop_tables(self) -> None:
        """Free the tables' memory."""
        self._tables = None

    def rerank(self, queries: ArrayLike, ids: ArrayLike, k: int | None = None) -> Ranking:
        r"""Order ids by the inner product of float queries with their codes, read as -1 and +1.

        Args:
            queries: float (q, bits), from which the binary queries were made by their signs.
            ids: (q, c), such as `search(...).ids`.
            k: how many to keep of each row; None keeps all.
        """
        asked, chosen = index_rerank.floats(queries, self.bits), np.asarray(ids)
        if chosen.ndim != 2 or len(chosen) != len(asked):
            raise ValueError(f"ids of shape {chosen.shape} were given; expected ({len(asked)}, c): a row for each query")
        keep = chosen.shape[1] if k is None else checks.whole("k", k, 1)
        flat = checks.ids(chosen.ravel(), None)
        places, there = _find(now := self._now, flat)
        if not there.all():
            raise KeyError(f"there is no code with id {int(flat[~there][0])} among the {len(now.codes)} in the index")
        scores, kept = index_rerank.best(now.codes, asked, places.reshape(chosen.shape), keep)
        return Ranking(scores, np.take_along_axis(flat.reshape(chosen.shape), kept, axis=1))

    def save(self, path: str | Path) -> None:
        """Write the index as it is now; `path` is the old file or the whole new one, whatever happens in between."""
        index_file.write(Path(path), self._now)

    @classmethod
    def load(cls, path: str | Path, *, mmap: bool = False, threads: int | None = None) -> HammingIndex:
        """Open what `save` wrote.

        Args:
            mmap: open at once whatever the size, and read from the file while searching, also more than fits into
                memory. Such an index cannot be changed, and only its header is checked: `verify` checks the rest.
        """
        content = index_file.read(Path(path), mmap=mmap)
        index = cls(8 * content.codes.shape[1], threads=threads)
        index._now, index._read_only = content, Path(path) if mmap else None
        index._room = content.codes
        index._id_room = np.empty(0, np.int64) if content.ids is None else content.ids
        return index

    @staticmethod
    def verify(path: str | Path) -> None:
        """Hold a file against its checksum; ValueError where it is damaged."""
        index_file.verify(Path(path))

    def to_faiss(self) -> bytes:
        """A FAISS file: IndexBinaryFlat where ids are 0 .. n - 1, else inside an IndexBinaryIDMap."""
        return index_exchange.to_faiss(self._now)

    @classmethod
    def from_faiss(cls, data: bytes) -> HammingIndex:
        """Read an IndexBinaryFlat, IndexBinaryIDMap or IDMap2 file; its equal ids, if any, are refused."""
        return cls._of(index_exchange.from_faiss(data))

    def to_bit_text(self) -> Iterator[tuple[int, str]]:
        """Ids and pgvector's text of bit(n), for INSERT or COPY."""
        for ids, codes in self.chunks():
            yield from zip(ids.tolist(), index_exchange.to_bit_text(codes), strict=True)

    @classmethod
    def from_bit_text(cls, rows: Iterable[tuple[int, str]]) -> HammingIndex:
        """From ids and bit strings, as a SELECT returns them."""
        pairs = list(rows)
        codes = index_exchange.from_bit_text([text for _, text in pairs])
        return cls._of(Content(codes, np.array([code_id for code_id, _ in pairs])))

    def to_milvus(self, id_field: str = "id", vector_field: str = "vector") -> Iterator[dict[str, Any]]:
        """Rows for MilvusClient.insert into a BINARY_VECTOR field."""
        return index_exchange.to_milvus(self._now, id_field, vector_field)

    @classmethod
    def from_milvus(cls, rows: Iterable[Mapping[str, Any]], id_field: str = "id", vector_field: str = "vector") -> HammingIndex:
        """From rows as MilvusClient.query returns them."""
        return cls._of(index_exchange.from_milvus(rows, id_field, vector_field))

    @classmethod
    def _of(cls, content: Content) -> HammingIndex:
        index = cls(8 * content.codes.shape[1])
        index.add(content.codes, content.ids)
        return index

    def _workers(self, threads: int | None) -> int:
        return ops.usable_threads(self.threads if threads is None else checks.whole("threads", threads, 1))

    def _tables_for(self, now: Content, method: str) -> index_choice.Tables | None:
        """The tables over these codes, where there are any or `method` insists on them."""
        if method not in index_choice.METHODS:
            raise ValueError(f"method = {method!r} was given; expected one of {', '.join(index_choice.METHODS)}")
        if method == "scan":
            return None
        found = self._tables
        if method == "mih" and (found is None or found[0] is not now):
            self.build_tables()
            found = self._tables
        return found[1] if found is not None and found[0] is now else None

    def _check_writable(self) -> None:
        if self._read_only is not None:
            raise ValueError(f"{self._read_only} was opened with mmap=True and cannot be changed; load it without")

    def _next(self) -> int:
        now = self._now
        if now.ids is None:
            return len(now.codes)
        return int(now.ids[-1]) + 1 if len(now.ids) else 0

    def _insert(self, rows: Codes, ids: Ids) -> None:
        """Rows in ascending order of ids; what readers hold is not touched."""
        if not len(rows):
            return
        now, begin = self._now, len(self._now.codes)
        twice = ids[1:][ids[1:] == ids[:-1]]
        if len(twice):
            raise ValueError(f"ids were given twice: {checks.some(twice)}; every code needs an id of its own")
        places, there = _find(now, ids)
        if there.any():
            raise ValueError(f"ids are in the index already: {checks.some(ids[there])}; remove them first")
        end = begin + len(rows)
        numbered = now.ids is None and int(ids[0]) == begin and int(ids[-1]) == end - 1
        before = None if numbered else _ids_of(now, np.arange(begin)) if now.ids is None else now.ids
        if begin and ids[0] < self._next():
            assert before is not None
            self._room, self._id_room = np.insert(now.codes, places, rows, axis=0), np.insert(before, places, ids)
        else:
            self._room = _with_room(self._room, now.codes, end)
            self._room[begin:end] = rows
            if before is not None:
                self._id_room = _with_room(self._id_room, before, end)
                self._id_room[begin:end] = ids
        self._now, self._tables = Content(self._room[:end], None if before is None else self._id_room[:end]), None


def _with_room(room: NDArray[Any], rows: NDArray[Any], size: int) -> NDArray[Any]:
    """An array that begins with the rows and has room for `size`; half as much again where it has to move."""
    if len(room) >= size and room.flags.writeable and np.shares_memory(room[:1], rows[:1]):
        return room
    grown = np.empty((max(size, len(rows) * 3 // 2, _SMALLEST), *rows.shape[1:]), rows.dtype)
    grown[: len(rows)] = rows
    return grown


def _ids_of(content: Content, rows: Ids) -> Ids:
    return rows if content.ids is None else content.ids[rows].astype(np.int64, copy=False)


def _find(content: Content, ids: Ids) -> tuple[Ids, NDArray[np.bool_]]:
    """Where ids are, or would be inserted, and whether they are there."""
    count = len(content.codes)
    if content.ids is None:
        return np.minimum(ids, count), ids < count
    places = np.searchsorted(content.ids, ids)
    there = places < count
    there[there] = content.ids[places[there]] == ids[there]
    return places, there
