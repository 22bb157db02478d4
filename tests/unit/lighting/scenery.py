"""A scene whose every change is known: linear light, then optics, then the camera's response."""

from __future__ import annotations

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from edge_agent.camera.frame import Image

HEIGHT, WIDTH = 240, 320
Field = npt.NDArray[np.float32]


class View(msgspec.Struct, frozen=True, kw_only=True):
    """How a frame differs from what was commissioned; the defaults change nothing.

    Attributes:
        level: Light, 1 is nominal.
        slope_x: More light at the right edge than at the centre, as a share.
        slope_y: The same at the bottom edge.
        blue: Factor of blue light.
        red: Factor of red light.
        shift_x: The picture lies to the right, px.
        shift_y: Below, px.
        turn: Clockwise, degrees.
        larger: Per cent.
        blur: Standard deviation, px.
        noise: Standard deviation of linear light.
        stripes: Amplitude of light that swings from row to row.
    """

    level: float = 1.0
    slope_x: float = 0.0
    slope_y: float = 0.0
    blue: float = 1.0
    red: float = 1.0
    shift_x: float = 0.0
    shift_y: float = 0.0
    turn: float = 0.0
    larger: float = 0.0
    blur: float = 0.0
    noise: float = 0.002
    stripes: float = 0.0


NOMINAL = View()


class Scenery:
    """A fixed textured scene with a part in its middle that differs from frame to frame.

    Args:
        texture: How much the scene varies; 0 is a bare plate.
        part: Whether there is a part in the middle third.
    """

    def __init__(self, *, texture: float = 0.12, part: bool = True, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        grain = np.clip(_grain(random, HEIGHT, WIDTH, 2.0), -2.0, 2.0)
        tint = np.array([0.8, 1.0, 0.9], np.float32)
        self.scene: Field = ((0.35 + texture * grain) * tint).astype(np.float32)
        self.has_part = part
        self.rows, self.columns = slice(80, 160), slice(106, 213)
        """Where the part lies."""

        y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
        self._x, self._y = x / (WIDTH - 1) * 2.0 - 1.0, y / (HEIGHT - 1) * 2.0 - 1.0

    def light(self, number: int, view: View = NOMINAL, *, product: int = 0) -> Field:
        """Return the linear light on the sensor: HxWx3."""
        random = np.random.default_rng([7, number])
        light: Field = self.scene.copy()
        if self.has_part:
            rows, columns = light[self.rows, self.columns, 0].shape
            grain = _grain(random, rows, columns, 3.0)
            shade = (0.2, 0.45)[product] * random.uniform(0.85, 1.15)
            pattern = np.sin(np.arange(columns, dtype=np.float32) * (0.2, 0.9)[product])
            light[self.rows, self.columns] = shade * (
                1.0 + 0.1 * grain + 0.3 * pattern[np.newaxis, :, np.newaxis]
            )
        centre = ((WIDTH - 1) / 2.0, (HEIGHT - 1) / 2.0)
        turned = cv2.getRotationMatrix2D(centre, -view.turn, 1.0 + view.larger / 100.0)
        turned[:, 2] += np.array([view.shift_x, view.shift_y])
        if not np.allclose(turned, np.eye(2, 3)):
            size, how, border = (WIDTH, HEIGHT), cv2.INTER_CUBIC, cv2.BORDER_REFLECT
            light = np.asarray(
                cv2.warpAffine(light, turned, size, flags=how, borderMode=border), np.float32
            )
        if view.blur:
            light = np.asarray(cv2.GaussianBlur(light, (0, 0), view.blur), np.float32)
        field = view.level * (1.0 + view.slope_x * self._x + view.slope_y * self._y)
        if view.stripes:
            phase = random.uniform(0, 2 * np.pi)
            field = field * (1.0 + view.stripes * np.sin(self._y * 6.0 + phase))
        tint = np.array([view.blue, 1.0, view.red], np.float32)
        return np.asarray(light * field[:, :, np.newaxis] * tint, np.float32)

    def frame(self, number: int, view: View = NOMINAL, *, product: int = 0) -> Image:
        """Return what the camera makes of it: 240x320x3 BGR."""
        return expose(self.light(number, view, product=product), number, noise=view.noise)

    def frames(self, count: int, view: View = NOMINAL, *, first: int = 0) -> list[Image]:
        """Return frames one after another."""
        return [self.frame(first + number, view) for number in range(count)]


def _grain(random: np.random.Generator, rows: int, columns: int, sigma: float) -> Field:
    """Return smooth noise of spread 1: rows x columns x 1."""
    noise = random.normal(0, 1, (rows, columns)).astype(np.float32)
    smooth = np.asarray(cv2.GaussianBlur(noise, (0, 0), sigma), np.float32)
    return np.asarray(smooth / smooth.std(), np.float32)[:, :, np.newaxis]


_LEVELS = 4096
_CODED = np.round(255.0 * (np.arange(_LEVELS) / (_LEVELS - 1)) ** (1 / 2.2)).astype(np.uint8)
_NOISE = np.random.default_rng(11).standard_normal(1 << 20, np.float32)


def expose(light: Field, number: int, *, noise: float = 0.002) -> Image:
    """Add the sensor's noise, and code linear light in 8 bits with a gamma of 2.2.

    The noise is drawn once; each frame begins somewhere else in it.
    """
    start = int(np.random.default_rng([11, number]).integers(len(_NOISE) - light.size))
    drawn = _NOISE[start : start + light.size].reshape(light.shape)
    noisy = light + np.float32(noise) * drawn
    np.clip(noisy, 0.0, 1.0, out=noisy)
    return np.asarray(_CODED[(noisy * np.float32(_LEVELS - 1)).astype(np.intp)], np.uint8)
