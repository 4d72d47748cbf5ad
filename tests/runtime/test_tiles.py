"""Tiles against the image computed whole: coverage, context, blending."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.tiles import Span, disjoint, spans, stitch


@given(st.integers(1, 700), st.integers(40, 130), st.integers(0, 8), st.integers(0, 12), st.sampled_from((1, 4)))
def test_spans_cover_the_side_with_context_and_overlap(size: int, tile: int, context: int, blend: int, multiple: int) -> None:
    found = spans(size, tile, context, blend, multiple)
    assert found[0].start == 0 == found[0].keep_start and found[-1].stop == size == found[-1].keep_stop
    for span in found:
        assert span.start % multiple == 0 and 0 < span.stop - span.start <= tile + multiple
        assert span.start <= span.keep_start < span.keep_stop <= span.stop
    for one, other in itertools.pairwise(found):
        assert one.start < other.start and one.keep_stop - other.keep_start >= blend
        assert one.stop - one.keep_stop == context == other.keep_start - other.start


@given(st.integers(1, 700), st.integers(40, 130))
def test_disjoint_spans_keep_every_pixel_once(size: int, tile: int) -> None:
    found = disjoint(spans(size, tile, 8, 0, 4))
    assert [span.keep_start for span in found] == [0, *(span.keep_stop for span in found[:-1])] and found[-1].keep_stop == size


def test_a_tile_too_small_to_move_on_is_refused() -> None:
    with pytest.raises(ValueError, match="need 49 at least"):
        spans(100, 40, 16, 16)


@pytest.mark.parametrize(("h", "w"), [(1, 1), (40, 40), (41, 97), (150, 90)])
@pytest.mark.parametrize("scale", [1, 2])
def test_a_local_answer_is_the_same_in_tiles(h: int, w: int, scale: int) -> None:
    image = np.random.default_rng(0).random((3, h, w)).astype(np.float32)

    def compute(row: Span, column: Span) -> np.ndarray:
        part = image[:, row.start : row.stop, column.start : column.stop]
        return part.repeat(scale, 1).repeat(scale, 2)

    out = np.full((h * scale, w * scale, 3), -1, np.float32)
    stitch(spans(h, 40, 4, 8, 4), spans(w, 40, 4, 8, 4), scale, compute, out, lambda strip: strip)
    assert np.allclose(out, image.repeat(scale, 1).repeat(scale, 2).transpose(1, 2, 0), atol=1e-6)


def test_neighbours_that_disagree_pass_into_each_other_without_a_step() -> None:
    rows, columns = spans(30, 40, 4, 16), spans(56, 40, 4, 16)
    assert len(columns) == 2 and len(rows) == 1
    out = np.empty((30, 56, 1), np.float32)
    stitch(
        rows,
        columns,
        1,
        lambda row, column: np.full((1, 30, column.stop - column.start), float(column.start > 0), np.float32),
        out,
        lambda s: s,
    )
    line = out[0, :, 0]
    assert line[0] == 0 and line[-1] == 1 and (np.diff(line) >= 0).all() and np.diff(line).max() < 1 / 15


def test_what_lies_at_a_tiles_edge_is_context_only() -> None:
    """Each tile spoils its own inner edges; none of it shows."""
    h = w = 100
    image = np.random.default_rng(1).random((1, h, w)).astype(np.float32)

    def compute(row: Span, column: Span) -> np.ndarray:
        part = image[:, row.start : row.stop, column.start : column.stop].copy()
        if row.start > 0:
            part[:, :4] = 9
        if column.stop < w:
            part[:, :, -4:] = 9
        return part

    out = np.empty((h, w, 1), np.float32)
    stitch(spans(h, 40, 4, 8), spans(w, 40, 4, 8), 1, compute, out, lambda strip: strip)
    assert np.allclose(out[:, :, 0], image[0], atol=1e-6)
