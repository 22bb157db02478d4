"""The way of the light from the scene to the sensor: view, blur, vignetting, dirt.

Blur is a Gaussian: the optics' own and the defocus, added in squares. Dirt on the lens is a soft
dark spot that stays where it is in the frame while the scene and the parts move under it.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from tests.bench.drift.images import Linear
from tests.bench.drift.scenes import MARGIN, ZOOM

Matrix = npt.NDArray[np.float64]
"""2x3: an affine map of pixel coordinates."""

PSF_PX = 0.55
"""Blur (sigma) of the optics in focus, in pixels of the frame."""

_VIGNETTE = 0.08
_PRNU = 0.006


def view(
    size: tuple[int, int],
    *,
    shift_px: tuple[float, float] = (0.0, 0.0),
    rotation_deg: float = 0.0,
    scale: float = 1.0,
) -> Matrix:
    """Return how the camera maps pixels of the nominal frame to those that it gives."""
    turn = math.radians(rotation_deg)
    cos, sin = scale * math.cos(turn), scale * math.sin(turn)
    cx, cy = (size[0] - 1) / 2.0, (size[1] - 1) / 2.0
    tx = cx - cos * cx + sin * cy + shift_px[0]
    ty = cy - sin * cx - cos * cy + shift_px[1]
    return np.array([[cos, -sin, tx], [sin, cos, ty]])


def see(scene: Linear, size: tuple[int, int], seen: Matrix, defocus_px: float) -> Linear:
    """Return what the camera sees of a scene that is drawn `ZOOM` times larger, with margins.

    Warped and blurred at the scene's resolution and then averaged over each pixel's area, so that a
    shift by a part of a pixel is one.
    """
    width, height = size
    sigma = math.hypot(PSF_PX, defocus_px)
    rim = math.ceil(3.0 * sigma)
    # Pixel centres: scene u = ZOOM * (x + MARGIN) + (ZOOM - 1) / 2; large frame: rim for MARGIN.
    half = (ZOOM - 1) / 2.0
    from_scene = _affine(1 / ZOOM, -half / ZOOM - MARGIN)
    to_large = _affine(ZOOM, half + ZOOM * rim)
    matrix = (to_large @ np.vstack([seen, [0.0, 0.0, 1.0]]) @ from_scene)[:2]
    large_size = (ZOOM * (width + 2 * rim), ZOOM * (height + 2 * rim))
    border = cv2.BORDER_REFLECT
    large = cv2.warpAffine(scene, matrix, large_size, flags=cv2.INTER_LINEAR, borderMode=border)
    large = cv2.GaussianBlur(large, (0, 0), ZOOM * sigma)
    cut = large[ZOOM * rim : -ZOOM * rim, ZOOM * rim : -ZOOM * rim]
    return np.asarray(cv2.resize(cut, size, interpolation=cv2.INTER_AREA), np.float32)


def lens(size: tuple[int, int], rng: np.random.Generator) -> Linear:
    """Return what stays with the camera: its vignetting, and each pixel's own response."""
    x, y = _pixels(size)
    away = ((x / size[0] - 0.5) ** 2 + (y / size[1] - 0.5) ** 2) / 0.5
    own = rng.standard_normal((size[1], size[0]))
    return ((1.0 - _VIGNETTE * away) * (1.0 + _PRNU * own)).astype(np.float32)


def dirt(size: tuple[int, int], at: tuple[float, float], radius_px: float, depth: float) -> Linear:
    """Return how much passes a soft spot: 1 - depth in its middle, 1 outside twice its radius."""
    x, y = _pixels(size)
    away = np.sqrt((x - at[0]) ** 2 + (y - at[1]) ** 2) / radius_px
    spot = 1.0 / (1.0 + np.exp(np.clip((away - 1.0) * 7.0, -60, 60)))
    return (1.0 - depth * spot).astype(np.float32)


def _pixels(size: tuple[int, int]) -> tuple[Matrix, Matrix]:
    x, y = np.meshgrid(np.arange(size[0], dtype=np.float64), np.arange(size[1], dtype=np.float64))
    return x, y


def _affine(scale: float, offset: float) -> Matrix:
    return np.array([[scale, 0.0, offset], [0.0, scale, offset], [0.0, 0.0, 1.0]])
