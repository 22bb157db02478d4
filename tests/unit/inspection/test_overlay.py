"""The overlay shows where the score comes from, and changes nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from edge_agent.camera.roi import Roi
from edge_agent.inspection.overlay import draw_overlay

GREY = np.full((120, 160), 90, np.uint8)
COLOUR = np.full((120, 160, 3), 90, np.uint8)


def heat(row: int, column: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    values = np.zeros((8, 8), np.float32)
    values[row, column] = 5.0
    return values


@pytest.mark.parametrize("image", [GREY, COLOUR], ids=["grey", "colour"])
def test_the_defect_is_drawn_where_it_is(
    image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]],
) -> None:
    before = image.copy()
    drawn = draw_overlay(
        image, heat(6, 1), roi=Roi(), threshold=1.0, verdict="ng", caption="ng 5.0"
    )
    changed = np.abs(drawn[:120].astype(int) - 90).sum(axis=2)
    rows, columns = np.nonzero(changed > 60)
    assert 75 < rows.mean() < 115
    assert 10 < columns.mean() < 50
    assert changed[:60, 80:].max() <= 3 * 45  # elsewhere only the cold end of the colours
    assert drawn.shape[1:] == (160, 3)
    assert drawn.shape[0] > 120
    np.testing.assert_array_equal(image, before)


def test_the_map_lies_over_the_region() -> None:
    roi = Roi(0.5, 0.0, 0.5, 1.0)
    drawn = draw_overlay(COLOUR, heat(0, 0), roi=roi, threshold=1.0, verdict="ng", caption="")
    np.testing.assert_array_equal(drawn[:120, :78], COLOUR[:, :78])
    assert (drawn[:30, 80:100] != 90).any()


@pytest.mark.parametrize("verdict", ["ok", "ng", "review", "invalid", "odd"])
def test_without_a_map_only_the_caption_is_added(verdict: str) -> None:
    drawn = draw_overlay(
        COLOUR, None, roi=Roi(), threshold=1.0, verdict=verdict, caption="no image"
    )
    np.testing.assert_array_equal(drawn[:120], COLOUR)
    assert drawn.dtype == np.uint8
    assert len(np.unique(drawn[120:].reshape(-1, 3), axis=0)) > 5  # the caption
