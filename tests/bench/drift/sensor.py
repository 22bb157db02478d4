"""The camera's sensor: linear light to 8-bit pixels.

A pixel that holds N electrons when saturated gives, for light x, a variance of (x + r^2 / N) / N in
linear light: shot noise and a read noise of r electrons (EMVA 1288, without dark current). Gain
multiplies light and noise alike; then the response x ** (1 / gamma), and 8 bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np

from edge_agent.camera.frame import Image
from tests.bench.drift.images import Linear

_BANK = 1 << 20


@dataclass(frozen=True)
class Camera:
    """What a camera does to light.

    Attributes:
        full_well: Electrons of a saturated pixel.
        read_noise: Electrons.
        gamma: Of its response; 1.0 is a linear camera.
        mjpeg_quality: 0 gives the pixels as they are.
    """

    full_well: float = 10_000.0
    read_noise: float = 8.0
    gamma: float = 2.2
    mjpeg_quality: int = 0


class Sensor:
    """Exposes frames of one shape. Its noise is drawn once; each frame begins elsewhere in it."""

    def __init__(self, camera: Camera, shape: tuple[int, ...], rng: np.random.Generator) -> None:
        self.camera = camera
        self._rng = rng
        size = int(np.prod(shape))
        self._bank = rng.standard_normal(_BANK + size, dtype=np.float32)
        self._spread = np.empty(shape, np.float32)

    def expose(self, light: Linear, gain: float = 1.0) -> Image:
        """Turn linear light into pixels; `light` is used up."""
        start = int(self._rng.integers(_BANK))
        well = self.camera.full_well
        np.maximum(light, np.float32(0.0), out=light)
        floor = self.camera.read_noise**2 / well**2
        cv2.addWeighted(light, 1.0 / well, light, 0.0, floor, dst=self._spread)
        cv2.sqrt(self._spread, dst=self._spread)
        noise = self._bank[start : start + light.size].reshape(light.shape)
        np.multiply(self._spread, noise, out=self._spread)
        np.add(light, self._spread, out=light)
        if gain != 1.0:
            np.multiply(light, np.float32(gain), out=light)
        np.maximum(light, np.float32(0.0), out=light)
        if self.camera.gamma != 1.0:
            cv2.pow(light, 1.0 / self.camera.gamma, dst=light)
        pixels = cast("Image", cv2.convertScaleAbs(light, alpha=255.0))
        return self._through_mjpeg(pixels) if self.camera.mjpeg_quality else pixels

    def _through_mjpeg(self, pixels: Image) -> Image:
        setting = [cv2.IMWRITE_JPEG_QUALITY, self.camera.mjpeg_quality]
        done, data = cv2.imencode(".jpg", pixels, setting)
        assert done
        flag = cv2.IMREAD_COLOR if pixels.ndim == 3 else cv2.IMREAD_GRAYSCALE
        return cast("Image", cv2.imdecode(data, flag))
