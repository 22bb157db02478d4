"""Which stages look at a part, and where: the rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.inspection.order import enlarge, places, what_is_wrong, why_not
from edge_agent.inspection.seen import Box, Finding, Skip, StageSeen
from edge_agent.inspection.spec import Classify, Segment, Source, Stage, When
from tests.tiny import tiny_stage
from tests.tiny_tasks import LABELS, locate_then_inspect

LOCATE, INSPECT = locate_then_inspect()
BOX = Box(0.1, 0.1, 0.2, 0.2)
NOTHING: dict[str, Skip] = {}


def seen(*findings: Finding, score: float = 0.0, **confidences: float) -> dict[str, StageSeen]:
    one = StageSeen(name="locate", score=score, findings=findings, confidences=confidences)
    return {"locate": one}


def found(label: str, confidence: float, box: Box | None = BOX) -> Finding:
    return Finding(stage="locate", label=label, confidence=confidence, box=box)


# --- what is asked -------------------------------------------------------------------------------


def test_a_stage_without_source_and_rule_always_looks() -> None:
    assert why_not(LOCATE, {}, NOTHING) is None


def test_a_stage_looks_at_the_boxes_that_its_source_found_and_not_without() -> None:
    assert why_not(INSPECT, seen(found("green", 0.9)), NOTHING) is None
    for others in ((), (found("red", 0.9),), (found("green", 0.9, None),)):
        assert why_not(INSPECT, seen(*others), NOTHING) == Skip("no_box", "locate found no green")


def test_the_surest_boxes_are_looked_at_and_not_too_many() -> None:
    many = [found("green", 0.1 * each) for each in (3, 9, 5)] + [found("red", 0.99)]
    source = Source(stage="locate", labels=("green",), limit=2)
    chosen = places(source, seen(*many)["locate"])
    assert [each.confidence for each in chosen] == pytest.approx([0.9, 0.5])
    everything = places(Source(stage="locate"), seen(*many)["locate"])
    assert everything[0].label == "red"


@pytest.mark.parametrize(
    ("when", "runs"),
    [
        (When(stage="locate", at_least=0.5), True),
        (When(stage="locate", at_least=0.51), False),
        (When(stage="locate", below=0.5), False),
        (When(stage="locate", at_least=0.2, below=0.6), True),
        (When(stage="locate", label="red", at_least=0.8), True),
        (When(stage="locate", label="red", at_least=0.81), False),
        (When(stage="locate", label="blue", at_least=0.01), False),
        (When(stage="locate", label="blue", below=0.01), True),
    ],
)
def test_a_rule_holds_from_its_lower_bound_up_to_its_upper(when: When, runs: bool) -> None:
    stage = tiny_stage(name="second", when=when)
    skip = why_not(stage, seen(score=0.5, red=0.8), NOTHING)
    assert (skip is None) == runs
    if skip is not None:
        assert skip.kind == "rule"
        assert "locate is 0.5, not" in skip.text or "of locate is" in skip.text


@pytest.mark.parametrize("kind", ["rule", "no_box"])
def test_what_hangs_on_a_stage_that_did_not_look_does_not_look_for_the_same_reason(
    kind: Any,
) -> None:
    skipped = {"locate": Skip(kind, "why")}
    expected = Skip(kind, "locate was not asked")
    assert why_not(INSPECT, {}, skipped) == expected
    ruled = tiny_stage(name="second", when=When(stage="locate"))
    assert why_not(ruled, {}, skipped) == expected


# --- margins -------------------------------------------------------------------------------------

SHARE = st.floats(0.0, 1.0)


@given(SHARE, SHARE, SHARE, SHARE, SHARE, st.integers(1, 500), st.integers(1, 500))
def test_a_box_with_its_margin_holds_the_box_and_stays_in_the_image(
    x: float, y: float, x1: float, y1: float, margin: float, height: int, width: int
) -> None:
    box = Box(min(x, x1), min(y, y1), abs(x1 - x), abs(y1 - y))
    large = enlarge(box, margin, (height, width))
    assert 0.0 <= large.x <= box.x + 1e-9
    assert large.x + large.width <= 1.0 + 1e-9
    assert large.x + large.width >= box.x + box.width - 1e-9
    assert large.y + large.height >= box.y + box.height - 1e-9
    left, top, right, bottom = large.pixels((height, width))
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height


def test_the_margin_is_as_wide_as_high_in_pixels() -> None:
    large = enlarge(Box(0.4, 0.4, 0.2, 0.1), 0.5, (100, 200))
    assert large.pixels((100, 200)) == (60, 20, 140, 70)  # 20 px on each side: half of 40


# --- what is refused -----------------------------------------------------------------------------


def changed(stage: Stage, **changes: Any) -> Stage:
    return msgspec.structs.replace(stage, **changes)


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        ((), "holds 0 stages"),
        (tuple(tiny_stage(name=f"s{number}") for number in range(9)), "holds 9 stages: 1 to 8"),
        ((LOCATE, LOCATE), "stage locate: there are two of this name"),
        ((LOCATE, changed(INSPECT, models={})), "stage inspect: holds no model"),
        ((INSPECT, LOCATE), "speaks of stage 'locate', which does not come before it"),
        ((changed(INSPECT, name="locate"),), "'locate', which does not come before it"),
        ((tiny_stage(when=When(stage="gone")),), "speaks of stage 'gone'"),
        ((LOCATE, changed(INSPECT, source=Source(stage="locate", labels=("x",)))),
         "stage inspect: stage locate has no label 'x'"),
        ((LOCATE, tiny_stage(when=When(stage="locate", label="x"))), "has no label 'x'"),
        ((LOCATE, INSPECT, tiny_stage(name="x", when=When(stage="inspect", label="green"))),
         "stage inspect has no label 'green'"),
        ((LOCATE, changed(INSPECT, task=Classify(labels=("a",))),
          tiny_stage(name="x", source=Source(stage="inspect", labels=("green",)))),
         "stage inspect has no label 'green'"),
        ((tiny_stage(name="locate"), INSPECT), "source locate finds no boxes"),
        ((changed(LOCATE, task=Classify(labels=LABELS)), INSPECT), "source locate finds no boxes"),
        ((changed(LOCATE, task=Segment(labels=LABELS, layout="semantic")), INSPECT),
         "source locate finds no boxes"),
        ((LOCATE, changed(INSPECT, thresholds=None)), "no stage has thresholds"),
    ],
)  # fmt: skip
def test_an_order_that_makes_no_sense_is_refused(stages: Sequence[Stage], expected: str) -> None:
    assert expected in what_is_wrong(stages)


def test_an_order_that_makes_sense_is_not() -> None:
    third = tiny_stage(
        name="third", source=Source(stage="inspect", labels=("green",)), when=When(stage="locate")
    )
    assert what_is_wrong((LOCATE, INSPECT, third)) == ""
    assert what_is_wrong((tiny_stage(),)) == ""
