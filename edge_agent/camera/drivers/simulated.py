"""A simulated line: a conveyor with drawn parts, planted defects and a light that obeys.

Invariants:

1. Part n of a seed is always the same part, and its frame the same pixels under the same light.
2. The line does not wait: who reads late loses parts, and the hole in `sequence` shows it.
3. Frames lie in a ring of `buffers` images that is made once.
4. Part numbers go on when the camera is opened again: a part id is used once.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np

from edge_agent.camera.frame import EndOfFrames, Frame, Image, Truth
from edge_agent.camera.simulation.light import NOMINAL, Light, LightChange, light_at, view
from edge_agent.camera.simulation.parts import Line, Part, centre_on_frame, make_part, scale_of
from edge_agent.camera.triggers import Late, Trigger, make_pacer
from edge_agent.errors import CameraError, ConfigError

if TYPE_CHECKING:
    from edge_agent.camera.simulation.light import Matrix
    from edge_agent.camera.simulation.render import Renderer

_FLICKER_TAKT_MS = 100.0
_LEAD_S = 0.03
"""How long before its time a part is drawn: three times what drawing takes."""
"""Time between parts for a flickering light, where the line has no takt."""


def _meta(low: float, high: float, unit: str, text: str) -> Any:
    return msgspec.Meta(ge=low, le=high, description=text, extra={"unit": unit})


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a simulated line may be told."""

    takt_ms: Annotated[
        float, _meta(0, 3_600_000, "ms", "Time between parts; 0 is as fast as they are read.")
    ] = 100.0
    width: Annotated[int, _meta(160, 4096, "px", "Width of a frame.")] = 640
    height: Annotated[int, _meta(120, 4096, "px", "Height of a frame.")] = 480
    seed: Annotated[int, _meta(0, 2**31, "1", "Which parts come; the station stays.")] = 1
    parts: Annotated[int, _meta(0, 10**9, "parts", "Parts until the line ends; 0 is never.")] = 0
    defect_rate: Annotated[float, _meta(0, 1, "1", "Share of parts with a defect.")] = 0.08
    defect_size_px_min: Annotated[float, _meta(2, 120, "px", "Smallest defect, of 640x480.")] = 8.0
    defect_size_px_max: Annotated[float, _meta(2, 120, "px", "Largest defect, of 640x480.")] = 48.0
    noise: Annotated[float, _meta(0, 20, "x", "Sensor noise against that of a common sensor.")] = (
        1.0
    )
    buffers: Annotated[int, _meta(3, 64, "frames", "Frames that stay valid at once.")] = 4
    schedule: Annotated[
        tuple[LightChange, ...],
        msgspec.Meta(description="How light and camera change over the parts."),
    ] = ()

    @property
    def line(self) -> Line:
        """What its parts depend on."""
        return Line(
            seed=self.seed,
            defect_rate=self.defect_rate,
            defect_size_px_min=self.defect_size_px_min,
            defect_size_px_max=self.defect_size_px_max,
        )


def truth_of(settings: Settings, number: int, *, light: Light = NOMINAL) -> Truth:
    """Say what part `number` really is, and where its defect is seen under a light."""
    part = make_part(settings.line, number)
    if part.defect is None:
        return Truth("")
    scale = scale_of(settings.width, settings.height)
    camera = view(light, width=settings.width, height=settings.height, scale=scale)
    return _truth(settings, part, camera, scale)


def render(
    settings: Settings, number: int, light: Light = NOMINAL, out: Image | None = None
) -> Image:
    """Draw the frame of one part; slow, because all that frames share is drawn for it alone."""
    if out is None:
        out = np.empty((settings.height, settings.width, 3), np.uint8)
    renderer = _make_renderer(settings)
    part = make_part(settings.line, number)
    renderer.draw(part, light, out, time_s=_time_s(settings, number))
    return out


class Driver:
    """The simulated line as a camera."""

    def __init__(self, settings: Settings, *, station: str, trigger: Trigger) -> None:
        """Set the line up; nothing is drawn yet.

        Raises:
            ConfigError: The settings contradict each other.
        """
        _check(settings)
        self.buffers = settings.buffers
        self._settings = settings
        self._station = station
        self._pacer = make_pacer(trigger, settings.takt_ms, late=Late.LOSE)
        self._lock = threading.Lock()
        self._ordered: Light | None = None
        self._renderer: Renderer | None = None
        self._ring: list[Image] = []
        self._turn = 0
        self._offset = 0
        self._last = 0
        self._prepared: tuple[int, Light] | None = None
        self._is_open = False

    def open(self) -> None:
        """Draw what frames share and start the takt."""
        settings = self._settings
        if self._renderer is None:
            self._renderer = _make_renderer(settings)
            shape = (settings.height, settings.width, 3)
            self._ring = [np.zeros(shape, np.uint8) for _ in range(settings.buffers)]
        self._offset = self._last
        self._prepared = None
        self._is_open = True
        self._pacer.start()

    def read(self, timeout_s: float) -> Frame | None:
        """Wait for the next part.

        Raises:
            CameraError: The camera is not open.
            EndOfFrames: The last part has come.
        """
        if not self._is_open:
            raise CameraError(f"camera of station {self._station!r} is not open; open it first")
        settings = self._settings
        if settings.parts and self._last >= settings.parts:
            raise EndOfFrames
        # Drawn before its time comes, so that the drawing does not pass for the camera's delay; and
        # not long before, while the part before it is being judged: a real camera takes no time.
        entered = time.monotonic()
        if not self._pacer.approach(_LEAD_S, timeout_s):
            return None
        timeout_s -= time.monotonic() - entered
        self._prepare(self._last + 1)
        slot = self._pacer.wait(max(timeout_s, 0.0))
        if slot is None:
            return None
        number = self._offset + slot.sequence
        if settings.parts and number > settings.parts:
            self._last = settings.parts
            raise EndOfFrames
        light = self._prepare(number)
        image = self._ring[self._turn]
        self._turn = (self._turn + 1) % len(self._ring)
        self._last = number
        self._prepared = None
        return Frame(
            image=image,
            captured=slot.captured,
            sequence=slot.sequence,
            station=self._station,
            part=part_id(settings, number),
            truth=truth_of(settings, number, light=light),
        )

    def trigger(self) -> None:
        """Ask for the next part (software trigger)."""
        self._pacer.trigger()

    def close(self) -> None:
        """Stop the line."""
        self._is_open = False
        self._pacer.stop()

    def set_light(self, light: Light | None) -> None:
        """Change the light, from the next part on; None goes back to the schedule.

        Any thread may call it.
        """
        with self._lock:
            self._ordered = light

    def light_of(self, number: int) -> Light:
        """Return the light that part `number` would see now."""
        with self._lock:
            ordered = self._ordered
        return light_at(self._settings.schedule, number) if ordered is None else ordered

    def _prepare(self, number: int) -> Light:
        """Draw a part into the next image of the ring, unless it lies there already."""
        light = self.light_of(number)
        if self._prepared != (number, light):
            assert self._renderer is not None
            part = make_part(self._settings.line, number)
            image = self._ring[self._turn]
            self._renderer.draw(part, light, image, time_s=_time_s(self._settings, number))
            self._prepared = (number, light)
        return light


def part_id(settings: Settings, number: int) -> str:
    """Return the id of part `number`."""
    return f"{settings.seed}-{number:06d}"


def _make_renderer(settings: Settings) -> Renderer:
    from edge_agent.camera.simulation.render import (  # noqa: PLC0415 - OpenCV, not for settings
        Renderer,
    )

    return Renderer(settings.width, settings.height, noise=settings.noise)


def _time_s(settings: Settings, number: int) -> float:
    return number * (settings.takt_ms or _FLICKER_TAKT_MS) / 1000.0


def _truth(settings: Settings, part: Part, camera: Matrix, scale: float) -> Truth:
    assert part.defect is not None
    x, y = centre_on_frame(part, part.defect.x, part.defect.y)
    nominal = np.array(
        [(settings.width - 1) / 2.0 + scale * x, (settings.height - 1) / 2.0 + scale * y, 1.0]
    )
    seen = camera @ nominal
    return Truth(
        defect=str(part.defect.kind),
        size_px=part.defect.size_px * scale,
        x=float(seen[0]),
        y=float(seen[1]),
    )


def _check(settings: Settings) -> None:
    if settings.defect_size_px_min > settings.defect_size_px_max:
        raise ConfigError(
            f"defect_size_px_min {settings.defect_size_px_min:g} is above defect_size_px_max"
            f" {settings.defect_size_px_max:g}; swap them"
        )
    starts = [change.from_part for change in settings.schedule]
    if sorted(set(starts)) != starts:
        raise ConfigError(f"schedule: from_part must ascend, but goes {starts}; sort the changes")
