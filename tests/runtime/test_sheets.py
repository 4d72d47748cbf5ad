"""Contact sheets and drawn clouds against what must be seen in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from runtime import sheets
from runtime.sheets import SIDE, Tile, draw_cloud, sheet


def inked(picture: np.ndarray) -> np.ndarray:
    """(h, w): where something is drawn."""
    return (picture < 250).any(2)


def test_a_point_is_a_ball_in_the_middle_lit_from_the_upper_left() -> None:
    picture = draw_cloud(np.zeros((1, 3), np.float32))
    rows, columns = np.nonzero(inked(picture))
    assert abs(rows.mean() - SIDE / 2) < 1 and abs(columns.mean() - SIDE / 2) < 1
    middle = SIDE // 2
    assert picture[middle - 3, middle - 3].astype(int).sum() > picture[middle + 3, middle + 3].astype(int).sum() + 60
    assert (picture[0] == 255).all()


def test_scale_and_offset_are_not_seen_and_up_is_up() -> None:
    column = np.stack([np.zeros(50), np.linspace(-1, 1, 50), np.zeros(50)], 1).astype(np.float32)
    rows, columns = np.nonzero(inked(draw_cloud(column)))
    assert np.ptp(rows) > 2 * np.ptp(columns)
    assert np.array_equal(draw_cloud(column), draw_cloud(column * 64 + np.float32(128)))


def test_what_is_near_hides_what_is_behind() -> None:
    azimuth, elevation = sheets._VIEW
    eye = np.array([-np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])
    behind = draw_cloud(np.array([eye, -eye], np.float32))
    assert np.array_equal(behind, draw_cloud(np.array([-eye, eye], np.float32)))  # whatever the order
    near = sheets._COLOUR * (0.35 + 0.65 * 0.62)  # of a surface that faces the eye, without the haze of distance
    assert np.allclose(behind[SIDE // 2 - 1 : SIDE // 2 + 1, SIDE // 2 - 1 : SIDE // 2 + 1].mean((0, 1)), near, atol=5)


def test_an_image_is_shown_whole(tmp_path: Path) -> None:
    Image.fromarray(np.full((30, 90, 3), (200, 40, 40), np.uint8)).save(tmp_path / "wide.png")
    found = sheet([[Tile(tmp_path / "wide.png", "query", "wide.png")]])
    part = found[sheets.GAP : sheets.GAP + SIDE, sheets.GAP : sheets.GAP + SIDE]
    rows, columns = np.nonzero((part == (200, 40, 40)).all(2))
    assert np.ptp(columns) == SIDE - 1 and np.ptp(rows) == round(SIDE / 3) - 1


def test_what_cannot_be_read_is_said_and_rows_may_differ_in_length(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    tiles = [Tile(tmp_path / "bad.png", "3 bits", "größe/" * 20 + "bad.png"), Tile(tmp_path / "gone.ply", "", "")]
    found = sheet([tiles, tiles[:1]])
    assert found.shape[0] > 2 * SIDE and found.shape[1] > 2 * SIDE and found.dtype == np.uint8
    first = found[sheets.GAP : sheets.GAP + SIDE, sheets.GAP : sheets.GAP + SIDE]
    second = found[sheets.GAP : sheets.GAP + SIDE, 2 * sheets.GAP + SIDE :]
    assert inked(first)[SIDE // 2 - 10 : SIDE // 2 + 10, 5:-5].any() and inked(second).any()


def test_a_sheet_too_large_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a sheet of 2000 queries with 100 hits has \d+x\d+ pixels; give fewer of either"):
        sheets.check_size(2000, 100)
    sheets.check_size(100, 10)
