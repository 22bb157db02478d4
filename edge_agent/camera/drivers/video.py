"""A video file, as a camera.

Invariants:

1. The file waits for the reader: no frame is lost, so `sequence` has no holes.
2. A frame is decoded before its time comes: its capture time is not its decoding time.
3. A file that ends before the frames it announces gives one frame with a fault that says so.
4. Frames lie in a ring of `buffers` images that is made once.
"""

from __future__ import annotations

import math
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np

from edge_agent.camera.frame import NO_IMAGE, EndOfFrames, Frame, Image
from edge_agent.camera.playback import Playback, round_suffix
from edge_agent.camera.triggers import Late, Trigger, make_pacer
from edge_agent.errors import CameraError

if TYPE_CHECKING:
    import cv2

    from edge_agent.camera.triggers import Pacer

_USUAL_RATE = 25.0
"""Frames a second of a file that does not say."""

_FEWEST_MISSING = 3
_SHARE_MISSING = 0.02
"""A file is cut short when this many of its frames are missing: some containers only estimate."""


def _meta(low: float, high: float, unit: str, text: str) -> Any:
    return msgspec.Meta(ge=low, le=high, description=text, extra={"unit": unit})


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a video may be told."""

    path: Annotated[str, msgspec.Meta(min_length=1, description="The video file.")]
    takt_ms: Annotated[
        float, _meta(0, 3_600_000, "ms", "Time between frames; 0 is the video's own rate.")
    ] = 0.0
    loop: Annotated[Playback, msgspec.Meta(description="What comes after the last frame.")] = (
        Playback.ONCE
    )
    buffers: Annotated[int, _meta(3, 64, "frames", "Frames that stay valid at once.")] = 4


class Driver:
    """A video file as a camera."""

    def __init__(self, settings: Settings, *, station: str, trigger: Trigger) -> None:
        """Remember what to play; nothing is read yet."""
        self.buffers = settings.buffers
        self._settings = settings
        self._station = station
        self._trigger = trigger
        self._path = Path(settings.path)
        self._pacer: Pacer = make_pacer(trigger, settings.takt_ms, late=Late.WAIT)
        # OpenCV's reader must not be released while another thread decodes with it.
        self._decoding = threading.Lock()
        self._capture: cv2.VideoCapture | None = None
        self._announced = 0
        self._ring: list[Image] = []
        self._turn = 0
        self._decoded = 0
        self._round = 0
        self._prepared: tuple[Image, str] | None = None

    def open(self) -> None:
        """Open the file and start its rate.

        Raises:
            CameraError: There is no such file, or it holds no frames that can be decoded.
        """
        if not self._path.is_file():
            problem = "is not a file" if self._path.exists() else "does not exist"
            raise CameraError(f"camera video {self._path} {problem}; expected a video file")
        with self._decoding:
            rate = self._rewind()
            self._prepared = self._decode()
            if self._prepared is None or self._prepared[1]:
                self._release()
                raise CameraError(
                    f"camera video {self._path} holds no frame that can be decoded;"
                    " expected a whole video file (AVI, MP4, MKV)"
                )
        takt_ms = self._settings.takt_ms or 1000.0 / rate
        self._pacer = make_pacer(self._trigger, takt_ms, late=Late.WAIT)
        self._pacer.start()

    def read(self, timeout_s: float) -> Frame | None:
        """Wait for the next frame.

        Raises:
            CameraError: The camera is not open, or the file vanished between two rounds.
            EndOfFrames: The last frame has been played.
        """
        with self._decoding:
            if self._capture is None:
                raise CameraError(f"camera of station {self._station!r} is not open; open it first")
            prepared = self._prepare()
        slot = self._pacer.wait(timeout_s)
        if slot is None:
            return None
        image, fault = prepared
        self._prepared = None
        if not fault:
            self._turn = (self._turn + 1) % len(self._ring)
        number = self._decoded + 1 if fault else self._decoded
        return Frame(
            image=image,
            captured=slot.captured,
            sequence=slot.sequence,
            station=self._station,
            part=f"{self._path.stem}-{number:06d}{round_suffix(self._round)}",
            source=str(self._path),
            fault=fault,
        )

    def trigger(self) -> None:
        """Ask for the next frame (software trigger)."""
        self._pacer.trigger()

    def close(self) -> None:
        """Stop playing and let go of the file."""
        self._pacer.stop()
        with self._decoding:
            self._release()

    def _prepare(self) -> tuple[Image, str]:
        """Decode the next frame, unless it is decoded already."""
        if self._prepared is None:
            self._prepared = self._decode()
        if self._prepared is None:
            if self._settings.loop is Playback.ONCE:
                raise EndOfFrames
            self._rewind()
            self._prepared = self._decode()
        if self._prepared is None:
            raise CameraError(f"camera video {self._path} has no frames any more; replace the file")
        return self._prepared

    def _rewind(self) -> float:
        """Open the file at its first frame; return its frames a second."""
        # FFmpeg writes what it finds in damaged files to the terminal; here it becomes a fault.
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        import cv2  # noqa: PLC0415 - heavy, not needed for settings

        self._release()
        capture = cv2.VideoCapture(str(self._path))
        announced = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        rate = capture.get(cv2.CAP_PROP_FPS)
        self._announced = int(announced) if 0 < announced < 1e9 else 0
        self._capture = capture
        self._decoded = 0
        self._round += 1
        return rate if math.isfinite(rate) and 0.0 < rate <= 1000.0 else _USUAL_RATE

    def _decode(self) -> tuple[Image, str] | None:
        """Decode a frame into the next image of the ring.

        Returns:
            Image and fault; None at the end.
        """
        assert self._capture is not None
        place = self._ring[self._turn] if self._ring else None
        done, pixels = self._capture.read(place)
        if not done:
            return self._ending()
        image = np.ascontiguousarray(np.asarray(pixels, np.uint8))
        if not self._ring or self._ring[0].shape != image.shape:
            self._ring = [np.empty_like(image) for _ in range(self.buffers)]
            self._turn = 0
        if self._ring[self._turn] is not image:
            self._ring[self._turn] = image
        self._decoded += 1
        return image, ""

    def _ending(self) -> tuple[Image, str] | None:
        """Say whether the file ended where it should; once."""
        missing = self._announced - self._decoded
        if missing < max(_FEWEST_MISSING, _SHARE_MISSING * self._announced):
            return None
        fault = (
            f"{self._path}: ends after {self._decoded} of {self._announced} frames:"
            " the file is cut short; replace it"
        )
        self._announced = 0
        return NO_IMAGE, fault

    def _release(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None
