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
    # Pixel centres: scene u = ZOOM * (x + MARGIN) + (ZOOM - 1) / 2; large frame without MARGIN.
    half = (ZOOM - 1) / 2.0
    to_frame = np.array(
        [[1 / ZOOM, 0, -half / ZOOM - MARGIN], [0, 1 / ZOOM, -half / ZOOM - MARGIN]]
    )
    to_large = np.array([[ZOOM, 0, half], [0, ZOOM, half], [0, 0, 1.0]])
    matrix = (to_large @ _square(seen) @ _square(to_frame))[:2]
    large = cv2.warpAffine(
        scene, matrix, (ZOOM * width, ZOOM * height), flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )  # fmt: skip
    sigma = ZOOM * math.hypot(PSF_PX, defocus_px)
    large = cv2.GaussianBlur(large, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(large, size, interpolation=cv2.INTER_AREA), np.float32)


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


def _square(matrix: Matrix) -> Matrix:
    return matrix if matrix.shape == (3, 3) else np.vstack([matrix, [0.0, 0.0, 1.0]])
