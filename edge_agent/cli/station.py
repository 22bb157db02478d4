"""What verbs do that act on one station: find it, and tell its running agent."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from edge_agent.agent.control import ask
from edge_agent.errors import ControlError, UsageError

StationOption = Annotated[
    str, typer.Option("--station", "-s", help="Which station; not needed if there is one.")
]


def pick(stations: list[str], wanted: str) -> str:
    """Return the station that is wanted, or the only one.

    Raises:
        UsageError: It is unknown, or there are several.
    """
    if wanted in stations:
        return wanted
    if wanted or len(stations) > 1:
        what = f"station {wanted!r}: unknown" if wanted else "which station? Give --station"
        raise UsageError(f"{what}; there are {', '.join(stations)}")
    return stations[0]


def tell_agent(socket_path: Path, station: str, *, to: TextIO | None = None) -> None:
    """Let a running agent take over the live bundle; without one, it will at its start.

    Args:
        socket_path: Of the agent's control socket.
        station: Which station.
        to: Where to say so; None is standard output.
    """
    if not socket_path.exists():
        remark = "No agent is running here: it decides with this bundle from its next start on."
        print(remark, file=to)
        return
    try:
        answer: dict[str, Any] = ask(socket_path, "reload", station=station)
    except ControlError as error:
        print(f"The running agent did not take it over: {error}; restart it", file=sys.stderr)
        raise typer.Exit(1) from error
    print(f"The running agent decides with it now ({answer['digest'][:12]}).", file=to)
