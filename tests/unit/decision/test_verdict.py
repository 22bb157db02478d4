"""The verdict rule: whatever cannot be judged is invalid, never ok."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.decision.verdict import Cause, Decision, Thresholds, Verdict, judge

LIMITS = Thresholds(0.8, 1.0)
DARK = Cause("brightness", "light 50% below the baseline", -50.0, "%")
LATE = Cause("late", "judged 900 ms after capture; 500 ms are allowed")


@pytest.mark.parametrize(
    ("score", "verdict"),
    [
        (0.0, Verdict.OK),
        (-5.0, Verdict.OK),
        (math.nextafter(0.8, 0.0), Verdict.OK),
        (0.8, Verdict.REVIEW),
        (math.nextafter(1.0, 0.0), Verdict.REVIEW),
        (1.0, Verdict.NG),
        (1e30, Verdict.NG),
    ],
)
def test_a_score_becomes_a_verdict_at_the_thresholds(score: float, verdict: Verdict) -> None:
    assert judge(score, LIMITS, ()) == Decision(verdict)


def test_equal_thresholds_leave_nothing_to_review() -> None:
    limits = Thresholds(1.0, 1.0)
    assert judge(math.nextafter(1.0, 0.0), limits, ()).verdict is Verdict.OK
    assert judge(1.0, limits, ()).verdict is Verdict.NG


@pytest.mark.parametrize("score", [None, math.nan, math.inf, -math.inf])
def test_without_a_score_nothing_is_ok(score: float | None) -> None:
    decision = judge(score, LIMITS, ())
    assert decision.verdict is Verdict.INVALID
    assert [cause.kind for cause in decision.causes] == ["no_score"]


@given(st.none() | st.floats(), st.lists(st.sampled_from([DARK, LATE]), min_size=1, max_size=3))
def test_any_hindrance_makes_it_invalid_with_all_causes(
    score: float | None, hindrances: list[Cause]
) -> None:
    assert judge(score, LIMITS, hindrances) == Decision(Verdict.INVALID, tuple(hindrances))


@given(st.none() | st.floats(), st.floats(0.001, 10.0), st.floats(0.0, 10.0))
def test_ok_means_a_number_below_review_and_nothing_else(
    score: float | None, review: float, more: float
) -> None:
    limits = Thresholds(review, review + more)
    is_ok = judge(score, limits, ()).verdict is Verdict.OK
    assert is_ok == (score is not None and math.isfinite(score) and score < review)


@pytest.mark.parametrize(
    ("review", "ng"),
    [(0.0, 1.0), (-1.0, 1.0), (1.1, 1.0), (math.nan, 1.0), (0.5, math.nan), (0.5, math.inf)],
)
def test_thresholds_out_of_order_are_refused(review: float, ng: float) -> None:
    with pytest.raises(ValueError, match="must hold"):
        Thresholds(review, ng)


def test_thresholds_are_checked_when_they_are_read() -> None:
    assert msgspec.json.decode(b'{"review": 0.8, "ng": 1}', type=Thresholds) == LIMITS
    for data in (b'{"review": 2, "ng": 1}', b'{"review": 1}', b'{"review": 1, "ng": 1, "x": 1}'):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(data, type=Thresholds)


def test_verdicts_go_over_the_wire_by_these_words() -> None:
    assert [verdict.value for verdict in Verdict] == ["ok", "ng", "review", "invalid"]
