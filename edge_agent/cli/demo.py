"""`edge-agent demo`: the whole path on this machine, with a story and an honest account."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from edge_agent.camera.images import list_images
from edge_agent.demo.account import Account
from edge_agent.demo.processes import find_broker, free_port
from edge_agent.demo.story import MIN_DURATION_S, TAKT_MS, Story, tell
from edge_agent.demo.workspace import (
    Workspace,
    folder_camera,
    furnish,
    reference_bundle,
    simulated_camera,
)
from edge_agent.errors import UsageError
from edge_agent.files import write_durably

_LOST_OR_DOUBLED = 1


def demo(
    duration: Annotated[
        float, typer.Option(min=MIN_DURATION_S, max=86_400, help="Seconds that parts come.")
    ] = 40.0,
    seed: Annotated[int, typer.Option(min=0, help="Which parts come on the simulated line.")] = 1,
    json_file: Annotated[str, typer.Option("--json", help="Write the account to FILE.")] = "",
    images: Annotated[
        Path | None,
        typer.Option(
            "--images",
            help="Inspect the images of this folder in place of the simulated line. A folder with "
            "train/good and test is fitted on the first and judged on the second.",
        ),
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option("--bundle", "-b", help="The bundle that decides.")
    ] = None,
    keep: Annotated[
        Path | None, typer.Option("--keep", help="Keep configuration, logs and database in DIR.")
    ] = None,
) -> None:
    """Run the whole path on this machine: line, agent, broker, collector, alarms.

    Broker, collector and agent run as processes of their own. Halfway the light is dimmed, and
    later the broker is killed; at the end the collector's database is held against what the line
    really made. The exit status is 1 if anything was lost or doubled.

    Example: edge-agent demo --duration 30 --seed 7 --json account.json
    """
    find_broker()  # what a run can fail on and is known now comes before anything starts
    folder = _make_folder(keep)
    done = False
    try:
        if images is None:
            story = tell(duration, light=True)
            camera, chosen = simulated_camera(story, seed), bundle or reference_bundle()
            what = f"the simulated line, seed {seed}"
        else:
            story = tell(duration, light=False)
            source, chosen = _images_and_bundle(images, bundle, folder)
            camera, what = folder_camera(source), f"the images of {source}"
        workspace = Workspace(folder, free_port())
        held = furnish(workspace, camera, chosen)
        account = _show(workspace, story, f"{what}; the bundle's self-test held on {held} samples")
        if json_file:
            _write_json(Path(json_file), account)
        done = account.is_good
    finally:
        if keep is None and (done or sys.exc_info()[0] is KeyboardInterrupt):
            shutil.rmtree(folder, ignore_errors=True)
        else:
            print(f"Configuration, logs and database: {folder}", file=sys.stderr)
    if not done:
        raise typer.Exit(_LOST_OR_DOUBLED)


def _show(workspace: Workspace, story: Story, what: str) -> Account:
    """Play the story on the terminal and return its account."""
    from rich.console import Console  # noqa: PLC0415 - only this verb draws

    from edge_agent.demo import run  # noqa: PLC0415 - with rich
    from edge_agent.demo.screen import Screen, show_account  # noqa: PLC0415

    console = Console(highlight=False)
    duration_s = story.parts * TAKT_MS / 1000
    console.print(
        f"[bold]edge-agent demo[/]: {what}\n{story.parts} parts, {1000 // TAKT_MS} a second, for "
        f"{duration_s:.0f} s; Ctrl-C stops everything"
    )
    with Screen(console, duration_s) as screen, run.running_line(workspace) as line:
        status = run.play(line, workspace, story, screen)
    account = run.conclude(workspace, status)
    show_account(console, account)
    return account


def _make_folder(keep: Path | None) -> Path:
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="edge-demo-"))
    if keep.exists() and any(keep.iterdir()):
        raise UsageError(f"{keep}: is not empty: name a new folder for --keep")
    try:
        keep.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{keep}: cannot be made: {error.strerror}") from error
    return keep.resolve()


def _images_and_bundle(images: Path, bundle: Path | None, folder: Path) -> tuple[Path, Path]:
    """Return the images to inspect and the bundle that decides; fit one where none is given."""
    list_images(images)  # raises if there is no such folder
    good, test = images / "train" / "good", images / "test"
    source = test if test.is_dir() else images
    if bundle is not None:
        return source.resolve(), bundle
    if not good.is_dir():
        raise UsageError(
            f"{images}: give --bundle, or a folder with train/good (good parts to fit a model on) "
            f"and test"
        )
    fitted = folder / "fitted.bundle"
    command = [
        sys.executable,
        "-m",
        "calibration",
        "fit",
        "--good",
        str(good),
        "--out",
        str(fitted),
    ]
    print(f"Fitting a model on {good}", file=sys.stderr)
    if subprocess.run(command, check=False).returncode != 0:
        raise UsageError(f"{good}: no model could be fitted on it; see above")
    return source.resolve(), fitted


def _write_json(file: Path, account: Account) -> None:
    try:
        write_durably(file, msgspec.json.format(msgspec.json.encode(account), indent=1) + b"\n")
    except OSError as error:
        raise UsageError(f"{file}: cannot be written: {error.strerror}") from error
