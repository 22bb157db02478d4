"""Output drift: the invariants of `edge_agent.decision.drift`, and the figures that it promises."""

from __future__ import annotations

import math
import time
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from edge_agent.clock import Stamp
from edge_agent.decision.drift import (
    MARKS,
    Light,
    OutputWatch,
    Reference,
    freeze,
)
from edge_agent.decision.verdict import Verdict
from edge_agent.errors import UsageError

Floats = npt.NDArray[np.float64]


def normal(seed: int, count: int) -> Floats:
    return np.random.default_rng(seed).normal(size=count)


def neighbours(seed: int, count: int, phi: float) -> Floats:
    """Make values of which each is like the one before: AR(1), variance 1."""
    steps = normal(seed, count) * math.sqrt(1 - phi * phi)
    for place in range(1, count):
        steps[place] += phi * steps[place - 1]
    return steps


def lots(seed: int, count: int, size: int, sd: float) -> Floats:
    """Make values whose mean changes from lot to lot."""
    return normal(seed, count) + np.repeat(normal(seed + 1, count // size + 1) * sd, size)[:count]


def scores_of(values: Floats) -> Floats:
    """Make scores as an anomaly model gives them: skewed, 0.3 % ng, 1 % review."""
    return 0.5 * np.exp(0.25 * values)


def verdict_of(score: float) -> Verdict:
    if score >= 1.0:
        return Verdict.NG
    return Verdict.REVIEW if score >= 0.9 else Verdict.OK


def feed(
    watch: OutputWatch,
    scores: Floats,
    *,
    begin: int = 0,
    light: Light = Light.AS_BEFORE,
    takt_s: float = 1.0,
) -> list[str]:
    """Give a watch parts, and return what it said after each."""
    said = []
    for number, score in enumerate(scores.tolist(), begin):
        at = round(number * takt_s * 1e9)
        said.append(watch.update(score, verdict_of(score), light=light, at=Stamp(at, at)))
    return said


def frozen(seed: int = 1, parts: int = 2000) -> OutputWatch:
    watch = OutputWatch("0123456789ab", parts=parts)
    feed(watch, scores_of(normal(seed, parts)))
    assert watch.reference is not None
    return watch


def raised(said: list[str]) -> int:
    """Count how often it began to say something."""
    return sum(bool(now) and not before for before, now in zip(["", *said], said, strict=False))


# --- false alarms --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(normal(11, 102_000), id="independent"),
        pytest.param(neighbours(12, 102_000, 0.5), id="neighbours alike"),
        pytest.param(lots(13, 102_000, 200, 0.3), id="lots differ"),
        pytest.param(np.floor(normal(14, 102_000) * 2) / 2, id="few different scores"),
        pytest.param(np.where(normal(15, 102_000) > 1.5, 1.0, -2.0), id="two different scores"),
    ],
)
def test_no_false_alarm_in_a_hundred_thousand_parts(values: Floats) -> None:
    watch = OutputWatch("0123456789ab", parts=2000)
    assert raised(feed(watch, scores_of(values))) == 0


def test_the_run_length_is_what_was_asked_for() -> None:
    """With limits made so low that false alarms come, they come no more often than asked for."""
    parts, asked = 120_000, 2_000
    watch = OutputWatch("x", parts=10_000, quiet_days=asked / 86_400)
    feed(watch, scores_of(normal(3, 10_000)))
    alarms = 0
    for number, score in enumerate(scores_of(normal(4, parts)).tolist()):
        if watch.update(score, verdict_of(score), light=Light.AS_BEFORE, at=Stamp(number, number)):
            alarms += 1
            watch.reset()
    assert alarms <= parts / asked


# --- what is found -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shift", "scale", "within", "says"),
    [
        (1.0, 1.0, 400, "scores above one of the reference 7"),
        (2.5, 1.0, 120, "scores above one of the reference 9"),
        (-1.0, 1.0, 400, "scores below one of the reference 7"),
        (0.0, 2.0, 700, "scores lie further apart"),
        (0.0, 0.3, 250, "scores lie closer together"),
        (0.0, 0.0, 100, "scores lie closer together"),
    ],
)
def test_a_change_is_found(shift: float, scale: float, within: int, says: str) -> None:
    for seed in range(20, 25):
        watch = frozen()
        said = feed(watch, scores_of(normal(seed, within) * scale + shift), begin=2000)
        assert says in said[-1], seed


def test_more_rejects_are_found_though_the_other_scores_stay() -> None:
    values = normal(30, 1200)
    values[::20] = 4.0  # 5 % of parts are ng; the reference has 0.3 %
    said = feed(frozen(), scores_of(values), begin=2000)
    assert "% of parts are ng (0." in said[-1]


def test_a_model_gone_blind_is_found_by_the_rejects_that_stop() -> None:
    values = normal(31, 5000)
    values[::10] = 4.0
    watch = OutputWatch("x", parts=2000)
    feed(watch, scores_of(values[:2000]))
    said = feed(watch, np.minimum(scores_of(values[2000:]), 0.85), begin=2000)
    assert any("0.0% of parts are ng (10." in text for text in said)


def test_what_is_said_names_the_time_since_when() -> None:
    watch = frozen()
    quiet = feed(watch, scores_of(normal(40, 1000)), begin=2000)
    assert set(quiet) == {""}
    said = feed(watch, scores_of(normal(41, 100) + 2.5), begin=3000)
    assert said[-1].startswith("the scores moved: ")
    since = said[-1].rpartition("since ")[2]
    # 3000 s after 1970 began, give or take what the charts held before
    assert "1970-01-01T00:48" <= since <= "1970-01-01T00:51"


def test_the_reference_never_follows_the_fault() -> None:
    """Scores that creep up by a hundredth of their spread every 50 parts are told all the same."""
    watch = frozen()
    before = watch.reference
    creeping = normal(50, 10_000) + np.arange(10_000) / 5000
    said = feed(watch, scores_of(creeping), begin=2000)
    assert said[-1]
    assert raised(said) == 1
    assert watch.reference is before


# --- when it is silent ---------------------------------------------------------------------------


def test_while_the_light_is_changed_nothing_is_said_and_nothing_adds_up() -> None:
    watch = frozen()
    moved = scores_of(normal(60, 5000) + 2.0)
    assert feed(watch, moved[:30], begin=2000)[-1] == ""
    assert set(feed(watch, moved, begin=2030, light=Light.CHANGED)) == {""}
    back = feed(watch, scores_of(normal(61, 3000)), begin=7030)
    assert set(back) == {""}


def test_a_standing_alarm_ends_with_the_light_alarm() -> None:
    watch = frozen()
    assert feed(watch, scores_of(normal(62, 300) + 2.0), begin=2000)[-1]
    assert feed(watch, scores_of(normal(63, 1) + 2.0), begin=2300, light=Light.CHANGED) == [""]


def test_doubtful_light_never_joins_the_reference() -> None:
    watch = OutputWatch("x", parts=200)
    feed(watch, scores_of(normal(64, 500)), light=Light.DOUBTFUL)
    assert (watch.reference, watch.gathered, watch.wanted) == (None, 0, 200)
    feed(watch, scores_of(normal(64, 200)))
    assert watch.reference is not None
    assert feed(watch, scores_of(normal(65, 300) + 2.0), begin=200, light=Light.DOUBTFUL)[-1]


def test_what_has_no_score_says_nothing() -> None:
    watch = OutputWatch("x", parts=200)
    for score, verdict in ((math.nan, Verdict.OK), (math.inf, Verdict.NG), (0.5, Verdict.INVALID)):
        assert watch.update(score, verdict, light=Light.AS_BEFORE, at=Stamp(0, 0)) == ""
    assert watch.gathered == 0


def test_an_alarm_clears_when_all_is_as_before_and_does_not_chatter() -> None:
    watch = frozen()
    said = feed(watch, scores_of(normal(70, 400) + 1.2), begin=2000)
    said += feed(watch, scores_of(normal(71, 1500)), begin=2400)
    assert said[399]
    assert said[-1] == ""
    assert raised(said) == 1


# --- the reference -------------------------------------------------------------------------------


def test_a_reference_comes_back_as_it_was_written() -> None:
    reference = frozen().reference
    assert reference is not None
    assert Reference.decode(reference.encode(), "x") == reference
    assert len(reference.marks) <= MARKS
    assert (reference.parts, reference.takt_s, reference.model) == (2000, 1.0, "0123456789ab")


def test_a_watch_with_a_kept_reference_finds_what_one_without_a_restart_finds() -> None:
    first = frozen()
    assert first.reference is not None
    kept = Reference.decode(first.reference.encode(), "x")
    second = OutputWatch("0123456789ab", reference=kept)
    moved = scores_of(normal(80, 300) + 1.0)
    assert feed(first, moved, begin=2000) == feed(second, moved, begin=2000)


@pytest.mark.parametrize(
    "change",
    [
        {"marks": [0.2, 0.1]},
        {"marks": []},
        {"shares": [0.5]},
        {"takt_s": 0},
        {"parts": 0},
        {"x": 1},
    ],
)
def test_what_is_no_reference_is_refused(change: dict[str, Any]) -> None:
    reference = frozen(parts=200).reference
    assert reference is not None
    data = msgspec.json.encode(msgspec.to_builtins(reference) | change)
    with pytest.raises(UsageError, match=r"^here: no reference of scores"):
        Reference.decode(data, "here")
    with pytest.raises(UsageError, match=r"^here"):
        Reference.decode(data[:-9], "here")


def test_the_share_below_is_that_of_the_parts() -> None:
    values = scores_of(normal(90, 5000))
    reference = freeze(
        values.tolist(), [Verdict.OK] * 5000, model="x", part_number="", takt_s=1.0, at_ns=0
    )
    for score in np.linspace(0.2, 1.2, 50):
        share = float((values < score).mean())
        assert reference.share_below(float(score)) == pytest.approx(share, abs=0.01)
    assert reference.share_below(-1.0) == 0.0
    assert reference.share_below(9.0) == 1.0


def test_equal_scores_count_half() -> None:
    values = [0.2] * 300 + [0.8] * 100
    reference = freeze(values, [Verdict.OK] * 400, model="x", part_number="", takt_s=1.0, at_ns=0)
    assert reference.share_below(0.2) == pytest.approx(0.375)
    assert reference.share_below(0.8) == pytest.approx(0.875)


def test_alike_neighbours_and_different_lots_are_told_from_the_reference() -> None:
    def learned(values: Floats) -> Reference:
        watch = OutputWatch("x", parts=len(values))
        feed(watch, scores_of(values))
        assert watch.reference is not None
        return watch.reference

    alone = learned(normal(100, 4000))
    alike = learned(neighbours(101, 4000, 0.7))
    apart = learned(lots(102, 4000, 400, 0.6))
    assert alone.inflation[0] < 1.6
    assert alike.inflation[0] > 3.0
    assert alone.band[0] < 0.12 < apart.band[0]


@pytest.mark.parametrize("score", [0.0, 0.5, 1.5])
def test_a_reference_of_equal_scores_is_one_all_the_same(score: float) -> None:
    watch = OutputWatch("x", parts=300)
    assert set(feed(watch, np.full(3000, score))) == {""}
    assert watch.reference is not None
    assert len(watch.reference.marks) == 1
    assert feed(watch, np.full(300, score + 0.1), begin=3000)[-1]


def test_parts_that_came_all_at_once_have_a_takt() -> None:
    watch = OutputWatch("x", parts=200)
    feed(watch, scores_of(normal(120, 400)), takt_s=0.0)
    assert watch.reference is not None
    assert watch.reference.takt_s > 0


# --- cost ----------------------------------------------------------------------------------------


def test_a_part_costs_microseconds_and_memory_is_bounded() -> None:
    watch = frozen()
    scores = scores_of(normal(110, 20_000)).tolist()
    begin = time.perf_counter()
    for number, score in enumerate(scores):
        watch.update(score, Verdict.OK, light=Light.AS_BEFORE, at=Stamp(number, number))
    assert (time.perf_counter() - begin) / len(scores) < 100e-6  # about 6 where nothing else runs
    assert not any(isinstance(each, list) and each for each in vars(watch).values())
