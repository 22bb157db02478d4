"""The scene is found again where it lies, and not where it is not."""

from __future__ import annotations

import numpy as np
import pytest

from edge_agent.camera.frame import Image
from edge_agent.lighting.registration import SIDE, Finder, Landmarks, learn_landmarks
from edge_agent.lighting.sampling import green
from tests.unit.lighting.scenery import HEIGHT, WIDTH, Scenery, View


@pytest.fixture(scope="module")
def mask(scenery: Scenery) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    mask = np.ones((HEIGHT, WIDTH), np.bool_)
    mask[scenery.rows, scenery.columns] = False
    return mask


@pytest.fixture(scope="module")
def landmarks(scenery: Scenery, mask: np.ndarray[tuple[int, int], np.dtype[np.bool_]]) -> Landmarks:
    return learn_landmarks(green(scenery.frame(0)), mask)


@pytest.fixture
def finder(landmarks: Landmarks) -> Finder:
    return Finder(landmarks, HEIGHT, WIDTH)


def test_pieces_lie_in_the_scene_and_apart(landmarks: Landmarks, scenery: Scenery) -> None:
    assert len(landmarks.patches) >= 5
    corners = [(patch.x, patch.y) for patch in landmarks.patches]
    assert len(set(corners)) == len(corners)
    for x, y in corners:
        assert 0 <= x <= WIDTH - SIDE
        assert 0 <= y <= HEIGHT - SIDE
        middle = (x + SIDE // 2, y + SIDE // 2)
        assert not (
            scenery.columns.start <= middle[0] < scenery.columns.stop
            and scenery.rows.start <= middle[1] < scenery.rows.stop
        )


@pytest.mark.parametrize(
    "view",
    [
        View(), View(shift_x=6.4), View(shift_y=-12.5), View(shift_x=-35.0, shift_y=20.0),
        View(shift_x=60.0), View(turn=2.0), View(turn=-4.0, shift_x=5.0), View(larger=3.0),
        View(shift_x=4.0, level=0.6), View(shift_y=7.0, blur=1.0),
    ],
    ids=str,
)  # fmt: skip
def test_shift_turn_and_scale_are_found(finder: Finder, scenery: Scenery, view: View) -> None:
    moved = finder.find(scenery.frame(3, view))
    assert moved is not None
    assert moved.x_px == pytest.approx(view.shift_x, abs=0.35)
    assert moved.y_px == pytest.approx(view.shift_y, abs=0.35)
    assert moved.turn_deg == pytest.approx(view.turn, abs=0.15)
    assert moved.scale == pytest.approx(view.larger, abs=0.4)
    assert moved.alike > 0.5
    assert moved.pieces >= 3
    assert moved.is_far == (view != View())


def test_what_is_not_there_is_not_found(finder: Finder) -> None:
    random = np.random.default_rng(0)
    others: list[Image] = [
        np.zeros((HEIGHT, WIDTH, 3), np.uint8),
        np.full((HEIGHT, WIDTH, 3), 90, np.uint8),
        random.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8),
    ]
    assert [finder.find(other) for other in others] == [None] * len(others)
    stranger = Scenery(seed=99).frame(1)
    assert finder.find(stranger) is None


def test_a_frame_of_another_size_is_not_searched(finder: Finder, scenery: Scenery) -> None:
    assert finder.find(np.ascontiguousarray(scenery.frame(3)[:-1])) is None


def test_a_scene_without_texture_cannot_be_found() -> None:
    plate = np.full((HEIGHT, WIDTH), 128, np.uint8)
    finder = Finder(learn_landmarks(plate, np.ones(plate.shape, np.bool_)), HEIGHT, WIDTH)
    assert not finder.can_find
    assert finder.find(plate) is None


def test_a_frame_smaller_than_two_pieces_has_none() -> None:
    small = np.random.default_rng(0).integers(0, 256, (2 * SIDE - 1, 200)).astype(np.uint8)
    assert learn_landmarks(small, np.ones(small.shape, np.bool_)).patches == ()
