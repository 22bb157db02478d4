from __future__ import annotations

import pytest

from edge_agent.alarms.catalogue import CATALOGUE, LIGHT, AlarmKind, Priority, key_of, kind_of
from edge_agent.topics import is_name

KINDS = list(CATALOGUE.values())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_alarm_says_what_to_do_and_can_be_a_topic(kind: AlarmKind) -> None:
    assert CATALOGUE[kind.name] is kind
    assert all(is_name(level) for level in kind.name.split("/"))
    if kind not in LIGHT.values():  # there each cause says it: tests/unit/lighting/test_watch.py
        assert len(kind.remedy) > 10
        assert kind.remedy[0].islower()  # it follows what is wrong, after a semicolon
    assert "\n" not in kind.remedy
    assert 0.0 <= kind.on_delay_s < 60.0
    assert 0.0 <= kind.off_delay_s <= 60.0
    assert isinstance(kind.priority, Priority)


def test_a_key_names_kind_and_source() -> None:
    assert key_of(LIGHT["dirt"], "press-4") == "light/dirt/press-4"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_key_leads_back_to_its_kind(kind: AlarmKind) -> None:
    assert kind_of(key_of(kind, "press-4")) is kind
    assert kind_of(f"gone/{kind.name}/press-4") is None
