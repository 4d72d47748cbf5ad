"""A large image in overlapping tiles, and results put together without seams in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Span:
    """A stretch of one side: what is computed, and where its neighbours' results take over.

    Args:
        start, stop: what is computed, pixels of the image.
        keep_start, keep_stop: what of it is used; before and after lies context only.
    """

    start: int
    stop: int
    keep_start: int
    keep_stop: int


def spans(size: int, tile: int, context: int, blend: int, multiple: int = 1) -> tuple[Span, ...]:
    """Cover a side by tiles of at most `tile` pixels that start at multiples of `multiple`.

    Neighbours' kept stretches overlap by `blend` pixels or more; each tile has `context` further pixels where the image goes on.

    Raises:
        ValueError: the tile is too small to move on.
    """
    if size <= tile:
        return (Span(0, size, 0, size),)
    stride = (tile - 2 * context - blend) // multiple * multiple
    if stride < 1:
        least = 2 * context + blend + multiple
        raise ValueError(f"tiles of {tile} pixels were asked for; with context and blending they need {least} at least")
    count = -(-(size - tile) // stride) + 1
    starts = [min(number * stride, (size - tile + multiple - 1) // multiple * multiple) for number in range(count)]
    return tuple(
        Span(
            start,
            min(start + tile, size),
            start + context * (number > 0),
            min(start + tile, size) - context * (number < count - 1),
        )
        for number, start in enumerate(starts)
    )


def stitch(
    rows: tuple[Span, ...],
    columns: tuple[Span, ...],
    scale: int,
    compute: Callable[[Span, Span], NDArray[np.float32]],
    out: NDArray[Any],
    finish: Callable[[NDArray[np.float32]], NDArray[Any]],
) -> None:
    """Compute tile by tile and blend linearly where kept stretches overlap; beside `out` a row of tiles is held.

    Args:
        compute: (span of rows, span of columns) -> (c, scale height, scale width) of the whole span.
        out: (scale h, scale w, c), filled.
        finish: a strip (h, w, c) of blended values -> values of `out`.
    """
    carried: NDArray[np.float32] | None = None  # the last rows of the strip above, not yet written
    done = 0  # rows of out
    for number, row in enumerate(rows):
        strip = _row(row, columns, scale, compute)  # (kept height, w, c)
        top, bottom = scale * row.keep_start, scale * row.keep_stop
        if carried is not None:
            shared = done + len(carried) - top
            ramp = _ramp(shared)[:, None, None]
            strip[:shared] = carried[len(carried) - shared :] * (1 - ramp) + strip[:shared] * ramp
            if top > done:
                out[done:top] = finish(carried[: top - done])
        end = scale * rows[number + 1].keep_start if number + 1 < len(rows) else bottom
        out[top:end] = finish(strip[: end - top])
        carried, done = strip[end - top :], end


def _row(
    row: Span, columns: tuple[Span, ...], scale: int, compute: Callable[[Span, Span], NDArray[np.float32]]
) -> NDArray[np.float32]:
    strip: NDArray[np.float32] | None = None
    filled = 0
    kept = slice(scale * (row.keep_start - row.start), scale * (row.keep_stop - row.start))
    for column in columns:
        offset = scale * (column.keep_start - column.start)
        length = scale * (column.keep_stop - column.keep_start)
        piece = compute(row, column)[:, kept, offset : offset + length].transpose(1, 2, 0)  # (h, length, c)
        if strip is None:
            strip = np.empty((piece.shape[0], scale * columns[-1].stop, piece.shape[2]), np.float32)
        left = scale * column.keep_start
        shared = filled - left
        if shared > 0:
            ramp = _ramp(shared)[None, :, None]
            strip[:, left:filled] = strip[:, left:filled] * (1 - ramp) + piece[:, :shared] * ramp
        strip[:, max(left, filled) : left + length] = piece[:, max(shared, 0) :]
        filled = left + length
    assert strip is not None
    return strip


def _ramp(length: int) -> NDArray[np.float32]:
    """From 0 to 1, neither included."""
    return ((np.arange(length) + 0.5) / length).astype(np.float32)


def count(rows: tuple[Span, ...], columns: tuple[Span, ...]) -> int:
    """Tiles in all."""
    return len(rows) * len(columns)


def disjoint(cover: tuple[Span, ...]) -> tuple[Span, ...]:
    """The same spans, each keeping only what those before it do not: for sums over an image."""
    starts = (0, *(span.keep_stop for span in cover))
    return tuple(replace(span, keep_start=start) for span, start in zip(cover, starts, strict=False))


def each(rows: tuple[Span, ...], columns: tuple[Span, ...]) -> Iterator[tuple[Span, Span]]:
    """Every tile, row by row."""
    for row in rows:
        for column in columns:
            yield row, column
