"""Codes on the command line: `index` makes an index of images and clouds, `query` finds what is alike in it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import clouds, index_names, sheets
from ..index_names import NamedIndex
from ..pictures import write
from ..prepare import SUFFIXES
from ..tasks.cross_modal_hasher import pack, search
from .inputs import Progress, report_error, rooted

if TYPE_CHECKING:
    from ..index import Hits
    from ..tasks.cross_modal_hasher import CrossModalHasher

TITLE = "hashing of images and point clouds (cross_modal_hasher)"
SHARED = ("out", "batch_size")
_HITS = 5
_OF = {"index": ("out", "bits"), "query": ("index", "k", "rerank", "sheet")}  # verb -> its options


def add_options(parser: Any) -> None:
    """To a parser or a group of one."""
    parser.add_argument("--bits", type=int, help="index: length of the codes, of those the artifact has (default: the longest)")
    parser.add_argument("--index", type=Path, metavar="FILE", help="query: what `index ... -o FILE` wrote")
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
    return _index(task, files, given) if verb == "index" else _query(task, files, given)


def _index(task: CrossModalHasher, files: Sequence[Path], given: argparse.Namespace) -> int:
    if given.out is None:
        raise ValueError("nothing was said about where to write the index; give -o parts.hidx")
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
    if given.json:
        line = {"indexed": len(paths), "failed": failed, "bits": index.bits, "index": str(given.out)}
        print(json.dumps(line, ensure_ascii=False))
    else:
        skipped = f", {failed} could not be used" if failed else ""
        print(f"{len(paths)} codes of {index.bits} bits in {given.out}{skipped}")
    return 1 if failed else 0


def _query(task: CrossModalHasher, files: Sequence[Path], given: argparse.Namespace) -> int:
    if given.index is None:
        raise ValueError("nothing was said about what to search; give --index parts.hidx, which `index` writes")
    k = _HITS if given.k is None else given.k
    if k < 1:
        raise ValueError(f"-k {k} was given; expected 1 or more")
    named = index_names.load(given.index)
    if named.maker != task.maker:
        raise ValueError(f"{given.index} was made by another artifact, whose codes lie elsewhere; make it again with this one")
    if named.index.bits not in task.lengths:
        raise ValueError(
            f"{given.index} has codes of {named.index.bits} bits; this artifact makes {', '.join(map(str, task.lengths))}"
        )
    if given.sheet is not None:
        sheets.check_size(len(files), min(k, len(named.index)))
        if given.sheet.suffix.lower() not in SUFFIXES:
            raise ValueError(f"{given.sheet} has the suffix {given.sheet.suffix!r}; expected one of {', '.join(SUFFIXES)}")
        _writable(given.sheet, [*files, given.index, index_names.names_of(given.index)])
    failed, rows = 0, []
    for path, logits in _coded(task, files, given.batch_size, named.index.bits):
        if isinstance(logits, Exception):
            failed += 1
            report_error(path, logits, as_json=given.json)
            continue
        hits = _hits(search(named.index, logits, k, rerank=given.rerank), named)
        _say(path, hits, as_json=given.json)
        found = [sheets.Tile(_placed(hit["path"], given.index), f"{hit['distance']} bits", hit["path"]) for hit in hits]
        rows.append([sheets.Tile(path, "query", str(path)), *found])
    if not rows:
        raise ValueError(f"none of the {failed} files could be used")
    if given.sheet is not None:
        write(given.sheet, sheets.sheet(rows))
    return 1 if failed else 0


def _coded(
    task: CrossModalHasher, files: Sequence[Path], size: int, bits: int
) -> Iterator[tuple[Path, NDArray[np.float32] | Exception]]:
    """Each file with its logits (1, bits), or with what is wrong with it: one bad file does not lose the others of its batch."""
    size = min(size, task.artifact.axes["batch"].max)
    with Progress(len(files), always=True) as progress:
        for start in range(0, len(files), size):
            part = files[start : start + size]
            found: dict[Path, Any] = {}
            images, points = {}, {}
            for path in part:
                try:
                    if path.suffix.lower() in clouds.SUFFIXES:
                        points[path] = task.read_points(path)
                    else:
                        images[path] = task.prepare_images([path])
                except (ValueError, OSError, MemoryError) as error:
                    found[path] = error
            if images:
                logits = task.answer_images(np.concatenate(list(images.values())), bits)
                found |= zip(images, logits[:, None], strict=True)
            if points:
                logits = task.answer_points(*task.group_points(list(points.values())), bits)
                found |= zip(points, logits[:, None], strict=True)
            yield from ((path, found[path]) for path in part)
            progress.advance(len(part))


def _hits(hits: Hits, named: NamedIndex) -> list[dict[str, Any]]:
    """Of one query, as plain values."""
    found: list[dict[str, Any]] = [
        {"path": named.paths[code_id], "id": code_id, "distance": distance}
        for code_id, distance in zip(hits.ids[0].tolist(), hits.distances[0].tolist(), strict=True)
    ]
    if hits.scores is not None:
        for hit, score in zip(found, hits.scores[0].tolist(), strict=True):
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
