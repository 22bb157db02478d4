"""Take pictures of good parts with a station's own camera, as it will take them in production.

Invariants:
    - A picture is kept as the camera gave it, lossless, and is in the folder whole or not at all.
    - What was kept stays, however the taking ends.
    - A frame that says what is wrong with it is never kept: a fault, or a defect that is known.
"""

from __future__ import annotations

import difflib
import enum
import io
import re
import signal
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from edge_agent import clock
from edge_agent.agent.control import ask
from edge_agent.camera.frame import EndOfFrames
from edge_agent.camera.registry import make_camera
from edge_agent.camera.triggers import Trigger
from edge_agent.config import load
from edge_agent.errors import CameraError, ControlError, UsageError
from edge_agent.files import write_durably

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import TextIO

    from rich.console import Console

    from edge_agent.camera.frame import Camera, Frame, Image
    from edge_agent.config import AgentConfig, Station

MIN_PARTS, MAX_PARTS = 5, 1000
"""How many can be asked for: what a fit needs (`calibration.anomaly`), and what it uses at most."""

_WAIT_S = 0.25
_PATIENCE_S = 30.0
_TAKTS = 3.0
"""How many takts a line may pause, where that is longer."""

_NAME_CHARS = 80
_QUICK = 1
"""Of zlib: a line does not wait, and what it costs in size is little."""


class Ended(enum.StrEnum):
    """Why no more pictures were taken."""

    ENOUGH = "enough"
    CAMERA = "camera"
    PERSON = "person"


class Taken(msgspec.Struct, frozen=True):
    """Pictures that were taken.

    Attributes:
        folder: Where they are.
        kept: How many.
        ended: Why no more.
        faulty: Frames with a fault, left out.
        fault: The first of those.
        defective: Parts left out because the camera knows that they are defective: a simulated
            line does, and a folder that is sorted.
    """

    folder: Path
    kept: int
    ended: Ended
    faulty: int = 0
    fault: str = ""
    defective: int = 0

    def notes(self) -> list[str]:
        """Say in words what was left out, and why there are fewer than wanted."""
        notes = []
        if self.faulty:
            notes.append(f"{_frames(self.faulty)} with a fault left out; the first: {self.fault}")
        if self.defective:
            many = "s" * (self.defective != 1)
            notes.append(f"{self.defective} part{many} known to be defective left out")
        if self.ended is not Ended.ENOUGH:
            why = "the camera gave its last frame" if self.ended is Ended.CAMERA else "stopped"
            notes.append(f"{why} after {self.kept} good parts")
        return notes


class Orders:
    """Orders of pictures at a station with a software trigger: each line of a text is one.

    An order is passed on when the picture before it has come, so that none is lost.

    Args:
        text: Where lines come from: a person's keyboard, or a pipe.
    """

    def __init__(self, text: TextIO) -> None:
        self.given = 0
        self.ended = threading.Event()
        self._text = text
        self._room = threading.Semaphore(1)

    def start(self, trigger: Callable[[], None]) -> None:
        """Begin to pass orders on; the thread ends with the text, or with the process."""
        threading.Thread(target=self._pass_on, args=(trigger,), name="orders", daemon=True).start()

    def served(self) -> None:
        """Take notice that a picture has come."""
        self._room.release()

    def _pass_on(self, trigger: Callable[[], None]) -> None:
        for _ in self._text:
            self._room.acquire()
            self.given += 1
            trigger()
        self.ended.set()


def default_folder(out: Path, station: str) -> Path:
    """Name the folder of a station's pictures: beside the bundle, after station and time (UTC)."""
    moment = clock.iso(time.time_ns())[:19].replace("-", "").replace(":", "")
    return out.parent / f"{station}-{moment}Z"


def find(path: Path, name: str) -> Station:
    """Find a station that no running agent has, for `--live NAME`.

    Args:
        path: The configuration file.
        name: Of the station.

    Raises:
        ConfigError: The configuration is missing or wrong.
        UsageError: There is no such station, or an agent has its camera.
        ControlError: An agent is there, but may not be asked.
    """
    config = load(path)
    if name not in config.station:
        near = difflib.get_close_matches(name, config.station, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(config.station)}"
        raise UsageError(f"--live {name}: {path} has no such station; {hint}")
    if name in served(config):
        raise UsageError(
            f"--live {name}: an agent runs this station and has its camera: stop it first "
            f"(systemctl stop edge-agent)"
        )
    return config.station[name]


def from_station(
    name: str,
    station: Station,
    folder: Path,
    *,
    parts: int,
    console: Console,
    what: str = "Good parts",
) -> Taken:
    """Take pictures with a station's camera; shows progress, and ends in good order on Ctrl-C.

    Args:
        name: Of the station.
        station: How it is configured.
        folder: Where pictures go; new, or without images.
        parts: How many are wanted.
        console: Shows progress.
        what: Is taken, for the progress.

    Raises:
        UsageError: The folder cannot be used.
        CameraError: The camera cannot be opened, goes away, or gives nothing.
    """
    from rich.progress import MofNCompleteColumn, Progress  # noqa: PLC0415 - only people need it

    keyed = station.camera.trigger is Trigger.SOFTWARE
    how = "Enter takes one" if keyed else "Ctrl-C ends it"
    takt_s = float(getattr(station.camera.settings, "takt_ms", 0.0)) / 1000
    made = not folder.exists()
    _prepare(folder)
    camera = make_camera(
        station.camera.driver,
        station.camera.settings,
        station=name,
        trigger=station.camera.trigger,
    )
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn())
    try:
        with interruptible() as stopped, Progress(*columns, console=console) as bar:
            task = bar.add_task(f"{what} ({how})", total=parts)
            return take(
                camera,
                folder,
                parts=parts,
                stopped=stopped,
                orders=Orders(sys.stdin or io.StringIO()) if keyed else None,
                advance=lambda: bar.advance(task),
                patience_s=max(_PATIENCE_S, _TAKTS * takt_s),
            )
    finally:
        if made and not any(folder.iterdir()):
            folder.rmdir()


def take(
    camera: Camera,
    folder: Path,
    *,
    parts: int,
    stopped: threading.Event,
    orders: Orders | None = None,
    advance: Callable[[], None] = lambda: None,
    patience_s: float = _PATIENCE_S,
) -> Taken:
    """Take pictures until there are enough, the camera ends, or somebody stops it.

    Args:
        camera: Not yet open; closed at the end.
        folder: Where pictures go; it exists.
        parts: How many are wanted.
        stopped: Set to stop.
        orders: What triggers the camera; None where it runs free.
        advance: Called for each picture that was kept.
        patience_s: How long the camera may give nothing that can be kept.

    Raises:
        CameraError: The camera cannot be opened, goes away, or gives nothing.
        UsageError: A picture cannot be written.
    """
    tally = _Tally(folder)
    try:
        camera.open()
        if orders:
            orders.start(camera.trigger)
        ended = _read(
            camera,
            tally,
            parts=parts,
            stopped=stopped,
            orders=orders,
            advance=advance,
            patience_s=patience_s,
        )
    except EndOfFrames:
        ended = Ended.CAMERA
    except CameraError as error:
        if not tally.kept:
            raise
        raise CameraError(
            f"{error}; {tally.kept} pictures are kept: {folder} (--good takes them)"
        ) from error
    finally:
        camera.close()
    return Taken(folder, tally.kept, ended, tally.faulty, tally.fault, tally.defective)


class _Tally:
    """Keeps frames, and counts what becomes of them."""

    def __init__(self, folder: Path) -> None:
        self.kept = self.faulty = self.defective = 0
        self.fault = ""
        self._folder = folder

    @property
    def frames(self) -> int:
        return self.kept + self.faulty + self.defective

    def add(self, frame: Frame) -> bool:
        """Keep a frame, or leave it out; tell whether it was kept."""
        if frame.fault:
            self.faulty += 1
            self.fault = self.fault or frame.fault
        elif frame.truth is not None and frame.truth.defect:
            self.defective += 1
        else:
            write_picture(self._folder / file_name(self.kept + 1, frame.part), frame.image)
            self.kept += 1
            return True
        return False


def _read(
    camera: Camera,
    tally: _Tally,
    *,
    parts: int,
    stopped: threading.Event,
    orders: Orders | None,
    advance: Callable[[], None],
    patience_s: float,
) -> Ended:
    since = time.monotonic()
    while tally.kept < parts:
        if stopped.is_set():
            return Ended.PERSON
        if orders and orders.given <= tally.frames:  # nobody waits for a picture
            since = time.monotonic()
            if orders.ended.is_set() and orders.given <= tally.frames:
                return Ended.PERSON
        frame = camera.read(_WAIT_S)
        if frame is not None and orders:
            orders.served()
        if frame is not None and tally.add(frame):
            since = time.monotonic()
            advance()
        elif time.monotonic() - since > patience_s:
            raise CameraError(_silence(tally, patience_s))
    return Ended.ENOUGH


def _silence(tally: _Tally, patience_s: float) -> str:
    """Say that a camera gives nothing, or nothing that can be kept."""
    if tally.faulty:
        return (
            f"the camera gave no good frame for {patience_s:g} s; {_frames(tally.faulty)} had a "
            f"fault, the first: {tally.fault}"
        )
    if tally.defective:
        return (
            f"the camera gave no good part for {patience_s:g} s, but {_frames(tally.defective)} of "
            "parts known to be defective: show it good ones"
        )
    return (
        f"the camera gave no frame for {patience_s:g} s: is it connected, does the line run, and "
        "is `trigger` what starts a capture there?"
    )


def served(config: AgentConfig) -> list[str]:
    """List the stations of the agent that runs with a configuration; none if there is no agent."""
    try:
        status = ask(config.socket_path, "status")
    except ControlError as error:
        if isinstance(error.__cause__, FileNotFoundError | ConnectionRefusedError):
            return []
        raise
    return list(status["stations"])


def _prepare(folder: Path) -> None:
    """Make the folder of the pictures.

    Raises:
        UsageError: It cannot be made, or holds images already.
    """
    from edge_agent.camera.images import list_images  # noqa: PLC0415 - imports OpenCV

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be made: {error.strerror}; give --keep") from error
    if list_images(folder):
        raise UsageError(
            f"{folder}: holds images already: give --keep a new folder, or fit to these with --good"
        )


def write_picture(path: Path, image: Image) -> None:
    """Write an image as PNG, quickly, whole or not at all.

    Raises:
        UsageError: It cannot be written.
    """
    import cv2  # noqa: PLC0415 - heavy

    done, data = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, _QUICK])
    assert done, "OpenCV encodes every 8-bit image"
    try:
        write_durably(path, data.tobytes())
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}; give --keep") from error


def file_name(number: int, part: str) -> str:
    """Name a picture: its number, and the id of its part as far as a file can bear it.

    >>> file_name(7, "good/12 a.png#2")
    '0007_good-12-a.png-2.png'
    """
    told = re.sub(r"[^A-Za-z0-9._-]+", "-", part)[-_NAME_CHARS:]
    return f"{number:04d}_{told}.png"


def _frames(count: int) -> str:
    return f"{count} frame{'s' * (count != 1)}"


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Let Ctrl-C set an event; a second one ends the program."""
    stopped = threading.Event()
    before = signal.getsignal(signal.SIGINT)

    def stop(_number: int, _frame: object) -> None:
        stopped.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, stop)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)
