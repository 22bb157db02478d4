from __future__ import annotations

import math
from collections import Counter

import pytest

from edge_agent.camera.simulation import parts
from edge_agent.camera.simulation.parts import Kind, Line, make_part


def line(**changes: float) -> Line:
    values = {"seed": 7, "defect_rate": 0.5, "defect_size_px_min": 8.0, "defect_size_px_max": 48.0}
    values |= changes
    return Line(
        seed=int(values["seed"]),
        defect_rate=values["defect_rate"],
        defect_size_px_min=values["defect_size_px_min"],
        defect_size_px_max=values["defect_size_px_max"],
    )


def test_a_part_is_a_function_of_seed_and_number() -> None:
    assert make_part(line(), 5) == make_part(line(), 5)
    assert make_part(line(), 5) != make_part(line(), 6)
    assert make_part(line(), 5) != make_part(line(seed=8), 5)


def test_a_defect_changes_nothing_else_about_a_part() -> None:
    good, bad = make_part(line(defect_rate=0), 5), make_part(line(defect_rate=1), 5)
    assert good.defect is None
    assert bad.defect is not None
    assert (good.x, good.holes, good.texture_turn_deg) == (bad.x, bad.holes, bad.texture_turn_deg)


def test_parts_stay_within_their_tolerances_and_use_them() -> None:
    made = [make_part(line(), number) for number in range(1, 801)]
    for values, limit in (
        ([part.x for part in made], parts.MAX_OFFSET_PX),
        ([part.y for part in made], parts.MAX_OFFSET_PX),
        ([part.turn_deg for part in made], parts.MAX_TURN_DEG),
        ([part.reflectance - 1 for part in made], parts.MAX_REFLECTANCE),
        ([size - 1 for part in made for size in part.holes], parts.MAX_HOLE),
    ):
        assert max(values) <= limit
        assert min(values) >= -limit
        assert max(values) > 0.9 * limit
        assert min(values) < -0.9 * limit


def test_defects_come_at_their_rate_in_all_kinds_and_sizes() -> None:
    made = [make_part(line(defect_rate=0.3), number) for number in range(1, 2001)]
    defects = [part.defect for part in made if part.defect is not None]
    assert len(defects) / len(made) == pytest.approx(0.3, abs=0.04)
    kinds = Counter(defect.kind for defect in defects)
    assert set(kinds) == set(Kind)
    assert min(kinds.values()) > len(defects) / len(Kind) / 2
    sizes = [defect.size_px for defect in defects if defect.kind is not Kind.MISSING_HOLE]
    assert min(sizes) >= 8.0
    assert max(sizes) <= 48.0
    assert min(sizes) < 10.0
    assert max(sizes) > 46.0


def test_defects_lie_on_the_metal() -> None:
    for number in range(1, 801):
        defect = make_part(line(defect_rate=1), number).defect
        assert defect is not None
        radius = math.hypot(defect.x, defect.y)
        assert parts.BORE_RADIUS < radius < parts.RADIUS


def test_a_missing_hole_is_one_of_the_holes() -> None:
    made = [make_part(line(defect_rate=1), number).defect for number in range(1, 401)]
    missing = [d for d in made if d is not None and d.kind is Kind.MISSING_HOLE]
    angles = {parts.hole_angle_deg(index) for index in range(parts.HOLES)}
    assert {d.heading_deg for d in missing} == angles
    assert {d.size_px for d in missing} == {2 * parts.HOLE_RADIUS}
