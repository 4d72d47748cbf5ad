"""Pictures of what decided: the part of an image that a graph sees, and colours where the numbers say so."""

from __future__ import annotations

import numpy as np
import pytest

from runtime.heat import overlay, visible
from runtime.prepare import Geometry, fit


@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (50, 50), (1, 9)])
@pytest.mark.parametrize("size", [(8, 8), (4, 12)])
def test_what_is_visible_is_what_the_graph_sees(shape: tuple[int, int], size: tuple[int, int]) -> None:
    ramp = np.mgrid[: shape[0], : shape[1]].astype(np.uint8)
    image = np.stack([ramp[0] * 4, ramp[1] * 4, np.full(shape, 9)], -1).astype(np.uint8)
    for mode in ("crop", "squash"):
        part = visible(image, Geometry(size, mode, "bilinear"))  # type: ignore[arg-type]
        assert part.shape[0] <= shape[0] and part.shape[1] <= shape[1]
        if min(shape) > 1:
            whole = fit(image, Geometry(size, mode, "bilinear")).astype(int)  # type: ignore[arg-type]
            again = fit(part, Geometry(size, "squash", "bilinear")).astype(int)
            assert np.abs(whole - again).max() <= 16  # a crop ends at whole pixels of the image, 4 levels apart
        if mode == "squash":
            assert part is image


def test_red_speaks_for_blue_against_and_what_does_not_count_is_dark() -> None:
    image = np.full((300, 600, 3), 100, np.uint8)
    heat = np.array([[1.0, -1.0, 0.0, 0.0]], np.float32)
    found = overlay(image, heat, np.array([[True, True, True, False]]))
    assert found.shape == (300, 600, 3) and found.dtype == np.uint8
    red, blue, plain, dark = (found[150, column].tolist() for column in (75, 225, 375, 525))
    assert red[0] > 180 and red[2] < 80 and blue[2] > 180 and blue[0] < 80
    assert plain == [100, 100, 100] and dark == [30, 30, 30]
    assert (found == found[:1]).all()  # one row of cells
    colourful = np.full((300, 300, 3), (250, 0, 0), np.uint8)
    assert (
        np.ptp(overlay(colourful, np.zeros((1, 1), np.float32), np.ones((1, 1), bool)), axis=-1).max() == 0
    )  # its own red is grey


def test_sizes_are_such_that_cells_can_be_seen() -> None:
    for shape, expected in (((8, 8), (256, 256)), ((4000, 1000), (768, 192)), ((400, 300), (400, 300)), ((1, 600), (1, 768))):
        found = overlay(np.zeros((*shape, 3), np.uint8), np.zeros((3, 3), np.float32), np.ones((3, 3), bool))
        assert found.shape[:2] == expected and (found == 0).all()
