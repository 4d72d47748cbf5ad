"""What stores answer, in any order among ties, against HammingIndex's order."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.index import HammingIndex
from runtime.index_names import NamedIndex
from runtime.stores import nearest, rows

Filled = Callable[..., HammingIndex]


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 200), st.integers(1, 30), st.integers(0, 9))
def test_a_store_that_cuts_ties_anywhere_is_asked_until_they_are_all_there(filled: Filled, n: int, k: int, seed: int) -> None:
    index, query = filled(n, seed=seed), np.random.default_rng(seed + 1).integers(0, 3, (1, 2), np.uint8)
    everything = index.search(query, max(n, 1))
    shuffled = np.random.default_rng(seed).permutation(n)
    cut = shuffled[np.argsort(everything.distances[0][shuffled], kind="stable")]  # by distance, ties in any order

    def ask(wanted: int) -> nearest.Found:
        return everything.distances[0][cut[:wanted]], everything.ids[0][cut[:wanted]]

    hits = index.search(query, k)
    distances, ids = nearest.settled(ask, k)
    np.testing.assert_array_equal(ids, hits.ids[0])
    np.testing.assert_array_equal(distances, hits.distances[0])


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 60), st.integers(1, 9), st.integers(1, 20))
def test_the_merge_of_shards_is_the_search_of_the_whole(filled: Filled, n: int, shards: int, k: int) -> None:
    index, queries = filled(n), np.random.default_rng(5).integers(0, 3, (4, 2), np.uint8)
    parts = []
    for chunk in list(index.chunks(max(1, n // shards))) if n else []:
        part = HammingIndex(16)
        part.add(chunk[1], chunk[0])
        found = part.search(queries, k)
        parts.append((found.distances, found.ids))
    hits = index.search(queries, k)
    distances, ids = nearest.merged(parts, 4, k)
    np.testing.assert_array_equal(ids, hits.ids)
    np.testing.assert_array_equal(distances, hits.distances)


def test_a_wrong_answer_of_a_store_is_counted(filled: Filled) -> None:
    index = filled(50)
    source = rows.of(index)

    def wrong(queries: np.ndarray) -> nearest.Found:
        hits = index.search(queries, 5)
        ids = hits.ids.copy()
        ids[0] = ids[0][::-1]
        return hits.distances, ids

    assert nearest.differing(source, wrong, 7, 5) == (7, 1)
    assert nearest.differing(
        source, lambda queries: (index.search(queries, 5).distances, index.search(queries, 5).ids), 7, 5
    ) == (7, 0)
    assert nearest.differing(
        source, lambda queries: (index.search(queries, 4).distances, index.search(queries, 4).ids), 7, 5
    ) == (7, 7)


def test_rows_carry_the_names_of_a_named_index(filled: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "CHUNK", 7)
    index = filled(20)
    keys = [int(key) for ids, _ in index for key in ids]
    found = rows.of(NamedIndex(index, {key: f"{key}.ply" for key in keys}, "m"))
    chunks = list(found.chunks())
    assert [len(chunk.ids) for chunk in chunks] == [7, 7, 6]
    assert [name for chunk in chunks for name in chunk.names or []] == [f"{key}.ply" for key in keys]
    assert rows.of(found) is found
    assert [chunk.names for chunk in rows.of(index).chunks()] == [None] * 3
    assert len(rows.some(found, 5)) == 5
    assert len(rows.some(found, 50)) == 20
    assert rows.some(rows.of(HammingIndex(16)), 5).shape == (0, 2)
