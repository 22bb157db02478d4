from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.uplink.backoff import Retry, pause_s


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_a_pause_lies_between_its_bounds(attempt: int, draw: float) -> None:
    pause = pause_s(attempt, minimum_s=0.5, maximum_s=20, draw=draw)
    assert 0.05 <= pause <= 20


def test_the_ceiling_doubles() -> None:
    pauses = [pause_s(n, minimum_s=1, maximum_s=10, draw=0.5) for n in range(6)]
    assert pauses == [0.5, 1, 2, 4, 5, 5]


def test_good_news_cuts_a_pause_short_but_once_a_second() -> None:
    retry = Retry(minimum_s=60.0, maximum_s=60.0)
    retry.failed(100.0, 0.9)
    assert retry.at == pytest.approx(154.0)
    retry.hurry(110.0, 0.5)
    assert retry.at == pytest.approx(110.5)
    retry.failed(110.5, 0.9)
    retry.hurry(110.6, 0.1)
    assert retry.at == pytest.approx(111.0)  # a second after the one before
    retry.hurry(110.7, 0.1)
    assert retry.at == pytest.approx(111.0)  # never later


def test_pauses_after_good_news_are_short_and_after_success_the_shortest() -> None:
    retry = Retry(minimum_s=0.25, maximum_s=30.0)
    for _ in range(10):
        retry.failed(0.0, 0.999)
    assert 29 < retry.at < 30
    retry.hurry(0.0, 0.5)
    assert retry.at < 0.25
    retry.failed(0.0, 0.999)
    assert 0.9 < retry.at < 1
    retry.succeeded()
    retry.failed(0.0, 0.999)
    assert retry.at < 0.25
