"""From evidence to causes: a table, and the rules that keep them apart."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest

from edge_agent.lighting import figures as m
from edge_agent.lighting.diagnosis import (
    HIDES,
    KINDS,
    REMEDIES,
    SHOWN_BY,
    Evidence,
    Finding,
    beyond,
    diagnose,
)
from edge_agent.lighting.figures import NAMES
from edge_agent.lighting.places import SMALL, Blob
from edge_agent.lighting.registration import Moved

LIMIT = 1.0


def evidence(*, figures: dict[str, float] | None = None, **more: Any) -> Evidence:
    """Return what is seen when some figures are off, by their names, and all else is as it was."""
    away = np.zeros(len(NAMES))
    for name, value in (figures or {}).items():
        away[NAMES.index(name)] = value
    usual: dict[str, Any] = {
        "out": np.abs(away) > LIMIT, "away": away, "limits": np.full(len(NAMES), LIMIT),
        "blob": None, "moved": None, "sought": False, "frozen": 0, "torn": False, "blur_px": 0.0,
        "has_scene": True, "noise_error": 2.0,
        "noise_power": 0.5, "swings": False, "steady": True,
    }  # fmt: skip
    return Evidence(**(usual | more))


def blob(size: float, x: float = -0.8, y: float = -0.8, *, share: float = 0.02) -> Blob:
    return Blob(size, x, y, share, 2.0, SMALL)


def moved(x: float = 0.0, y: float = 0.0, turn: float = 0.0, scale: float = 0.0) -> Moved:
    return Moved(x, y, turn, scale, 0.95, 8)


TABLE: list[tuple[str, Evidence, str, float, str]] = [
    ("all lamps dimmed", evidence(figures={"level": -5.0}), "brightness", -5.0, ""),
    ("all lamps brighter", evidence(figures={"level": 8.0, "noise": 4.0}), "brightness", 8.0, ""),
    ("gain up", evidence(figures={"level": 20.0, "noise": 20.0}), "exposure", 20.0, ""),
    ("noise alone", evidence(figures={"noise": 30.0}), "exposure", 30.0, ""),
    ("left lamp down", evidence(figures={"slope_x": 6.0, "level": -5.0, "added": -5.0}),
     "gradient", -11.0, "left"),
    ("bottom lamp down", evidence(figures={"slope_y": -6.0, "level": -5.0, "added": -5.0}),
     "gradient", -11.0, "bottom"),
    ("daylight from the right", evidence(figures={"slope_x": 6.0, "level": 5.0, "added": 5.0}),
     "ambient", 11.0, "right"),
    ("sun patch", evidence(figures={"level": 1.5, "slope_x": 2.0}, blob=blob(0.2, 0.8, 0.0)),
     "ambient", 20.0, "right"),
    ("dirt", evidence(blob=blob(-0.1)), "dirt", -10.0, "top left"),
    ("warmer", evidence(figures={"red": 3.0, "blue": -3.0}), "color", 6.0, ""),
    ("colder", evidence(figures={"red": -2.0, "blue": 2.0}), "color", -4.0, ""),
    ("greener", evidence(figures={"red": -4.0, "blue": -4.0}), "color", 4.0, ""),
    ("beat", evidence(figures={"beat": 4.0, "level": 2.0}, swings=True, steady=False),
     "flicker", 4.0, ""),
    ("rows", evidence(figures={"rows": 3.0}), "flicker", 3.0, ""),
    ("out of focus", evidence(figures={"blur": 2.0, "noise": -20.0}, blur_px=1.4),
     "defocus", 1.4, ""),
    ("less sharp", evidence(figures={"sharpness": -60.0}, has_scene=False), "defocus", 25.9, ""),
    ("moved", evidence(figures={"shift_x": 3.0, "shift_y": 4.0}), "camera_moved", 5.0, ""),
    ("moved far", evidence(figures={"shift_x": 30.0, "level": 4.0, "misfit": 90.0},
                           moved=moved(30.0), sought=True), "camera_moved", 30.0, ""),
    ("turned", evidence(figures={"rotation": 1.5}), "camera_moved", 1.5, ""),
    ("lost", evidence(figures={"misfit": 90.0}, sought=True), "camera_moved", 0.0, ""),
    ("frozen", evidence(frozen=3, figures={"level": -9.0}), "frozen", 3.0, ""),
    ("torn", evidence(frozen=6, torn=True), "frozen", 6.0, ""),
    ("other parts", evidence(figures={"oddness": 3.0}), "product", 3.0, ""),
    ("other parts, other colour", evidence(figures={"part_red": 9.0, "oddness": 0.5}),
     "product", 0.5, ""),
    ("web of another kind", evidence(figures={"contrast": 9.0, "level": -9.0}, has_scene=False),
     "product", 0.0, ""),
]  # fmt: skip


@pytest.mark.parametrize(
    ("seen", "kind", "size", "where"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_evidence_has_its_cause(seen: Evidence, kind: str, size: float, where: str) -> None:
    first = diagnose(seen)[0]
    assert (first.kind, first.where) == (kind, where)
    assert first.size == pytest.approx(size, abs=0.1)
    assert first.kind in KINDS
    assert first.excess > 0
    assert first.text
    assert "\n" not in first.text


@pytest.mark.parametrize(
    ("seen", "kind"), [row[1:3] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_one_cause_is_named_once(seen: Evidence, kind: str) -> None:
    kinds = [finding.kind for finding in diagnose(seen)]
    assert kinds == [kind]


def test_nothing_off_is_no_cause() -> None:
    assert diagnose(evidence()) == ()
    assert diagnose(evidence(figures={"level": 0.5, "slope_x": -0.5, "hidden": 30.0})) == ()


def test_two_causes_that_leave_their_own_marks_are_told_apart() -> None:
    seen = evidence(figures={"level": -5.0, "red": 4.0, "blue": -4.0})
    assert {finding.kind for finding in diagnose(seen)} == {"brightness", "color"}
    seen = evidence(figures={"level": -9.0, "blur": 3.0}, blur_px=1.0)
    assert {finding.kind for finding in diagnose(seen)} == {"brightness", "defocus"}


def test_the_most_plain_comes_first() -> None:
    seen = evidence(figures={"level": -2.0, "red": 4.0, "blue": -4.0})
    assert [finding.kind for finding in diagnose(seen)] == ["color", "brightness"]


def test_what_is_a_trace_of_something_huge_is_not_named() -> None:
    seen = evidence(figures={"level": -60.0, "red": 2.0})
    assert [finding.kind for finding in diagnose(seen)] == ["brightness"]


def test_a_camera_that_moved_explains_all_else() -> None:
    seen = evidence(figures={"shift_x": 8.0, "level": 3.0, "blur": 3.0, "oddness": 4.0},
                    moved=moved(8.0), sought=True)  # fmt: skip
    assert [finding.kind for finding in diagnose(seen)] == ["camera_moved"]


def test_light_that_is_off_far_more_is_not_read_as_a_shift() -> None:
    seen = evidence(figures={"level": -40.0, "shift_x": 2.0})
    assert diagnose(seen)[0].kind == "brightness"


def test_a_scene_that_is_gone_for_want_of_light_is_not_a_camera_that_moved() -> None:
    seen = evidence(figures={"level": -95.0, "misfit": 5.0}, sought=True)
    assert diagnose(seen)[0].kind == "brightness"


def test_the_level_waits_until_frames_agree_about_it() -> None:
    assert diagnose(evidence(figures={"level": -5.0}, steady=False)) == ()


def test_a_single_step_is_not_flicker() -> None:
    seen = evidence(figures={"beat": 4.0, "level": -5.0}, swings=False)
    assert [finding.kind for finding in diagnose(seen)] == ["brightness"]


def test_where_nothing_stays_put_a_place_or_flicker_is_not_guessed() -> None:
    seen = evidence(figures={"rows": 5.0, "beat": 5.0}, has_scene=False, blob=blob(-0.3))
    assert diagnose(seen) == ()


def test_dirt_is_small_and_leaves_the_level_alone() -> None:
    assert diagnose(evidence(blob=blob(-0.2, share=0.5))) == ()
    assert diagnose(evidence(figures={"level": -9.0}, blob=blob(-0.2)))[0].kind != "dirt"


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ({"shift_x": 6.4}, "6.4 px right"),
        ({"shift_x": -6.4}, "6.4 px left"),
        ({"shift_y": 3.0}, "3.0 px down"),
        ({"shift_y": -3.0}, "3.0 px up"),
        ({"rotation": 1.2}, "1.2 degrees clockwise"),
        ({"rotation": -1.2}, "1.2 degrees anticlockwise"),
        ({"scale": 2.0}, "2.0 % larger"),
        ({"shift_x": 6.0, "rotation": -2.0}, "6.0 px right, 2.0 degrees anticlockwise"),
    ],
)
def test_a_move_is_said_in_words(figures: dict[str, float], words: str) -> None:
    assert diagnose(evidence(figures=figures))[0].text == f"camera moved: the picture lies {words}"


def test_what_a_trained_eye_found_goes_before_the_least_squares() -> None:
    seen = evidence(figures={"shift_x": 2.0}, moved=moved(21.0, 0.0, 1.0), sought=True)
    assert diagnose(seen)[0].size == pytest.approx(21.0)
    assert "21.0 px right, 1.0 degrees clockwise" in diagnose(seen)[0].text


def test_every_kind_is_complete() -> None:
    assert set(REMEDIES) == set(KINDS) == set(SHOWN_BY) == set(HIDES)
    assert all(REMEDIES[kind] and "\n" not in REMEDIES[kind] for kind in KINDS)
    assert all(hidden <= set(KINDS) - {kind} for kind, hidden in HIDES.items())
    assert {finding for _, _, finding, _, _ in TABLE} == set(KINDS), "each has its row"


def test_a_diagnosis_is_a_value() -> None:
    first, second = (diagnose(evidence(figures={"level": -5.0})) for _ in range(2))
    assert first == second
    assert isinstance(first[0], Finding)
    assert msgspec.json.decode(msgspec.json.encode(first), type=tuple[Finding, ...]) == first
    assert math.isfinite(first[0].excess)
    assert NAMES.index("level") == m.LEVEL


@pytest.mark.parametrize(
    ("figure", "kind", "words"),
    [
        (m.BRIGHT, "exposure", "saturated"),
        (m.DARK, "exposure", "black"),
        (m.HIDDEN, "camera_moved", "hidden"),
        (m.ROTATION, "camera_moved", "rotation"),
        (m.SHARPNESS, "defocus", "sharpness"),
        (m.RED, "color", "red"),
    ],
)
def test_what_no_rule_knows_is_still_named_by_the_figure_that_is_out(
    figure: int, kind: str, words: str
) -> None:
    finding = beyond(figure, 40.0)
    assert finding.kind == kind
    assert words in finding.text
