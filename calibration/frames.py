"""Frames that a model is fitted to or tried on, from folders or from the simulated line."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from edge_agent.camera.frame import Frame, Image, Truth
from edge_agent.errors import CameraError, ImageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge_agent.camera.drivers.simulated import Settings

GOOD = "good"
MAX_GOOD = 1000
"""Good parts that are used at most; more are thinned out evenly."""

_log = logging.getLogger(__name__)


def good_files(folder: Path, *, limit: int = MAX_GOOD) -> list[Path]:
    """List the images of good parts in a folder, thinned out evenly above `limit`.

    Raises:
        UsageError: There is no such folder, or no image in it.
    """
    files = _images(folder)
    if not files:
        raise UsageError(f"{folder}: holds no images of good parts")
    if len(files) <= limit:
        return files
    _log.warning("%s: %d images, %d of them are used", folder, len(files), limit)
    return [files[round(place)] for place in np.linspace(0, len(files) - 1, limit)]


def read_good(files: list[Path]) -> Iterator[Image]:
    """Read images of good parts; one that cannot be read is left out with a warning."""
    from edge_agent.camera.images import read_image  # noqa: PLC0415 - imports OpenCV

    for file in files:
        try:
            yield read_image(file)
        except ImageError as error:
            _log.warning("left out: %s", error)


def labelled_files(folder: Path) -> list[tuple[Path, Truth]]:
    """List images of known truth: sub-folder `good`, and one for each kind of defect.

    Raises:
        UsageError: Good or defective parts are missing.
    """
    found = []
    for file in _images(folder):
        kind, *rest = file.relative_to(folder).parts
        if rest:
            found.append((file, Truth("" if kind == GOOD else kind)))
    if {bool(truth.defect) for _, truth in found} != {False, True}:
        raise UsageError(
            f"{folder}: a test folder holds {GOOD}/ and one folder of images for each defect"
        )
    return found


def bad_files(folder: Path) -> list[tuple[Path, Truth]]:
    """List images of bad parts; a sub-folder names its kind of defect, and `good` is left out.

    Raises:
        UsageError: There is no such folder, or no image in it.
    """
    found = []
    for file in _images(folder):
        kind = file.relative_to(folder).parts[0] if file.parent != folder else "bad"
        if kind != GOOD:
            found.append((file, Truth(kind)))
    if not found:
        raise UsageError(f"{folder}: holds no images of bad parts")
    return found


def simulated_parts(settings: Settings) -> Iterator[Frame]:
    """Give the parts of a simulated line, as fast as they can be drawn.

    Each frame's image is valid until the next is taken.

    Raises:
        CameraError: The line stops.
    """
    from edge_agent.camera.drivers.simulated import Driver  # noqa: PLC0415 - imports OpenCV
    from edge_agent.camera.frame import EndOfFrames  # noqa: PLC0415 - beside its driver
    from edge_agent.camera.triggers import Trigger  # noqa: PLC0415 - beside its driver

    camera = Driver(settings, station="calibration", trigger=Trigger.FREE_RUN)
    camera.open()
    try:
        while True:
            frame = camera.read(60.0)
            if frame is None:
                raise CameraError("the simulated line gave no part for a minute")
            yield frame
    except EndOfFrames:
        return
    finally:
        camera.close()


def _images(folder: Path) -> list[Path]:
    from edge_agent.camera.images import list_images  # noqa: PLC0415 - imports OpenCV

    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    return list_images(folder)
