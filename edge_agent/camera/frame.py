"""What a camera gives: frames, with what is known of them at the moment of capture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from edge_agent.clock import Stamp

Image = npt.NDArray[np.uint8]
"""HxWx3 BGR or HxW grey, uint8, C-contiguous: the camera's own pixels."""

NO_IMAGE: Image = np.zeros((0, 0), np.uint8)
"""The image of a frame whose capture failed."""


class Truth(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a part really is, where that is known (simulated line, sorted folders).

    Attributes:
        defect: Kind of the defect; empty for a good part.
        size_px: Extent of the defect in frame pixels (its longer side); 0 if not known.
        x: Centre of the defect in frame pixels; 0 if not known.
        y: Centre of the defect in frame pixels; 0 if not known.
    """

    defect: str
    size_px: float = 0.0
    x: float = 0.0
    y: float = 0.0


class Frame(msgspec.Struct, frozen=True):
    """One captured frame of one part.

    The image lies in the camera's own buffer: it stays valid until `Camera.buffers - 1` further
    frames were read. Whoever keeps it longer copies it.

    Attributes:
        image: HxWx3 BGR or HxW grey, uint8; `NO_IMAGE` when `fault` says why there is none.
        captured: When the light was taken.
        sequence: 1, 2, 3, ... since the camera was opened; a hole is a frame that was lost.
        station: The station that the camera belongs to.
        part: The id of the part; unique within the station while the agent runs.
        truth: What the part really is, where known.
        source: The file it came from; empty for a live camera.
        fault: Why this part has no image, in one line; empty when it has one.
    """

    image: Image
    captured: Stamp
    sequence: int
    station: str
    part: str
    truth: Truth | None = None
    source: str = ""
    fault: str = ""


class EndOfFrames(Exception):  # noqa: N818 - like StopIteration: not an error
    """The camera has given its last frame (a folder or file played once)."""


class Camera(Protocol):
    """The interface of a camera driver. One thread uses it; any may call `trigger` and `close`.

    A part whose image cannot be had (an unreadable file, a torn frame) is still a frame, with
    its `fault` set: a part is never skipped in silence. A camera that is gone raises.

    Attributes:
        buffers: How many frames stay valid at once (see `Frame`); at least 3.
    """

    buffers: int

    def open(self) -> None:
        """Start capturing.

        Raises:
            CameraError: It cannot be opened; the text says why and what to do.
        """

    def read(self, timeout_s: float) -> Frame | None:
        """Wait for the next frame; None when none came in time.

        Raises:
            CameraError: The camera is gone.
            EndOfFrames: There will be no more.
        """

    def trigger(self) -> None:
        """Ask for one frame (software trigger); nothing happens in free run."""

    def close(self) -> None:
        """Stop capturing and let go of the device; may be called twice."""
