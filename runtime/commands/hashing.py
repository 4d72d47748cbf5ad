"""Codes on the command line: `index` makes an index of images and clouds, or a corpus of shards; `query` finds what is alike in it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import clouds, corpus, index_names, sheets
from ..index_names import NamedIndex
from ..pictures import write
from ..prepare import SUFFIXES
from ..session import rows
from ..tasks.cross_modal_hasher import pack, search
from .inputs import Progress, report_error, rooted

if TYPE_CHECKING:
    from ..index import HammingIndex, Hits
    from ..tasks.cross_modal_hasher import CrossModalHasher

TITLE = "hashing of images and point clouds (cross_modal_hasher)"
SHARED = ("out", "batch_size")
_HITS = 5
_OF = {"index": ("out", "bits", "shards", "ray"), "query": ("index", "k", "rerank", "sheet")}  # verb -> its options


def add_options(parser: Any) -> None:
    """To a parser or a group of one."""
    parser.add_argument("--bits", type=int, help="index: length of the codes, of those the artifact has (default: the longest)")
    parser.add_argument(
        "--shards", type=int, metavar="N", help="index: into a folder, in N parts one after another; a killed run goes on"
    )
    parser.add_argument(
        "--ray",
        action="store_true",
        help="index: with --shards, coded by Ray Data; the artifact is at the same path on all machines",
    )
    parser.add_argument("--index", type=Path, metavar="PLACE", help="query: what `index ... -o PLACE` wrote")
    parser.add_argument("-k", type=int, help=f"query: hits for each input (default {_HITS})")
    parser.add_argument("--rerank", action="store_true", help="query: order the nearest by the query's numbers, not their signs")
    parser.add_argument("--sheet", type=Path, metavar="OUT.png", help="query: a picture of the inputs, each beside its hits")


def answer(task: CrossModalHasher, given: argparse.Namespace) -> int:
    """Index or query; returns the exit status: 1 where a file could not be used and others were, 2 where none could."""
    verb, inputs = given.inputs[0], given.inputs[1:]
    if verb not in _OF or not inputs:
        what = "nothing after it" if verb in _OF else "no such word first"
        raise ValueError(
            f"{' '.join(given.inputs)!r} was given, {what}; of this artifact ask `index FILES... -o parts.hidx`, "
            "or `query FILES... --index parts.hidx`"
        )
    for name in _OF["query" if verb == "index" else "index"]:
        if getattr(given, name) not in (None, False):
            raise ValueError(f"{'-k' if name == 'k' else f'--{name}'} does not go with `{verb}`; --help says what does")
    if given.batch_size < 1:
        raise ValueError(f"--batch-size {given.batch_size} was given; expected 1 or more")
    files = list(dict.fromkeys(path for path, _ in rooted(inputs, (*clouds.SUFFIXES, *SUFFIXES), "image, cloud or mesh")))
    if verb == "query":
        return _query(task, files, given)
    if given.out is None:
        raise ValueError("nothing was said about where to write the index; give -o parts.hidx")
    if given.shards is not None:
        return _shards(task, files, given)
    if given.ray:
        raise ValueError("--ray is for a corpus in shards; give --shards too")
    return _index(task, files, given)


# index


def _index(task: CrossModalHasher, files: Sequence[Path], given: argparse.Namespace) -> int:
    _writable(given.out, files)
    index, paths, failed = task.index(given.bits), {}, 0
    for path, logits in _coded(task, files, given.batch_size, index.bits):
        if isinstance(logits, Exception):
            failed += 1
            report_error(path, logits, as_json=given.json)
        else:
            (code_id,) = index.add(pack(logits)).tolist()
            paths[code_id] = str(path)
    if not paths:
        raise ValueError(f"none of the {failed} files could be used; no index was written")
    index_names.save(given.out, NamedIndex(index, paths, task.maker))
    return _told(len(paths), failed, index.bits, given)


def _shards(task: CrossModalHasher, files: Sequence[Path], given: argparse.Namespace) -> int:
    """The same in parts, so that no more than one is in memory; failures are told at the end, those of an earlier run too."""
    if not 1 <= given.shards <= len(files):
        raise ValueError(f"--shards {given.shards} was given; expected 1 to {len(files)}, the number of files")
    if given.out.exists() and not (
        given.out.is_dir() and (not any(given.out.iterdir()) or (given.out / corpus.MANIFEST).exists())
    ):
        raise ValueError(f"{given.out} is there and no corpus; with --shards give -o a new folder, or one to go on with")
    bits = task.index(given.bits).bits
    with Progress(len(files), always=True) as progress:
        done = corpus.encode_corpus(
            [str(path) for path in files],
            Encoder(task, bits),
            given.out,
            bits=bits,
            maker=task.maker,
            shard_size=-(-len(files) // given.shards),
            batch_size=given.batch_size,
            ray=given.ray,
            advance=progress.advance,
        )
    for failure in done.failures():
        report_error(Path(failure.path), ValueError(failure.error), as_json=given.json)
    if not len(done):
        raise ValueError(f"none of the {done.failed} files could be used; {given.out} holds no code")
    return _told(len(done), done.failed, bits, given)


@dataclass(frozen=True)
class Encoder:
    """Paths to codes, uint8 (m, bits / 8); what is wrong with one of them is raised. It can be pickled."""

    task: CrossModalHasher
    bits: int

    def __call__(self, items: Sequence[str]) -> NDArray[np.uint8]:
        codes = np.empty((len(items), self.bits // 8), np.uint8)
        for place, logits in enumerate(_logits(self.task, [Path(item) for item in items], self.bits)):
            if isinstance(logits, Exception):
                raise ValueError(str(logits)) from logits
            codes[place] = pack(logits)
        return codes


def _told(done: int, failed: int, bits: int, given: argparse.Namespace) -> int:
    """Say what was written; returns the exit status."""
    if given.json:
        print(json.dumps({"indexed": done, "failed": failed, "bits": bits, "index": str(given.out)}, ensure_ascii=False))
    else:
        skipped = f", {failed} files could not be used" if failed else ""
        print(f"{done} codes of {bits} bits in {given.out}{skipped}")
    return 1 if failed else 0


# query


def _opened(place: Path) -> tuple[HammingIndex | corpus.Corpus, str, Callable[[NDArray[np.int64]], list[str]]]:
    """What is searched, its maker, and ids to paths: a folder is a corpus of shards, a file an index."""
    if place.is_dir():
        found = corpus.read(place)
        found.whole()
        return found, found.maker, found.names
    named = index_names.load(place)
    return named.index, named.maker, lambda ids: [named.paths[code_id] for code_id in ids.tolist()]


def _query(task: CrossModalHasher, files: Sequence[Path], given: argparse.Namespace) -> int:
    if given.index is None:
        raise ValueError("nothing was said about what to search; give --index parts.hidx, which `index` writes")
    k = _HITS if given.k is None else given.k
    if k < 1:
        raise ValueError(f"-k {k} was given; expected 1 or more")
    index, maker, paths = _opened(given.index)
    if maker != task.maker:
        raise ValueError(f"{given.index} was made by another artifact, whose codes lie elsewhere; make it again with this one")
    if not len(index):
        raise ValueError(f"{given.index} holds no code to be found")
    k = min(k, len(index))
    if given.sheet is not None:
        sheets.check_size(len(files), k)
        if given.sheet.suffix.lower() not in SUFFIXES:
            raise ValueError(f"{given.sheet} has the suffix {given.sheet.suffix!r}; expected one of {', '.join(SUFFIXES)}")
        _writable(given.sheet, [*files, given.index, index_names.names_of(given.index)])
    queries: list[Path] = []
    asked: list[NDArray[np.float32]] = []
    for path, logits in _coded(task, files, given.batch_size, index.bits):
        if isinstance(logits, Exception):
            report_error(path, logits, as_json=given.json)
        else:
            queries.append(path)
            asked.append(logits)
    if not queries:
        raise ValueError(f"none of the {len(files)} files could be used")
    hits = search(index, np.concatenate(asked), k, rerank=given.rerank)
    names = paths(hits.ids.ravel())
    shown = []
    for row, query in enumerate(queries):
        found = _hits(hits, row, names[row * k : (row + 1) * k])
        _say(query, found, as_json=given.json)
        tiles = [sheets.Tile(_placed(hit["path"], given.index), f"{hit['distance']} bits", hit["path"]) for hit in found]
        shown.append([sheets.Tile(query, "query", str(query)), *tiles])
    if given.sheet is not None:
        write(given.sheet, sheets.sheet(shown))
    return 0 if len(queries) == len(files) else 1


def _hits(hits: Hits, row: int, names: Sequence[str]) -> list[dict[str, Any]]:
    """Of one query, as plain values."""
    found: list[dict[str, Any]] = [
        {"path": name, "id": code_id, "distance": distance}
        for name, code_id, distance in zip(names, hits.ids[row].tolist(), hits.distances[row].tolist(), strict=True)
    ]
    if hits.scores is not None:
        for hit, score in zip(found, hits.scores[row].tolist(), strict=True):
            hit["score"] = round(score, 4)
    return found


def _say(path: Path, hits: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"path": str(path), "hits": hits}, ensure_ascii=False))
        return
    print(path)
    for hit in hits:
        score = f"  score {hit['score']:.3f}" if "score" in hit else ""
        print(f"{hit['distance']:>5} bits{score}  {hit['path']}")


def _placed(name: str, index: Path) -> Path:
    """A path of the index's names: from here, else from where the index lies."""
    path = Path(name)
    return path if path.exists() else index.parent / path


def _writable(path: Path, inputs: Sequence[Path]) -> None:
    """Refuse, before any work, a place that cannot be written to or that is an input."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} to write {path.name} to")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give the name of a file")
    if path.exists() and any(item.exists() and item.resolve() == path.resolve() for item in inputs):
        raise ValueError(f"{path} is one of the inputs; give another name")


# both


def _coded(
    task: CrossModalHasher, files: Sequence[Path], size: int, bits: int
) -> Iterator[tuple[Path, NDArray[np.float32] | Exception]]:
    """Each file with its logits (1, bits), or with what is wrong with it: one bad file does not lose the others of its batch."""
    with Progress(len(files), always=True) as progress:
        for start in range(0, len(files), size):
            part = files[start : start + size]
            yield from zip(part, _logits(task, part, bits), strict=True)
            progress.advance(len(part))


def _logits(task: CrossModalHasher, files: Sequence[Path], bits: int) -> list[NDArray[np.float32] | Exception]:
    """Logits (1, bits) of each file, in order, or what is wrong with it."""
    found: dict[Path, Any] = {}
    images: dict[Path, NDArray[np.uint8]] = {}
    points: dict[Path, NDArray[np.float32]] = {}
    for path in files:
        try:
            if path.suffix.lower() in clouds.SUFFIXES:
                points[path] = task.read_points(path)
            else:
                images[path] = task.prepare_images([path])
        except (ValueError, OSError, MemoryError) as error:
            found[path] = error
    size = task.artifact.axes["batch"].max
    for part in rows(len(images), size):
        some = list(images)[part]
        logits = task.answer_images(np.concatenate([images[path] for path in some]), bits)
        found |= zip(some, logits[:, None], strict=True)
    for part in rows(len(points), size):
        some = list(points)[part]
        logits = task.answer_points(*task.group_points([points[path] for path in some]), bits)
        found |= zip(some, logits[:, None], strict=True)
    return [found[path] for path in files]
