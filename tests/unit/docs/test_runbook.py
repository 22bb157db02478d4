"""The runbook has a section for every alarm there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.alarms.catalogue import CATALOGUE, AlarmKind

RUNBOOK = Path(__file__).parents[3] / "docs/runbook.md"


@pytest.mark.parametrize("kind", CATALOGUE.values(), ids=CATALOGUE)
def test_every_alarm_has_a_section_that_states_its_priority(kind: AlarmKind) -> None:
    headings = [
        line
        for line in RUNBOOK.read_text(encoding="utf-8").splitlines()
        if line.startswith(("## ", "### "))
    ]
    found = [line for line in headings if f"`{kind.name}/" in line]
    assert len(found) == 1
    assert found[0].endswith(f"({kind.priority.value})")
