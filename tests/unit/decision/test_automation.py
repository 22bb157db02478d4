"""Degrees of automation: the invariants of `edge_agent.decision.automation`, each by its name."""

from __future__ import annotations

import itertools

import pytest

from edge_agent.decision.automation import (
    TABLE,
    Automation,
    Clearness,
    clearness,
    in_force,
    settle,
)
from edge_agent.decision.verdict import Thresholds, Verdict, judge_part

DEGREES = list(Automation)
ALL = list(itertools.product(Automation, Verdict, Clearness))
PEOPLE = (Automation.HUMAN, Automation.SHADOW, Automation.ASSIST)


def test_the_table_has_every_pair_and_no_other() -> None:
    assert set(TABLE) == set(ALL)


@pytest.mark.parametrize(("degree", "judged", "clear"), ALL)
def test_every_pair(degree: Automation, judged: Verdict, clear: Clearness) -> None:
    settled = settle(degree, judged, clear)
    if judged is Verdict.INVALID:
        expected = Verdict.INVALID
    elif degree in PEOPLE or (degree is Automation.PARTIAL and clear is Clearness.NEAR):
        expected = Verdict.REVIEW
    else:
        expected = judged
    assert settled.verdict is expected
    assert settled.automation is degree
    assert settled.proposed is (None if expected is judged else judged)


def test_invalid_stays_invalid() -> None:
    for degree, clear in itertools.product(Automation, Clearness):
        assert settle(degree, Verdict.INVALID, clear).verdict is Verdict.INVALID


def test_below_partial_the_model_decides_nothing() -> None:
    for degree, judged, clear in ALL:
        if degree in PEOPLE:
            assert settle(degree, judged, clear).verdict in {Verdict.REVIEW, Verdict.INVALID}


def test_a_lower_degree_never_lets_more_through() -> None:
    for lower, higher in itertools.pairwise(DEGREES):
        for judged, clear in itertools.product(Verdict, Clearness):
            if TABLE[lower, judged, clear] is judged:
                assert TABLE[higher, judged, clear] is judged


@pytest.mark.parametrize(("configured", "down_to"), list(itertools.product(Automation, repeat=2)))
def test_a_station_steps_down_and_never_up(configured: Automation, down_to: Automation) -> None:
    lowered = in_force(configured, down_to, drifted=True)
    assert DEGREES.index(lowered) == min(DEGREES.index(configured), DEGREES.index(down_to))
    assert in_force(configured, down_to, drifted=False) is configured
    assert in_force(configured, None, drifted=True) is configured


LIMITS = {"gap": Thresholds(0.8, 1.0), "print": Thresholds(0.4, 0.5)}


@pytest.mark.parametrize(
    ("scores", "clear"),
    [
        ({"gap": 0.1, "print": 0.1}, "clear"),
        ({"gap": 0.71, "print": 0.1}, "near"),
        ({"gap": 0.1, "print": 0.36}, "near"),
        ({"gap": 0.9, "print": 0.1}, "near"),
        ({"gap": 1.05, "print": 0.1}, "near"),
        ({"gap": 1.05, "print": 0.6}, "clear"),  # the print alone makes it clearly ng
        ({"gap": 1.11}, "clear"),
        ({"elsewhere": 0.8}, "clear"),
        ({}, "clear"),
    ],
)
def test_near_a_threshold_is_not_clear(scores: dict[str, float], clear: str) -> None:
    assert clearness(scores, LIMITS, margin=0.1).value == clear


def test_a_clear_verdict_stays_when_the_thresholds_move_by_the_margin() -> None:
    margin = 0.1
    for gap, label in itertools.product([n / 25 for n in range(40)], repeat=2):
        scores = {"gap": gap, "print": label / 2}
        verdicts = set()
        for sign in (-1, 0, 1):
            moved = {
                name: Thresholds(
                    each.review + sign * margin * each.ng, each.ng * (1 + sign * margin)
                )
                for name, each in LIMITS.items()
            }
            verdicts.add(judge_part(scores, moved, skipped={}, hindrances=()).verdict)
        if clearness(scores, LIMITS, margin=margin) is Clearness.CLEAR:
            assert len(verdicts) == 1, scores
            assert verdicts != {Verdict.REVIEW}
