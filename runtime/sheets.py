"""Contact sheets: queries, each beside its hits; clouds and meshes are drawn as shaded points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import clouds
from .ops import resize
from .prepare import _opencv, decode

SIDE = 160  # pixels of a picture
CAPTION, GAP = 38, 8
LARGEST = 64_000_000  # pixels of a sheet
_DRAWN = 8192  # points of a cloud
_PAPER, _INK, _FAINT = 255, 30, 130
_VIEW = (-0.6, 0.4)  # azimuth about the up axis (y) and elevation, radians
_COLOUR = np.array([86.0, 140.0, 190.0])  # of points in full light


@dataclass(frozen=True)
class Tile:
    """One picture of a sheet.

    Args:
        source: an image, a cloud or a mesh; where it is not there or cannot be read, the tile says so.
        title, name: two lines below it; a name that is too long loses its beginning.
    """

    source: Path
    title: str
    name: str


def sheet(rows: Sequence[Sequence[Tile]]) -> NDArray[np.uint8]:
    """Rows of tiles, the first of each row apart from the others: uint8 (h, w, 3)."""
    columns = max(map(len, rows))
    check_size(len(rows), columns - 1)
    h, w = _size(len(rows), columns)
    found = np.full((h, w, 3), _PAPER, np.uint8)
    drawn: dict[Path, NDArray[np.uint8] | str] = {}
    for row, tiles in enumerate(rows):
        for column, tile in enumerate(tiles):
            if tile.source not in drawn:
                drawn[tile.source] = _picture(tile.source)
            top, left = GAP + row * (SIDE + CAPTION + GAP), GAP + column * (SIDE + GAP) + (GAP if column else 0)
            _place(found[top : top + SIDE + CAPTION, left : left + SIDE], drawn[tile.source], tile)
    found[:, GAP + SIDE + GAP - 1 : GAP + SIDE + GAP + 1] = _FAINT
    return found


def check_size(queries: int, hits: int) -> None:
    """ValueError where the sheet of so many queries and hits would be too large."""
    h, w = _size(queries, hits + 1)
    if h * w > LARGEST:
        raise ValueError(f"a sheet of {queries} queries with {hits} hits has {w}x{h} pixels; give fewer of either")


def draw_cloud(points: NDArray[np.float32], side: int = SIDE) -> NDArray[np.uint8]:
    """Points (n, 3) from above and aside, y up: each a small ball that hides what is behind it, light from the upper left, and
    paler the farther away. uint8 (side, side, 3), on white.
    """
    azimuth, elevation = _VIEW
    turn, tilt = np.array([np.cos(azimuth), np.sin(azimuth)]), np.array([np.cos(elevation), np.sin(elevation)])
    x, y, z = clouds.normalise(points).T.astype(np.float64)
    right, towards = turn[0] * x + turn[1] * z, turn[0] * z - turn[1] * x
    up, near = tilt[0] * y - tilt[1] * towards, tilt[1] * y + tilt[0] * towards
    size = 2 * side  # drawn at twice the size, then reduced
    radius = max(1, round(size * float(np.clip(0.6 / np.sqrt(len(points)), 0.008, 0.05))))
    scale = size / 2 - radius - 2
    column, line = (np.rint(size / 2 + scale * value).astype(np.int64) for value in (right, -up))
    reach = np.arange(-radius, radius + 1)
    dy, dx = (value.ravel() for value in np.meshgrid(reach, reach, indexing="ij"))
    inside = dx**2 + dy**2 <= radius**2
    dy, dx = dy[inside], dx[inside]
    bulge = np.sqrt(radius**2 - dx**2 - dy**2)  # towards the eye
    depth, light = np.full(size * size, -np.inf), np.zeros(size * size)
    normals = np.stack([dx, dy, bulge]) / radius
    shine = np.clip(normals.T @ (np.array([-0.5, -0.6, 0.62])), 0, 1)
    for at in range(len(dx)):
        place = (line + dy[at]) * size + column + dx[at]
        height = near + bulge[at] / scale
        np.maximum.at(depth, place, height)
        seen = depth[place] == height
        light[place[seen]] = shine[at]
    hit = np.isfinite(depth)
    nearness = np.clip((depth[hit] + 1) / 2, 0, 1)[:, None]
    shaded = _COLOUR * (0.35 + 0.65 * light[hit])[:, None] * (0.55 + 0.45 * nearness) + 70 * (1 - nearness)
    canvas = np.full((size * size, 3), _PAPER, np.uint8)
    canvas[hit] = shaded.clip(0, 255).astype(np.uint8)
    return resize(canvas.reshape(size, size, 3), (side, side), "bilinear")


def _size(rows: int, columns: int) -> tuple[int, int]:
    return GAP + rows * (SIDE + CAPTION + GAP), 2 * GAP + columns * (SIDE + GAP)


def _picture(source: Path) -> NDArray[np.uint8] | str:
    """The picture of a file, or what to say in its place."""
    if not source.exists():
        return "no longer there"
    try:
        if source.suffix.lower() in clouds.SUFFIXES:
            return draw_cloud(clouds.read_cloud(source, _DRAWN))
        return _fitted(decode(source))
    except (ValueError, OSError, MemoryError):
        return "cannot be read"


def _fitted(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The whole image in the middle of a square."""
    h, w = image.shape[:2]
    size = max(1, round(h * SIDE / max(h, w))), max(1, round(w * SIDE / max(h, w)))
    found = np.full((SIDE, SIDE, 3), _PAPER, np.uint8)
    top, left = (SIDE - size[0]) // 2, (SIDE - size[1]) // 2
    found[top : top + size[0], left : left + size[1]] = resize(image, size, "bilinear")
    return found


def _place(canvas: NDArray[np.uint8], picture: NDArray[np.uint8] | str, tile: Tile) -> None:
    """Picture and caption onto a part (SIDE + CAPTION, SIDE, 3) of the sheet."""
    cv2 = _opencv()
    part = np.ascontiguousarray(canvas)
    if isinstance(picture, str):
        cv2.rectangle(part, (0, 0), (SIDE - 1, SIDE - 1), (_FAINT,) * 3, 1)
        _write(cv2, part, picture, SIDE // 2, _FAINT, centred=True)
    else:
        part[:SIDE] = picture
    _write(cv2, part, tile.title, SIDE + 14, _INK)
    _write(cv2, part, tile.name, SIDE + 31, _FAINT)
    canvas[:] = part


def _write(cv2: Any, canvas: NDArray[np.uint8], text: str, baseline: int, shade: int, *, centred: bool = False) -> None:
    """A line of text; OpenCV's letters are ASCII, others become question marks."""
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, 0.4
    shown = text.encode("ascii", "replace").decode("ascii")
    while cv2.getTextSize(shown, font, scale, 1)[0][0] > SIDE - 4 and len(shown) > 4:
        shown = "..." + shown[4:] if shown.startswith("...") else "..." + shown[3:]
    left = (SIDE - cv2.getTextSize(shown, font, scale, 1)[0][0]) // 2 if centred else 2
    cv2.putText(canvas, shown, (left, baseline), font, scale, (shade,) * 3, 1, cv2.LINE_AA)
