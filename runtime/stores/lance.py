"""Codes in a LanceDB table: in a folder, or by the same call in an object store (s3://, gs://, az://). `pip install lancedb`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import index_checks as checks
from ..index import Hits
from ..index_checks import Codes
from . import nearest, rows
from .rows import Rows, Source


def write(
    source: Source,
    uri: str | Path,
    table: str,
    *,
    replace: bool = False,
    update: bool = False,
    storage_options: Mapping[str, str] | None = None,
) -> int:
    """Write a table of `id` (int64), `code` (uint8, bits / 8 of them) and `name`; return how many rows.

    A new or replaced table appears at once, with all rows.

    Args:
        uri: a folder, or the address of one in an object store.
        replace: what the table held before is no longer its content.
        update: ids that the table has get the new code and name, others are added.
        storage_options: LanceDB's, for an object store: endpoint, region, keys.

    Raises:
        ValueError: there is such a table already, and neither was given; it holds codes of another length, or of another kind.
    """
    given, database = rows.of(source), _connect(uri, storage_options)
    if replace and update:
        raise ValueError("replace and update were both given; expected one of them at most")
    there = _open(database, uri, table) if _has(database, table) else None
    if there is None or replace:
        database.create_table(table, data=_batches(given), mode="overwrite" if replace else "create")
    elif update:
        _hold(there, given.bits)
        there.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(_batches(given))
    else:
        raise ValueError(
            f"the table {table} is in {uri} already; replace it (replace=True, --replace), add to it (update=True, --update), "
            "or give another name"
        )
    return given.count


def search(uri: str | Path, table: str, queries: ArrayLike, k: int, *, storage_options: Mapping[str, str] | None = None) -> Hits:
    """The k rows nearest to each query (q, bits / 8), exactly: LanceDB scans, also where the column has an index.

    Raises:
        ValueError: there is no such table, or the queries are of another length than its codes.
    """
    import lancedb

    there = _open(_connect(uri, storage_options), uri, table)
    asked, k = checks.codes("queries", queries, _bits(there)), checks.whole("k", k, 1)

    kept = min(k, there.count_rows())
    distances, ids = np.empty((len(asked), kept), np.int32), np.empty((len(asked), kept), np.int64)
    for place, query in enumerate(asked):
        distances[place], ids[place] = nearest.settled(partial(_ask, there, query), kept)
    return Hits(distances, ids, "lance", f"lancedb {lancedb.__version__}")


def _ask(there: Any, query: NDArray[np.uint8], wanted: int) -> nearest.Found:
    scan = there.search(query, vector_column_name="code").distance_type("hamming").bypass_vector_index()
    found = scan.select(["id", "_distance"]).limit(wanted).to_arrow()
    return found["_distance"].to_numpy().astype(np.int32), found["id"].to_numpy()


def _connect(uri: str | Path, storage_options: Mapping[str, str] | None) -> Any:
    try:
        import lancedb
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("LanceDB is not installed: pip install 'contrastrt[lance]'", name=error.name) from error
    return lancedb.connect(str(uri), storage_options=None if storage_options is None else dict(storage_options))


def _has(database: Any, table: str) -> bool:
    token = None
    while True:
        page = database.list_tables(page_token=token)
        if table in page.tables:
            return True
        if not (token := page.page_token):
            return False


def _open(database: Any, uri: str | Path, table: str) -> Any:
    if not _has(database, table):
        raise ValueError(f"there is no table {table} in {uri}; `python -m runtime.stores lance` writes one")
    return database.open_table(table)


def _bits(there: Any) -> int:
    """Of a table's codes."""
    import pyarrow as pa

    kinds = {field.name: field.type for field in there.schema}
    code = kinds.get("code")
    if kinds.get("id") != pa.int64() or not isinstance(code, pa.FixedSizeListType) or code.value_type != pa.uint8():
        raise ValueError(f"the table {there.name} has the columns {kinds}; expected id: int64 and code: a fixed number of uint8")
    return 8 * int(code.list_size)


def _hold(there: Any, bits: int) -> None:
    if (found := _bits(there)) != bits:
        raise ValueError(f"the table {there.name} holds codes of {found} bits, and {bits} were given; write another table")


def _batches(given: Rows) -> Any:
    """A stream: a chunk is in memory at a time."""
    import pyarrow as pa

    width = given.bits // 8
    schema = pa.schema([("id", pa.int64()), ("code", pa.list_(pa.uint8(), width)), ("name", pa.string())])

    def parts() -> Iterator[Any]:
        for chunk in given.chunks():
            codes: Codes = np.ascontiguousarray(chunk.codes)
            names = pa.nulls(len(codes), pa.string()) if chunk.names is None else pa.array(chunk.names, pa.string())
            column = pa.FixedSizeListArray.from_arrays(pa.array(codes.ravel()), width)
            yield pa.record_batch([pa.array(chunk.ids), column, names], schema=schema)

    return pa.RecordBatchReader.from_batches(schema, parts())
