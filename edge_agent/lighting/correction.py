"""Bring a frame's light back to the baseline before the model looks, within what does no harm.

Off unless it is asked for. What is corrected is what the watch has confirmed and named, by a slow
average of its figures, never by the noise of one frame. Light is linear and pixel values are not:
with v = 255 L^(1 / 2.2), light that is g times what it was is undone by v' = v g^(-1 / 2.2), a
table of 256 entries; colour is a table for each channel. A one-sided light has another g at each
place, g = 1 + level + slope_x x + slope_y y: a smooth field that is laid down in tiles, each with
its own table, so small that from one to the next less than two grey levels change.

A frame is left as it is, and why is said, when

- no cause is confirmed, or one that light alone does not undo: ambient light, dirt, focus, ...,
- it is invalid, or the light is beyond its hard limits or beyond what commissioning proved to do
  no harm when it is undone (`Baseline.corrects`; see `calibration.lights`),
- more of it is clipped than at commissioning: what is saturated or black cannot be brought back,
- its own figures lie off the average: the light is changing right now.

Invariants:
    - The frame itself is never changed, and what the watch says of it neither.
    - No frame is allocated for a part: what is handed out is one buffer, good until the next call.
    - The gain stays within the baseline's hard limits of the light, and within what was proven.
"""

from __future__ import annotations

import math
from enum import StrEnum

import msgspec
import numpy as np
import numpy.typing as npt

from edge_agent.camera.frame import Image
from edge_agent.lighting.baseline import Baseline
from edge_agent.lighting.sampling import GAMMA
from edge_agent.lighting.state import LightLevel, LightState

WEIGHT = 0.05
"""Of a frame in the slow average."""

_FIRST = 8
"""Frames of which the first average is made."""

_ASTRAY = 8
"""So many frames off the average, one after another, begin a new one."""

_NEAR_SIGMAS = 5.0
_MORE_CLIPPED = 1.0
"""Per cent of the points that may be clipped beyond what was usual."""

_TABLE_STEP = 0.1
"""Per cent by which the average moves before tables are made anew: a fifth of a grey level."""

_TILE_CHANGE = 1.0
"""Per cent of light from one edge of a tile to the other: a grey level at most."""

_MOST_TILES = 48
_FIGURES = ("level", "slope_x", "slope_y", "red", "blue")
_KINDS = {
    "gain": frozenset({"brightness", "color"}),
    "field": frozenset({"brightness", "color", "gradient"}),
}

Vector = npt.NDArray[np.float64]


class Correct(StrEnum):
    """What is corrected."""

    OFF = "off"
    GAIN = "gain"
    FIELD = "field"


class Correction(msgspec.Struct, frozen=True):
    """What was done to a frame: the light that was undone, against the baseline.

    Attributes:
        level: More light, %; negative is less.
        slope_x: More light to the right, %; from the centre to the edge.
        slope_y: The same, to the bottom.
        red: More red against green, %.
        blue: More blue against green, %.
    """

    level: float
    slope_x: float = 0.0
    slope_y: float = 0.0
    red: float = 0.0
    blue: float = 0.0


class Corrector:
    """Correct the frames of one station. Not thread-safe: one corrector, one thread.

    Args:
        baseline: As commissioned.
        mode: What is corrected.

    Attributes:
        image: The last frame as it was corrected; good until the next call.
        why_not: Why the last frame was left as it is; empty where it was corrected.
    """

    def __init__(self, baseline: Baseline, mode: Correct) -> None:
        self.baseline = baseline
        self.image: Image | None = None
        self.why_not = ""
        self._mode = mode
        limit = baseline.limits["level"]
        below = limit.below if limit.below is not None else limit.reach
        self._least, self._most = limit.centre - below, limit.centre + limit.reach
        if proven := baseline.corrects:
            self._least = max(self._least, 100.0 * (proven[0] - 1.0))
            self._most = min(self._most, 100.0 * (proven[1] - 1.0))
        memories = [baseline.memories[name] for name in _FIGURES]
        self._centre = np.array([each.centre for each in memories])
        spread = np.array([each.spread for each in memories])
        bands = np.array([baseline.bands[name] for name in _FIGURES])
        self._near = np.maximum(bands, _NEAR_SIGMAS * spread)
        self._clipped = {
            name: baseline.memories[name].centre
            + max(_MORE_CLIPPED, _NEAR_SIGMAS * baseline.memories[name].spread)
            for name in ("clipped_dark", "clipped_bright")
        }
        self._kinds: frozenset[str] = frozenset()
        self._buffer: Image | None = None
        self._tables: tuple[tuple[slice, slice, Image], ...] = ()
        self._made_for: tuple[float, ...] = ()
        self._forget()

    def _forget(self) -> None:
        self._mean = np.zeros(len(_FIGURES))
        self._frames = 0
        self._astray = 0

    def correct(self, image: Image, state: LightState) -> Correction | None:
        """Correct a frame into `image`; None, with `why_not`, where it is left as it is.

        Args:
            image: HxWx3 BGR or HxW grey, uint8; not changed.
            state: What the watch says of it.
        """
        self.why_not = self._refuse(state)
        if self.why_not:
            self.image = None
            return None
        asked = self._asked()
        if not self._is_within(asked, image.shape):
            self.why_not = "the light is beyond what correction was proven for"
            self.image = None
            return None
        self._prepare(asked, image)
        self._apply(image)
        return asked

    def _refuse(self, state: LightState) -> str:
        """Say why a frame must not be corrected; take it into the average where it may be."""
        kinds = frozenset(cause.kind for cause in state.causes)
        if self._mode is Correct.OFF:
            return "correction is off"
        if state.level is LightLevel.INVALID:
            return "the frame cannot be judged"
        if not kinds:
            self._forget()
            return "the light is as commissioned"
        if other := sorted(kinds - _KINDS[self._mode.value]):
            self._forget()
            return f"light does not undo {', '.join(other)}"
        if kinds != self._kinds:
            self._kinds = kinds
            self._forget()
        for name, most in self._clipped.items():
            if not state.statistics[name] <= most:
                return "too much of the frame is clipped"
        return self._average(state)

    def _average(self, state: LightState) -> str:
        """Take a frame into the slow average; say why it says nothing of this frame."""
        away = np.array([state.statistics[name] for name in _FIGURES]) - self._centre
        if math.isnan(away[0]):
            return "the light on the scene cannot be told"
        away = np.nan_to_num(away)
        is_near = bool((np.abs(away - self._mean) <= self._near).all())
        if self._frames >= _FIRST and not is_near:
            self._astray += 1
            if self._astray >= _ASTRAY:
                self._forget()
            return "the light is changing"
        self._astray = 0
        self._frames += 1
        self._mean += max(WEIGHT, 1.0 / self._frames) * (away - self._mean)
        return "" if self._frames >= _FIRST else "the change is too new to be known well"

    def _asked(self) -> Correction:
        """Return what the confirmed causes ask for: no figure that none of them moves."""
        level, slope_x, slope_y, red, blue = (float(value) for value in self._mean)
        has_level = bool(self._kinds & {"brightness", "gradient"})
        has_slope = "gradient" in self._kinds
        has_color = "color" in self._kinds
        return Correction(
            level if has_level else 0.0,
            slope_x if has_slope else 0.0,
            slope_y if has_slope else 0.0,
            red if has_color else 0.0,
            blue if has_color else 0.0,
        )

    def _is_within(self, asked: Correction, shape: tuple[int, ...]) -> bool:
        """Tell whether the light is within its bounds at every place and in every channel."""
        gains = _gains(asked, 3 if len(shape) == 3 else 1)
        slope = abs(asked.slope_x) + abs(asked.slope_y)
        least = 100.0 * (float(gains.min()) - 1.0) - slope
        most = 100.0 * (float(gains.max()) - 1.0) + slope
        return self._least <= least and most <= self._most

    def _prepare(self, asked: Correction, image: Image) -> None:
        """Make buffer and tables, where those of before do not serve."""
        if self._buffer is None or self._buffer.shape != image.shape:
            self._buffer = np.empty(image.shape, np.uint8)
            self._made_for = ()
        wanted = msgspec.structs.astuple(asked)
        made = self._made_for
        if made and all(
            abs(one - other) < _TABLE_STEP for one, other in zip(made, wanted, strict=True)
        ):
            return
        self._made_for = wanted
        self._tables = _tables(asked, image.shape)

    def _apply(self, image: Image) -> None:
        import cv2  # noqa: PLC0415 - heavy: not needed to read a configuration

        assert self._buffer is not None
        for down, across, table in self._tables:
            cv2.LUT(image[down, across], table, dst=self._buffer[down, across])
        self.image = self._buffer


def _gains(asked: Correction, channels: int) -> Vector:
    """Return the light of each channel, as a multiple of what it was: blue, green, red."""
    level = 1.0 + asked.level / 100.0
    if channels == 1:
        return np.array([level])
    return level * np.exp(np.array([asked.blue, 0.0, asked.red]) / 100.0)


def table_of(gains: Vector) -> Image:
    """Return the table that undoes light: 1 x 256 x channels, uint8.

    Args:
        gains: Light of each channel, as a multiple of what it was.
    """
    codes = np.arange(256.0)[:, np.newaxis] * gains ** (-1.0 / GAMMA)
    table: Image = np.clip(np.rint(codes), 0, 255).astype(np.uint8)[np.newaxis]
    return np.ascontiguousarray(table if table.shape[2] > 1 else table[:, :, 0])


def _tables(asked: Correction, shape: tuple[int, ...]) -> tuple[tuple[slice, slice, Image], ...]:
    """Return the tiles of a frame, with the table of each."""
    height, width = shape[:2]
    gains = _gains(asked, 3 if len(shape) == 3 else 1)
    rows, columns = _tiles(asked.slope_y, height), _tiles(asked.slope_x, width)
    tiles = []
    for row in range(rows):
        down = slice(row * height // rows, (row + 1) * height // rows)
        y = (down.start + down.stop) / height - 1.0
        for column in range(columns):
            across = slice(column * width // columns, (column + 1) * width // columns)
            x = (across.start + across.stop) / width - 1.0
            field = (asked.slope_x * x + asked.slope_y * y) / 100.0
            here = gains + field * gains / gains[len(gains) // 2]
            tiles.append((down, across, table_of(here)))
    return tuple(tiles)


def _tiles(slope: float, size: int) -> int:
    """Return into how many tiles a side is cut; a slope goes from -slope to +slope along it."""
    return max(1, min(_MOST_TILES, size, math.ceil(2.0 * abs(slope) / _TILE_CHANGE)))
