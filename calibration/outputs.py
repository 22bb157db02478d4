"""Make sure that what is written at the end can be written, before the work begins."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

from edge_agent.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def check_file(path: Path, option: str) -> None:
    """Make sure that a file can be written.

    Args:
        path: The file; folders that are missing will be made.
        option: That names it, for the error.

    Raises:
        UsageError: It cannot.
    """
    if path.is_dir():
        raise UsageError(f"{option} {path}: is a folder: give the name of a file")
    _check(path.parent, f"{option} {path}")


def check_folder(path: Path, option: str) -> None:
    """Make sure that files can be written to a folder, which may be missing.

    Raises:
        UsageError: They cannot.
    """
    _check(path, f"{option} {path}")


def _check(folder: Path, named: str) -> None:
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    if not there.is_dir():
        raise UsageError(f"{named}: {there} is a file, not a folder: choose another place")
    try:
        with tempfile.TemporaryFile(dir=there):  # rights alone do not tell: the disk may be full
            pass
    except OSError as error:
        raise UsageError(
            f"{named}: {there} cannot be written to: {error.strerror}: choose another place"
        ) from error
