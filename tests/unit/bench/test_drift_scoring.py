"""How streams of the drift benchmark are scored."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from tests.bench.drift.changes import BY_NAME, Change, Expect
from tests.bench.drift.images import Split
from tests.bench.drift.peers import held
from tests.bench.drift.scoring import Outcome, chatters, rises, score, summarize
from tests.bench.drift.watching import Trace

_COUNT, _AT = 1500, 200


def trace(change: Change, loud: npt.NDArray[np.bool_], at: int = _AT) -> Trace:
    empty = np.zeros((len(loud), 1), np.float32)
    return Trace(
        kind="fixture", seed=1, split=Split.TUNE, number=2, change=change, at=at, loud=loud,
        level=loud.astype(np.int8) * 2, said={}, texts={}, cost_us=empty[:, 0], figures=empty,
        histograms=empty, before=(empty, empty), monitors={}, disturbed=empty[:, 0] > 0,
    )  # fmt: skip


def flag(*spans: tuple[int, int]) -> npt.NDArray[np.bool_]:
    loud = np.zeros(_COUNT, np.bool_)
    for start, stop in spans:
        loud[start:stop] = True
    return loud


def scored(name: str, loud: npt.NDArray[np.bool_], said: dict[int, tuple[str, ...]]) -> Outcome:
    return score(trace(BY_NAME[name], loud), loud, said)


def test_the_delay_counts_the_frame_that_raised_it() -> None:
    outcome = scored("dim 5 %", flag((200, _COUNT)), {200: ("brightness",)})
    assert (outcome.found, outcome.delay, outcome.right, outcome.best) == (True, 1, True, True)
    assert (outcome.healthy, outcome.false) == (200, 0)


def test_the_first_name_counts() -> None:
    outcome = scored("dim 5 %", flag((220, _COUNT)), {220: ("gradient", "brightness")})
    assert outcome.found
    assert not outcome.right
    assert outcome.named == ("gradient", "brightness")


def test_a_standing_alarm_finds_a_change_only_with_a_new_name() -> None:
    loud = flag((150, _COUNT))
    stale = scored("dim 5 %", loud, {150: ("dirt",)})
    assert (stale.found, stale.false, stale.false_kinds) == (False, 1, ("dirt",))
    fresh = scored("dim 5 %", loud, {150: ("dirt",), 230: ("dirt", "brightness")})
    assert (fresh.found, fresh.delay, fresh.named) == (True, 31, ("brightness",))


def test_an_alarm_that_ended_counts_anew() -> None:
    outcome = scored(
        "dim 5 %", flag((150, 210), (240, 600)), {150: ("dirt",), 240: ("brightness",)}
    )
    assert (outcome.delay, outcome.right) == (41, True)


def test_ageing_is_found_only_before_two_percent_are_gone() -> None:
    name = "ageing 1 % in 500"
    assert scored(name, flag((1100, _COUNT)), {1100: ("brightness",)}).found
    assert not scored(name, flag((1300, _COUNT)), {1300: ("brightness",)}).found


def test_a_told_changeover_may_raise_nothing() -> None:
    raised = scored("product, told", flag((230, 300)), {230: ("product",)})
    assert (raised.expect, raised.told, raised.found) == (Expect.NOTHING, 1, None)
    assert scored("product, told", flag(), {}).told == 0


def test_false_alarms_are_rises_and_not_frames() -> None:
    assert rises(flag((0, 10), (12, 20), (400, 401))) == [0, 12, 400]


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([(200, 1500)], False),
        ([(200, 300)], False),
        ([(200, 300), (500, 1500)], True),
        ([(200, 300), (900, 1500)], False),
    ],
)
def test_three_changes_within_600_frames_are_chatter(
    spans: list[tuple[int, int]], expected: bool
) -> None:
    assert chatters(flag(*spans)) is expected


def test_a_summary_counts_what_must_be_found() -> None:
    outcomes = [
        scored("dim 5 %", flag((207, _COUNT)), {207: ("brightness",)}),
        scored("shift 1 px", flag((203, _COUNT)), {203: ("dirt",)}),
        scored("frozen", flag(), {}),
        scored("torn", flag((203, _COUNT)), {203: ("frozen",)}),
    ]
    summary = summarize(outcomes)
    assert (summary.must, summary.may, summary.healthy) == (3, 1, 800)
    assert summary.recall == pytest.approx(2 / 3)
    assert summary.delay_p50 == 6
    assert summary.cause == 0.5
    assert summary.may_recall == 1.0


def test_a_peers_alarm_stands_for_a_while() -> None:
    raised = flag((10, 11), (40, 41))
    stands = held(raised)
    assert np.flatnonzero(stands).tolist() == list(range(10, 100))
    assert rises(stands) == [10]
