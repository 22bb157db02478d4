"""`edge-agent status`, as people see it."""

from __future__ import annotations

from typing import Any

import pytest

from edge_agent.cli.status import show

LINK = {"connected": True, "sent_bytes": 9, "acknowledged": 1, "error": ""}
STATUS: dict[str, Any] = {
    "device": "press-4", "state": "running", "uptime_s": 60.0, "version": "0", "pid": 1,
    "rss_mb": 90.0, "stations": {}, "alarms": [], "backlog_bytes": 2048,
    "spool": {"ok": {"waiting": 12, "lost": 0}},
}  # fmt: skip


def shown(capsys: pytest.CaptureFixture[str], link: dict[str, Any]) -> str:
    show({**STATUS, "uplink": {**LINK, **link}})
    return capsys.readouterr().out


def test_a_budget_shows_what_was_used_and_what_waits(capsys: pytest.CaptureFixture[str]) -> None:
    link = {"hour_bytes": 400 * 1024, "budget_bytes": 1000 * 1024, "held": ["ok", "health"]}
    text = shown(capsys, link)
    assert "uplink connected; 12 records wait (2 KiB), 0 lost" in text
    assert "400 of 1000 KiB in the last hour; waiting for it: ok, health" in text
    assert "waiting for it" not in shown(capsys, {**link, "held": []})


def test_without_a_budget_nothing_is_said_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert "last hour" not in shown(capsys, {"hour_bytes": 5, "budget_bytes": 0, "held": []})
    assert "last hour" not in shown(capsys, {})  # an agent of before
