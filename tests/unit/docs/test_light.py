"""The page on the light watch names every statistic and every cause there is."""

from __future__ import annotations

import re
from pathlib import Path

from edge_agent.lighting.diagnosis import KINDS
from edge_agent.lighting.figures import NAMES
from edge_agent.lighting.state import LightLevel

PAGE = Path(__file__).parents[3] / "docs/light.md"


def first_columns() -> list[str]:
    """Return the names in the first column of all tables."""
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line[:1] == "|"]
    return [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])]


def test_every_statistic_has_one_row() -> None:
    found = first_columns()
    assert {name: found.count(name) for name in NAMES} == dict.fromkeys(NAMES, 1)


def test_every_cause_and_every_level_has_one_row() -> None:
    found = first_columns()
    names = [*KINDS, *LightLevel]
    assert {name: found.count(name) for name in names} == dict.fromkeys(names, 1)


def test_nothing_is_named_that_is_not() -> None:
    assert set(first_columns()) <= {*NAMES, *KINDS, *LightLevel}
