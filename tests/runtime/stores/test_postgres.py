"""PostgreSQL on loopback against HammingIndex: ids and distances, ties included."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from runtime.index import HammingIndex
from runtime.index_names import NamedIndex
from runtime.stores import postgres as store

psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'psycopg[binary]'")
pytestmark = pytest.mark.slow
Filled = Callable[..., HammingIndex]


def same(found: object, hits: object) -> None:
    np.testing.assert_array_equal(found.ids, hits.ids)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(found.distances, hits.distances)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("n", "bits", "values"), [(0, 16, 3), (1, 8, 256), (3, 64, 256), (2000, 16, 3), (500, 24, 256), (300, 4096, 256)]
)
def test_its_answers_are_those_of_the_index(postgres: str, filled: Filled, n: int, bits: int, values: int) -> None:
    index, queries = filled(n, bits, values=values), np.random.default_rng(1).integers(0, values, (5, bits // 8), np.uint8)
    assert store.write(index, postgres, "codes", replace=True) == n
    for k in (1, 7, 100):
        found = store.search(postgres, "codes", queries, k)
        same(found, index.search(queries, k))
        assert found.method == "bit_count"
        assert found.backend.startswith("PostgreSQL 1")
    assert store.search(postgres, "codes", queries[:0], 3).ids.shape[0] == 0


def test_a_table_is_refused_replaced_or_added_to_and_names_go_along(postgres: str, filled: Filled) -> None:
    index = filled(50)
    keys = [int(key) for ids, _ in index for key in ids]
    odd = "tab\tback\\slash\nline 'quote' \N{SNOWMAN} %s"
    named = NamedIndex(index, dict.fromkeys(keys, odd), "m")
    store.write(named, postgres, "public.parts", replace=True)
    with pytest.raises(ValueError, match="there already; replace it"):
        store.write(index, postgres, "parts")
    with psycopg.connect(postgres) as mine:
        assert mine.execute("SELECT DISTINCT name FROM parts").fetchall() == [(odd,)]
        more = HammingIndex(16)
        more.add(np.full((2, 2), 255, np.uint8), [keys[0], 10_000])
        assert store.write(more, mine, "parts", update=True) == 2
        mine.rollback()  # the caller's transaction
        assert store.write(more, mine, "parts", update=True) == 2
    with pytest.raises(ValueError, match="holds codes of 16 bits, and 24 were given"):
        store.write(filled(3, 24), postgres, "parts", update=True)
    index.remove([keys[0]])
    index.add(np.full((2, 2), 255, np.uint8), [keys[0], 10_000])
    queries = np.random.default_rng(2).integers(0, 256, (4, 2), np.uint8)
    same(store.search(postgres, "parts", queries, 20), index.search(queries, 20))


def test_a_write_that_fails_leaves_the_old_table(postgres: str, filled: Filled) -> None:
    index = filled(20)
    store.write(index, postgres, "kept", replace=True)
    bad = NamedIndex(filled(5), {int(key): "nul\0" for ids, _ in filled(5) for key in ids}, "m")
    with pytest.raises(ValueError, match=r"NUL|0x00"):
        store.write(bad, postgres, "kept", replace=True)
    same(store.search(postgres, "kept", np.zeros((1, 2), np.uint8), 9), index.search(np.zeros((1, 2), np.uint8), 9))


def test_what_cannot_be_is_refused_by_a_sentence(postgres: str, filled: Filled) -> None:
    query = np.zeros((1, 2), np.uint8)
    store.write(filled(5), postgres, "small", replace=True)
    with pytest.raises(ValueError, match="no table nowhere"):
        store.search(postgres, "nowhere", query, 1)
    with pytest.raises(ValueError, match="expected a name, or a schema and a name"):
        store.search(postgres, "a.b.c", query, 1)
    with pytest.raises(ValueError, match=r"expected uint8 \(n, 2\)"):
        store.search(postgres, "small", np.zeros((1, 3), np.uint8), 1)
    with pytest.raises(ValueError, match="k = 0"):
        store.search(postgres, "small", query, 0)
    with pytest.raises(ValueError, match="replace and update"):
        store.write(filled(5), postgres, "small", replace=True, update=True)
    with psycopg.connect(postgres) as mine:
        mine.execute("CREATE TABLE IF NOT EXISTS other (id bigint, code text)")
    with pytest.raises(ValueError, match="no column code of kind bit"):
        store.search(postgres, "other", query, 1)
    with pytest.raises(ValueError, match="PostgreSQL: "):
        store.search(postgres.replace("dbname=postgres", "dbname=absent"), "small", query, 1)
    with pytest.raises(ValueError, match=r'syntax error|no table "; DROP TABLE small; --'):
        store.search(postgres, '"; DROP TABLE small; --', query, 1)
    assert store.search(postgres, "small", query, 9).ids.shape == (1, 5)


def test_hnsw_of_pgvector_is_followed_and_finds_most(postgres: str, filled: Filled) -> None:
    with psycopg.connect(postgres) as mine:
        there = mine.execute("SELECT FROM pg_available_extensions WHERE name = 'vector'").fetchone()
    index = filled(6000, 64, values=256)
    if there is None:
        with pytest.raises(ValueError, match="this server has no pgvector"):
            store.write(index, postgres, "near", replace=True, hnsw=True)
        pytest.skip("this server has no pgvector, and said so")
    store.write(index, postgres, "near", replace=True)
    codes = next(iter(index.chunks(6000)))[1]
    queries = codes[::200] ^ np.array([1, 0, 0, 2, 0, 0, 64, 0], np.uint8)
    with pytest.raises(ValueError, match=r"no HNSW index|has no pgvector"):
        store.search(postgres, "near", queries, 5, approximate=True)
    store.write(index, postgres, "near", update=True, hnsw=True)
    with pytest.raises(ValueError, match="gives 500 at most"):
        store.search(postgres, "near", queries, 501, approximate=True)
    right = index.search(queries, 10)
    with psycopg.connect(postgres) as mine:
        mine.execute("ANALYZE near")
        before = mine.execute(
            "SELECT idx_scan FROM pg_stat_user_indexes WHERE relname = 'near' AND indexrelname ~ 'code'"
        ).fetchone()
    found = store.search(postgres, "near", queries, 10, approximate=True)
    with psycopg.connect(postgres) as mine:
        after = mine.execute(
            "SELECT idx_scan FROM pg_stat_user_indexes WHERE relname = 'near' AND indexrelname ~ 'code'"
        ).fetchone()
    assert before is not None and after is not None
    assert after[0] >= before[0] + len(queries)
    assert found.method == "hnsw"
    np.testing.assert_array_equal(found.distances[:, 0], right.distances[:, 0])
    shared = [len(set(some) & set(others)) for some, others in zip(found.ids.tolist(), right.ids.tolist(), strict=True)]
    assert np.mean(shared) > 8
    same(store.search(postgres, "near", queries, 10), right)
