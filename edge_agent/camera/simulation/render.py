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
import numpy as np

from edge_agent.camera.simulation import face, light, marks, parts
from edge_agent.camera.simulation.scene import draw_scene
from edge_agent.camera.simulation.sensor import Sensor
from edge_agent.camera.simulation.stage import Region, Stage, set_stage

if TYPE_CHECKING:
    from edge_agent.camera.frame import Image
    from edge_agent.camera.simulation.face import Map
    from edge_agent.camera.simulation.light import Light, Matrix

_NOISES = 1 << 18


class Renderer:
    """Draws the frames of one station."""

    def __init__(self, width: int, height: int, *, noise: float) -> None:
        """Draw all that frames share; about 0.15 s at 640x480.

        Args:
            width: Of a frame, in pixels.
            height: Of a frame, in pixels.
            noise: Sensor noise; 1.0 is that of `sensor`.
        """
        self._size = (width, height)
        self._scale = parts.scale_of(width, height)
        self._scene = draw_scene(width, height, scale=self._scale)
        self._face = face.draw_face(self._scale)
        self._shade = face.draw_shade(self._scale)
        self._textures = face.draw_textures(self._scale)
        self._sensor = Sensor(width, noise=noise)
        self._stage = set_stage(light.NOMINAL, self._scene, self._shade, scale=self._scale)

    def draw(self, part: parts.Part, under: Light, out: Image, *, time_s: float) -> None:
        """Draw a part.

        Args:
            part: The part.
            under: The light, and how the camera stands.
            out: HxWx3, uint8; written.
            time_s: When it is captured: where a flickering light is in its swing.
        """
        if under != self._stage.light:
            self._stage = self._change_stage(under)
        stage = self._stage
        self._compose(part, stage)
        gain = light.pulse(under, time_s)
        start = int(part.noise * _NOISES)
        pieces = [(stage.seen[piece], out[piece]) for piece in stage.around]
        pieces.append((stage.region.composed[stage.region.usable], out[stage.region.in_frame]))
        for index, (seen, pixels) in enumerate(pieces):
            if seen.size:
                self._sensor.expose(seen, pixels, gain=gain, start=start + 9973 * index)

    def _change_stage(self, under: Light) -> Stage:
        return set_stage(under, self._scene, self._shade, scale=self._scale, before=self._stage)

    def _compose(self, part: parts.Part, stage: Stage) -> None:
        """Lay the part on the scene, in `stage.region.composed`."""
        region, under = stage.region, stage.light
        place = self._place(part, stage)
        canvas = marks.Canvas(region.solid, region.relief, place, self._scale)
        marks.draw_part(canvas, part)
        self._draw_metal(part, region, place)
        gains = light.channel_gains(under)
        for plane, tint, gain in zip(region.planes, face.TINT_BGR, gains, strict=True):
            np.multiply(region.metal, np.float32(tint * gain), out=plane)
        cv2.merge(region.planes, dst=region.colour)
        if part.defect is not None and part.defect.kind is parts.Kind.STAIN:
            marks.colour_stain(canvas, part.defect, region.colour)
        cv2.cvtColor(_shadow(region, place), cv2.COLOR_GRAY2BGR, dst=region.composed)
        scene_piece = stage.sharp[region.rows, region.columns]
        cv2.multiply(scene_piece, region.composed, dst=region.composed)
        cv2.add(region.composed, region.colour, dst=region.composed)
        blur = under.defocus_px * self._scale
        if blur > 0.0:
            cv2.GaussianBlur(region.composed, (0, 0), blur, dst=region.composed)

    def _draw_metal(self, part: parts.Part, region: Region, place: Matrix) -> None:
        """Fill `region.metal` with the light that comes from the part."""
        size = (region.lit.shape[1], region.lit.shape[0])
        metal, texture = region.metal, region.planes[0]
        middle = (face.side_px(self._scale) - 1) / 2.0
        flags, border = cv2.INTER_LINEAR, cv2.BORDER_REPLICATE
        drawn = _about(place, middle, 1.0 / self._scale, 0.0)
        cv2.warpAffine(self._face, drawn, size, metal, flags, border)
        turned = _about(place, middle, part.texture_zoom / self._scale, part.texture_turn_deg)
        cv2.warpAffine(self._textures[part.texture], turned, size, texture, flags, border)
        cv2.multiply(metal, texture, dst=metal)
        cv2.multiply(metal, region.lit, dst=metal, scale=part.reflectance)
        cv2.multiply(metal, region.relief, dst=metal, scale=1.0 / marks.NEUTRAL, dtype=cv2.CV_32F)
        cv2.multiply(metal, region.solid, dst=metal, scale=1.0 / 255.0, dtype=cv2.CV_32F)

    def _place(self, part: parts.Part, stage: Stage) -> Matrix:
        """Return the map from points on the part to pixels of the region."""
        width, height = self._size
        turn = math.radians(part.turn_deg)
        cos, sin = self._scale * math.cos(turn), self._scale * math.sin(turn)
        x = (width - 1) / 2.0 + self._scale * part.x
        y = (height - 1) / 2.0 + self._scale * part.y
        linear, offset = stage.view[:, :2], stage.view[:, 2]
        corner = (stage.region.columns.start, stage.region.rows.start)
        centre = linear @ np.array([x, y]) + offset - corner
        return np.column_stack([linear @ np.array([[cos, -sin], [sin, cos]]), centre])


def _shadow(region: Region, place: Matrix) -> Map:
    """Return how much of the scene's light is seen beside the metal and through its holes.

    The shadow is soft, so it follows the part by whole pixels.
    """
    height, width = region.lit.shape
    last = 2 * region.slack
    x = min(max(round(region.slack + region.centre[0] - float(place[0, 2])), 0), last)
    y = min(max(round(region.slack + region.centre[1] - float(place[1, 2])), 0), last)
    weight = region.planes[0]
    cv2.bitwise_not(region.solid, dst=region.solid)
    shadow = region.shadow[y : y + height, x : x + width]
    cv2.multiply(shadow, region.solid, dst=weight, scale=1.0 / 255.0, dtype=cv2.CV_32F)
    return weight


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
