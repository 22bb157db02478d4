"""Causes are named when frames agree, held until they are well past, and not named twice."""

from __future__ import annotations

import numpy as np
import pytest

from edge_agent.lighting import figures as m
from edge_agent.lighting.charts import Charts, Memory, design
from edge_agent.lighting.diagnosis import HIDES, Finding
from edge_agent.lighting.figures import NAMES
from edge_agent.lighting.known import KnownCauses, cause_of

MINUTE_NS = 60_000_000_000


@pytest.fixture
def charts() -> Charts:
    memory = Memory(centre=0.0, spread=0.01, share=0.0, phi=0.0, frames=1000)
    return Charts(design([memory] * len(NAMES), [1.0] * len(NAMES), sigmas_out=6.0))


def found(kind: str, *, excess: float = 2.0, unit: str = "%", size: float = -5.0) -> Finding:
    return Finding(kind, size, unit, "", excess, f"{kind} is off")


def show(
    known: KnownCauses, charts: Charts, *findings: Finding, frames: int = 1, level: float = 0.0,
    at_ns: int = 0,
) -> list[str]:  # fmt: skip
    """Show findings, and the level that the charts see, for some frames; return what is known."""
    for _ in range(frames):
        values = np.zeros(len(NAMES))
        values[m.LEVEL] = level
        charts.update(values)
        known.update(findings, charts, at_ns, has_place=False)
    return list(known.all)


def test_one_frame_names_nothing(charts: Charts) -> None:
    known = KnownCauses()
    assert show(known, charts, found("brightness")) == []
    assert show(known, charts, found("brightness"), frames=20) == ["brightness"]


def test_frames_have_to_agree_one_after_another(charts: Charts) -> None:
    known = KnownCauses()
    for _ in range(20):
        assert show(known, charts, found("brightness")) == []
        assert show(known, charts) == []


def test_a_frozen_picture_waits_for_nobody_and_another_product_waits_long(charts: Charts) -> None:
    known = KnownCauses()
    assert show(known, charts, found("frozen")) == ["frozen"]
    assert show(KnownCauses(), charts, found("product"), frames=20) == []
    assert show(KnownCauses(), charts, found("product"), frames=200) == ["product"]


def test_a_scene_that_was_not_found_again_waits_longer_than_one_that_was(charts: Charts) -> None:
    assert show(KnownCauses(), charts, found("camera_moved", unit="px"), frames=8) == [
        "camera_moved"
    ]
    assert show(KnownCauses(), charts, found("camera_moved", unit=""), frames=8) == []


def test_a_cause_stays_until_its_figures_are_well_inside_for_a_while(charts: Charts) -> None:
    known = KnownCauses()
    show(known, charts, found("brightness"), frames=10, level=-5.0)
    # Back inside the limit, though not well inside: it stands however long that lasts.
    assert show(known, charts, frames=300, level=-0.8) == ["brightness"]
    fading = [known.is_fading]
    assert show(known, charts, frames=30, level=0.0) == ["brightness"]
    fading.append(known.is_fading)
    assert fading == [False, True]
    assert show(known, charts, frames=100, level=0.0) == []


def test_a_place_that_still_stands_out_keeps_its_cause(charts: Charts) -> None:
    known = KnownCauses()
    show(known, charts, found("dirt"), frames=10)
    for _ in range(300):
        known.update((), charts, 0, has_place=True)
    assert list(known.all) == ["dirt"]


def test_what_a_known_cause_explains_is_not_named_beside_it(charts: Charts) -> None:
    known = KnownCauses()
    show(known, charts, found("gradient"), frames=10)
    findings = found("gradient"), found("brightness")
    assert show(known, charts, *findings, frames=50) == ["gradient"]


def test_a_better_explanation_takes_the_place_of_a_lesser(charts: Charts) -> None:
    known = KnownCauses()
    show(known, charts, found("brightness"), frames=10)
    assert show(known, charts, found("gradient"), frames=10) == ["gradient"]


def test_causes_that_explain_nothing_of_each_other_stand_together(charts: Charts) -> None:
    assert "color" not in HIDES["brightness"]
    both = found("brightness"), found("color")
    assert show(KnownCauses(), charts, *both, frames=10) == ["brightness", "color"]


def test_size_is_that_of_the_newest_frame_and_since_that_of_the_first(charts: Charts) -> None:
    known = KnownCauses()
    for minute in range(1, 20):
        show(known, charts, found("brightness", size=-minute), at_ns=minute * MINUTE_NS)
    cause = known.all["brightness"]
    assert cause.size == -19.0
    assert cause.since_ns == MINUTE_NS


def test_a_cause_in_full_says_what_and_what_to_do_and_how_sure() -> None:
    faint, plain = (cause_of(found("dirt", excess=excess), 0) for excess in (1.0, 9.0))
    assert 0.0 < faint.confidence < plain.confidence < 1.0
    assert plain.text == "dirt is off: clean lens and cover glass"
    assert " since " in cause_of(found("dirt"), MINUTE_NS).text
