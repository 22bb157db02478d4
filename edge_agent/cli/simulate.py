"""`edge-collector simulate`: load of many devices that do not exist."""

from __future__ import annotations

import logging
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_agent.errors import EdgeError, UsageError
from edge_agent.topics import is_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_agent.collector.settings import CollectorConfig
    from edge_agent.collector.simulation.check import Finding
    from edge_agent.collector.simulation.fleet import Account, Fleet, Standing

_TICK_S = 0.2
_LINE_S = 5.0
_LINK_S = 5.0
_LINKS_PER_S = 50.0  # that come up, on a small machine

Config = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", help="collector.toml: how the broker and, for --check, the store are "
        "reached; without it as for the other verbs.",
    ),
]  # fmt: skip


def simulate(
    devices: Annotated[int, typer.Option(min=1, max=10_000, help="How many devices.")] = 10,
    rate: Annotated[
        float,
        typer.Option(
            min=0, max=10_000, help="Records a second of each device; 0 for as many as are taken."
        ),
    ] = 10.0,
    seconds: Annotated[
        float, typer.Option(min=0, help="How long they inspect; 0 until --records, or Ctrl-C.")
    ] = 0.0,
    records: Annotated[
        int, typer.Option(min=0, help="How many records in all, at least; 0 for no limit.")
    ] = 0,
    batch: Annotated[int, typer.Option(min=1, max=100_000, help="Records in a batch.")] = 100,
    lines: Annotated[
        int,
        typer.Option(
            min=1,
            max=10_000,
            help="Devices of one line write the same records, which are encoded "
            "once: encoding takes a core for some 20,000 records a second. As many lines as "
            "devices: every record is one of its own.",
        ),
    ] = 16,
    name: Annotated[str, typer.Option(help="First part of the devices' names.")] = "sim",
    window: Annotated[
        int, typer.Option(min=1, max=1000, help="Batches of a device that may be on their way.")
    ] = 16,
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to wait at the end for acknowledgements.")
    ] = 60.0,
    check: Annotated[
        bool,
        typer.Option("--check", help="Compare with the store at the end: exit 1 if not equal."),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="The account as one JSON object.")] = False,
    config: Config = None,
) -> None:
    """Send as many devices would: each with its own connection, batches, resends and window.

    What is simulated is the camera and the disk: links, batches, acknowledgements and what is sent
    again are the real ones. The devices stay known to the store and to the broker as offline.
    With --check it ends with 1 if a record is lost, doubled or was not acknowledged.

    Example: edge-collector simulate --devices 200 --rate 10 --seconds 60 --check
    """
    if not is_name(name) or len(name) > 50:
        raise UsageError(f"--name {name}: letters, digits, '.', '_' and '-', at most 50")
    from edge_agent.collector.settings import load  # noqa: PLC0415 - loads settings
    from edge_agent.collector.simulation.fleet import Fleet, Load  # noqa: PLC0415 - loads numpy
    from edge_agent.uplink.settings import UplinkSettings  # noqa: PLC0415

    settings = load(config)
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s %(name)s: %(message)s")
    asked = Load(
        devices=devices, rate=rate, batch=batch, lines=lines, seconds=seconds, records=records,
        name=name,
    )  # fmt: skip
    with Fleet(asked, settings.mqtt, UplinkSettings(window=window)) as fleet:
        if not fleet.wait_for_links(_LINK_S + devices / _LINKS_PER_S):
            now = fleet.standing()
            raise EdgeError(
                f"{now.connected} of {devices} devices are connected to "
                f"{settings.mqtt.host}:{settings.mqtt.port}: {now.error or 'it does not answer'}; "
                "is the broker there, and does it take so many?"
            )
        _drive(fleet, wait)
        account = fleet.account()
        finding = _checked(fleet, settings) if check else None
    _print(account, finding, json=json)
    if finding and not (finding.is_right and account.acknowledged == account.records):
        sys.exit(1)


def _drive(fleet: Fleet, wait_s: float) -> None:
    """Let the fleet run, and say how it goes; Ctrl-C ends the making, a second one the waiting."""
    fleet.begin()
    with _progress() as show:
        try:
            while fleet.is_making:
                show(fleet.standing())
                time.sleep(_TICK_S)
        except KeyboardInterrupt:
            fleet.stop_making()
        end = time.monotonic() + wait_s
        try:
            while not fleet.is_done and time.monotonic() < end:
                show(fleet.standing())
                time.sleep(_TICK_S)
        except KeyboardInterrupt:
            pass
        show(fleet.standing())


class _Show:
    """One line that says how it goes; where nobody watches, one every five seconds."""

    def __init__(self) -> None:
        from rich.console import Console  # noqa: PLC0415 - only people need it

        self._console = Console(stderr=True, highlight=False)
        self._last: Standing | None = None
        self._line = ""
        self._said_at = 0.0
        self.status = self._console.status("")

    def __call__(self, now: Standing) -> None:
        last = self._last
        if last is None or now.seconds - last.seconds >= 1:
            self._line = _line(now, last)
            self._last = now
        if self._console.is_terminal:
            self.status.update(self._line)
        elif now.seconds - self._said_at >= _LINE_S:
            self._said_at = now.seconds
            self._console.print(self._line, soft_wrap=True)


@contextmanager
def _progress() -> Iterator[_Show]:
    show = _Show()
    with show.status:
        yield show


def _line(now: Standing, last: Standing | None) -> str:
    """Say how it goes, with rates since the last time."""
    passed = now.seconds - (last.seconds if last else 0.0)
    made = (now.made - (last.made if last else 0)) / max(passed, 0.001)
    told = (now.acknowledged - (last.acknowledged if last else 0)) / max(passed, 0.001)
    return (
        f"{now.seconds:.0f} s  {now.connected} connected  made {now.made:,} ({made:,.0f}/s)  "
        f"acknowledged {now.acknowledged:,} ({told:,.0f}/s)  backlog {now.backlog:,}  "
        f"sent again {now.resent_batches:,}"
    )


def _checked(fleet: Fleet, settings: CollectorConfig) -> Finding:
    from edge_agent.collector.audit import Audit  # noqa: PLC0415 - loads the database
    from edge_agent.collector.simulation.check import check  # noqa: PLC0415

    audit = Audit(settings.store.url, password_file=settings.store.password_file)
    try:
        return check(fleet, audit)
    finally:
        audit.close()


def _print(account: Account, finding: Finding | None, *, json: bool) -> None:
    import msgspec  # noqa: PLC0415 - only here

    if json:
        values = msgspec.to_builtins(account)
        if finding:
            values["check"] = msgspec.to_builtins(finding)
        print(msgspec.json.encode(values).decode())
        return
    left = account.records - account.acknowledged
    print(f"records       {account.records:,} made by {account.devices} devices")
    print(f"acknowledged  {account.acknowledged:,}" + (f", {left:,} NOT" if left else ", all"))
    print(f"speed         {account.records_per_s:,.0f} records/s over {account.seconds:.1f} s")
    print(
        f"batches       {account.batches:,} made, {account.sent_batches:,} sent, "
        f"{account.resent_batches:,} of them again; {account.bytes_per_record:.1f} bytes a record"
    )
    print(
        f"from sealing to acknowledgement: p50 {account.p50_ms:,.0f} ms, "
        f"p99 {account.p99_ms:,.0f} ms, longest {account.longest_ms:,.0f} ms"
    )
    if finding:
        words = f"{finding.lost:,} lost, {finding.doubled:,} doubled"
        strange = f", {finding.strange:,} that were never made" if finding.strange else ""
        print(f"store         {finding.stored:,} records, {words}{strange}")
