"""Where something is, in words, and which places stand out."""

from __future__ import annotations

import numpy as np
import pytest

from edge_agent.lighting.places import LARGE, POINT, SIDES, SMALL, Blob, Windows, in_words
from edge_agent.lighting.sampling import FloatArray

ROWS, COLUMNS = 30, 40
ALL = np.arange(ROWS * COLUMNS)


def limits(value: float = 0.05) -> dict[int, FloatArray]:
    return {side: np.full((ROWS, COLUMNS), value / side, np.float32) for side in SIDES}


def field(row: int, column: int, half: int, size: float) -> FloatArray:
    grid = np.zeros((ROWS, COLUMNS), np.float32)
    grid[row - half : row + half + 1, column - half : column + half + 1] = size
    return grid.reshape(-1)


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [(-0.9, 0.0, "left"), (0.9, 0.0, "right"), (0.0, -0.9, "top"), (0.0, 0.9, "bottom"),
     (0.9, 0.9, "bottom right"), (-0.9, -0.9, "top left"), (0.1, -0.2, "centre")],
)  # fmt: skip
def test_places_have_names(x: float, y: float, words: str) -> None:
    assert in_words(x, y) == words


def test_an_even_field_has_no_place_that_stands_out() -> None:
    windows = Windows(ROWS, COLUMNS, ALL)
    assert windows.worst(np.zeros(len(ALL), np.float32), limits()) is None
    noise = np.random.default_rng(0).normal(0.0, 0.002, len(ALL)).astype(np.float32)
    assert windows.worst(noise, limits()) is None


@pytest.mark.parametrize(("half", "size"), [(0, 0.3), (1, -0.08), (4, 0.03), (4, -0.03)])
def test_a_place_that_stands_out_is_found_with_sign_and_size(half: int, size: float) -> None:
    windows = Windows(ROWS, COLUMNS, ALL)
    blob = windows.worst(field(20, 10, half, size), limits())
    assert blob is not None
    assert np.sign(blob.size) == np.sign(size)
    assert abs(blob.size) <= abs(size) * 1.01
    assert blob.x == pytest.approx(2.0 * 10.5 / COLUMNS - 1.0, abs=0.1)
    assert blob.y == pytest.approx(2.0 * 20.5 / ROWS - 1.0, abs=0.1)
    assert blob.excess > 1.0
    assert blob.side in SIDES
    assert blob.share <= (2 * half + 1) ** 2 / len(ALL) + 1e-6


def test_brighter_and_darker_can_be_looked_for_alone() -> None:
    windows = Windows(ROWS, COLUMNS, ALL)
    seen = field(20, 10, 2, 0.2) + field(8, 30, 2, -0.4)
    darker, brighter = (windows.worst(seen, limits(), sign=sign) for sign in (-1, 1))
    assert darker is not None
    assert brighter is not None
    assert (darker.size < 0, brighter.size > 0) == (True, True)
    assert in_words(darker.x, darker.y) == "top right"
    assert in_words(brighter.x, brighter.y) == "left" or brighter.y > 0


def test_what_is_seen_of_too_few_points_counts_as_nothing() -> None:
    few = ALL[::5]
    windows = Windows(ROWS, COLUMNS, few)
    means = windows.means(np.ones(len(few), np.float32))
    assert not means[SMALL].any()
    assert not means[LARGE].any()
    assert means[POINT].reshape(-1)[few].all()


def test_means_are_over_the_points_that_are_known() -> None:
    half = ALL[ALL % COLUMNS < COLUMNS // 2]
    means = Windows(ROWS, COLUMNS, half).means(np.full(len(half), 0.5, np.float32))
    for side in SIDES:
        known = means[side][means[side] != 0.0]
        np.testing.assert_allclose(known, 0.5, rtol=1e-5)


def test_a_place_shows_in_a_frame_that_has_half_of_it_or_more() -> None:
    windows = Windows(ROWS, COLUMNS, ALL)
    blob = windows.worst(field(20, 10, 1, -0.2), limits())
    assert isinstance(blob, Blob)
    assert windows.shows(field(20, 10, 1, -0.2), blob)
    assert windows.shows(field(20, 10, 2, -0.15), blob)
    assert not windows.shows(field(20, 10, 1, -0.02), blob)
    assert not windows.shows(field(20, 10, 1, 0.2), blob)
    assert not windows.shows(np.zeros(len(ALL), np.float32), blob)
