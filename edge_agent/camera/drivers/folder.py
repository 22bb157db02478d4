"""Images of a folder, as a camera.

Invariants:

1. Every image file gives one frame each round; one that cannot be read gives a frame with a fault.
2. The files wait for the reader: none is lost, so `sequence` has no holes.
3. An image is decoded before its time comes: its capture time is not its decoding time.
4. A part id is the file's path within the folder, and from the second round on the round too.
"""

from __future__ import annotations

import enum
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from edge_agent.camera.frame import NO_IMAGE, EndOfFrames, Frame, Image, Truth
from edge_agent.camera.playback import Playback, round_suffix
from edge_agent.camera.triggers import Late, Trigger, make_pacer
from edge_agent.errors import CameraError, ImageError

if TYPE_CHECKING:
    from edge_agent.camera.triggers import Pacer

GOOD = "good"
"""Name of the sub-folder that holds good parts."""


_SHUFFLE_SEED = 1
_LEAD_S = 0.02


class TruthSource(enum.StrEnum):
    """Where the truth about a part is taken from."""

    FOLDERS = "folders"
    NONE = "none"


class Order(enum.StrEnum):
    """In which order the images come."""

    SORTED = "sorted"
    SHUFFLED = "shuffled"


def _meta(low: float, high: float, unit: str, text: str) -> Any:
    return msgspec.Meta(ge=low, le=high, description=text, extra={"unit": unit})


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a folder of images may be told."""

    path: Annotated[
        str, msgspec.Meta(min_length=1, description="Folder of images, sub-folders included.")
    ]
    takt_ms: Annotated[
        float, _meta(0, 3_600_000, "ms", "Time between images; 0 is as fast as they are read.")
    ] = 100.0
    loop: Annotated[Playback, msgspec.Meta(description="What comes after the last image.")] = (
        Playback.ONCE
    )
    order: Annotated[
        Order,
        msgspec.Meta(description="By name (2 before 10), or shuffled, the same way every time."),
    ] = Order.SORTED
    truth: Annotated[
        TruthSource,
        msgspec.Meta(description="Whether sub-folders name what a part is; good is good."),
    ] = TruthSource.FOLDERS
    max_megapixels: Annotated[
        float, _meta(0.01, 1000, "MP", "Largest image that is read; others are a fault.")
    ] = 64.0
    buffers: Annotated[int, _meta(3, 64, "frames", "Frames that stay valid at once.")] = 4


class Driver:
    """A folder of images as a camera."""

    def __init__(self, settings: Settings, *, station: str, trigger: Trigger) -> None:
        """Remember what to play; nothing is read yet."""
        self.buffers = settings.buffers
        self._settings = settings
        self._station = station
        self._folder = Path(settings.path)
        self._pacer: Pacer = make_pacer(trigger, settings.takt_ms, late=Late.WAIT)
        self._files: list[Path] = []
        self._next = 0
        self._round = 0
        self._prepared: tuple[Image, str] | None = None
        self._decode_s = 0.0  # the longest so far
        self._is_open = False

    def open(self) -> None:
        """List the folder and start the takt.

        Raises:
            CameraError: There is no such folder, or it holds no images.
        """
        from edge_agent.camera.images import (  # noqa: PLC0415 - OpenCV, not needed for settings
            MASK_FOLDERS,
            SUFFIXES,
            list_images,
        )

        folder = self._folder
        expected = f"expected a folder with {', '.join(sorted(SUFFIXES))} files"
        if not folder.is_dir():
            problem = "is not a folder" if folder.exists() else "does not exist"
            raise CameraError(f"camera folder {folder} {problem}; {expected}")
        skip = MASK_FOLDERS if self._settings.truth is TruthSource.FOLDERS else frozenset[str]()
        try:
            self._files = list_images(folder, skip=skip)
        except ImageError as error:
            raise CameraError(f"camera folder {folder}: {error}") from error
        if not self._files:
            raise CameraError(f"camera folder {folder} holds no images; {expected}")
        if self._settings.order is Order.SHUFFLED:
            random.Random(_SHUFFLE_SEED).shuffle(self._files)
        self._next = 0
        self._round += 1
        self._prepared = None
        self._is_open = True
        self._pacer.start()

    def read(self, timeout_s: float) -> Frame | None:
        """Wait for the next image.

        Raises:
            CameraError: The camera is not open.
            EndOfFrames: The last image has been played.
        """
        if not self._is_open:
            raise CameraError(f"camera of station {self._station!r} is not open; open it first")
        if self._next >= len(self._files):
            if self._settings.loop is Playback.ONCE:
                raise EndOfFrames
            self._next = 0
            self._round += 1
        path = self._files[self._next]
        # Decoded before its time comes, and not long before, while the part before is judged.
        entered = time.monotonic()
        if not self._pacer.approach(2 * self._decode_s + _LEAD_S, timeout_s):
            return None
        if self._prepared is None:
            begin = time.monotonic()
            self._prepared = self._load(path)
            self._decode_s = max(self._decode_s, time.monotonic() - begin)
        slot = self._pacer.wait(max(0.0, timeout_s - (time.monotonic() - entered)))
        if slot is None:
            return None
        image, fault = self._prepared
        self._prepared = None
        self._next += 1
        return Frame(
            image=image,
            captured=slot.captured,
            sequence=slot.sequence,
            station=self._station,
            part=path.relative_to(self._folder).as_posix() + round_suffix(self._round),
            truth=self._truth(path),
            source=str(path),
            fault=fault,
        )

    def trigger(self) -> None:
        """Ask for the next image (software trigger)."""
        self._pacer.trigger()

    def close(self) -> None:
        """Stop playing."""
        self._is_open = False
        self._pacer.stop()

    def _load(self, path: Path) -> tuple[Image, str]:
        from edge_agent.camera.images import (  # noqa: PLC0415 - OpenCV, not needed for settings
            read_image,
        )

        try:
            return read_image(path, max_pixels=round(self._settings.max_megapixels * 1e6)), ""
        except ImageError as error:
            return NO_IMAGE, str(error)

    def _truth(self, path: Path) -> Truth | None:
        """Take the truth from the folder the file lies in; one in the top folder has none."""
        if self._settings.truth is TruthSource.NONE or path.parent == self._folder:
            return None
        name = path.parent.name
        return Truth("" if name == GOOD else name)
