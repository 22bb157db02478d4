"""What a person sees of the demonstration while it runs, and at its end."""

from __future__ import annotations

from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from edge_agent.demo.account import Account
from edge_agent.demo.workspace import STATION

_COLOURS = {"ok": "green", "ng": "red", "review": "yellow", "invalid": "magenta"}
_LIGHT_STYLES = {"normal": "green", "warning": "green", "drifted": "yellow"}
_PLAIN_EVERY_S = 5.0


class Screen:
    """Shows events as lines and the present state below them; without a terminal, lines only."""

    def __init__(self, console: Console, duration_s: float) -> None:
        self._console = console
        self._duration_s = duration_s
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._plain_next_s = 0.0

    def __enter__(self) -> Screen:
        """Begin showing."""
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the live part off the screen."""
        if self._console.is_terminal:
            self._live.stop()

    def say(self, at_s: float | None, text: str, style: str = "") -> None:
        """Print one line of the story."""
        when = "        " if at_s is None else f"{at_s:6.1f} s"
        self._console.print(f"[dim]{when}[/]  {text}", style=style, highlight=False)

    def show(self, at_s: float, status: dict[str, Any]) -> None:
        """Show the present state."""
        if self._console.is_terminal:
            self._live.update(self._panel(at_s, status), refresh=True)
        elif at_s >= self._plain_next_s:
            self._plain_next_s = at_s + _PLAIN_EVERY_S
            self.say(at_s, _state_line(status).plain)

    def _panel(self, at_s: float, status: dict[str, Any]) -> Group:
        bar = Table.grid(padding=(0, 1))
        done = min(at_s, self._duration_s)
        bar.add_row(
            ProgressBar(total=self._duration_s, completed=done, width=46),
            Text(f"{done:4.0f} of {self._duration_s:.0f} s"),
        )
        return Group(Text(), bar, _state_line(status))


def _state_line(status: dict[str, Any]) -> Text:
    station, link = status["stations"][STATION], status["uplink"]
    waiting = sum(lane["waiting"] for lane in status["spool"].values())
    text = Text()
    text.append(f"{station['parts']:5} parts ")
    for verdict, colour in _COLOURS.items():
        text.append(f" {station['verdicts'].get(verdict, 0)} {verdict} ", style=colour)
    last = station["last"]
    light = last["light"] if last else "-"
    text.append("| light ")
    text.append(light, style=_LIGHT_STYLES.get(light, "bold red"))
    text.append(" | uplink ")
    up = link["connected"]
    text.append("up" if up else "down", style="green" if up else "bold red")
    text.append(f", {waiting} waiting", style="yellow" if not up else "")
    latency = station["latency_ms"]
    if latency:
        text.append(f" | p50 {latency['p50']:.1f} ms")
    return text


def show_account(console: Console, account: Account) -> None:
    """Print the account at the end."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    verdicts = account.verdicts
    table.add_row(
        "parts",
        f"{account.parts}: "
        + ", ".join(f"[{_COLOURS[name]}]{verdicts[name]} {name}[/]" for name in _COLOURS),
    )
    judged = account.caught + account.missed
    if judged or account.not_judged:
        table.add_row(
            "defects",
            f"{account.caught} of {judged} judged ones caught, {account.missed} missed"
            f"; {account.not_judged} more could not be judged: invalid, never ok",
        )
        table.add_row(
            "good parts",
            f"{account.false_rejects} falsely rejected, {account.reviews} for a person to look at",
        )
    alarms = ", ".join(
        f"{escape(key)} ({count} times)" if count > 1 else escape(key)
        for key, count in account.alarms.items()
    )
    table.add_row("alarms", alarms or "none")
    style = "green" if account.is_good else "bold red"
    table.add_row(
        "records",
        f"{account.spooled} spooled, {account.delivered} in the collector's database: "
        f"[{style}]{account.lost} lost, {account.doubled} doubled[/]",
    )
    if account.latency_ms:
        latency = account.latency_ms
        table.add_row(
            "latency",
            f"p50 {latency.p50:.1f}, p95 {latency.p95:.1f}, p99 {latency.p99:.1f} ms from capture "
            f"to the verdict out",
        )
    table.add_row("wire", f"{account.bytes_per_inspection:.0f} bytes an inspection")
    console.print()
    console.print(table)
