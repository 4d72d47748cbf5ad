"""FAISS binary index files of bounded size, with a manifest; any FAISS reads each, and a search over them is a merge."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from .. import index_checks as checks
from .. import index_exchange, ops
from ..index import HammingIndex, Hits
from ..index_file import Content
from ..whole import writing
from . import nearest, rows
from .rows import Chunk, Rows, Source

MANIFEST = "shards.json"
SCHEMA = 1


@dataclass(frozen=True)
class Shard:
    """One file: an IndexBinaryFlat inside an IndexBinaryIDMap, ids ascending."""

    file: str
    codes: int
    first: int
    last: int
    sha256: str


@dataclass(frozen=True)
class Shards:
    """What shards.json holds."""

    bits: int
    shards: tuple[Shard, ...]
    schema: int = SCHEMA

    def __len__(self) -> int:
        return sum(shard.codes for shard in self.shards)


def write(source: Source, folder: str | Path, *, shard_size: int = 1 << 20, replace: bool = False) -> Shards:
    """Write shards of `shard_size` codes, then the manifest, so that the folder holds the old shards or all the new ones.

    Raises:
        FileExistsError: the folder holds shards already, and `replace` was not given.
    """
    size, given, folder = checks.whole("shard_size", shard_size, 1), rows.of(source), Path(folder)
    if (folder / MANIFEST).exists() and not replace:
        raise FileExistsError(f"{folder} holds FAISS shards already; replace them with replace=True (--replace), or name another")
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for place, chunk in enumerate(_cut(given, size)):
        data = index_exchange.to_faiss(Content(chunk.codes, chunk.ids))
        digest = hashlib.sha256(data).hexdigest()
        name = f"shard-{place:05d}-{digest[:8]}.faiss"  # old and new ones lie side by side until the manifest changes
        with writing(folder / name) as file:
            file.write(data)
        made.append(Shard(name, len(chunk.ids), int(chunk.ids[0]), int(chunk.ids[-1]), digest))
    found = Shards(given.bits, tuple(made))
    with writing(folder / MANIFEST) as file:
        file.write((json.dumps(asdict(found), indent=1) + "\n").encode())
    kept = {shard.file for shard in made}
    for old in folder.glob("shard-*.faiss"):
        if old.name not in kept:
            old.unlink()
    return found


def read(folder: str | Path) -> Shards:
    """The manifest.

    Raises:
        FileNotFoundError: there is none: no shards, or their writing was not finished.
        ValueError: it is damaged or of a newer schema.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(f"{folder} has no {MANIFEST}: it holds no FAISS shards, or their writing has not ended")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        schema = int(content["schema"])
        found = Shards(int(content["bits"]), tuple(Shard(**shard) for shard in content["shards"])) if schema <= SCHEMA else None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error!r}); write the shards again") from error
    if found is None:
        raise ValueError(f"{path} has schema {schema}, and this version reads up to {SCHEMA}; install a newer contrastrt")
    return found


def search(folder: str | Path, queries: ArrayLike, k: int, *, threads: int | None = None) -> Hits:
    """The k nearest to each query (q, bits / 8) over all shards, one of which is in memory at a time; FAISS is not needed.

    Raises:
        ValueError: a shard is not as the manifest has it.
    """
    found = read(folder)
    asked, k = checks.codes("queries", queries, found.bits), checks.whole("k", k, 1)

    def parts() -> Iterator[nearest.Found]:
        for shard in found.shards:
            hits = _open(Path(folder) / shard.file, shard, found.bits).search(asked, k, threads=threads)
            yield hits.distances, hits.ids

    distances, ids = nearest.merged(parts(), len(asked), k)
    return Hits(distances, ids, "faiss shards", ops.hamming_kernels()[0])


def _cut(given: Rows, size: int) -> Iterator[Chunk]:
    """Chunks of `size` rows, the last with what is left."""
    ids, codes, held = [], [], 0
    for chunk in given.chunks():
        begin = 0
        while begin < len(chunk.ids):
            end = min(len(chunk.ids), begin + size - held)
            ids.append(chunk.ids[begin:end])
            codes.append(chunk.codes[begin:end])
            held, begin = held + end - begin, end
            if held == size:
                yield Chunk(np.concatenate(ids), np.concatenate(codes), None)
                ids, codes, held = [], [], 0
    if held:
        yield Chunk(np.concatenate(ids), np.concatenate(codes), None)


def _open(path: Path, shard: Shard, bits: int) -> HammingIndex:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is missing, which {MANIFEST} lists; copy the whole folder") from None
    if hashlib.sha256(data).hexdigest() != shard.sha256:
        raise ValueError(f"{path} is damaged or was changed: it does not have the sha256 in {MANIFEST}; write or copy it again")
    index = HammingIndex.from_faiss(data)
    if index.bits != bits or len(index) != shard.codes:
        raise ValueError(f"{path} holds {len(index)} codes of {index.bits} bits, {MANIFEST} says {shard.codes} of {bits}")
    return index
