"""Planted marks tell how defects move features."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from calibration import marks
from calibration.commission import Plan
from edge_agent.camera.frame import Image


def test_marks_change_some_cells_much_and_leave_the_part_itself(
    plan: Plan, draw: Callable[..., Image]
) -> None:
    frames = [draw(seed) for seed in range(6)]
    before = [frame.copy() for frame in frames]
    moves = np.linalg.norm(marks.changes(frames, plan.input), axis=1)
    cells = (plan.input.height // 16) * (plan.input.width // 16)
    assert len(moves) == 6 * cells
    assert moves.max() > 5 * np.median(moves)
    np.testing.assert_array_equal(frames, before)


def test_the_same_parts_give_the_same_marks(plan: Plan, draw: Callable[..., Image]) -> None:
    grey = [np.ascontiguousarray(draw(seed)[:, :, 0]) for seed in range(3)]
    one, two = (marks.changes(grey, plan.input) for _ in range(2))
    assert one.tobytes() == two.tobytes()
    assert not np.array_equal(one, np.zeros_like(one))


def test_no_more_parts_are_marked_than_needed(plan: Plan, draw: Callable[..., Image]) -> None:
    frames = [draw(1)] * (marks.PARTS + 20)
    cells = (plan.input.height // 16) * (plan.input.width // 16)
    assert len(marks.changes(frames, plan.input)) == marks.PARTS * cells
