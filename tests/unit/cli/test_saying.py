"""Gaps and lateness, in words."""

from __future__ import annotations

import doctest

import pytest

from edge_agent.cli import saying
from edge_agent.cli.saying import gap_line, lateness
from edge_agent.collector.audit import Missing
from edge_agent.collector.gaps import GapState
from edge_agent.collector.reading import Entry

NOON = "2026-05-01T12:00:00.000Z"
NINE = "2026-05-01T09:00:00.000Z"


def test_the_examples_hold() -> None:
    assert doctest.testmod(saying).failed == 0


@pytest.mark.parametrize(
    ("device_time", "happened", "mark", "words"),
    [
        (NOON, NOON, "", ""),
        ("2026-05-01T11:59:10.000Z", NOON, "", ""),
        (NINE, NINE, "late", "late 3 h"),
        ("1970-01-01T00:00:00.000Z", NOON, "", f"happened {NOON}: device clock 20574 d behind"),
        ("2040-01-01T00:00:00.000Z", NINE, "late",
         f"late 3 h; happened {NINE}: device clock 4992 d ahead"),
        (NINE, "", "historical", "historical: of an earlier boot"),
        (NINE, "", "", "late 3 h"),
        ("2030-05-01T09:00:00.000Z", "", "", "device clock ahead"),
        ("", "", "", ""),
        ("soon", NOON, "", ""),
        ("2026-05-01T12:00:00", NOON, "", ""),
    ],
)  # fmt: skip
def test_what_is_odd_about_a_time_is_said(
    device_time: str, happened: str, mark: str, words: str
) -> None:
    entry = Entry(1, "d", "s", 1, NOON, {}, happened, mark)
    assert lateness(device_time, entry) == words


def missing(state: GapState = GapState.OPEN, **more: int) -> Missing:
    values = {"first_batch": 12, "last_batch": 14, "first": 501, "last": 620, "asked": 3} | more
    return Missing(
        device="press-4", stream="9f86", kind="inspections", state=state, found=NINE,
        asked_last=NOON if values["asked"] else "", **values,
    )  # fmt: skip


def test_a_gap_is_said_in_one_line() -> None:
    begins = "press-4, stream 9f86, batches 12 to 14, inspections 501 to 620: "
    assert gap_line(missing()) == f"{begins}asked 3 times, last {NOON}, no answer yet"
    assert gap_line(missing(asked=0)) == f"{begins}found {NINE}, not asked yet"
    gone = gap_line(missing(GapState.GONE, asked=1))
    assert gone == (
        f"{begins}GONE, the device does not have them any more (asked once, last {NOON})"
    )
    filled = gap_line(missing(GapState.FILLED))
    assert filled == f"{begins}came after it was asked 3 times, last {NOON}"
    one = gap_line(missing(last_batch=12, last=501, asked=1))
    assert "batch 12, inspections number 501: asked once" in one
    bare = gap_line(missing(last_batch=11, asked=0))
    assert bare == (
        "press-4, stream 9f86, inspections 501 to 620: "
        f"no batch is missing and no notice says why (found {NINE})"
    )
