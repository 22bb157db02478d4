"""A stream: the frames of one station, and of what happens to it.

Invariants:
    - A stream is a function of its station's seed, its own seed and its change.
    - Until the change comes, its frames are those of the same stream without one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from edge_agent.camera.frame import Image
from tests.bench.drift import light, optics
from tests.bench.drift.changes import NOTHING, Change, Product
from tests.bench.drift.images import Linear
from tests.bench.drift.parts import Sprite
from tests.bench.drift.sensor import Sensor
from tests.bench.drift.stations import Station, seeded
from tests.bench.drift.traffic import Traffic, plan

_NO_GAP = 60
_SMALL_PX = 0.15


@dataclass(frozen=True)
class Stage:
    """The scene as one condition of light and optics shows it, part apart.

    Attributes:
        left: The scene in the left lamp's light; `right` and `steady` (ambient, sun) likewise.
        slope_x: How the picture changes with a shift of a pixel; `slope_y` likewise.
        lit_left: Irradiance without the scene, for the parts; `lit_right`, `lit_steady` likewise.
        lens: What stays with the camera: vignetting, dirt.
        tint: Factor on each channel of the lamps; empty in a grey camera.
    """

    left: Linear
    right: Linear
    steady: Linear
    slope_x: Linear
    slope_y: Linear
    lit_left: Linear
    lit_right: Linear
    lit_steady: Linear
    lens: Linear
    seen: optics.Matrix
    tint: Linear


class Stream:
    """Renders the frames of one station, one after the other."""

    def __init__(
        self, station: Station, number: int, *, count: int, change: Change = NOTHING, at: int = 0
    ) -> None:
        """Draw all that is by chance.

        Args:
            station: The station.
            number: The stream's own seed.
            count: How many frames there are.
            change: What happens,
            at: from this frame on (0: never).
        """
        kind = station.kind
        self.station, self.change, self.at, self.count = station, change, at or count + 1, count
        purpose = (station.split, kind.name, str(number))
        chance = seeded(station.seed, *purpose, "traffic")
        self.traffic: Traffic = plan(station, count, chance)
        if change.product is not Product.SAME:
            # Another product comes when one comes: without parts there is nothing to be seen of it.
            first = self.traffic.part[at : at + _NO_GAP]
            first[first < 0] = 0
        self.lamps = light.waver(count, station.lamp_sd, seeded(station.seed, *purpose, "lamps"))
        jitter = seeded(station.seed, *purpose, "vibration")
        self._jitter = jitter.standard_normal((count, 2)) * station.vibration_px
        self._scroll = np.cumsum(jitter.uniform(0.2, 0.6, count) * kind.width)
        self._place = seeded(station.seed, *purpose, change.name)
        self._flicker = self._draw_flicker()
        self._own = optics.lens(kind.size, seeded(station.seed, kind.name, "lens"))
        shape = (kind.height, kind.width, 3) if kind.colour else (kind.height, kind.width)
        self._sensor = Sensor(station.camera, shape, seeded(station.seed, *purpose, "noise"))
        self._stage = make_stage(station, NOTHING, self._own, self._place)
        self._parts, self._hand = station.parts, station.hand
        self._level = 1.0

    def __iter__(self) -> Iterator[Image]:
        last: Image | None = None
        for index in range(self.count):
            if index == self.at:
                self._come()
            if index >= self.at and self.change.frozen and last is not None:
                yield last.copy()
                continue
            frame = self._draw(index)
            whole = frame
            if index >= self.at and self.change.torn and last is not None:
                cut = int(frame.shape[0] * (0.3 + 0.5 * (index * 0.618 % 1.0)))
                frame = np.concatenate([frame[:cut], last[cut:]])
            last = whole
            yield frame

    def _come(self) -> None:
        """Let the change come."""
        station, change = self.station, self.change
        self._stage = make_stage(station, change, self._own, self._place)
        if change.product is not Product.SAME:
            self._parts = station.others
        if change.defocus_px:
            self._parts = [part.blurred(change.defocus_px) for part in self._parts]
            self._hand = self._hand.blurred(change.defocus_px)

    def _draw(self, index: int) -> Image:
        stage, seen = self._stage, self.traffic
        changed = index >= self.at
        old = self.change.loss_per_frame * (index - self.at + 1) if changed else 0.0
        left, right = (float(lamp[index]) - old for lamp in self.lamps)
        frame = cv2.addWeighted(stage.left, left, stage.right, right, 0.0)
        cv2.add(frame, stage.steady, dst=frame)
        move = self._jitter[index]
        cv2.scaleAdd(stage.slope_x, float(move[0]), frame, dst=frame)
        cv2.scaleAdd(stage.slope_y, float(move[1]), frame, dst=frame)
        if seen.part[index] >= 0:
            self._lay_part(frame, index, (left, right))
        if seen.hand[index] > 0.02:
            self._lay(frame, self._hand, self._hand_place(index), (left, right), 1.0)
        cv2.multiply(frame, stage.lens, dst=frame)
        if changed and (self.change.band or self.change.beat):
            frame *= self._flicker_at(index)
        return self._sensor.expose(frame, self.change.gain if changed else 1.0)

    def _lay_part(self, frame: Linear, index: int, lamps: tuple[float, float]) -> None:
        station, seen = self.station, self.traffic
        sprite = self._parts[int(seen.part[index]) % len(self._parts)]
        height, width = sprite.keep.shape
        if station.kind.scene == "web":
            free = width - station.kind.width
            place = np.array([[1.0, 0.0, -(self._scroll[index] % free)], [0.0, 1.0, 0.0]])
            place[1, 2] = (station.kind.height - height) / 2 + self._jitter[index, 1]
        else:
            place = _pose(
                sprite,
                station.kind.size,
                (
                    seen.x_px[index] + self._jitter[index, 0],
                    seen.y_px[index] + self._jitter[index, 1],
                ),
                float(seen.turn_deg[index]),
            )
        self._lay(frame, sprite, place, lamps, float(seen.level[index]))

    def _lay(
        self,
        frame: Linear,
        sprite: Sprite,
        place: optics.Matrix,
        lamps: tuple[float, float],
        reflectance: float,
    ) -> None:
        """Lay a sprite on the frame, in the light that falls there."""
        stage = self._stage
        matrix = stage.seen[:, :2] @ place
        matrix[:, 2] += stage.seen[:, 2]
        rows, columns = _covered(sprite, matrix, frame.shape)
        if rows.stop <= rows.start or columns.stop <= columns.start:
            return
        matrix[:, 2] -= (columns.start, rows.start)
        size = (columns.stop - columns.start, rows.stop - rows.start)
        seen = cv2.warpAffine(sprite.light, matrix, size, flags=cv2.INTER_LINEAR)
        keep = cv2.warpAffine(sprite.keep, matrix, size, flags=cv2.INTER_LINEAR, borderValue=(1.0,))
        piece = (rows, columns)
        lit = cv2.addWeighted(stage.lit_left[piece], lamps[0], stage.lit_right[piece], lamps[1], 0)
        cv2.scaleAdd(stage.lit_steady[piece], 1.0, lit, dst=lit)
        if frame.ndim == 3:
            shining = seen * (stage.tint * np.float32(reflectance)) * lit[..., np.newaxis]
            frame[piece] = frame[piece] * keep[..., np.newaxis] + shining
        else:
            np.multiply(lit, np.float32(reflectance), out=lit)
            frame[piece] = frame[piece] * keep + seen * lit

    def _hand_place(self, index: int) -> optics.Matrix:
        kind, reach = self.station.kind, float(self.traffic.hand[index])
        height, width = self._hand.keep.shape
        turn = math.pi / 2 * int(self.traffic.hand_side[index])
        cos, sin = math.cos(turn), math.sin(turn)
        span = kind.width if abs(cos) > 0.5 else kind.height
        # The tip of the hand stands `reach` of the frame's width inside its edge.
        away = span * (0.5 - reach)
        x, y = kind.width / 2 - cos * away, kind.height / 2 - sin * away
        tip = (width, height / 2)
        return np.array(
            [
                [cos, -sin, x - cos * tip[0] + sin * tip[1]],
                [sin, cos, y - sin * tip[0] - cos * tip[1]],
            ]
        )

    def _draw_flicker(self) -> tuple[float, float, float, float]:
        """Draw periods in a frame, their drift a frame, cycles of the beat a frame, its phase."""
        rng = self._place
        return (
            float(rng.uniform(1.5, 6.0)),
            float(rng.uniform(0.05, 0.45)),
            float(rng.uniform(0.03, 0.4)),
            float(rng.uniform(0.0, 1.0)),
        )

    def _flicker_at(self, index: int) -> Linear:
        periods, drift, beat, phase = self._flicker
        rows = np.linspace(0.0, periods, self.station.kind.height, endpoint=False)
        band = self.change.band * np.sin(2 * np.pi * (rows + phase + drift * index))
        swing = self.change.beat * math.sin(2 * math.pi * (beat * index + phase))
        factor = (1.0 + band + swing).astype(np.float32)
        return (
            factor[:, np.newaxis, np.newaxis] if self.station.kind.colour else factor[:, np.newaxis]
        )


def make_stage(station: Station, change: Change, own: Linear, rng: np.random.Generator) -> Stage:
    """Set the scene under a change's light and optics."""
    kind, fields = station.kind, station.fields
    size, large = kind.size, (station.scene.shape[1], station.scene.shape[0])
    way = float(rng.uniform(0, 2 * math.pi))
    shift = (change.shift_px * math.cos(way), change.shift_px * math.sin(way))
    turn = change.rotation_deg * (1 if rng.random() < 0.5 else -1)
    seen = optics.view(size, shift_px=shift, rotation_deg=turn, scale=change.scale)
    angle, away = float(rng.uniform(0, 2 * math.pi)), float(rng.uniform(0.30, 0.38))
    spot = (0.5 + away * math.cos(angle), 0.5 + away * math.sin(angle))
    level = np.float32(station.level)
    top = light.from_top(large, change.top) if change.top else np.float32(1.0)
    lamps = [
        fields.left * top * (level * np.float32(change.left * change.level)),
        fields.right * top * (level * np.float32(change.right * change.level)),
    ]
    steady = fields.ambient * level + np.float32(change.ambient) * level
    if change.sun:
        # In half widths of the scene, which is wider than the frame by its margins.
        shrink = kind.width * 2.0 / large[0] * 2.0
        centre = ((spot[0] - 0.5) * shrink, (spot[1] - 0.5) * shrink * kind.height / kind.width)
        steady = steady + light.patch(large, centre, 0.22 * shrink / 2) * (change.sun * level)
    tint = np.array(
        [station.colour_bgr[0] * (1 - change.warmth / 2), station.colour_bgr[1],
         station.colour_bgr[2] * (1 + change.warmth / 2)], np.float32,
    )  # fmt: skip
    lit = [*lamps, steady.astype(np.float32)]
    planes = [_see_lit(station, each, tint, seen, change.defocus_px) for each in lit]
    bare = [optics.see(each, size, seen, 0.0) for each in lit]
    whole = lit[0] + lit[1] + lit[2]
    slopes = [_slope(station, whole, tint, seen, change.defocus_px, axis) for axis in (0, 1)]
    mask = own
    if change.dirt_depth:
        at = (spot[0] * kind.width, spot[1] * kind.height)
        mask = own * optics.dirt(size, at, change.dirt_radius * kind.width, change.dirt_depth)
    return Stage(
        left=planes[0],
        right=planes[1],
        steady=planes[2],
        slope_x=slopes[0],
        slope_y=slopes[1],
        lit_left=bare[0],
        lit_right=bare[1],
        lit_steady=bare[2],
        lens=cv2.merge([mask] * 3) if kind.colour else mask,
        seen=seen,
        tint=tint,
    )


def _see_lit(
    station: Station, lit: Linear, tint: Linear, seen: optics.Matrix, defocus_px: float
) -> Linear:
    scene = station.scene
    shining = scene * (lit[..., np.newaxis] * tint) if scene.ndim == 3 else scene * lit
    return optics.see(shining.astype(np.float32), station.kind.size, seen, defocus_px)


def _slope(
    station: Station, lit: Linear, tint: Linear, seen: optics.Matrix, defocus_px: float, axis: int
) -> Linear:
    """Return how the picture changes with a shift of a pixel, from views about as far apart as
    vibration moves it: neighbouring pixels would not do where the scene is sharp.
    """
    views = []
    for side in (1.0, -1.0):
        moved = seen.copy()
        moved[axis, 2] += side * _SMALL_PX
        views.append(_see_lit(station, lit, tint, moved, defocus_px))
    slope: Linear = (views[0] - views[1]) / np.float32(2.0 * _SMALL_PX)
    return slope


def _pose(
    sprite: Sprite, size: tuple[int, int], at: tuple[float, float], turn_deg: float
) -> optics.Matrix:
    """Return the map from a sprite's pixels to the nominal frame's."""
    height, width = sprite.keep.shape
    turn = math.radians(turn_deg)
    cos, sin = math.cos(turn), math.sin(turn)
    cx, cy = (width - 1) / 2, (height - 1) / 2
    x, y = (size[0] - 1) / 2 + at[0], (size[1] - 1) / 2 + at[1]
    return np.array([[cos, -sin, x - cos * cx + sin * cy], [sin, cos, y - sin * cx - cos * cy]])


def _covered(sprite: Sprite, matrix: optics.Matrix, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return the rows and columns of a frame that a sprite may touch."""
    height, width = sprite.keep.shape
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1.0]])
    places = corners @ matrix.T
    low = np.maximum(np.floor(places.min(axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(places.max(axis=0)).astype(int) + 1, (shape[1], shape[0]))
    return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))
