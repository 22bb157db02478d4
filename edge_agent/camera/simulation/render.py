"""Parts on the scene, under a light, through the optics, onto the sensor.

Invariants:

1. A frame is a function of the part, the light and the time: nothing is carried from one to the
   next but what was drawn once.
2. Nothing of a frame's size is allocated while the light stays as it is.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import msgspec
import numpy as np

from edge_agent.camera.simulation import face, light, marks, parts, scene
from edge_agent.camera.simulation.sensor import Linear, Sensor

if TYPE_CHECKING:
    from edge_agent.camera.frame import Image
    from edge_agent.camera.simulation.face import Map
    from edge_agent.camera.simulation.light import Light, Matrix

NOMINAL_SIZE = (640, 480)
_MARGIN_PX = 12.0
"""Nominal pixels around a part's rim that its frame region holds: its offset, and its shadow."""


def scale_of(width: int, height: int) -> float:
    """Return the size of a frame against the nominal one."""
    return min(width / NOMINAL_SIZE[0], height / NOMINAL_SIZE[1])


class _Region(msgspec.Struct, frozen=True):
    """The part of the frame that a part can lie in, and what is worked on there."""

    left: int
    top: int
    lit: Map
    metal: Map
    texture: Map
    solid: Image
    relief: Image
    weight: Map
    colour: Linear
    composed: Linear
    planes: list[Map]

    @property
    def rows(self) -> slice:
        return slice(self.top, self.top + self.lit.shape[0])

    @property
    def columns(self) -> slice:
        return slice(self.left, self.left + self.lit.shape[1])


class _Exposure(msgspec.Struct, frozen=True):
    """What depends on the light alone.

    Attributes:
        light: The light.
        sharp: The lit scene before the optics' blur.
        seen: The lit scene after it; the same array when there is none.
        view: Nominal frame pixels to frame pixels.
        region: Where the part lies.
    """

    light: Light
    sharp: Linear
    seen: Linear
    view: Matrix
    region: _Region


class Renderer:
    """Draws the frames of one station."""

    def __init__(self, width: int, height: int, *, noise: float) -> None:
        """Draw all that frames share; about 0.1 s at 640x480."""
        self._size = (width, height)
        self._scale = scale_of(width, height)
        self._scene = scene.draw_scene(width, height, scale=self._scale)
        self._face = face.draw_face(self._scale)
        self._shade = face.draw_shade(self._scale)
        self._shadow = face.draw_shadow(self._scale)
        self._textures = face.draw_textures(self._scale)
        self._sensor = Sensor(width, height, noise=noise)
        self._exposure = self._expose_scene(light.NOMINAL)

    def draw(self, part: parts.Part, under: Light, out: Image, *, time_s: float) -> None:
        """Draw a part.

        Args:
            part: The part.
            under: The light and the camera's stand.
            out: HxWx3, uint8; written.
            time_s: When it is captured: where a flickering light is in its swing.
        """
        if under != self._exposure.light:
            self._exposure = self._expose_scene(under)
        exposure = self._exposure
        gain = light.pulse(under, time_s)
        self._sensor.expose(exposure.seen, out, gain=gain, start=part.noise)
        region = exposure.region
        inner, edge = self._compose(part, exposure)
        self._sensor.expose(
            inner,
            out[region.rows, region.columns][edge:-edge, edge:-edge]
            if edge
            else out[region.rows, region.columns],
            gain=gain,
            start=part.noise,
            left=region.left + edge,
            top=region.top + edge,
        )

    def _compose(self, part: parts.Part, exposure: _Exposure) -> tuple[Linear, int]:
        """Lay the part on the scene; return the region, and how much of its edge was cut off."""
        region, under = exposure.region, exposure.light
        place = self._place(part, exposure)
        canvas = marks.Canvas(region.solid, region.relief, place, self._scale)
        marks.draw_part(canvas, part)
        self._draw_metal(part, region, place)
        gains = light.channel_gains(under)
        for plane, tint, gain in zip(region.planes, face.TINT_BGR, gains, strict=True):
            np.multiply(region.metal, np.float32(tint * gain), out=plane)
        cv2.merge(region.planes, dst=region.colour)
        if part.defect is not None and part.defect.kind is parts.Kind.STAIN:
            marks.colour_stain(canvas, part.defect, region.colour)
        self._draw_shadow(region, place)
        cv2.cvtColor(region.weight, cv2.COLOR_GRAY2BGR, dst=region.composed)
        scene_part = exposure.sharp[region.rows, region.columns]
        cv2.multiply(scene_part, region.composed, dst=region.composed)
        cv2.add(region.composed, region.colour, dst=region.composed)
        blur = under.defocus_px * self._scale
        if blur <= 0.0:
            return region.composed, 0
        cv2.GaussianBlur(region.composed, (0, 0), blur, dst=region.composed)
        edge = self._blur_edge(under)
        return region.composed[edge:-edge, edge:-edge], edge

    def _draw_metal(self, part: parts.Part, region: _Region, place: Matrix) -> None:
        """Fill `region.metal` with the light that comes from the part."""
        size = (region.lit.shape[1], region.lit.shape[0])
        flags = cv2.INTER_LINEAR
        middle = (face.side_px(self._scale) - 1) / 2.0
        face_map = _about(place, middle, 1.0 / self._scale, 0.0)
        cv2.warpAffine(self._face, face_map, size, region.metal, flags, cv2.BORDER_REPLICATE)
        zoom = part.texture_zoom / self._scale
        surface_map = _about(place, middle, zoom, part.texture_turn_deg)
        surface = self._textures[part.texture]
        cv2.warpAffine(surface, surface_map, size, region.texture, flags, cv2.BORDER_REPLICATE)
        metal = region.metal
        cv2.multiply(metal, region.texture, dst=metal)
        cv2.multiply(metal, region.lit, dst=metal, scale=part.reflectance)
        cv2.multiply(metal, region.relief, dst=metal, scale=1.0 / marks.NEUTRAL, dtype=cv2.CV_32F)
        cv2.multiply(metal, region.solid, dst=metal, scale=1.0 / 255.0, dtype=cv2.CV_32F)

    def _draw_shadow(self, region: _Region, place: Matrix) -> None:
        """Fill `region.weight` with how much of the scene's light is seen beside the metal."""
        size = (region.lit.shape[1], region.lit.shape[0])
        middle = (self._shadow.shape[0] - 1) / 2.0
        shadow_map = _about(place, middle, 1.0 / self._scale, 0.0)
        cv2.warpAffine(
            self._shadow, shadow_map, size, region.weight, cv2.INTER_LINEAR, cv2.BORDER_REPLICATE
        )
        cv2.bitwise_not(region.solid, dst=region.solid)
        cv2.multiply(
            region.weight, region.solid, dst=region.weight, scale=1.0 / 255.0, dtype=cv2.CV_32F
        )

    def _place(self, part: parts.Part, exposure: _Exposure) -> Matrix:
        """Return the map from points on the part to pixels of the region."""
        width, height = self._size
        turn = math.radians(part.turn_deg)
        linear = self._scale * np.array(
            [[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]
        )
        centre = np.array([(width - 1) / 2.0, (height - 1) / 2.0])
        centre += self._scale * np.array([part.x, part.y])
        view = exposure.view
        moved = view[:, :2] @ centre + view[:, 2]
        moved -= (exposure.region.left, exposure.region.top)
        return np.column_stack([view[:, :2] @ linear, moved])

    def _expose_scene(self, under: Light) -> _Exposure:
        width, height = self._size
        view = light.view(under, width=width, height=height, scale=self._scale)
        falls = light.field(under, width, height)
        sharp = self._light_scene(under, view, falls)
        seen = sharp
        if under.defocus_px > 0.0:
            blur = under.defocus_px * self._scale
            seen = np.asarray(cv2.GaussianBlur(sharp, (0, 0), blur), np.float32)
        return _Exposure(under, sharp, seen, view, self._make_region(under, view, falls))

    def _light_scene(self, under: Light, view: Matrix, falls: light.Field) -> Linear:
        width, height = self._size
        pad = (self._scene.shape[1] - width) // 2
        if light.is_nominal_view(under):
            reflectance = self._scene[pad : pad + height, pad : pad + width]
        else:
            from_padded = view.copy()
            from_padded[:, 2] -= view[:, :2] @ np.array([pad, pad])
            reflectance = np.asarray(
                cv2.warpAffine(
                    self._scene,
                    from_padded,
                    (width, height),
                    flags=cv2.INTER_LINEAR,
                    borderMode=cv2.BORDER_REPLICATE,
                ),
                np.uint16,
            )
        sharp = reflectance.astype(np.float32)
        for channel, gain in enumerate(light.channel_gains(under)):
            sharp[:, :, channel] *= falls * np.float32(gain / 65535.0)
        return sharp

    def _make_region(self, under: Light, view: Matrix, falls: light.Field) -> _Region:
        width, height = self._size
        cx, cy = view @ np.array([(width - 1) / 2.0, (height - 1) / 2.0, 1.0])
        reach = (parts.RADIUS + _MARGIN_PX) * self._scale + self._blur_edge(under)
        left, top = max(0, math.floor(cx - reach)), max(0, math.floor(cy - reach))
        right, bottom = (
            min(width, math.ceil(cx + reach) + 1),
            min(height, math.ceil(cy + reach) + 1),
        )
        shape = (bottom - top, right - left)
        middle = (face.side_px(self._scale) - 1) / 2.0
        to_region = np.array([[1.0, 0.0, cx - left - middle], [0.0, 1.0, cy - top - middle]])
        shade = cv2.warpAffine(
            self._shade, to_region, (shape[1], shape[0]), borderMode=cv2.BORDER_REPLICATE
        )
        lit = np.asarray(shade, np.float32) * falls[top:bottom, left:right]
        return _Region(
            left=left,
            top=top,
            lit=lit,
            metal=np.empty(shape, np.float32),
            texture=np.empty(shape, np.float32),
            solid=np.empty(shape, np.uint8),
            relief=np.empty(shape, np.uint8),
            weight=np.empty(shape, np.float32),
            colour=np.empty((*shape, 3), np.float32),
            composed=np.empty((*shape, 3), np.float32),
            planes=[np.empty(shape, np.float32) for _ in range(3)],
        )

    def _blur_edge(self, under: Light) -> int:
        """Return how far the optics' blur reaches, in frame pixels."""
        return math.ceil(3.0 * under.defocus_px * self._scale)


def _about(place: Matrix, middle: float, zoom: float, turn_deg: float) -> Matrix:
    """Return the map from a drawn sprite to the region.

    Args:
        place: Points on the part to the region.
        middle: Where the part's centre lies in the sprite, on both axes.
        zoom: Nominal pixels per pixel of the sprite.
        turn_deg: How the sprite is turned on the part.
    """
    turn = math.radians(turn_deg)
    cos, sin = zoom * math.cos(turn), zoom * math.sin(turn)
    linear = place[:, :2] @ np.array([[cos, -sin], [sin, cos]])
    offset = place[:, 2] - linear @ np.array([middle, middle])
    return np.column_stack([linear, offset])
