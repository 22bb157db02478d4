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
_STRIP_ROWS = 60
_SPARE = 1 << 16
_BANK_SEED = 4711


def to_linear(image: Image) -> Linear:
    """Undo the camera's curve: 8-bit pixels to linear light in 0..1."""
    table = (np.arange(256, dtype=np.float64) / 255.0) ** GAMMA
    return table.astype(np.float32)[image]


class Sensor:
    """Exposes frames of one size.

    Its noise is drawn once, with some to spare; each frame begins at another place in it.
    """

    def __init__(self, width: int, height: int, *, noise: float) -> None:
        """Draw the noise; 1.0 is that of the sensor described above, 0 is none."""
        self._shape = (height, width, 3)
        self._noisy = noise > 0.0
        count = height * width * 3 + _SPARE if self._noisy else 0
        rng = np.random.default_rng(_BANK_SEED)
        self._bank = rng.standard_normal(count, dtype=np.float32)
        self._bank *= np.float32(noise / FULL_WELL**0.5)
        self._light = np.empty((_STRIP_ROWS, width, 3), np.float32)
        self._spread = np.empty_like(self._light)

    def expose(
        self, light: Linear, out: Image, *, gain: float, start: float, left: int = 0, top: int = 0
    ) -> None:
        """Turn linear light into pixels.

        Args:
            light: hxwx3; all or part of a frame.
            out: hxwx3; written.
            gain: Factor on the light.
            start: Where this frame's noise begins, in 0..1.
            left: Where `light` lies in the frame: the noise is that of its place.
            top: Likewise.
        """
        height, width = light.shape[:2]
        noise = self._noise_of_frame(start)
        for row in range(0, height, _STRIP_ROWS):
            rows = min(_STRIP_ROWS, height - row)
            strip = self._light[:rows, :width]
            np.multiply(light[row : row + rows], np.float32(gain), out=strip)
            if noise is not None:
                spread = self._spread[:rows, :width]
                place = noise[top + row : top + row + rows, left : left + width]
                np.add(strip, np.float32(_FLOOR), out=spread)
                np.sqrt(spread, out=spread)
                np.multiply(spread, place, out=spread)
                np.add(strip, spread, out=strip)
                np.maximum(strip, np.float32(0.0), out=strip)
            cv2.pow(strip, 1.0 / GAMMA, dst=strip)
            cv2.convertScaleAbs(strip, dst=out[row : row + rows], alpha=255.0)

    def _noise_of_frame(self, start: float) -> Linear | None:
        if not self._noisy:
            return None
        height, width, channels = self._shape
        first = int(start * _SPARE)
        return self._bank[first : first + height * width * channels].reshape(self._shape)
