"""Check what `edge-agent commission` was given, before work of a minute begins."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import typer

from calibration import frames, outputs
from calibration.anomaly import MIN_PARTS
from edge_agent.agent import taking
from edge_agent.camera.images import read_image
from edge_agent.config import DEFAULT_PATH
from edge_agent.errors import ImageError, UsageError
from edge_agent.topics import is_name

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from calibration.commission import Plan
    from edge_agent.camera.frame import Truth

_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
"""What a bundle's manifest takes for a version."""


def check_source(good: Path | None, station: str, config: Path | None, keep: Path | None) -> None:
    """Make sure that it is said where good parts come from, once.

    Raises:
        UsageError: It is not, or twice.
    """
    if (good is None) == (not station):
        given = "both are" if station else "neither is"
        raise UsageError(f"give --good DIR or --live STATION, one of the two: {given} given")
    if not station and (config or keep):
        raise UsageError(f"{'--config' if config else '--keep'} goes with --live, not with --good")


def check_rest(
    plan: Plan,
    out: Path,
    report: Path | None,
    *,
    ng: Path | None,
    test: Path | None,
    mask: Path | None,
) -> None:
    """Find out at once what would otherwise be found out after a minute's work.

    Raises:
        UsageError: Something cannot be written, or there are no bad parts where they should be.
        ImageError: A folder or a mask cannot be read.
    """
    if not is_name(plan.name):
        raise UsageError(
            f"--name {plan.name}: use letters, digits, '.', '_' and '-', at most 64, beginning "
            "with a letter or a digit"
        )
    if not _VERSION.fullmatch(plan.version):
        raise UsageError(
            f"--version {plan.version}: use letters, digits, '.', '_', '+' and '-', at most 64"
        )
    outputs.check_file(out, "--out")
    if report:
        outputs.check_folder(report, "--report")
    if ng:
        _check_readable(frames.bad_files(ng), f"--ng {ng}")
    if test:
        labelled = frames.labelled_files(test)
        _check_readable([each for each in labelled if not each[1].defect], f"--test {test}")
        _check_readable([each for each in labelled if each[1].defect], f"--test {test}")
    if mask:
        read_image(mask)


def _check_readable(labelled: list[tuple[Path, Truth]], option: str) -> None:
    """Make sure that one image at least can be read; others are left out when their turn comes."""
    first: ImageError | None = None
    for file, _ in labelled:
        try:
            read_image(file)
        except ImageError as error:
            first = first or error
        else:
            return
    raise UsageError(
        f"{option}: none of {len(labelled)} images can be read; the first: {first}"
    ) from first


def taken(
    name: str, config: Path | None, keep: Path | None, *, out: Path, wanted: int, console: Console
) -> Path:
    """Take pictures of good parts with a station's camera; return their folder.

    Raises:
        UsageError: There are too few.
    """
    station = taking.find(config or DEFAULT_PATH, name)
    folder = keep or taking.default_folder(out, name)
    pictures = taking.from_station(name, station, folder, parts=wanted, console=console)
    for note in pictures.notes():
        typer.echo(f"Note: {note}", err=True)
    if pictures.kept < MIN_PARTS:
        where = f", in {folder}" if pictures.kept else ""
        raise UsageError(
            f"{pictures.kept} pictures of good parts{where}: fitting needs at least "
            f"{MIN_PARTS}, better 50 to 300"
        )
    return folder
