"""What does not move: the belt, its rails, and the marks that light and camera are measured by.

The same for every seed: the seed makes other parts, not another station.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from edge_agent.camera.frame import Image
from edge_agent.camera.simulation.sensor import to_linear

Scene = npt.NDArray[np.uint16]
"""HxWx3 BGR, linear reflectance, 65535 is 1.0: the frame and `pad` pixels around it."""

Map = npt.NDArray[np.float32]
"""HxW: a factor on the reflectance."""

PAD_PX = 52.0
"""Nominal pixels drawn around the frame, so that a moved camera sees more of the scene."""

FIDUCIALS = ((66.0, 92.0), (574.0, 92.0), (66.0, 388.0), (574.0, 388.0))
"""Centres of the four targets, in nominal frame pixels."""

GREY_STEPS = (225, 175, 128, 88, 56)
_CARD = (592.0, 170.0, 624.0, 310.0)
_PRINTED = (_CARD, *((x - 25.0, y - 25.0, x + 26.0, y + 26.0) for x, y in FIDUCIALS))
_RAIL_PX = 36.0
_SEED = 20_011
_SHIFT = 4


def pad_of(scale: float) -> int:
    """Return the frame pixels drawn around the frame."""
    return round(PAD_PX * scale)


class _Canvas:
    """Draws in nominal frame pixels on the padded scene, as the camera's curve shows it."""

    def __init__(self, width: int, height: int, scale: float) -> None:
        self.scale = scale
        self.pad = pad_of(scale)
        self.pixels: Image = np.empty((height + 2 * self.pad, width + 2 * self.pad, 3), np.uint8)
        self._left = (width / scale - 640.0) / 2.0
        self._top = (height / scale - 480.0) / 2.0

    def point(self, x: float, y: float) -> tuple[int, int]:
        fixed = float(1 << _SHIFT)
        return (
            round(((x + self._left) * self.scale + self.pad) * fixed),
            round(((y + self._top) * self.scale + self.pad) * fixed),
        )

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: tuple[int, int, int]) -> None:
        corners = [self.point(x, y) for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))]
        polygon = np.array(corners, np.int32)
        cv2.fillConvexPoly(self.pixels, polygon, colour, cv2.LINE_AA, _SHIFT)

    def disc(self, x: float, y: float, radius: float, colour: tuple[int, int, int]) -> None:
        fixed = round(radius * self.scale * (1 << _SHIFT))
        cv2.circle(self.pixels, self.point(x, y), fixed, colour, -1, cv2.LINE_AA, _SHIFT)

    def sector(self, x: float, y: float, radius: float, first_deg: float) -> None:
        fixed = round(radius * self.scale * (1 << _SHIFT))
        last = first_deg + 90.0
        centre = self.point(x, y)
        black = (16, 16, 16)
        cv2.ellipse(
            self.pixels, centre, (fixed, fixed), 0, first_deg, last, black, -1, cv2.LINE_AA, _SHIFT
        )


def draw_scene(width: int, height: int, *, scale: float) -> Scene:
    """Draw the scene for frames of a size; `scale` is their size against 640x480."""
    canvas = _Canvas(width, height, scale)
    canvas.pixels[:] = (64, 66, 58)
    wide = 4.0 * (width / scale)
    rails = ((-wide, -wide, wide, _RAIL_PX), (-wide, 480.0 - _RAIL_PX, wide, wide))
    for x0, y0, x1, y1 in rails:
        canvas.box(x0, y0, x1, y1, (134, 138, 136))
    _draw_rail_details(canvas)
    _draw_targets(canvas)
    texture = _texture(canvas)
    linear = to_linear(canvas.pixels)
    for channel in range(3):
        linear[:, :, channel] *= texture
    cv2.GaussianBlur(linear, (0, 0), 0.6, dst=linear)
    linear *= 65535.0
    np.rint(linear, out=linear)
    np.clip(linear, 0.0, 65535.0, out=linear)
    return linear.astype(np.uint16)


def _draw_rail_details(canvas: _Canvas) -> None:
    """Draw an edge, a scale and screws on both rails."""
    for y, inward in ((_RAIL_PX, 1.0), (480.0 - _RAIL_PX, -1.0)):
        canvas.box(-200.0, y, 840.0, y + 4.0 * inward, (30, 30, 30))
        canvas.box(-200.0, y - 2.0 * inward, 840.0, y, (205, 205, 205))
        for tick in range(-5, 70):
            length = 11.0 if tick % 5 == 0 else 6.0
            x = 10.0 * tick
            canvas.box(x, y - (5.0 + length) * inward, x + 1.3, y - 5.0 * inward, (45, 45, 45))
        for x in (104.0, 320.0, 536.0):
            middle = y - 23.0 * inward
            canvas.disc(x, middle, 9.5, (60, 62, 62))
            canvas.disc(x - 0.4, middle - 0.4, 8.6, (172, 176, 174))
            canvas.disc(x, middle, 4.0, (34, 34, 34))


def _draw_targets(canvas: _Canvas) -> None:
    """Draw the four fiducials, and a grey scale to see the light's colour on."""
    for x, y in FIDUCIALS:
        canvas.box(x - 24.0, y - 24.0, x + 26.0, y + 26.0, (30, 32, 28))
        canvas.box(x - 25.0, y - 25.0, x + 25.0, y + 25.0, (206, 212, 212))
        canvas.disc(x, y, 17.0, (16, 16, 16))
        canvas.disc(x, y, 15.0, (206, 212, 212))
        canvas.sector(x, y, 15.0, 0.0)
        canvas.sector(x, y, 15.0, 180.0)
    canvas.box(*_CARD, (24, 24, 24))
    for step, grey in enumerate(GREY_STEPS):
        top = 174.0 + 27.0 * step
        canvas.box(595.0, top, 621.0, top + 24.0, (grey, grey, grey))


def _texture(canvas: _Canvas) -> Map:
    """Draw the surface of belt (woven rubber) and rails (drawn aluminium), about 1.0.

    The targets are printed: they have no surface to speak of.
    """
    rng = np.random.default_rng(_SEED)
    height, width = canvas.pixels.shape[:2]
    grain = rng.standard_normal((height, width), dtype=np.float32)
    surface = _unit(cv2.GaussianBlur(grain, (0, 0), 0.8 * canvas.scale + 0.2), 0.10)
    coarse = _unit(cv2.GaussianBlur(grain[::8, ::8], (0, 0), 2.5), 0.06)
    surface += np.asarray(cv2.resize(coarse, (width, height)), np.float32)
    wave = np.float32(0.9 / canvas.scale)
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    surface += np.sin(y * wave)[:, None] * (np.float32(0.10) * np.sin(x * wave))[None, :]
    drawn = _unit(cv2.GaussianBlur(grain, (0, 0), sigmaX=14.0 * canvas.scale, sigmaY=0.6), 0.07)
    top = canvas.point(0.0, _RAIL_PX)[1] >> _SHIFT
    bottom = canvas.point(0.0, 480.0 - _RAIL_PX)[1] >> _SHIFT
    surface[:top], surface[bottom:] = drawn[:top], drawn[bottom:]
    for x0, y0, x1, y1 in _PRINTED:
        left, first = (value >> _SHIFT for value in canvas.point(x0, y0))
        right, last = (value >> _SHIFT for value in canvas.point(x1, y1))
        surface[first:last, left:right] *= 0.15
    surface += 1.0
    np.clip(surface, 0.3, 1.8, out=surface)
    return surface


def _unit(values: cv2.typing.MatLike, spread: float) -> Map:
    """Give values a mean of 0 and a standard deviation of `spread`, in place."""
    array = np.asarray(values, np.float32)
    array -= array.mean()
    array *= np.float32(spread) / array.std()
    return array
