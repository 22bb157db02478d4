from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.uplink.budget import Budget

HOUR = 3600.0


def spend_all(budget: Budget, share: float, *, begin: float, end: float, size: int) -> list[float]:
    """Send whenever it is allowed, looking twice a minute; return when."""
    sent = []
    now = begin
    while now < end:
        while budget.allows(share, now=now):
            budget.spend(size, now=now)
            sent.append(now)
        now += 30.0
    return sent


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_no_hour_beyond_it(share: float) -> None:
    budget = Budget(1_000_000, now=0.0)
    budget.spend(0, now=HOUR)  # the bucket is full when it begins
    sent = spend_all(budget, share, begin=HOUR, end=5 * HOUR, size=9_000)
    for begin in range(3600, 5 * 3600, 60):
        within = sum(9_000 for at in sent if begin <= at < begin + HOUR)
        assert within <= 1_000_000 + 9_000
    assert len(sent) * 9_000 >= 0.9 * 4 * 1_000_000  # and it is used


def test_a_restart_earns_nothing() -> None:
    assert not Budget(1_000_000, now=50.0).allows(1.0, now=50.0)


@given(
    st.lists(st.tuples(st.floats(0, 600), st.integers(0, 200_000)), max_size=20),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_the_least_important_waits_first(
    spent: list[tuple[float, int]], one: float, other: float
) -> None:
    budget, now = Budget(500_000, now=0.0), 0.0
    for pause, size in spent:
        now += pause
        budget.spend(size, now=now)
        if budget.allows(min(one, other), now=now):
            assert budget.allows(max(one, other), now=now)


def test_evidence_waits_while_records_go() -> None:
    budget = Budget(1_000_000, now=0.0)
    budget.spend(0, now=HOUR)
    records = spend_all(budget, 0.9, begin=HOUR, end=HOUR + 600, size=5_000)
    assert len(records) * 5_000 >= 0.9 * 100_000  # the bucket, but for its last tenth
    assert not budget.allows(0.5, now=HOUR + 600)
    assert budget.allows(1.0, now=HOUR + 600)  # what is more important finds something


def test_what_does_not_ask_is_counted() -> None:
    budget = Budget(1_000_000, now=0.0)
    budget.spend(0, now=HOUR)
    assert budget.left(HOUR) == 1.0
    budget.spend(150_000, now=HOUR)
    assert budget.left(HOUR) == pytest.approx(-0.5)
    assert not budget.allows(1.0, now=HOUR + 190)
    assert budget.allows(1.0, now=HOUR + 210)  # 50,000 at 900,000 an hour
    assert budget.spent_bytes(HOUR) == 150_000


def test_nobody_waits_for_ever() -> None:
    budget = Budget(1_000_000, now=0.0)
    budget.spend(50_000_000, now=0.0)
    assert not budget.allows(1.0, now=HOUR - 1)
    assert budget.allows(1.0, now=HOUR + 1)


def test_without_a_limit_all_may_go_and_is_counted() -> None:
    budget = Budget(0, now=0.0)
    for minute in range(90):
        budget.spend(1000, now=60.0 * minute)
        assert budget.allows(0.0, now=60.0 * minute)
    assert budget.spent_bytes(60.0 * 89) == 60 * 1000
    assert budget.left(0.0) == 1.0
