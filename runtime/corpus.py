"""Codes of a corpus that is larger than memory: shards of an index each, made one after another, resumable, searched by a merge.

A corpus is a folder:

    corpus.json              what it was begun with, and the shards that are done
    shard-00000.hidx         codes of items 0 .. shard_size - 1; an item's id is its place in the list
    shard-00000.hidx.names   their names, as runtime.index_names has them
    shard-00000.failed       a JSON object a line for each item that gave no code: id, path, error

A shard's files are written whole, and only then is it entered into corpus.json. A run that was killed goes on with the first
shard that is not entered. At no time is more than one shard's codes in memory.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import index_checks as checks
from . import index_file, index_names, index_rerank, ops
from .index import HammingIndex, Hits
from .index_names import NamedIndex
from .stores import nearest, rows
from .whole import writing

MANIFEST = "corpus.json"
SCHEMA = 1
_BLOCKS = 4096  # that Ray is given at most

Encode = Callable[[Sequence[str]], NDArray[np.uint8]]
Encoded = tuple[NDArray[np.uint8] | None, str]  # a code (bits / 8,), or None and why there is none


@dataclass(frozen=True)
class Failure:
    """An item that gave no code."""

    id: int
    path: str
    error: str


@dataclass(frozen=True)
class Shard:
    """How many items gave a code, how many did not, and the seal of the index's file."""

    codes: int
    failed: int
    seal: str


@dataclass(frozen=True)
class Corpus:
    """A corpus's folder and what corpus.json holds.

    Args:
        maker: what made the codes, such as the digest of an artifact's graphs.
        items: in the list that it was begun with.
        digests: of the items of each shard.
        shards: those that are done, from the first on.
    """

    folder: Path
    maker: str
    bits: int
    items: int
    shard_size: int
    digests: tuple[str, ...]
    shards: tuple[Shard, ...] = ()

    def __len__(self) -> int:
        return sum(shard.codes for shard in self.shards)

    @property
    def failed(self) -> int:
        return sum(shard.failed for shard in self.shards)

    @property
    def finished(self) -> bool:
        return len(self.shards) == len(self.digests)

    def search(
        self,
        queries: ArrayLike,
        k: int,
        *,
        threads: int | None = None,
        rerank: ArrayLike | None = None,
        candidates: int | None = None,
    ) -> Hits:
        """The k codes nearest to each query (q, bits / 8), as HammingIndex.search has them; shards are mapped, not loaded."""
        asked, k = checks.codes("queries", queries, self.bits), checks.whole("k", k, 1)
        given = None if rerank is None else index_rerank.floats(rerank, self.bits, len(asked))
        wanted = k if given is None else checks.whole("candidates", 4 * k if candidates is None else candidates, k)

        def parts() -> Iterator[nearest.Found]:
            for path in self.whole():
                hits = HammingIndex.load(path, mmap=True).search(asked, wanted, threads=threads)
                yield hits.distances, hits.ids

        distances, ids = nearest.merged(parts(), len(asked), wanted)
        scores = None
        if given is not None:
            keys, inverse = np.unique(ids, return_inverse=True)
            scores, places = index_rerank.best(self._codes(keys), given, inverse.reshape(ids.shape), k)
            distances, ids = np.take_along_axis(distances, places, axis=1), np.take_along_axis(ids, places, axis=1)
        return Hits(distances, ids, "corpus", ops.hamming_kernels()[0], scores=scores)

    def _codes(self, ids: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Of ids (m,) that are there, ascending: (m, bits / 8)."""
        found = np.empty((len(ids), self.bits // 8), np.uint8)
        shards = ids // self.shard_size
        for place in np.unique(shards).tolist():
            index = HammingIndex.load(_shard(self.folder, place), mmap=True)
            for row in np.flatnonzero(shards == place).tolist():
                found[row] = index.reconstruct(int(ids[row]))
        return found

    def names(self, ids: ArrayLike) -> list[str]:
        """The items (m,) under ids (m,), such as a row of `search(...).ids`; KeyError where an id has no code."""
        wanted = checks.ids(ids, None)
        found: dict[int, str] = {}
        for place in np.unique(wanted // self.shard_size).tolist():
            if not 0 <= place < len(self.shards):
                raise KeyError(f"the corpus {self.folder} has no id {int(wanted.max())}; it has {self.items} items")
            paths = index_names.load(_shard(self.folder, place), mmap=True).paths
            found |= {key: paths[key] for key in wanted[wanted // self.shard_size == place].tolist()}
        return [found[key] for key in wanted.tolist()]

    def failures(self) -> Iterator[Failure]:
        """The items that gave no code, and why."""
        for path in self.whole():
            with path.with_suffix(".failed").open(encoding="ascii") as lines:
                yield from (Failure(**json.loads(line)) for line in lines)

    def rows(self) -> rows.Rows:
        """For the writers in `runtime.stores`."""
        paths = self.whole()

        def chunks() -> Iterator[rows.Chunk]:
            for path in paths:
                yield from rows.of(index_names.load(path, mmap=True)).chunks()

        return rows.Rows(self.bits, len(self), chunks)

    def whole(self) -> list[Path]:
        """The shards' files; ValueError where some are not there yet."""
        if not self.finished:
            raise ValueError(
                f"the corpus {self.folder} is not finished: {len(self.shards)} of {len(self.digests)} shards are done; "
                "run again what began it"
            )
        return [_shard(self.folder, place) for place in range(len(self.shards))]


def read(folder: str | Path) -> Corpus:
    """A corpus as it is, finished or not.

    Raises:
        FileNotFoundError: there is none, or a shard of it is missing.
        ValueError: it is damaged or of a newer schema, or a shard is not the one that was entered.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(f"{folder} is no corpus: it has no {MANIFEST}; runtime.corpus.encode_corpus writes one")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        schema = int(content.pop("schema"))
        found = _parse(Path(folder), content) if schema <= SCHEMA else None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged ({error!r}); copy it again") from error
    if found is None:
        raise ValueError(f"{path} has schema {schema}, and this version reads up to {SCHEMA}; install a newer contrastrt")
    for place, shard in enumerate(found.shards):
        file = _shard(found.folder, place)
        if not file.is_file():
            raise FileNotFoundError(f"{file} is missing, which {MANIFEST} lists; copy the whole folder")
        if index_file.seal(file) != shard.seal:
            raise ValueError(f"{file} is not the shard that {MANIFEST} lists; copy the whole folder, or encode the corpus again")
    return found


def encode_corpus(
    items: Sequence[str],
    encode: Encode,
    out: str | Path,
    *,
    bits: int,
    maker: str,
    shard_size: int = 100_000,
    batch_size: int = 64,
    ray: bool = False,
    workers: int | None = None,
    advance: Callable[[int], object] | None = None,
) -> Corpus:
    """Encode every item into shards of `out`, or go on where an earlier run of the same stopped.

    Args:
        items: such as paths. What they hold is not compared with an earlier run's, only the list itself.
        encode: gives packed codes, uint8 (m, bits / 8), of m items. Where it raises ValueError or OSError the batch is halved
            until the items that are at fault stand alone; these are recorded as failed. Any other error ends the run.
        maker: what makes the codes, such as the digest of an artifact's graphs; an earlier run's must be the same.
        ray: encode by Ray Data, on the cluster of RAY_ADDRESS or on this machine. `encode` is then pickled, and unpickled once
            in each worker: it should hold paths and open what it needs on first use. The files are the same.
        workers: that Ray uses; None takes one for each core of the cluster.
        advance: is told how many more items are done, those of the earlier run at once.

    Raises:
        ValueError: the folder was begun with other items, another maker, other bits or another size of shards.
    """
    size, each = checks.whole("shard_size", shard_size, 1), checks.whole("batch_size", batch_size, 1)
    if not len(items):
        raise ValueError("no items were given; expected one or more")
    folder, width = Path(out), HammingIndex(bits).bits // 8
    digests = tuple(_digest(items[begin : begin + size]) for begin in range(0, len(items), size))
    corpus = _begin(Corpus(folder, maker, bits, len(items), size, digests))
    begin = min(len(items), size * len(corpus.shards))
    if advance:
        advance(begin)
    source = _by_ray(items, begin, encode, width, each, workers) if ray else _here(items, begin, encode, width, each)
    held: list[Encoded] = []
    for encoded in source:
        held += encoded
        if advance:
            advance(len(encoded))
        while held and len(held) >= min(size, len(items) - begin):
            corpus = _enter(corpus, begin, items[begin : begin + size], held[:size])
            held, begin = held[size:], begin + size
    assert corpus.finished
    return corpus


def _parse(folder: Path, content: dict[str, Any]) -> Corpus:
    shards = tuple(Shard(int(found["codes"]), int(found["failed"]), str(found["seal"])) for found in content.pop("shards"))
    found = Corpus(folder, digests=tuple(map(str, content.pop("digests"))), shards=shards, **content)
    if len(found.digests) != -(-found.items // found.shard_size) or len(shards) > len(found.digests):
        raise ValueError("its numbers do not fit each other")
    return found


def _write(corpus: Corpus) -> Corpus:
    content = {"schema": SCHEMA, **asdict(corpus)}
    del content["folder"]
    with writing(corpus.folder / MANIFEST) as file:
        file.write((json.dumps(content, indent=1) + "\n").encode())
    return corpus


def _begin(asked: Corpus) -> Corpus:
    """A new corpus, or the one that is there where it was begun with the same."""
    if not (asked.folder / MANIFEST).exists():
        asked.folder.mkdir(parents=True, exist_ok=True)
        return _write(asked)
    there = read(asked.folder)
    for name in ("maker", "bits", "shard_size", "items"):
        if (was := getattr(there, name)) != (now := getattr(asked, name)):
            raise ValueError(f"the corpus {asked.folder} was begun with {name} = {was}, and {now} was given; {_OTHERWISE}")
    for place, (was, now) in enumerate(zip(there.digests, asked.digests, strict=True)):
        if was != now:
            first = place * asked.shard_size
            last = min(first + asked.shard_size, asked.items) - 1
            raise ValueError(f"the corpus {asked.folder} was begun with others as items {first} to {last}; {_OTHERWISE}")
    return there


_OTHERWISE = "give what it was begun with, or another folder"


def _digest(items: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for item in items:
        digest.update(item.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()[:32]


def _shard(folder: Path, place: int) -> Path:
    return folder / f"shard-{place:05d}.hidx"


def _enter(corpus: Corpus, begin: int, items: Sequence[str], encoded: Sequence[Encoded]) -> Corpus:
    """Write a shard's files, then the manifest with it."""
    index, path = HammingIndex(corpus.bits), _shard(corpus.folder, len(corpus.shards))
    good = [place for place, (code, _) in enumerate(encoded) if code is not None]
    codes = [code for code, _ in encoded if code is not None]
    if codes:
        index.add(np.stack(codes), begin + np.array(good, np.int64))
    failures = [Failure(begin + place, items[place], error) for place, (code, error) in enumerate(encoded) if code is None]
    with writing(path.with_suffix(".failed")) as file:
        file.writelines((json.dumps(asdict(failure)) + "\n").encode() for failure in failures)
    index_names.save(path, NamedIndex(index, {begin + place: items[place] for place in good}, corpus.maker))
    done = Shard(len(codes), len(failures), index_file.seal(path))
    return _write(replace(corpus, shards=(*corpus.shards, done)))


def _encoded(items: Sequence[str], encode: Encode, width: int) -> list[Encoded]:
    """A code of each, or why there is none."""
    try:
        codes = encode(items)
    except (ValueError, OSError) as error:
        if len(items) == 1:
            return [(None, str(error))]
        middle = len(items) // 2
        return _encoded(items[:middle], encode, width) + _encoded(items[middle:], encode, width)
    found = checks.codes("the encoder's codes", codes, 8 * width)
    if len(found) != len(items):
        raise ValueError(f"the encoder gave {len(found)} codes for {len(items)} items; expected one for each")
    return [(code, "") for code in found]


def _here(items: Sequence[str], begin: int, encode: Encode, width: int, size: int) -> Iterator[list[Encoded]]:
    for start in range(begin, len(items), size):
        yield _encoded(items[start : start + size], encode, width)


class _Worker:
    """One of Ray's; it holds an encoder of its own."""

    def __init__(self, encode: Encode, width: int) -> None:
        self._encode, self._width = encode, width

    def __call__(self, batch: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Codes or errors; what ends the run is told as such, since Ray would bury it in its own errors."""
        count, blank, ends = len(batch["item"]), np.zeros(self._width, np.uint8), False
        try:
            encoded = _encoded(batch["item"].tolist(), self._encode, self._width)
        except Exception as error:
            encoded, ends = [(None, f"{type(error).__name__}: {error}")] * count, True
        return {
            "place": batch["place"],
            "code": np.stack([blank if code is None else code for code, _ in encoded]),
            "failed": np.array([code is None for code, _ in encoded]),
            "error": np.array([error for _, error in encoded], object),
            "ends": np.full(count, ends),
        }


def _by_ray(
    items: Sequence[str], begin: int, encode: Encode, width: int, size: int, workers: int | None
) -> Iterator[list[Encoded]]:
    """The same as `_here`, in the same order, encoded by Ray Data's workers."""
    try:
        import pyarrow as pa
        import ray
        import ray.data
        import ray.exceptions
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("Ray Data is not installed: pip install 'contrastrt[ray]'", name=error.name) from error
    if begin == len(items):
        return
    ours = not ray.is_initialized()
    if ours:
        ray.init(include_dashboard=False, log_to_driver=False)
    try:
        cores = int(ray.cluster_resources().get("CPU", 1))  # type: ignore[no-untyped-call]
        tables, rows_each = [], size * -(-(len(items) - begin) // (size * _BLOCKS))
        for start in range(begin, len(items), rows_each):
            part = items[start : start + rows_each]
            tables.append(pa.table({"place": np.arange(start, start + len(part)), "item": pa.array(part, pa.string())}))
        data = ray.data.from_arrow(tables)
        data.context.execution_options.preserve_order = True
        data.context.enable_progress_bars = False
        encoded = data.map_batches(
            _Worker,
            fn_constructor_args=(encode, width),
            batch_size=size,
            batch_format="numpy",
            concurrency=max(1, min(workers or cores, len(tables))),
        )
        for found in encoded.iter_batches(batch_size=size, batch_format="numpy"):
            assert found["place"].tolist() == list(range(begin, begin + len(found["place"])))
            if found["ends"].any():
                raise RuntimeError(f"the encoder failed in one of Ray's workers: {found['error'][found['ends']][0]}")
            begin += len(found["place"])
            answers = zip(found["code"], found["failed"].tolist(), found["error"].tolist(), strict=True)
            yield [(None, error) if failed else (code.copy(), "") for code, failed, error in answers]
    except ray.exceptions.RayError as error:
        raise RuntimeError(f"Ray Data: {error}") from error
    finally:
        if ours:
            ray.shutdown()
