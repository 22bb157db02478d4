"""Run the demonstration: start the processes, play the story, stop them, settle the account."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from edge_agent.agent.control import ask
from edge_agent.agent.status import Percentiles
from edge_agent.config import load
from edge_agent.demo.account import Account, read_stored, settle
from edge_agent.demo.processes import Child, edge_command, make_broker, wait_for_port
from edge_agent.demo.screen import Screen
from edge_agent.demo.story import EventKind, Story
from edge_agent.demo.workspace import DEVICE, STATION, Workspace
from edge_agent.errors import ControlError, UsageError

_POLL_S = 0.2
_START_S = 20.0
_DRAIN_S = 60.0


class Line(msgspec.Struct, frozen=True):
    """The processes of one demonstration."""

    broker: Child
    collector: Child
    agent: Child
    control: Path

    def status(self) -> dict[str, Any]:
        """Ask the agent how it is doing.

        Raises:
            UsageError: It ended.
            ControlError: It does not answer.
        """
        self.agent.check()
        answer: dict[str, Any] = ask(self.control, "status")
        return answer


@contextmanager
def running_line(workspace: Workspace) -> Iterator[Line]:
    """Start broker, collector and agent, and stop them in order whatever happens."""
    folder = workspace.folder
    line = Line(
        make_broker(folder, workspace.port),
        Child(
            "collector",
            [*edge_command("collector"), "run", "--config", str(workspace.collector_toml)],
            folder / "collector.log",
        ),
        Child(
            "agent",
            [*edge_command("agent"), "run", "--config", str(workspace.agent_toml)],
            folder / "agent.log",
        ),
        load(workspace.agent_toml).socket_path,
    )
    try:
        line.broker.start()
        wait_for_port(workspace.port, line.broker)
        line.collector.start()
        line.agent.start()
        yield line
    finally:
        for child in (line.agent, line.collector, line.broker):
            child.stop()


def play(line: Line, workspace: Workspace, story: Story, screen: Screen) -> dict[str, Any]:
    """Play the story, wait until everything is delivered, and return the agent's last status.

    Raises:
        UsageError: A process ended by itself, or the backlog does not drain.
    """
    begin = time.monotonic()
    status = _first_part(line)
    screen.say(0.0, f"first verdict {time.monotonic() - begin:.1f} s after the processes started")
    begin = time.monotonic()
    feed = _AlarmFeed(workspace.database)
    events = list(story.events)
    ending = False
    while True:
        at_s = time.monotonic() - begin
        while events and at_s >= events[0].at_s:
            event = events.pop(0)
            screen.say(at_s, event.text, style="bold cyan")
            _act(line, event.kind, workspace)
        status = line.status()
        line.collector.check()
        screen.show(at_s, status)
        for text, style in feed.news():
            screen.say(at_s, text, style)
        if status["stations"][STATION]["finished"]:
            break
        if status["stations"][STATION]["parts"] >= story.parts and not ending:
            ask(line.control, "finish", station=STATION)
            ending = True
        time.sleep(_POLL_S)
    return _drain(line, feed, screen, begin)


def conclude(workspace: Workspace, status: dict[str, Any]) -> Account:
    """Settle the account of a run whose processes have stopped.

    Args:
        workspace: With the collector's database.
        status: The agent's last one, when nothing waited any more.
    """
    station = status["stations"][STATION]
    latency = station["latency_ms"]
    appended = {
        (lane["kind"], lane["stream"]): lane["appended"] for lane in status["spool"].values()
    }
    return settle(
        read_stored(workspace.database, DEVICE, appended),
        parts=station["parts"],
        appended=appended,
        latency=Percentiles(**latency) if latency else None,
    )


def _first_part(line: Line) -> dict[str, Any]:
    end = time.monotonic() + _START_S
    while time.monotonic() < end:
        line.collector.check()
        try:
            status = line.status()
        except ControlError:
            status = {}
        if status and status["stations"][STATION]["parts"]:
            return status
        time.sleep(_POLL_S / 4)
    raise UsageError(f"the agent gave no verdict within {_START_S:.0f} s: see agent.log")


def _act(line: Line, kind: EventKind, workspace: Workspace) -> None:
    if kind is EventKind.KILL_BROKER:
        line.broker.kill()
    elif kind is EventKind.START_BROKER:
        line.broker.start()
        wait_for_port(workspace.port, line.broker)


def _drain(line: Line, feed: _AlarmFeed, screen: Screen, begin: float) -> dict[str, Any]:
    end = time.monotonic() + _DRAIN_S
    while time.monotonic() < end:
        status = line.status()
        at_s = time.monotonic() - begin
        screen.show(at_s, status)
        for text, style in feed.news():
            screen.say(at_s, text, style)
        if not any(lane["waiting"] for lane in status["spool"].values()):
            screen.say(at_s, "the last part is judged; everything is delivered")
            return status
        time.sleep(_POLL_S)
    raise UsageError(f"the backlog did not drain within {_DRAIN_S:.0f} s: see the logs")


class _AlarmFeed:
    """Alarm transitions as they arrive in the collector's database."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._seen = 0

    def news(self) -> list[tuple[str, str]]:
        """Return what arrived since the last call, each with the style of its line."""
        try:
            with closing(sqlite3.connect(f"file:{self._database}?mode=ro", uri=True)) as db:
                rows = db.execute(
                    "SELECT number, key, state, json_extract(record, '$.text') FROM alarms "
                    "WHERE device = ? AND number > ? ORDER BY number",
                    (DEVICE, self._seen),
                ).fetchall()
        except sqlite3.OperationalError:
            return []  # not made yet, or busy: the next call sees it
        news = []
        for number, key, state, text in rows:
            self._seen = max(self._seen, number)
            raised = state == "unacknowledged"
            line = f"alarm {key}: {text}" if raised else f"alarm {key} is gone ({state})"
            news.append((line, "red" if raised else "green"))
        return news
