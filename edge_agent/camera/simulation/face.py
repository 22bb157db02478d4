"""The face of a part: what all parts share, and the surfaces they differ by. Drawn once."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from edge_agent.camera.simulation import parts

Map = npt.NDArray[np.float32]
"""HxW: a factor on the light, or a reflectance."""

SPRITE_PX = 2.0 * (parts.RADIUS + 6.0)
"""Nominal side of the drawn face; its centre is the centre of the part."""

TINT_BGR = (0.955, 0.985, 1.0)
"""Colour of the bare metal."""

UNDER = 0.22
"""How much light reaches the belt below the part, seen through its holes."""

_LIGHT_DEG = 225.0
"""Where the light stands: at the upper left."""

_GRID_PX = 2.1
_PITCH_PX = 12.5
_MARK = (
    ((4, 0), (0, 0), (0, 3), (3, 3), (0, 3), (0, 6), (4, 6)),
    ((4, 0), (0, 0), (0, 3), (3, 3), (0, 3), (0, 6)),
    ((1, 1), (2, 0), (2, 6)),
    ((4, 0), (1, 1), (0, 4), (1, 6), (3, 6), (4, 4), (3, 3), (0, 3)),
    ((4, 0), (0, 0), (0, 3), (3, 3), (4, 4), (3, 6), (0, 6)),
)
"""The engraved mark, EF165: a stroke for each character, on a grid of 4 by 6."""

_TEXTURE_SEED = 30_011
_PROFILE = (
    # radius, reflectance of the turned face at it
    (parts.BORE_RADIUS - 2.0, 0.46),
    (parts.BORE_RADIUS + 4.0, 0.46),
    (parts.BORE_RADIUS + 5.0, 0.40),
    (parts.HUB_RADIUS - 2.0, 0.38),
    (parts.HUB_RADIUS - 0.5, 0.50),
    (parts.HUB_RADIUS + 1.0, 0.13),
    (parts.HUB_RADIUS + 5.0, 0.16),
    (parts.HUB_RADIUS + 6.5, 0.35),
    (parts.RADIUS - 8.0, 0.33),
    (parts.RADIUS - 7.0, 0.42),
    (parts.RADIUS + 3.0, 0.38),
)


def side_px(scale: float) -> int:
    """Return the side of the drawn face in frame pixels."""
    return math.ceil(SPRITE_PX * scale)


def draw_face(scale: float) -> Map:
    """Draw the reflectance of the face: profile, lit chamfers, engraved mark."""
    radius, angle = _polar(side_px(scale), scale)
    radii, values = zip(*_PROFILE, strict=True)
    face = np.interp(radius, radii, values).astype(np.float32)
    facing = np.cos(angle - np.float32(math.radians(_LIGHT_DEG)))
    rim = _ring(radius, parts.RADIUS - 7.0, parts.RADIUS + 4.0)
    bore = _ring(radius, parts.BORE_RADIUS - 3.0, parts.BORE_RADIUS + 4.5)
    face *= 1.0 + 0.42 * facing * rim - 0.45 * facing * bore
    face *= _draw_mark(scale)
    return np.asarray(cv2.GaussianBlur(face, (0, 0), 0.55), np.float32)


def draw_shade(scale: float) -> Map:
    """Draw what the light makes of turned metal: it shines across the marks of the tool.

    It stays with the light, not with the part.
    """
    radius, angle = _polar(side_px(scale), scale)
    across = np.cos(2.0 * (angle - np.float32(math.radians(_LIGHT_DEG + 90.0))))
    weight = np.minimum(radius / 90.0, 1.0)
    gloss = np.exp(
        -((radius * np.cos(angle) + 60.0) ** 2 + (radius * np.sin(angle) + 70.0) ** 2) / 9e3
    )
    return np.asarray(1.0 + 0.15 * across * weight + 0.14 * gloss, np.float32)


def draw_shadow(
    shape: tuple[int, int], centre: tuple[float, float], *, slack: int, scale: float
) -> Map:
    """Draw how much light is left on the belt around and below a part.

    Args:
        shape: Height and width of a region of the frame.
        centre: Where the part lies in it (x, y).
        slack: Pixels drawn beyond the region on each side.
        scale: Frame pixels per nominal pixel.
    """
    height, width = shape[0] + 2 * slack, shape[1] + 2 * slack
    x = (np.arange(width, dtype=np.float32) - np.float32(centre[0] + slack)) / np.float32(scale)
    y = (np.arange(height, dtype=np.float32) - np.float32(centre[1] + slack)) / np.float32(scale)
    edge = (np.hypot(x[None, :], y[:, None]) - np.float32(parts.RADIUS - 2.0)) / np.float32(12.0)
    return np.asarray(UNDER + (1.0 - UNDER) * np.clip(edge, 0.0, 1.0) ** 0.7, np.float32)


def draw_textures(scale: float) -> list[Map]:
    """Draw the surfaces: marks of a turning tool, about 1.0."""
    rng = np.random.default_rng(_TEXTURE_SEED)
    return [_draw_texture(rng, scale) for _ in range(parts.TEXTURES)]


def _draw_texture(rng: np.random.Generator, scale: float) -> Map:
    side = side_px(scale)
    spokes, rings = 360, side // 2 + 2
    noise = rng.standard_normal((3 * spokes // 2, rings), dtype=np.float32)
    noise = np.concatenate([noise[:spokes], noise[:spokes], noise[:spokes]])
    along = cv2.GaussianBlur(noise, (0, 0), sigmaX=0.7, sigmaY=24.0)[spokes : 2 * spokes]
    turned = rng.standard_normal((1, rings), dtype=np.float32)
    polar = along / along.std() * 0.045 + cv2.GaussianBlur(turned, (0, 0), 0.7) * 0.03
    centre = ((side - 1) / 2.0, (side - 1) / 2.0)
    flags = cv2.WARP_POLAR_LINEAR | cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR
    texture = cv2.warpPolar(
        polar.astype(np.float32), (side, side), centre, float(rings), flags | cv2.WARP_FILL_OUTLIERS
    )
    return np.asarray(1.0 + texture, np.float32)


def _draw_mark(scale: float) -> Map:
    """Draw the engraved mark as a factor: dark strokes with a bright lower edge.

    Its strokes are our own: what a font looks like, and weighs, differs between releases of OpenCV.
    """
    side = side_px(scale)
    middle = (side - 1) / 2.0
    strokes = np.zeros((side, side), np.uint8)
    left = -0.5 * (len(_MARK) * _PITCH_PX - (_PITCH_PX - 4.0 * _GRID_PX))
    for index, stroke in enumerate(_MARK):
        corner = np.array([left + index * _PITCH_PX, parts.MARK_RADIUS - 3.0 * _GRID_PX])
        nominal = np.array(stroke, np.float64) * _GRID_PX + corner
        fixed = np.rint((nominal * scale + middle) * 16.0).astype(np.int32)
        width = max(1, round(1.3 * scale))
        cv2.polylines(strokes, [fixed], False, 255, width, cv2.LINE_AA, 4)  # noqa: FBT003 - OpenCV's signature: not closed
    dark = strokes.astype(np.float32) / np.float32(255.0)
    bright = np.roll(dark, (1, 1), axis=(0, 1))
    return np.asarray(1.0 - 0.55 * dark + 0.30 * bright * (1.0 - dark), np.float32)


def _polar(side: int, scale: float) -> tuple[Map, Map]:
    """Return radius (nominal pixels) and angle of each pixel about the centre."""
    axis = (np.arange(side, dtype=np.float32) - np.float32((side - 1) / 2.0)) / np.float32(scale)
    return np.hypot(axis[None, :], axis[:, None]), np.arctan2(axis[:, None], axis[None, :])


def _ring(radius: Map, inner: float, outer: float) -> Map:
    """Return 1 inside a ring, falling to 0 over one nominal pixel at its edges."""
    distance = np.minimum(radius - np.float32(inner), np.float32(outer) - radius)
    return np.asarray(np.clip(distance + np.float32(0.5), 0.0, 1.0), np.float32)
