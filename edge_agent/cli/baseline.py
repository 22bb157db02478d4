"""`edge-agent baseline`: how light and camera look when all is well."""

from __future__ import annotations

import getpass
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, overload

import msgspec
import typer

from edge_agent import clock
from edge_agent.camera.images import list_images, read_image
from edge_agent.config import DEFAULT_PATH, AgentConfig, load
from edge_agent.errors import ControlError, UsageError
from edge_agent.files import keep_former, write_durably
from edge_agent.lighting import Baseline

if TYPE_CHECKING:
    from rich.console import Console

    from edge_agent.camera.frame import Image

FRAMES = 600
_LEAST = 5
_POLL_S = 0.2
_SILENT_S = 60.0
PICTURES = "edge_agent.pictures"
"""Entry points of what draws: `baseline` draws a baseline, `draw(baseline, path)`."""

app = typer.Typer(no_args_is_help=True, help="Learn how light and camera look when all is well.")

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")]


@app.command()
def learn(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="STATION | FILES",
            help="A station, whose camera takes them; or good frames under correct light, or "
            "folders of them, in order of time.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="The baseline file to write; else the one in the station's configuration.",
        ),
    ] = None,
    frames: Annotated[
        int, typer.Option(min=_LEAST, max=2000, help="With a station: how many to take.")
    ] = FRAMES,
    part_number: Annotated[
        str, typer.Option(help="With a station: learn the baseline of this recipe.")
    ] = "",
    keep: Annotated[
        Path | None, typer.Option(help="With a station: folder where the frames are kept.")
    ] = None,
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Learn a lighting baseline from good frames under correct light.

    A station at work goes on working; one that is not running lends its camera. What the file held
    before is kept beside it as FILE.1.

    Examples: edge-agent baseline learn press-4 --frames 600
              edge-agent baseline learn good/ --out /etc/edge-agent/press-4.baseline
    """
    from rich.console import Console  # noqa: PLC0415 - only people need it

    console = Console(stderr=True)
    if len(what) == 1 and not Path(what[0]).exists() and "/" not in what[0]:
        settings = load(config)
        name = _station(settings, what[0])
        goal = out or _file_of(settings, name, part_number)
        _check_writable(goal)
        with _frames_of(settings, config, name, frames, keep, console) as folder:
            baseline = _learned(list_images(folder), console)
        _write(baseline, goal)
        _put_to_use(settings, name, part_number, goal)
        return
    if out is None:
        raise UsageError("give --out FILE: where the baseline of these frames goes")
    if part_number or keep:
        raise UsageError("--part-number and --keep go with a station, not with files")
    _check_writable(out)
    files = [file for path in what for file in list_images(Path(path))]
    _write(_learned(files, console), out)
    print("Name the file in lighting.baseline of the station, or in one of its recipes.")


@app.command()
def show(
    what: Annotated[str, typer.Argument(metavar="STATION | FILE", help="Of whom, or which file.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Draw it: a PNG to write.")
    ] = None,
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Show a baseline: what is watched with it, and what cannot be.

    Example: edge-agent baseline show press-4 --out press-4.png
    """
    path = Path(what)
    if path.exists() or "/" in what:
        baseline, origin = Baseline.read(path), str(path)
    else:
        baseline, origin = _of_station(load(config), what)
    print(f"{origin}: {_summary(baseline)}")
    _tell(baseline)
    if out is not None:
        _draw(baseline, out)
        print(f"{out}: the picture")


# --- learning ------------------------------------------------------------------------------------


class Pictures(Sequence["Image"]):
    """Images that stay on the disk and are read when asked for: 600 fit into no small memory."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files

    def __len__(self) -> int:
        return len(self._files)

    @overload
    def __getitem__(self, place: int) -> Image: ...

    @overload
    def __getitem__(self, place: slice) -> Pictures: ...

    def __getitem__(self, place: int | slice) -> Image | Pictures:
        if isinstance(place, slice):
            return Pictures(self._files[place])
        return read_image(self._files[place])


def _learned(files: Sequence[Path], console: Console) -> Baseline:
    with console.status(f"Learning from {len(files)} frames"):
        baseline = Baseline.learn(Pictures(files))
    now = clock.iso(clock.now().wall_ns)
    return msgspec.structs.replace(baseline, learned=now, by=_who())


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a service's number without a name
        return f"user {os.getuid()}"


def _write(baseline: Baseline, goal: Path) -> None:
    try:
        former = keep_former(goal)
        write_durably(goal, baseline.encode())
    except OSError as error:
        raise UsageError(f"{goal}: cannot be written: {error.strerror}") from error
    print(f"{goal}: {_summary(baseline)}")
    if former:
        print(f"{former}: the baseline before")
    _tell(baseline)


def _check_writable(goal: Path) -> None:
    """Find out before minutes of work what would be found out after.

    Raises:
        UsageError: The file cannot be written.
    """
    if goal.is_dir() or not goal.parent.is_dir():
        problem = "is a folder" if goal.is_dir() else "its folder does not exist"
        raise UsageError(f"{goal}: {problem}: give another --out")


def _summary(baseline: Baseline) -> str:
    who = f", learned {baseline.learned} by {baseline.by}" if baseline.learned else ""
    return (
        f"baseline of {baseline.frames} frames of {baseline.width} x {baseline.height} pixels "
        f"({baseline.digest[:12]}){who}"
    )


def _tell(baseline: Baseline) -> None:
    """Say what is watched, what cannot be, and what else there is to know."""
    watched = [name for name, reason in baseline.monitors.items() if not reason]
    print(f"Watched: {', '.join(watched) or 'nothing'}")
    for reason in dict.fromkeys(filter(None, baseline.monitors.values())):
        names = [name for name, why in baseline.monitors.items() if why == reason]
        print(f"Not watched here: {', '.join(names)}: {reason}")
    for note in baseline.notes:
        print(f"Note: {note}")


# --- a station -----------------------------------------------------------------------------------


def _station(settings: AgentConfig, name: str) -> str:
    if name not in settings.station:
        known = ", ".join(settings.station)
        raise UsageError(f"{name}: neither a file nor a station; stations are {known}")
    return name


def _file_of(settings: AgentConfig, name: str, part_number: str) -> Path:
    """Return the file where a station's baseline belongs.

    Raises:
        UsageError: There is no such recipe, or its file is not configured.
    """
    station = settings.station[name]
    if part_number:
        found = [each for each in station.recipe if each.part_number == part_number]
        if not found:
            raise UsageError(
                f"--part-number {part_number}: station {name} has no recipe for it: add "
                f"[[station.{name}.recipe]], or give --out"
            )
        own, key = found[0].baseline, f"recipe of part number {part_number}: baseline"
    else:
        own, key = station.lighting.baseline, f"station.{name}.lighting.baseline"
    if not own:
        raise UsageError(f"{key} is not configured: name a file there, or give --out")
    return Path(own)


@contextmanager
def _frames_of(
    settings: AgentConfig,
    config: Path,
    name: str,
    wanted: int,
    keep: Path | None,
    console: Console,
) -> Iterator[Path]:
    """Take frames with a station's camera; what is not to be kept is gone afterwards."""
    from edge_agent.agent import taking  # noqa: PLC0415 - only this verb needs it

    if name in taking.served(settings):
        folder = _tapped(settings, name, wanted, console)
        own = folder
        if keep is not None:
            folder = Path(shutil.copytree(folder, keep, dirs_exist_ok=True))
    else:
        moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        folder = keep or settings.slots_dir(name) / f"frames-{moment}Z"
        own = folder
        station = taking.find(config, name)
        taken = taking.from_station(
            name, station, folder, parts=wanted, console=console, what="Good frames"
        )
        for note in taken.notes():
            print(f"Note: {note}", file=sys.stderr)
    try:
        yield folder
    finally:
        if own != keep:
            shutil.rmtree(own, ignore_errors=True)


def _tapped(settings: AgentConfig, name: str, wanted: int, console: Console) -> Path:
    """Let the running agent keep copies of its next frames; return their folder.

    Raises:
        UsageError: It took none.
        ControlError: It went away.
    """
    from rich.progress import MofNCompleteColumn, Progress  # noqa: PLC0415 - only people need it

    from edge_agent.agent.control import ask  # noqa: PLC0415 - only this verb needs it
    from edge_agent.agent.taking import interruptible  # noqa: PLC0415

    socket = settings.socket_path
    state = ask(socket, "tap", station=name, frames=wanted)
    folder = Path(state["folder"])
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn())
    try:
        with interruptible() as stopped, Progress(*columns, console=console) as bar:
            task = bar.add_task("Good frames (Ctrl-C ends it)", total=wanted)
            since, kept = time.monotonic(), 0
            while state["kept"] < wanted and not state["error"] and not stopped.is_set():
                stopped.wait(_POLL_S)
                state = ask(socket, "tapped", station=name)
                bar.update(task, completed=state["kept"])
                if state["kept"] > kept:
                    since, kept = time.monotonic(), state["kept"]
                elif time.monotonic() - since > _SILENT_S:
                    state["error"] = f"no good frame for {_SILENT_S:g} s: does the line run?"
    finally:
        ask(socket, "tap", station=name, frames=0)
    if state["error"]:
        print(f"Note: {state['error']}", file=sys.stderr)
    if not state["kept"]:
        shutil.rmtree(folder, ignore_errors=True)
        raise UsageError(f"station {name}: no frame was taken")
    return folder


def _put_to_use(settings: AgentConfig, name: str, part_number: str, goal: Path) -> None:
    """Let a running agent take over a baseline that its configuration names."""
    from edge_agent.agent import taking  # noqa: PLC0415 - as above
    from edge_agent.agent.control import ask  # noqa: PLC0415 - as above

    station = settings.station[name]
    named = {station.lighting.baseline, *(recipe.baseline for recipe in station.recipe)}
    if str(goal) not in named:
        print(f"Name it in station.{name}.lighting.baseline, or in one of its recipes.")
        return
    try:
        if name not in taking.served(settings):
            print("No agent is running here: it watches by it from its next start on.")
            return
        ask(settings.socket_path, "reload", station=name)
        product = ask(settings.socket_path, "status")["stations"][name]["product"]
        if part_number and product and product["part_number"] == part_number:
            ask(settings.socket_path, "changeover", station=name, part_number=part_number)
    except ControlError as error:
        raise UsageError(f"the running agent did not take it over: {error}; restart it") from error
    print("The running agent watches by it now.")


def _of_station(settings: AgentConfig, what: str) -> tuple[Baseline, str]:
    """Return the baseline that a station is watched by, and where it is from.

    Raises:
        UsageError: There is none.
    """
    from edge_agent.rollout.loading import read_baseline  # noqa: PLC0415 - only this verb needs it
    from edge_agent.rollout.slots import Slots  # noqa: PLC0415

    name = _station(settings, what)
    own = settings.station[name].lighting.baseline
    if own:
        return Baseline.read(Path(own)), own
    bundle = Slots(settings.slots_dir(name)).live()
    baseline = read_baseline(bundle) if bundle else None
    if bundle is None or baseline is None:
        raise UsageError(
            f"station {name}: has no baseline, of its own or in a live bundle: learn one with "
            f"`edge-agent baseline learn {name}`"
        )
    return baseline, f"station {name}, from its bundle {bundle.label}"


def _draw(baseline: Baseline, out: Path) -> None:
    """Draw a baseline with what another package brings for that.

    Raises:
        UsageError: None does.
    """
    for entry in entry_points(group=PICTURES, name="baseline"):
        entry.load()(baseline, out)
        return
    raise UsageError(
        "--out: what draws baselines is not installed: it comes with the package `calibration`"
    )
