"""Lighting alarms: the invariants of `edge_agent.alarms.light`, each by its name."""

from __future__ import annotations

import itertools

import pytest

from edge_agent.alarms.catalogue import LIGHT
from edge_agent.alarms.light import LightAlarms
from edge_agent.lighting import LightCause, LightLevel

NORMAL, WARNING = LightLevel.NORMAL, LightLevel.WARNING
DRIFTED, INVALID = LightLevel.DRIFTED, LightLevel.INVALID


def cause(kind: str, text: str = "") -> LightCause:
    return LightCause(
        kind=kind, size=-18.0, unit="%", where="left", confidence=0.9, text=text or f"it is {kind}"
    )


def standing(alarms: LightAlarms, level: LightLevel, *kinds: str) -> set[str]:
    """Return the names of the conditions that stand after a frame."""
    texts = alarms.update(level, [cause(kind) for kind in kinds])
    assert set(texts) == set(LIGHT.values())
    return {kind.name for kind, text in texts.items() if text}


def test_one_cause_is_one_alarm_and_two_are_two() -> None:
    alarms = LightAlarms()
    assert standing(alarms, DRIFTED, "brightness") == {"light/brightness"}
    assert standing(alarms, DRIFTED, "brightness", "dirt") == {"light/brightness", "light/dirt"}
    assert standing(alarms, DRIFTED, "dirt", "dirt") == {"light/dirt"}
    assert standing(alarms, NORMAL) == set()


def test_a_cause_that_nobody_foresaw_is_an_alarm_all_the_same() -> None:
    assert standing(LightAlarms(), DRIFTED, "torn") == {"light/other"}


@pytest.mark.parametrize("kind", sorted(LIGHT))
def test_the_alarm_says_what_the_watch_said(kind: str) -> None:
    texts = LightAlarms().update(DRIFTED, [cause(kind, "lamp down 18%: clean it")])
    assert texts[LIGHT[kind]] == "lamp down 18%: clean it"


def test_a_confirmed_cause_stands_through_frames_that_cannot_be_judged() -> None:
    alarms = LightAlarms()
    standing(alarms, DRIFTED, "gradient")
    assert standing(alarms, INVALID, "ambient") == {"light/gradient"}
    assert alarms.is_drifted
    assert standing(alarms, DRIFTED, "gradient") == {"light/gradient"}
    assert standing(alarms, WARNING) == set()
    assert not alarms.is_drifted


def test_a_hand_before_the_lens_is_no_alarm_and_a_flickering_lamp_is_one() -> None:
    alarms = LightAlarms()
    raised = [
        standing(alarms, INVALID, "flicker") if out else standing(alarms, NORMAL)
        for out in (False, True, False, True, False, True, *[False] * 10)
    ]
    assert raised == [set()] * 5 + [{"light/flicker"}] * 6 + [set()] * 5


def test_frames_out_for_different_causes_do_not_add_up() -> None:
    alarms = LightAlarms()
    for kind in ("brightness", "gradient", "brightness", "gradient"):
        assert standing(alarms, INVALID, kind) == set()
    assert standing(alarms, INVALID, "gradient") == {"light/gradient"}


def test_two_alarms_never_share_a_name() -> None:
    for one, other in itertools.combinations(LIGHT.values(), 2):
        assert one.name != other.name
