"""`edge-collector`: take in what devices send, and look at it."""

from __future__ import annotations

import logging
import re
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_agent.cli.errors import run_app
from edge_agent.cli.payloads import decode, quarantine
from edge_agent.cli.saying import gap_line, lateness
from edge_agent.cli.simulate import simulate
from edge_agent.collector.settings import load
from edge_agent.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from edge_agent.collector.reading import Device, Entry, Reader

_FOLLOW_S = 0.3
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Take in what devices send over MQTT, store it once, and look at it.",
)

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="collector.toml; without it /etc/edge-collector/collector.toml, or the defaults.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, for machines.")]


@app.command()
def run(config: Config = None) -> None:
    """Take in batches until stopped (SIGTERM or Ctrl-C).

    Example: edge-collector run --config collector.toml
    """
    settings = load(config)
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(levelname)s %(name)s: %(message)s"
    )
    from edge_agent.collector.housekeeping import housekeeping  # noqa: PLC0415 - as below
    from edge_agent.collector.ingest import Ingest  # noqa: PLC0415 - loads the MQTT library
    from edge_agent.collector.store import open_store  # noqa: PLC0415 - loads the database

    store = open_store(settings.store)
    ingest = Ingest(settings, store)

    def stop(_number: int, _frame: object) -> None:
        ingest.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        with housekeeping(store):
            ingest.run()
    finally:
        store.close()


@app.command()
def alarms(
    config: Config = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")
    ] = False,
    since: Annotated[
        str, typer.Option(help="Only later ones: 10m, 2h, 3d, or a time like 2026-05-01T06:00.")
    ] = "",
    json: Json = False,
) -> None:
    """Show the alarm feed: each change of each alarm, in the order in which they came in.

    Example: edge-collector alarms --follow --since 1h
    """
    since_ns = parse_since(since, now_ns=time.time_ns()) if since else 0
    reader = _reader(config)
    entries = _follow(reader, since_ns) if follow else _all_alarms(reader, since_ns)
    if json:
        _print_lines(entry.as_json() for entry in entries)
        return
    from rich.console import Console  # noqa: PLC0415 - only people need it
    from rich.markup import escape  # noqa: PLC0415

    console = Console(highlight=False, soft_wrap=True)
    for entry in entries:
        text = _text(entry.record)
        colour = _COLOURS.get(text("state"), "white")
        late = lateness(text("time"), entry)
        console.print(
            f"{escape(text('time')) or entry.received}  [bold]{escape(entry.device)}[/]  "
            f"[{colour}]{escape(text('state')):<12}[/] {escape(text('priority')):<8} "
            f"{escape(text('key'))}: {escape(text('text'))}{f' ({late})' if late else ''}"
        )


@app.command()
def devices(config: Config = None, json: Json = False) -> None:
    """Show the devices, and what was stored of them.

    Example: edge-collector devices --json
    """
    reader = _reader(config)
    found = reader.devices()
    reader.close()
    if json:
        import msgspec  # noqa: PLC0415 - only machines need it

        _print_lines(msgspec.json.encode(device) for device in found)
    else:
        _show_devices(found)


@app.command()
def inspections(
    config: Config = None,
    last: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many.")] = 50,
    verdict: Annotated[
        str, typer.Option(help="Only those with this verdict: ok, ng, review, invalid.")
    ] = "",
    json: Json = False,
) -> None:
    """Show the newest inspections, the newest last.

    Example: edge-collector inspections --last 20 --verdict ng
    """
    reader = _reader(config)
    entries = reader.inspections(last=last, verdict=verdict)
    reader.close()
    if json:
        _print_lines(entry.as_json() for entry in entries)
    else:
        _show_inspections(entries)


@app.command()
def gaps(config: Config = None, json: Json = False) -> None:
    """Show what is missing: batches that did not come though later ones did.

    Devices are asked for them by themselves; what they have no more stays here as gone.

    Example: edge-collector gaps
    """
    from edge_agent.collector.audit import Audit  # noqa: PLC0415 - loads the database

    store = load(config).store
    audit = Audit(store.url, password_file=store.password_file)
    found = audit.gaps()
    audit.close()
    if json:
        import msgspec  # noqa: PLC0415 - only machines need it

        _print_lines(msgspec.json.encode(gap) for gap in found)
        return
    for gap in found:
        print(gap_line(gap))
    if not found:
        print("nothing is missing")


app.command()(decode)
app.command()(quarantine)
app.command()(simulate)


def parse_since(text: str, *, now_ns: int) -> int:
    """Return the moment that a person means, in nanoseconds since the epoch.

    >>> parse_since("2m", now_ns=200_000_000_000)
    80000000000

    Raises:
        UsageError: It is neither a span nor a time.
    """
    span = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if span:
        return now_ns - int(span[1]) * _UNITS_S[span[2]] * 1_000_000_000
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"--since {text}: give a span like 10m, 2h or 3d, or a time like 2026-05-01T06:00"
        ) from error
    if moment.tzinfo is None:
        moment = moment.astimezone()
    return int(moment.astimezone(UTC).timestamp() * 1e9)


def main() -> None:
    """Run the command line."""
    run_app(app)


_COLOURS = {"unacknowledged": "red", "acknowledged": "yellow", "normal": "green"}
_VERDICTS = {"ok": "green", "ng": "red", "review": "yellow", "invalid": "magenta"}


def _reader(config: Path | None) -> Reader:
    from edge_agent.collector.reading import Reader  # noqa: PLC0415 - loads the database

    store = load(config).store
    return Reader(store.url, password_file=store.password_file)


def _all_alarms(reader: Reader, since_ns: int) -> Iterator[Entry]:
    last = 0
    while entries := reader.alarms(after_id=last, since_ns=since_ns):
        yield from entries
        last = entries[-1].id
    reader.close()


def _follow(reader: Reader, since_ns: int) -> Iterator[Entry]:
    last = 0
    while True:
        entries = reader.alarms(after_id=last, since_ns=since_ns)
        yield from entries
        if entries:
            last = entries[-1].id
        else:
            time.sleep(_FOLLOW_S)


def _print_lines(lines: Iterable[bytes]) -> None:
    for line in lines:
        sys.stdout.buffer.write(line + b"\n")
        sys.stdout.buffer.flush()


def _text(record: dict[str, Any]) -> _Texts:
    return _Texts(record)


class _Texts:
    """The values of a record as texts; what is missing is empty."""

    def __init__(self, record: dict[str, Any]) -> None:
        self._record = record

    def __call__(self, key: str) -> str:
        value = self._record.get(key)
        return "" if value is None else str(value)


def _show_devices(found: list[Device]) -> None:
    from rich.console import Console  # noqa: PLC0415 - only people need it
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("device", "state", "last seen", "version", "batches", "records", "lost"):
        table.add_column(name, justify="right" if name in _NUMBERS else "left")
    for each in found:
        state = {True: "[green]online[/]", False: "[red]offline[/]", None: "unknown"}[each.online]
        table.add_row(
            escape(each.device),
            state,
            each.last_seen,
            escape(each.version),
            str(each.batches),
            str(each.records),
            str(each.lost),
        )
    Console().print(table)


_NUMBERS = {"batches", "records", "lost", "score", "sequence"}


def _show_inspections(entries: list[Entry]) -> None:
    from rich.console import Console  # noqa: PLC0415 - only people need it
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("time", "device", "station", "part", "verdict", "score", "causes", "came"):
        table.add_column(name, justify="right" if name in _NUMBERS else "left")
    for entry in entries:
        text, scores = _text(entry.record), entry.record.get("scores")
        verdict = text("verdict")
        causes = entry.record.get("causes") or []
        table.add_row(
            escape(text("time")),
            escape(entry.device),
            escape(text("station")),
            escape(text("part")),
            f"[{_VERDICTS.get(verdict, 'white')}]{escape(verdict)}[/]",
            _score(scores, entry.record.get("thresholds")),
            escape(", ".join(_cause(cause) for cause in causes)),
            lateness(text("time"), entry),
        )
    Console().print(table)


def _score(scores: object, thresholds: object) -> str:
    """Say the score that counts, and of which stage where there are several."""
    from edge_agent.collector.scores import worst_score  # noqa: PLC0415 - an extra

    if not isinstance(scores, dict):
        return ""
    known = {name: each for name, each in scores.items() if isinstance(each, int | float)}
    worst = worst_score(known, thresholds)
    if worst is None:
        return ""
    return f"{worst[1]:.3f}" + (f" {worst[0]}" if len(known) > 1 else "")


def _cause(cause: object) -> str:
    """Say a cause in a few words: it is a text, or a table with a `text`."""
    if isinstance(cause, dict):
        return str(cause.get("text") or cause.get("kind") or cause)
    return str(cause)


if __name__ == "__main__":
    main()
