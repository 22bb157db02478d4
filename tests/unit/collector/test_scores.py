"""Which score of a record counts, whatever devices write."""

from __future__ import annotations

from typing import Any

import pytest

from edge_agent.collector.scores import worst_score

SCORES = {"gap": 0.7, "print": 0.45, "where": 3.0}
LIMITS = {"gap": {"review": 0.8, "ng": 1.0}, "print": {"review": 0.4, "ng": 0.5}}


def test_it_is_that_of_the_stage_nearest_to_rejecting() -> None:
    assert worst_score(SCORES, LIMITS) == ("print", 0.45)
    assert worst_score({"where": 3.0}, LIMITS) == ("where", 3.0)
    assert worst_score({}, LIMITS) is None


@pytest.mark.parametrize(
    "thresholds", [None, {}, [], "x", {"gap": 1.0}, {"gap": {"ng": "x"}}, {"gap": {"ng": 0}},
                   {"review": 0.8, "ng": 1.0}, {"gap": {}}],
)  # fmt: skip
def test_without_thresholds_that_can_be_read_it_is_the_largest(thresholds: Any) -> None:
    assert worst_score(SCORES, thresholds) == ("where", 3.0)
