from __future__ import annotations

import pytest

from edge_agent.alarms.catalogue import CATALOGUE, LIGHT, AlarmKind, Priority, key_of
from edge_agent.topics import is_name

KINDS = list(CATALOGUE.values())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_alarm_says_what_to_do_and_can_be_a_topic(kind: AlarmKind) -> None:
    assert CATALOGUE[kind.name] is kind
    assert is_name(kind.name)
    if kind is not LIGHT:  # there each cause says it: tests/unit/lighting/test_watch.py
        assert len(kind.remedy) > 10
        assert kind.remedy[0].islower()  # it follows what is wrong, after a semicolon
    assert "\n" not in kind.remedy
    assert 0.0 <= kind.on_delay_s < 60.0
    assert 0.0 <= kind.off_delay_s <= 60.0
    assert isinstance(kind.priority, Priority)


def test_a_key_names_kind_and_source() -> None:
    assert key_of(LIGHT, "press-4") == "light/press-4"
