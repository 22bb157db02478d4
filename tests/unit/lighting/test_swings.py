"""Flicker goes both ways; a step does not."""

from __future__ import annotations

import numpy as np

from edge_agent.lighting import figures as m
from edge_agent.lighting.charts import Limits
from edge_agent.lighting.figures import NAMES
from edge_agent.lighting.swings import Swings

LIMITS = Limits(*(np.full(len(NAMES), value) for value in (0.0, 1.0, 1.0, 1.0, 0.5)))


def feed(swings: Swings, levels: list[float], *, rows: float = 0.0) -> bool:
    """Show levels frame by frame, as the meter does; return what the last frame answered."""
    last, often = levels[0], False
    for level in levels:
        values = np.zeros(len(NAMES))
        values[m.LEVEL], values[m.BEAT], values[m.ROWS] = level, abs(level - last), rows
        often, last = swings.update(values, LIMITS), level
    return often


def test_light_that_goes_up_and_down_swings() -> None:
    swings = Swings()
    assert feed(swings, [3.0, -3.0] * 6)
    assert swings.go_both_ways(1.0)
    assert not swings.is_steady(0.1)


def test_a_step_does_not_swing() -> None:
    swings = Swings()
    assert not feed(swings, [0.0] * 6 + [-20.0] * 6)
    assert not swings.go_both_ways(1.0)
    assert swings.is_steady(0.1)


def test_a_staircase_goes_one_way() -> None:
    swings = Swings()
    assert feed(swings, [-2.0 * step for step in range(12)]), "each frame differs"
    assert not swings.go_both_ways(1.0)


def test_rows_that_differ_are_enough() -> None:
    assert feed(Swings(), [0.0] * 8, rows=2.0)
    assert not feed(Swings(), [0.0] * 8, rows=0.2)


def test_frames_agree_about_a_level_within_their_spread() -> None:
    swings = Swings()
    feed(swings, [0.1, -0.1, 0.1, -0.1])
    assert swings.is_steady(0.1)
    assert not swings.is_steady(0.01)


def test_old_swings_are_forgotten() -> None:
    swings = Swings()
    feed(swings, [3.0, -3.0] * 6)
    assert not feed(swings, [0.0] * 20)
    assert not swings.go_both_ways(1.0)
