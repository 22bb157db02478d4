"""What is drawn anew for each part: its outline and holes, and its defect."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from edge_agent.camera.simulation import parts
from edge_agent.camera.simulation.parts import Defect, Kind, Part

if TYPE_CHECKING:
    from edge_agent.camera.frame import Image
    from edge_agent.camera.simulation.light import Matrix
    from edge_agent.camera.simulation.sensor import Linear

NEUTRAL = 128
"""Value of the relief that changes nothing; half of it halves the light, twice doubles it."""

_SHIFT = 4
_STAIN_BGR = (0.62, 0.47, 0.34)
_LIGHT = (-math.sqrt(0.5), -math.sqrt(0.5))

Points = npt.NDArray[np.float64]
"""Nx2: points on the part, or on the canvas."""


class Canvas(msgspec.Struct, frozen=True):
    """What a part is drawn on: a region of the frame.

    Attributes:
        solid: HxW, 255 where there is metal.
        relief: HxW, see `NEUTRAL`.
        place: 2x3; points on the part (nominal pixels) to pixels of the region.
        scale: Frame pixels per nominal pixel.
    """

    solid: Image
    relief: Image
    place: Matrix
    scale: float

    def points(self, points: Points) -> Points:
        """Map points on the part to pixels of the region."""
        return points @ self.place[:, :2].T + self.place[:, 2]

    def fixed(self, points: Points) -> npt.NDArray[np.int32]:
        """Map points on the part to the fixed-point pixels that OpenCV draws with."""
        return np.rint(self.points(points) * (1 << _SHIFT)).astype(np.int32)

    def length(self, nominal: float) -> int:
        """Map a length on the part to fixed-point pixels."""
        return max(1, round(nominal * self.scale * (1 << _SHIFT)))

    def width(self, nominal: float) -> int:
        """Map a line width to whole pixels."""
        return max(1, round(nominal * self.scale))


def draw_part(canvas: Canvas, part: Part) -> None:
    """Draw outline, holes and every defect that has to do with shape."""
    canvas.solid.fill(0)
    canvas.relief.fill(NEUTRAL)
    _disc(canvas, 0.0, 0.0, parts.RADIUS, value=255)
    _disc(canvas, 0.0, 0.0, parts.BORE_RADIUS * part.bore, value=0)
    defect = part.defect
    for index, size in enumerate(part.holes):
        angle = parts.hole_angle_deg(index)
        missing = defect is not None and defect.kind is Kind.MISSING_HOLE
        if missing and defect is not None and defect.heading_deg == angle:
            continue
        x = parts.BOLT_CIRCLE * math.cos(math.radians(angle))
        y = parts.BOLT_CIRCLE * math.sin(math.radians(angle))
        _hole(canvas, x, y, parts.HOLE_RADIUS * size)
    if defect is not None:
        _draw_defect(canvas, defect)
    cv2.GaussianBlur(canvas.solid, (3, 3), 0.6, dst=canvas.solid)
    cv2.GaussianBlur(canvas.relief, (3, 3), 0.55, dst=canvas.relief)


def colour_stain(canvas: Canvas, defect: Defect, metal: Linear) -> None:
    """Darken the metal under a stain, blue more than red."""
    rng = np.random.default_rng(defect.shape)
    outline = canvas.points(_blob(defect, rng, roughness=0.28))
    blur = max(0.7, 0.035 * defect.size_px * canvas.scale)
    margin = math.ceil(3.0 * blur) + 1
    window = _window(outline, margin, metal.shape)
    if window is None:
        return
    rows, columns = window
    cover = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
    local = np.rint((outline - (columns.start, rows.start)) * (1 << _SHIFT)).astype(np.int32)
    cv2.fillPoly(cover, [local], 255, cv2.LINE_AA, _SHIFT)
    soft = np.asarray(cv2.GaussianBlur(cover, (0, 0), blur), np.float32)
    share = soft * np.float32(min(defect.contrast, 1.4) / 255.0)
    for channel, strength in enumerate(_STAIN_BGR):
        metal[rows, columns, channel] *= 1.0 - np.float32(strength) * share


def _draw_defect(canvas: Canvas, defect: Defect) -> None:
    if defect.kind is Kind.SCRATCH:
        _scratch(canvas, defect)
    elif defect.kind is Kind.DENT:
        _dent(canvas, defect)
    elif defect.kind is Kind.CHIP:
        _chip(canvas, defect)
    elif defect.kind is Kind.EXTRA_HOLE:
        _hole(canvas, defect.x, defect.y, defect.size_px / 2.0)


def _disc(canvas: Canvas, x: float, y: float, radius: float, *, value: int) -> None:
    px, py = canvas.fixed(np.array([[x, y]]))[0]
    centre = (int(px), int(py))
    cv2.circle(canvas.solid, centre, canvas.length(radius), value, -1, cv2.LINE_AA, _SHIFT)


def _hole(canvas: Canvas, x: float, y: float, radius: float) -> None:
    """Draw a countersunk hole: its far edge faces the light, its near edge does not."""
    px, py = canvas.fixed(np.array([[x, y]]))[0]
    centre = (int(px), int(py))
    axis = canvas.length(radius + 1.0)
    width = canvas.width(2.4)
    for first, value in ((-30, 186), (150, 74)):
        cv2.ellipse(
            canvas.relief,
            centre,
            (axis, axis),
            0.0,
            first,
            first + 150,
            value,
            width,
            cv2.LINE_AA,
            _SHIFT,
        )
    _disc(canvas, x, y, radius, value=0)


def _scratch(canvas: Canvas, defect: Defect) -> None:
    """Draw a bright groove with a dark flank; its ends lie `size_px` apart."""
    rng = np.random.default_rng(defect.shape)
    along = np.linspace(-0.5, 0.5, 9) * defect.size_px
    bend = float(rng.uniform(-0.10, 0.10)) * defect.size_px
    aside = bend * (1.0 - (2.0 * along / defect.size_px) ** 2) + rng.uniform(-0.5, 0.5, 9)
    line = _turned(np.stack([along, aside - aside.mean()], axis=1), defect)
    flank = line + np.array(_LIGHT) * -1.2
    width = canvas.width(1.0 + 0.02 * defect.size_px)
    for points, value in ((flank, 128 - 62 * defect.contrast), (line, 128 + 82 * defect.contrast)):
        polyline = canvas.fixed(points)
        cv2.polylines(
            canvas.relief,
            [polyline],
            False,  # noqa: FBT003 - OpenCV's signature: not closed
            round(value),
            width,
            cv2.LINE_AA,
            _SHIFT,
        )


def _dent(canvas: Canvas, defect: Defect) -> None:
    """Shade a round hollow by its slope against the light."""
    centre = canvas.points(np.array([[defect.x, defect.y]]))
    reach = defect.size_px / 2.0 * canvas.scale
    window = _window(centre, math.ceil(reach) + 1, canvas.relief.shape)
    if window is None:
        return
    rows, columns = window
    y = (np.arange(rows.start, rows.stop) - centre[0, 1])[:, None] / reach
    x = (np.arange(columns.start, columns.stop) - centre[0, 0])[None, :] / reach
    inside = np.clip(1.0 - (x * x + y * y), 0.0, 1.0)
    slope = (x * _LIGHT[0] + y * _LIGHT[1]) * np.sqrt(inside) * 2.0
    shade = 1.0 - 0.62 * defect.contrast * slope - 0.22 * defect.contrast * inside
    region = canvas.relief[rows, columns]
    region[:] = np.clip(np.rint(region * shade), 20, 255).astype(np.uint8)


def _chip(canvas: Canvas, defect: Defect) -> None:
    """Break a piece out of the rim, `size_px` along it and about 0.4 of that deep."""
    rng = np.random.default_rng(defect.shape)
    along = np.linspace(-0.5, 0.5, 11) * defect.size_px
    arch = np.sqrt(np.clip(1.0 - (2.0 * along / defect.size_px) ** 2, 0.0, 1.0))
    depth = arch * 0.38 * defect.size_px * (1.0 + rng.uniform(-0.22, 0.22, 11))
    angle = math.radians(defect.heading_deg)
    inward = np.array([-math.cos(angle), -math.sin(angle)])
    tangent = np.array([-math.sin(angle), math.cos(angle)])
    sag = parts.RADIUS - np.sqrt(parts.RADIUS**2 - along**2)
    rim = -inward * parts.RADIUS
    inner = rim + along[:, None] * tangent + (sag + depth)[:, None] * inward
    outer = rim + along[::-1, None] * tangent - 6.0 * inward
    broken = canvas.fixed(inner)
    value = round(128 + 70 * defect.contrast)
    width = canvas.width(2.2)
    cv2.polylines(canvas.relief, [broken], False, value, width, cv2.LINE_AA, _SHIFT)  # noqa: FBT003 - OpenCV's signature
    cv2.fillPoly(
        canvas.solid, [canvas.fixed(np.concatenate([inner, outer]))], 0, cv2.LINE_AA, _SHIFT
    )


def _blob(defect: Defect, rng: np.random.Generator, *, roughness: float) -> Points:
    """Return an irregular outline whose longer side is `size_px`, about its centre."""
    angle = np.linspace(0.0, 2.0 * math.pi, 40, endpoint=False)
    radius = np.ones_like(angle)
    for order in range(2, 6):
        phase = float(rng.uniform(0.0, 2.0 * math.pi))
        radius += roughness / order * np.cos(order * angle + phase)
    points = np.stack([radius * np.cos(angle), 0.75 * radius * np.sin(angle)], axis=1)
    low, high = points.min(axis=0), points.max(axis=0)
    points = (points - (low + high) / 2.0) * (defect.size_px / float((high - low).max()))
    return _turned(points, defect)


def _turned(points: Points, defect: Defect) -> Points:
    """Turn points by the defect's heading and move them to its place."""
    angle = math.radians(defect.heading_deg)
    cos, sin = math.cos(angle), math.sin(angle)
    turned: Points = points @ np.array([[cos, sin], [-sin, cos]]) + (defect.x, defect.y)
    return turned


def _window(points: Points, margin: int, shape: tuple[int, ...]) -> tuple[slice, slice] | None:
    """Return the rows and columns around points, within a region; None when outside of it."""
    low = np.floor(points.min(axis=0)).astype(int) - margin
    high = np.ceil(points.max(axis=0)).astype(int) + margin + 1
    rows = slice(max(0, int(low[1])), min(shape[0], int(high[1])))
    columns = slice(max(0, int(low[0])), min(shape[1], int(high[0])))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return None
    return rows, columns
