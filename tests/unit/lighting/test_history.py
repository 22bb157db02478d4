"""The slow story of the light: the invariants of its history, each by its name."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import UsageError
from edge_agent.lighting.history import BUCKETS, WATCHED, WIDTH_S, WIDTHS, History
from edge_agent.lighting.state import LightCause, LightLevel, LightState

NAN = math.nan
START_S = 1.8e9


def figures(level: float) -> list[float]:
    return [level, *[NAN] * (len(WATCHED) - 1)]


def said(level: LightLevel = LightLevel.NORMAL, *kinds: str) -> LightState:
    causes = tuple(LightCause(kind, 1.0, "%", "", 0.9, kind) for kind in kinds)
    return LightState(level, causes, dict.fromkeys(WATCHED, -1.5), 0.0)


@given(st.lists(st.floats(0.0, 40 * 86_400.0), min_size=1, max_size=60))
def test_it_is_bounded_and_a_figure_is_in_exactly_one_bucket(pauses_s: list[float]) -> None:
    history, at_s, taken = History("b"), START_S, []
    for turn, pause_s in enumerate(pauses_s):
        at_s += pause_s
        for frame in range(40):
            taken.append(math.sin(turn * 40 + frame))
            history.put(figures(taken[-1]), at_s + frame * WIDTH_S)
        at_s += 40 * WIDTH_S
    buckets = history.buckets
    assert len(buckets) <= BUCKETS * WIDTHS + 1
    assert [each.at_s for each in buckets] == sorted(each.at_s for each in buckets)
    counts = np.array([each.counts[0] for each in buckets])
    means = np.array([each.means[0] for each in buckets])
    squares = np.array([each.squares[0] for each in buckets])
    assert counts.sum() == len(taken)
    assert counts @ means / counts.sum() == pytest.approx(np.mean(taken))
    total = counts @ (squares + means**2) / counts.sum()
    assert total == pytest.approx(np.mean(np.square(taken)))
    assert not any(any(each.counts[1:]) for each in buckets)


def test_years_fit_in_and_the_newest_hours_stay_fine() -> None:
    history = History("b")
    for turn in range(4 * 365 * 24):
        history.put(figures(turn * 1e-4), START_S + turn * 3600.0)
    buckets = history.buckets
    assert len(buckets) <= BUCKETS * WIDTHS + 1
    assert buckets[-1].at_s - buckets[0].at_s > 2 * 365 * 86_400.0
    assert {each.doublings for each in buckets[-20:]} == {0}
    assert len(history.encode()) < 64_000


def test_it_is_bound_to_its_baseline() -> None:
    history = History("one")
    for turn in range(100):
        history.put(figures(1.0 + turn), START_S + turn * WIDTH_S)
    again = History.decode(history.encode(), "one", "file")
    assert [each.counts for each in again.buckets] == [each.counts for each in history.buckets]
    assert again.buckets[3].means[0] == pytest.approx(history.buckets[3].means[0], abs=1e-3)
    assert again.buckets[0].spread("level") == pytest.approx(
        history.buckets[0].spread("level"), abs=1e-3
    )
    assert History.decode(history.encode(), "other", "file").buckets == ()


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"[]", b'{"baseline":"b","buckets":[[1,0,[1],[1.0],[0.0]]]}']
)
def test_what_is_no_history_is_told(data: bytes) -> None:
    with pytest.raises(UsageError, match=r"light history file\.json"):
        History.decode(data, "b", "file.json")


def test_frames_from_before_are_left_out_until_the_clock_stays_there() -> None:
    history = History("b")
    for turn in range(10):
        history.put(figures(1.0), START_S + turn * WIDTH_S)
    known = history.buckets
    for turn in range(50):  # a device without a clock, before it heard the time
        history.put(figures(9.0), 1000.0 + turn * WIDTH_S)
    assert history.buckets == known
    history.put(figures(1.0), START_S + 20 * WIDTH_S)
    assert history.buckets[:10] == known
    history.put(figures(1.0), START_S + 19 * WIDTH_S)  # set back a little: with the newest
    assert history.buckets[-1].counts[0] == 2
    for turn in range(200):
        history.put(figures(5.0), 1000.0 + turn * WIDTH_S)
    assert {round(each.means[0], 6) for each in history.buckets} == {5.0}


@pytest.mark.parametrize(
    ("state", "is_taken"),
    [
        (said(), True),
        (said(LightLevel.DRIFTED, "brightness", "gradient"), True),
        (said(LightLevel.DRIFTED, "brightness", "ambient"), False),
        (said(LightLevel.DRIFTED, "camera_moved"), False),
        (said(LightLevel.INVALID, "brightness"), False),
    ],
)
def test_only_what_the_lamps_say_is_taken(state: LightState, is_taken: bool) -> None:
    history = History("b")
    history.take(state, int(START_S * 1e9))
    assert bool(history.buckets) == is_taken
