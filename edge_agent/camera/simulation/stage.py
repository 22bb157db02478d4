"""What depends on the light alone: the lit scene, and the region of the frame a part lies in."""

from __future__ import annotations

import math

import cv2
import msgspec
import numpy as np

from edge_agent.camera.frame import Image
from edge_agent.camera.simulation import face, light, parts
from edge_agent.camera.simulation.face import Map
from edge_agent.camera.simulation.light import Field, Light, Matrix
from edge_agent.camera.simulation.scene import Scene, pad_of
from edge_agent.camera.simulation.sensor import Linear

_MARGIN_PX = 15.0
"""Nominal pixels about a part's rim that its region holds: its offset, and its shadow."""

_STRIP_ROWS = 32

Piece = tuple[slice, slice]
"""Rows and columns of a frame."""


class Region(msgspec.Struct, frozen=True):
    """The part of the frame that a part can lie in, and what is worked on there.

    Attributes:
        rows: Where it lies in the frame.
        columns: Where it lies in the frame.
        usable: The piece of it that the optics' blur leaves whole, in the region's pixels.
        centre: Where a part lies that is not out of its place, in the region's pixels.
        slack: How much larger `shadow` is on each side.
        lit: hxw; light and gloss that fall on a part.
        shadow: The light left on the scene about a part.
        metal: hxw; light from the part.
        solid: hxw; see `marks.Canvas`.
        relief: hxw; see `marks.Canvas`.
        colour: hxwx3; light from the part.
        composed: hxwx3; light from part and scene.
        planes: Three hxw, to work in.
    """

    rows: slice
    columns: slice
    usable: Piece
    centre: tuple[float, float]
    slack: int
    lit: Map
    shadow: Map
    metal: Map
    solid: Image
    relief: Image
    colour: Linear
    composed: Linear
    planes: tuple[Map, Map, Map]

    @property
    def in_frame(self) -> Piece:
        """The usable piece, in the frame's pixels."""
        return tuple(  # type: ignore[return-value]  # two slices in, two slices out
            slice(whole.start + part.start, whole.start + part.stop)
            for whole, part in zip((self.rows, self.columns), self.usable, strict=True)
        )


class Stage(msgspec.Struct, frozen=True):
    """The scene under a light, ready for parts.

    Attributes:
        light: The light.
        sharp: HxWx3; the lit scene before the optics' blur.
        seen: HxWx3; the lit scene after it; the same array when there is none.
        view: Nominal frame pixels to frame pixels.
        region: Where the part lies.
        around: The pieces of the frame that no part can lie in.
    """

    light: Light
    sharp: Linear
    seen: Linear
    view: Matrix
    region: Region
    around: tuple[Piece, ...]


def set_stage(
    under: Light, scene: Scene, shade: Map, *, scale: float, before: Stage | None = None
) -> Stage:
    """Light the scene.

    Args:
        under: The light, and how the camera stands.
        scene: The scene (`scene.draw_scene`).
        shade: The gloss of a part (`face.draw_shade`).
        scale: Frame pixels per nominal pixel.
        before: A stage that is done with: its arrays are used again. A light that changes with
            every part must not cost a new frame's memory each.
    """
    pad = pad_of(scale)
    height, width = scene.shape[0] - 2 * pad, scene.shape[1] - 2 * pad
    view = light.view(under, width=width, height=height, scale=scale)
    falls = light.field(under, width, height)
    sharp = np.empty((height, width, 3), np.float32) if before is None else before.sharp
    _light_scene(under, _see_scene(under, scene, view, pad=pad), falls, sharp)
    blurred = None if before is None or before.seen is before.sharp else before.seen
    seen = sharp
    if under.defocus_px > 0.0:
        seen = np.empty_like(sharp) if blurred is None else blurred
        cv2.GaussianBlur(sharp, (0, 0), under.defocus_px * scale, dst=seen)
    old = None if before is None else before.region
    region = _make_region(under, shade, view, falls, scale=scale, before=old)
    rows, columns = region.in_frame
    around = (
        (slice(0, rows.start), slice(0, width)),
        (slice(rows.stop, height), slice(0, width)),
        (rows, slice(0, columns.start)),
        (rows, slice(columns.stop, width)),
    )
    return Stage(under, sharp, seen, view, region, around)


def _see_scene(under: Light, scene: Scene, view: Matrix, *, pad: int) -> Scene:
    """Return the scene as the camera stands to it, without what lies about the frame."""
    height, width = scene.shape[0] - 2 * pad, scene.shape[1] - 2 * pad
    if light.is_nominal_view(under):
        return scene[pad : pad + height, pad : pad + width]
    from_padded = view.copy()
    from_padded[:, 2] -= view[:, :2] @ np.array([pad, pad])
    moved = cv2.warpAffine(scene, from_padded, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint16)


def _light_scene(under: Light, reflectance: Scene, falls: Field, out: Linear) -> None:
    """Multiply scene and light, in strips that stay in the processor's cache."""
    planes = [np.empty((_STRIP_ROWS, falls.shape[1]), np.float32) for _ in range(3)]
    for row in range(0, len(out), _STRIP_ROWS):
        strip = slice(row, min(row + _STRIP_ROWS, len(out)))
        gains = [plane[: strip.stop - row] for plane in planes]
        for plane, gain in zip(gains, light.channel_gains(under), strict=True):
            np.multiply(falls[strip], np.float32(gain / 65535.0), out=plane)
        cv2.multiply(reflectance[strip], cv2.merge(gains), dst=out[strip], dtype=cv2.CV_32F)


def _make_region(
    under: Light,
    shade: Map,
    view: Matrix,
    falls: Field,
    *,
    scale: float,
    before: Region | None,
) -> Region:
    height, width = falls.shape
    # The blur carries light of the part out of its margin, and the border of the region, where
    # the blur misses what lies outside, is cut off: its reach counts twice.
    blur = math.ceil(3.0 * under.defocus_px * scale)
    reach = (parts.RADIUS + _MARGIN_PX) * scale + 2 * blur
    x, y = view @ np.array([(width - 1) / 2.0, (height - 1) / 2.0, 1.0])
    rows, usable_rows = _span(y, reach, blur, height)
    columns, usable_columns = _span(x, reach, blur, width)
    shape = (rows.stop - rows.start, columns.stop - columns.start)
    centre = (float(x) - columns.start, float(y) - rows.start)
    slack = math.ceil((parts.MAX_OFFSET_PX + 1.0) * scale)
    same = before is not None and before.lit.shape == shape
    region = before if same and before is not None else _new_region(shape)
    moved = not same or before is None or before.centre != centre
    shadow = face.draw_shadow(shape, centre, slack=slack, scale=scale) if moved else region.shadow
    middle = (shade.shape[0] - 1) / 2.0
    place = np.array([[1.0, 0.0, centre[0] - middle], [0.0, 1.0, centre[1] - middle]])
    cv2.warpAffine(shade, place, shape[::-1], region.lit, borderMode=cv2.BORDER_REPLICATE)
    np.multiply(region.lit, falls[rows, columns], out=region.lit)
    return msgspec.structs.replace(
        region,
        rows=rows,
        columns=columns,
        usable=(usable_rows, usable_columns),
        centre=centre,
        slack=slack,
        shadow=shadow,
    )


def _new_region(shape: tuple[int, int]) -> Region:
    """Make the arrays of a region; where it lies is not known yet."""
    nowhere = slice(0, 0)
    first, second, third = (np.empty(shape, np.float32) for _ in range(3))
    return Region(
        rows=nowhere,
        columns=nowhere,
        usable=(nowhere, nowhere),
        centre=(0.0, 0.0),
        slack=0,
        lit=np.empty(shape, np.float32),
        shadow=np.empty((0, 0), np.float32),
        metal=np.empty(shape, np.float32),
        solid=np.empty(shape, np.uint8),
        relief=np.empty(shape, np.uint8),
        colour=np.empty((*shape, 3), np.float32),
        composed=np.empty((*shape, 3), np.float32),
        planes=(first, second, third),
    )


def _span(centre: float, reach: float, blur: int, length: int) -> tuple[slice, slice]:
    """Return a region's extent on one axis, and what of it is usable: the frame's edge is.

    Its size does not depend on where it lies, unless the frame cuts it off: a camera that moves
    from part to part then needs no new arrays.
    """
    first = math.floor(centre) - math.ceil(reach)
    last = math.floor(centre) + math.ceil(reach) + 2
    span = slice(max(0, first), min(length, last))
    cut_first = blur if first > 0 else 0
    cut_last = blur if last < length else 0
    return span, slice(cut_first, span.stop - span.start - cut_last)
