"""Codes in a PostgreSQL table as bit(n), searched exactly on every server from 14 on, and by pgvector's HNSW where it has it.

`pip install 'psycopg[binary]'`. Bit j of a code is the j-th character of the bit string, as pgvector has it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from .. import index_checks as checks
from .. import index_exchange
from ..index import Hits
from . import rows
from .rows import Source

if TYPE_CHECKING:
    from psycopg import Connection

OLDEST = 140000  # bit_count came with PostgreSQL 14
OLDEST_VECTOR = (0, 7)  # bit_hamming_ops came with pgvector 0.7
MOST_NEAR = 1000  # hnsw.ef_search ends there


def write(
    source: Source,
    connection: str | Connection[Any],
    table: str,
    *,
    replace: bool = False,
    update: bool = False,
    hnsw: bool = False,
) -> int:
    """Write a table of `id` (bigint, primary key), `code` (bit(n)) and `name` (text) in one transaction; return how many rows.

    Args:
        connection: an open one, or what opens it: "postgresql://user@host/database" or "host=... dbname=...".
        table: its name, perhaps behind its schema's: "parts" or "shop.parts".
        replace: drop a table of that name first.
        update: ids that the table has get the new code and name, others are added.
        hnsw: also build pgvector's HNSW index on the codes, for `search(approximate=True)`.

    Raises:
        ValueError: there is such a table already, and neither was given; it holds codes of another length; the server is too
            old, or has no pgvector of 0.7 or later where HNSW was asked for.
    """
    if replace and update:
        raise ValueError("replace and update were both given; expected one of them at most")
    given = rows.of(source)
    with _opened(connection) as open_, open_.transaction():
        name = _identifier(table)
        if hnsw:
            _need_vector(open_, install=True)
        if replace:
            open_.execute(_sql("DROP TABLE IF EXISTS {table}", table=name))
        if (there := _bits(open_, table)) is None:
            columns = "id bigint PRIMARY KEY, code bit({bits}) NOT NULL, name text"
            open_.execute(_sql("CREATE TABLE {table} (" + columns + ")", table=name, bits=given.bits))
        elif not update:
            raise ValueError(
                f"the table {table} is there already; replace it (replace=True, --replace), add to it (update=True, --update), "
                "or give another name"
            )
        elif there != given.bits:
            raise ValueError(f"the table {table} holds codes of {there} bits, and {given.bits} were given; write another table")
        if there is None:
            _copy(given, open_, name)
        else:
            _merge(given, open_, name)
        if hnsw and not _has_hnsw(open_, table):
            open_.execute(_sql("CREATE INDEX ON {table} USING hnsw (code bit_hamming_ops)", table=name))
    return given.count


def search(connection: str | Connection[Any], table: str, queries: ArrayLike, k: int, *, approximate: bool = False) -> Hits:
    """The k rows nearest to each query (q, bits / 8), ties by the lower id.

    Exact by default: the server counts the bits of every row. With `approximate` it may follow pgvector's HNSW index, which can
    miss some; k is then 500 at most, and ties are decided among the 2 k nearest that it met.

    Raises:
        ValueError: there is no such table, the queries are of another length than its codes, or it has no HNSW index.
    """
    k = checks.whole("k", k, 1)
    with _opened(connection) as open_, open_.transaction():
        if (bits := _bits(open_, table)) is None:
            raise ValueError(f"there is no table {table}; `python -m runtime.stores postgres` writes one")
        asked = checks.codes("queries", queries, bits)
        near = "SELECT id, bit_count(code # %(query)s)::int AS distance FROM {table}"
        if approximate:
            _prepare_hnsw(open_, table, k)
            near = "SELECT id, (code <~> %(query)s)::int AS distance FROM {table} ORDER BY code <~> %(query)s LIMIT {wide}"
        text = _sql(
            f"SELECT distance, id FROM ({near}) AS near ORDER BY distance, id LIMIT {{k}}",
            table=_identifier(table),
            wide=2 * k,
            k=k,
        )
        answers = [open_.execute(text, {"query": query}).fetchall() for query in index_exchange.to_bit_text(asked)]
        if len({len(answer) for answer in answers}) > 1:
            raise ValueError(
                "the HNSW index met fewer codes than there are for some queries; search exactly, or with a smaller k"
            )
        found = np.array(answers, np.int64).reshape(len(asked), len(answers[0]) if answers else 0, 2)
        method = "hnsw" if approximate else "bit_count"
        return Hits(found[..., 0].astype(np.int32), found[..., 1], method, f"PostgreSQL {_version(open_)}")


@contextlib.contextmanager
def _opened(connection: str | Connection[Any]) -> Iterator[Connection[Any]]:
    """The user's own connection, which stays open, or a new one; the server's refusals as sentences."""
    try:
        import psycopg
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("psycopg is not installed: pip install 'contrastrt[postgres]'", name=error.name) from error
    try:
        with contextlib.ExitStack() as stack:
            if isinstance(connection, str):
                connection = stack.enter_context(psycopg.connect(connection))
            if connection.info.server_version < OLDEST:
                raise ValueError(f"the server is PostgreSQL {_version(connection)}; bit_count needs 14 or later")
            yield connection
    except psycopg.Error as error:
        raise ValueError(f"PostgreSQL: {str(error).strip()}") from error


def _version(open_: Connection[Any]) -> str:
    return open_.info.parameter_status("server_version") or str(open_.info.server_version)


def _identifier(table: str) -> Any:
    from psycopg import sql

    parts = table.split(".")
    if not all(parts) or len(parts) > 2:
        raise ValueError(f"the table {table!r} was given; expected a name, or a schema and a name: parts, shop.parts")
    return sql.Identifier(*parts)


def _sql(text: str, **parts: Any) -> Any:
    """A statement with names quoted and numbers written out."""
    from psycopg import sql

    return sql.SQL(text).format(**{key: sql.Literal(part) if isinstance(part, int) else part for key, part in parts.items()})


def _bits(open_: Connection[Any], table: str) -> int | None:
    """Of a table's codes; None where there is no such table."""
    name = _identifier(table).as_string(open_)
    if open_.execute("SELECT to_regclass(%s)", (name,)).fetchone() == (None,):
        return None
    found = open_.execute(
        "SELECT a.atttypmod FROM pg_attribute a WHERE a.attrelid = %s::regclass AND a.attname = 'code' AND a.atttypid = 'bit'::regtype",
        (name,),
    ).fetchone()
    if found is None or found[0] % 8:
        raise ValueError(f"the table {table} has no column code of kind bit(n) in whole bytes; give another table")
    return int(found[0])


def _copy(given: rows.Rows, open_: Connection[Any], name: Any) -> None:
    with open_.cursor() as cursor, cursor.copy(_sql("COPY {table} (id, code, name) FROM STDIN", table=name)) as copy:
        for chunk in given.chunks():
            names: Sequence[str | None] = chunk.names or [None] * len(chunk.ids)
            for row in zip(chunk.ids.tolist(), index_exchange.to_bit_text(chunk.codes), names, strict=True):
                copy.write_row(row)


def _merge(given: rows.Rows, open_: Connection[Any], name: Any) -> None:
    from psycopg import sql

    beside = sql.Identifier("pg_temp", "contrastrt_new")
    open_.execute(_sql("CREATE TEMPORARY TABLE contrastrt_new (LIKE {table}) ON COMMIT DROP", table=name))
    _copy(given, open_, beside)
    open_.execute(
        _sql(
            "INSERT INTO {table} (id, code, name) SELECT id, code, name FROM {new} "
            "ON CONFLICT (id) DO UPDATE SET code = excluded.code, name = excluded.name",
            table=name,
            new=beside,
        )
    )
    open_.execute(_sql("DROP TABLE {new}", new=beside))


def _need_vector(open_: Connection[Any], *, install: bool) -> None:
    """pgvector of 0.7 or later in this database."""
    found = open_.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()
    if found is None and install:
        if open_.execute("SELECT FROM pg_available_extensions WHERE name = 'vector'").fetchone() is None:
            raise ValueError("this server has no pgvector, which builds HNSW; install its package, or write without --hnsw")
        open_.execute("CREATE EXTENSION vector")
        return _need_vector(open_, install=False)
    if found is None or tuple(map(int, found[0].split(".")[:2])) < OLDEST_VECTOR:
        what = "has no pgvector" if found is None else f"has pgvector {found[0]}"
        raise ValueError(f"this database {what}; HNSW of bit strings needs 0.7 or later, exact search needs none")
    return None


def _has_hnsw(open_: Connection[Any], table: str) -> bool:
    """Whether its codes have a finished index of pgvector's."""
    text = (
        "SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam "
        "WHERE i.indrelid = %s::regclass AND m.amname = 'hnsw' AND i.indisvalid"
    )
    return open_.execute(text, (_identifier(table).as_string(open_),)).fetchone() is not None


def _prepare_hnsw(open_: Connection[Any], table: str, k: int) -> None:
    """For this transaction; a search of the index gives no more than ef_search codes."""
    if 2 * k > MOST_NEAR:
        raise ValueError(f"k = {k} was given; an approximate search gives {MOST_NEAR // 2} at most, an exact one all")
    _need_vector(open_, install=False)
    if not _has_hnsw(open_, table):
        raise ValueError(f"the table {table} has no HNSW index; write it with hnsw=True (--hnsw), or search exactly")
    open_.execute(_sql("SET LOCAL hnsw.ef_search = {wide}", wide=max(40, 2 * k)))
