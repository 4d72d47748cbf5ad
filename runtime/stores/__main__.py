"""Put the codes of an index into LanceDB, PostgreSQL or FAISS's files, and hold what they find against the exact search."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

_PACKAGE = (__package__ or "runtime.stores").rpartition(".")[0]  # whatever name this folder was copied under

EXAMPLES = """\
examples:
  python -m runtime.stores lance parts.hidx lance/ --table parts              a table in a folder; needs contrastrt[lance]
  python -m runtime.stores lance corpus/ s3://bucket/lance --table parts      a corpus of shards, to an object store
  python -m runtime.stores postgres parts.hidx "host=localhost dbname=shop" --table parts --verify 100
  python -m runtime.stores postgres more.hidx postgresql://host/shop --table parts --update --hnsw
  python -m runtime.stores faiss parts.hidx shards/ --shard-size 1000000      files that faiss.read_index_binary reads

Names that lie beside the index (parts.hidx.names) go along. PostgreSQL's password comes from PGPASSWORD or ~/.pgpass; an object
store's keys from its own environment variables, or from --storage-option.

exit status: 0 written; 1 written, and --verify found answers that differ; 2 a mistake in what was given, nothing written
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write, perhaps verify, and say so; returns the exit status."""
    given = _parser().parse_args(arguments)
    try:
        if given.verify is not None and given.verify < 1:
            raise ValueError(f"--verify {given.verify} was given; expected 1 or more")
        source = _source(given.source)
        count, ask = _write(source, given)
        told: dict[str, Any] = {"store": given.store, "codes": count, "bits": source.bits}
        if given.verify:
            told["verified"], told["differing"] = _verify(source, ask, given.verify)
    except (ValueError, OSError, RuntimeError) as error:  # the last two from a store that cannot be reached
        return _fail(error)
    except ModuleNotFoundError as error:
        return _fail(error.msg)
    if given.json:
        print(json.dumps(told))
    else:
        print(f"{count} codes of {source.bits} bits written to {given.store}")
        if given.verify:
            print(f"{told['verified']} of them searched there: {told['differing']} answers differ from the exact search's")
    return 1 if told.get("differing") else 0


Ask = Callable[[Any], tuple[Any, Any]]


def _source(path: Path) -> Any:
    """The codes of an index's file, with names where they lie beside it, or of a corpus's folder."""
    from .. import corpus, index_names
    from ..index import HammingIndex
    from . import rows

    if path.is_dir():
        return corpus.read(path).rows()
    if index_names.names_of(path).is_file():
        return rows.of(index_names.load(path, mmap=True))
    return rows.of(HammingIndex.load(path, mmap=True))


def _write(source: Any, given: argparse.Namespace) -> tuple[int, Ask]:
    """How many codes, and how the store is asked for the ten nearest."""
    if given.store == "lance":
        from . import lance

        options = _options(given.storage_option)
        count = lance.write(source, given.uri, given.table, replace=given.replace, update=given.update, storage_options=options)
        return count, lambda queries: _pair(lance.search(given.uri, given.table, queries, 10, storage_options=options))
    if given.store == "postgres":
        from . import postgres

        count = postgres.write(source, given.connection, given.table, replace=given.replace, update=given.update, hnsw=given.hnsw)
        return count, lambda queries: _pair(postgres.search(given.connection, given.table, queries, 10))
    from . import faiss_shards

    count = len(faiss_shards.write(source, given.folder, shard_size=given.shard_size, replace=given.replace))
    return count, lambda queries: _pair(faiss_shards.search(given.folder, queries, 10))


def _pair(hits: Any) -> tuple[Any, Any]:
    return hits.distances, hits.ids


def _options(pairs: Sequence[str]) -> dict[str, str] | None:
    if wrong := [pair for pair in pairs if "=" not in pair]:
        raise ValueError(
            f"--storage-option {wrong[0]} was given; expected NAME=VALUE, such as aws_endpoint=http://127.0.0.1:9000"
        )
    return dict(pair.split("=", 1) for pair in pairs) or None


def _verify(source: Any, ask: Ask, queries: int) -> tuple[int, int]:
    from . import nearest

    return nearest.differing(source, ask, queries, 10)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m {_PACKAGE}.stores",
        description=__doc__,
        epilog=EXAMPLES.replace("runtime.stores", f"{_PACKAGE}.stores"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    stores = parser.add_subparsers(dest="store", required=True, metavar="STORE", help="lance, postgres or faiss")
    lance = _store(stores, "lance", "a LanceDB table")
    lance.add_argument("uri", help="a folder, or an object store's address: s3://, gs://, az://")
    lance.add_argument(
        "--storage-option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="of an object store, such as region=eu-1; repeatable",
    )
    postgres = _store(stores, "postgres", "a PostgreSQL table")
    postgres.add_argument("connection", help='"host=... dbname=..." or postgresql://user@host/database')
    postgres.add_argument("--hnsw", action="store_true", help="also build pgvector's HNSW index")
    for store in (lance, postgres):
        store.add_argument("--table", required=True, help="its name")
        store.add_argument("--update", action="store_true", help="add to a table that is there; ids it has get the new codes")
    faiss = _store(stores, "faiss", "FAISS binary index files and a manifest")
    faiss.add_argument("folder", type=Path, help="where they go")
    faiss.add_argument("--shard-size", type=int, default=1 << 20, metavar="N", help="codes a file (default 1048576)")
    return parser


def _store(stores: Any, name: str, title: str) -> argparse.ArgumentParser:
    found: argparse.ArgumentParser = stores.add_parser(name, help=title, description=f"Write {title}.")
    found.add_argument("source", type=Path, help="an index's file (.hidx), or a corpus's folder")
    found.add_argument("--replace", action="store_true", help="replace what is there")
    found.add_argument("--verify", type=int, metavar="N", help="then search there for N of the codes, and compare")
    found.add_argument("--json", action="store_true", help="one JSON object")
    return found


def _fail(error: object) -> int:
    print(f"{_PACKAGE}.stores: {error}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
