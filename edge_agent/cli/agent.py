"""`edge-agent`: what runs on a device, and what a person does with it there."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Annotated

import typer

from edge_agent import __version__
from edge_agent.agent.control import ask
from edge_agent.cli import baseline
from edge_agent.cli import bundle as bundle_verbs
from edge_agent.cli import config as config_verbs
from edge_agent.cli.demo import demo
from edge_agent.cli.errors import run_app
from edge_agent.cli.inspect import inspect
from edge_agent.cli.station import StationOption, pick, tell_agent
from edge_agent.cli.status import show
from edge_agent.config import DEFAULT_PATH, load
from edge_agent.errors import UsageError
from edge_agent.rollout.bundle import Bundle
from edge_agent.rollout.selftest import SampleResult, self_test
from edge_agent.rollout.slots import Slots

app = typer.Typer(
    name="edge-agent",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Inspect parts on this device: run the agent, try models on files, see how it is doing.",
)

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")]


@app.callback(invoke_without_command=True)
def _top(
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    if version:
        print(f"edge-agent {__version__}")
        raise typer.Exit


@app.command()
def run(config: ConfigOption = DEFAULT_PATH) -> None:
    """Run the agent until SIGTERM or Ctrl-C; systemd does this on a device.

    Example: edge-agent run --config agent.toml
    """
    from edge_agent.agent.app import Agent  # noqa: PLC0415 - only this verb needs every stage
    from edge_agent.agent.memory import (  # noqa: PLC0415
        settle_memory,
        settle_opencv,
        settle_threads,
    )

    settle_memory()
    settle_opencv()
    settle_threads()
    settings = load(config)
    form = "%(levelname)s %(name)s: %(message)s"
    logging.basicConfig(
        level=settings.log_level.value.upper(),
        format="%(asctime)s " + form if sys.stderr.isatty() else form,  # the journal has the time
        stream=sys.stderr,
    )
    agent = Agent(settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: agent.request_stop())
    agent.run()


@app.command()
def status(
    config: ConfigOption = DEFAULT_PATH,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show how the running agent is doing: stations, alarms, spool, uplink.

    Example: edge-agent status --json | jq .stations
    """
    answer = ask(load(config).socket_path, "status")
    if as_json:
        print(json.dumps(answer))
    else:
        show(answer)


@app.command()
def install(
    bundle: Annotated[Path, typer.Argument(help="The bundle file.")],
    config: ConfigOption = DEFAULT_PATH,
    station: StationOption = "",
) -> None:
    """Put a bundle into the idle slot, test it on its own samples, and let it decide if they hold.

    The bundle before stays in the other slot: `edge-agent rollback` goes back to it. A bundle that
    is damaged or fails its test changes nothing.

    Example: edge-agent install bracket-7.bundle --station press-4
    """
    os.nice(10)  # a running agent has parts to judge meanwhile
    settings = load(config)
    name = pick(list(settings.station), station)
    inspection = settings.station[name].inspection
    results: list[SampleResult] = []

    def test(candidate: Bundle) -> None:
        results.extend(self_test(candidate, inspection.engine, inspection))

    installed = Slots(settings.slots_dir(name)).install(bundle, test)
    print(f"{installed.label}: self-test held on {len(results)} samples; live at station {name}")
    tell_agent(settings.socket_path, name)


@app.command()
def rollback(config: ConfigOption = DEFAULT_PATH, station: StationOption = "") -> None:
    """Go back to the bundle that decided before.

    Example: edge-agent rollback --station press-4
    """
    settings = load(config)
    name = pick(list(settings.station), station)
    bundle = Slots(settings.slots_dir(name)).roll_back()
    print(f"{bundle.label} is live again at station {name}")
    tell_agent(settings.socket_path, name)


@app.command()
def acknowledge(
    key: Annotated[str, typer.Argument(help="Of the alarm, e.g. light/dirt/press-4.")],
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Acknowledge an alarm: say that a person has seen it.

    Example: edge-agent acknowledge light/dirt/press-4
    """
    state = ask(load(config).socket_path, "acknowledge", key=key)["state"]
    print(f"{key} is {state}")


@app.command()
def changeover(
    station: Annotated[str, typer.Argument(help="Which station.")],
    part_number: Annotated[str, typer.Argument(help="What comes from the next part on.")],
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Tell a station that another product comes from the next part on.

    Light and camera are then held against the baseline of its recipe (`[[station.NAME.recipe]]`).
    Without a recipe only what is known of the fixed scene is watched.

    Example: edge-agent changeover press-4 4711-B
    """
    settings = load(config)
    name = pick(list(settings.station), station)
    told = ask(settings.socket_path, "changeover", station=name, part_number=part_number)
    print(f"station {name}: {told['text']}")


@app.command()
def light(
    changes: Annotated[
        list[str] | None,
        typer.Argument(help="What to change, NAME=VALUE; nothing puts the light right again."),
    ] = None,
    config: ConfigOption = DEFAULT_PATH,
    station: StationOption = "",
) -> None:
    """Change light and camera of a simulated station, to see what happens.

    Names: level, gradient_x, gradient_y, warmth, flicker, flicker_hz, shift_x_px, shift_y_px,
    rotation_deg, defocus_px.

    Example: edge-agent light level=0.6 defocus_px=1.5
    """
    settings = load(config)
    name = pick(list(settings.station), station)
    light_now = ask(settings.socket_path, "light", station=name, changes=_numbers(changes or []))
    changed = ", ".join(f"{what} {value}" for what, value in light_now.items())
    print(f"station {name}: light is {changed or 'as configured'}")


def _numbers(changes: list[str]) -> dict[str, float]:
    """Read NAME=VALUE pairs."""
    found = {}
    for change in changes:
        name, _, value = change.partition("=")
        try:
            found[name] = float(value)
        except ValueError as error:
            raise UsageError(f"{change!r}: give NAME=VALUE, e.g. level=0.6") from error
    return found


app.command()(inspect)
app.command()(demo)
app.add_typer(baseline.app, name="baseline")
app.add_typer(bundle_verbs.app, name="bundle")
app.add_typer(config_verbs.app, name="config")


def add_verbs(wanted: Sequence[str]) -> None:
    """Add the verbs that other packages bring, by entry points.

    The group `edge_agent.verbs` holds verbs of `edge-agent`, and `edge_agent.verbs.bundle` those
    of `edge-agent bundle`. An entry names a function (one verb) or a typer app (a group of them).
    They are loaded only when one of them is asked for, or all for the help: the agent itself never
    waits for them.

    Args:
        wanted: The command line behind the program's name.
    """
    first, second = [*wanted, "", ""][:2]
    for entry in entry_points(group="edge_agent.verbs"):
        if first in {entry.name, *_HELP}:
            _add(app, entry)
    if first == "bundle":
        for entry in entry_points(group="edge_agent.verbs.bundle"):
            if second in {entry.name, *_HELP}:
                _add(bundle_verbs.app, entry)


_HELP = ("", "-h", "--help")


def _add(group: typer.Typer, entry: EntryPoint) -> None:
    verb = entry.load()
    if isinstance(verb, typer.Typer):
        group.add_typer(verb, name=entry.name)
    else:
        group.command(entry.name)(verb)


def main() -> None:
    """Run the command line."""
    add_verbs(sys.argv[1:])
    run_app(app)


if __name__ == "__main__":
    main()
