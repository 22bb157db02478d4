"""The rule that makes one verdict of the scores of all stages."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.decision.verdict import Cause, Thresholds, Verdict, judge, judge_part, worst_stage
from edge_agent.inspection.seen import Skip

LIMITS = {"gap": Thresholds(0.8, 1.0), "print": Thresholds(0.4, 0.5)}
RULE, NO_BOX = Skip("rule", "where is 0.1"), Skip("no_box", "where found nothing")
ORDER = [Verdict.OK, Verdict.REVIEW, Verdict.NG]


def verdict(scores: dict[str, float], **skipped: Skip) -> Verdict:
    return judge_part(scores, LIMITS, skipped=skipped, hindrances=()).verdict


@given(st.fixed_dictionaries({}, optional={
    "gap": st.floats(0, 3), "print": st.floats(0, 3), "where": st.floats(0, 3)}))  # fmt: skip
def test_the_verdict_is_the_worst_of_those_that_decide(scores: dict[str, float]) -> None:
    decision = judge_part(scores, LIMITS, skipped={}, hindrances=())
    each = [judge(scores[name], LIMITS[name], ()).verdict for name in LIMITS if name in scores]
    if each:
        assert decision.verdict is max(each, key=ORDER.index)
    else:
        assert decision.verdict is Verdict.INVALID
        assert decision.causes[0].kind == "no_score"


def test_a_stage_without_thresholds_decides_nothing() -> None:
    assert verdict({"gap": 0.1, "where": 99.0}, print=RULE) is Verdict.OK


def test_a_stage_that_a_rule_left_out_is_content() -> None:
    assert verdict({"where": 0.1}, gap=RULE, print=RULE) is Verdict.OK
    assert verdict({"gap": 0.9}, print=RULE) is Verdict.REVIEW


def test_without_a_box_for_any_that_decides_there_is_no_part() -> None:
    decision = judge_part(
        {"where": 0.0}, LIMITS, skipped={"gap": RULE, "print": NO_BOX}, hindrances=()
    )
    assert decision.verdict is Verdict.INVALID
    assert decision.causes == (Cause("no_part", "no part in sight: where found nothing"),)
    assert verdict({"gap": 0.1}, print=NO_BOX) is Verdict.OK  # one that decides has looked


def test_what_was_neither_seen_nor_left_out_is_never_ok() -> None:
    assert verdict({}) is Verdict.INVALID
    assert verdict({}, gap=RULE) is Verdict.INVALID
    assert judge_part({}, {}, skipped={}, hindrances=()).verdict is Verdict.INVALID


@pytest.mark.parametrize("name", ["gap", "print", "where"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_any_score_that_is_no_number_makes_the_part_invalid(name: str, value: float) -> None:
    scores = {"gap": 0.1, "print": 0.1, "where": 0.1} | {name: value}
    decision = judge_part(scores, LIMITS, skipped={}, hindrances=())
    assert decision.verdict is Verdict.INVALID
    assert f"score of stage {name} is" in decision.causes[0].text


def test_any_hindrance_makes_it_invalid() -> None:
    late = Cause("late", "took 900 ms of 500 ms")
    decision = judge_part({"gap": 0.1, "print": 0.1}, LIMITS, skipped={}, hindrances=[late])
    assert (decision.verdict, decision.causes) == (Verdict.INVALID, (late,))


def test_the_worst_stage_is_nearest_to_rejecting() -> None:
    assert worst_stage({"gap": 0.7, "print": 0.45, "where": 9.0}, LIMITS) == "print"
    assert worst_stage({"gap": 0.7}, LIMITS) == "gap"
    assert worst_stage({"where": 9.0}, LIMITS) == ""
