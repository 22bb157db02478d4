"""The camera's sensor: linear light to 8-bit pixels.

The noise is that of a pixel that holds N = 10,000 electrons: the light x (1.0 saturates) gives a
variance of (x + r^2 / N) / N, shot noise and a read noise of r electrons (EMVA 1288, without dark
current). Then the camera's curve x ** (1 / 2.2), and 8 bits.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from edge_agent.camera.frame import Image

Linear = npt.NDArray[np.float32]
"""HxWx3 BGR, linear light; 1.0 saturates the sensor."""

GAMMA = 2.2
FULL_WELL = 10_000.0
READ_NOISE = 8.0
_FLOOR = READ_NOISE**2 / FULL_WELL
_STRIP_ROWS = 32
_BANK = 1 << 18
_STEP = 40_503
_BANK_SEED = 4711


def to_linear(image: Image) -> Linear:
    """Undo the camera's curve: 8-bit pixels to linear light in 0..1."""
    table = (np.arange(256, dtype=np.float64) / 255.0) ** GAMMA
    return table.astype(np.float32)[image]


class Sensor:
    """Exposes frames of one width.

    Works in strips that stay in the processor's cache. Its noise is drawn once; each strip of
    each frame begins at another place in it.
    """

    def __init__(self, width: int, *, noise: float) -> None:
        """Draw the noise; 1.0 is that of the sensor described above, 0 is none."""
        self._light = np.empty((_STRIP_ROWS, width, 3), np.float32)
        self._spread = np.empty_like(self._light)
        self._noisy = noise > 0.0
        count = _BANK + self._light.size if self._noisy else 0
        self._bank = np.random.default_rng(_BANK_SEED).standard_normal(count, dtype=np.float32)
        self._bank *= np.float32(noise / FULL_WELL**0.5)

    def expose(self, light: Linear, out: Image, *, gain: float, start: int) -> None:
        """Turn linear light into pixels.

        Args:
            light: hxwx3; a frame, or a piece of one.
            out: hxwx3; written.
            gain: Factor on the light.
            start: Which noise this piece of this frame has.
        """
        height, width = light.shape[:2]
        for row in range(0, height, _STRIP_ROWS):
            rows = min(_STRIP_ROWS, height - row)
            strip = self._light.reshape(-1)[: rows * width * 3].reshape(rows, width, 3)
            np.multiply(light[row : row + rows], np.float32(gain), out=strip)
            if self._noisy:
                self._add_noise(strip, (start + row * _STEP) % _BANK)
            cv2.pow(strip, 1.0 / GAMMA, dst=strip)
            cv2.convertScaleAbs(strip, dst=out[row : row + rows], alpha=255.0)

    def _add_noise(self, strip: Linear, first: int) -> None:
        spread = self._spread.reshape(-1)[: strip.size].reshape(strip.shape)
        np.add(strip, np.float32(_FLOOR), out=spread)
        np.sqrt(spread, out=spread)
        np.multiply(spread, self._bank[first : first + strip.size].reshape(strip.shape), out=spread)
        np.add(strip, spread, out=strip)
        np.maximum(strip, np.float32(0.0), out=strip)
