"""Find how a part lies before a plain background, so that a model always sees it the same way.

The part is the largest thing that differs from the border of the image. It lies along the axis in
which it is longest, the end where it has more of its area first. A model that compares places can
then look at parts that lie as they fell.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from edge_agent.camera.frame import Image

Matrix = npt.NDArray[np.float64]
"""2 x 3: from pixels (x, y, 1) to pixels (x, y)."""

_SIDE = 160
"""Longer side of the image in which the part is looked for."""

_LEAST_CONTRAST = 12
_LEAST_SHARE = 0.002


class Lie(msgspec.Struct, frozen=True):
    """How a part lies in an image.

    Attributes:
        x: Middle of its extent, pixels of the image.
        y: Middle of its extent, pixels of the image.
        angle: Of its long axis, radians, from the x axis towards the y axis; the end with more area
            comes first.
        length: Along the axis, pixels.
        breadth: Across it, pixels.
        slimness: Variance along the axis over variance across it; near 1 there is no long axis.
        lopsided: Skewness of the area along the axis; near 0 both ends look alike.
        area: Share of the image.
        inside: It does not touch the border.
    """

    x: float
    y: float
    angle: float
    length: float
    breadth: float
    slimness: float
    lopsided: float
    area: float
    inside: bool


def find_lie(image: Image) -> Lie | None:
    """Find how the part lies; None where nothing differs from the background.

    Args:
        image: HxWx3 or HxW, uint8; neither changed nor kept.
    """
    import cv2  # noqa: PLC0415 - heavy: loaded with the first model, not with the program

    found = _outline(image)
    if found is None:
        return None
    outline, (rows, columns), scale = found
    sums = cv2.moments(outline)
    area = sums["m00"]
    middle_x, middle_y = sums["m10"] / area, sums["m01"] / area
    angle = 0.5 * math.atan2(2 * sums["mu11"], sums["mu20"] - sums["mu02"])
    cos, sin = math.cos(angle), math.sin(angle)
    both = 2 * sums["mu11"] * cos * sin
    along = (sums["mu20"] * cos * cos + both + sums["mu02"] * sin * sin) / area
    across = (sums["mu20"] * sin * sin - both + sums["mu02"] * cos * cos) / area
    skew = (
        sums["mu30"] * cos**3
        + 3 * sums["mu21"] * cos * cos * sin
        + 3 * sums["mu12"] * cos * sin * sin
        + sums["mu03"] * sin**3
    ) / (area * max(along, 1e-9) ** 1.5)
    if skew < 0:
        angle, cos, sin = angle + math.pi, -cos, -sin
    x, y = outline[:, 0, 0] - middle_x, outline[:, 0, 1] - middle_y
    ahead, beside = x * cos + y * sin, y * cos - x * sin
    low, high, left, right = (
        float(each) for each in (ahead.min(), ahead.max(), beside.min(), beside.max())
    )
    on, off = (low + high) / 2, (left + right) / 2
    x0, y0, wide, tall = cv2.boundingRect(outline)
    return Lie(
        x=(middle_x + on * cos - off * sin + 0.5) * scale - 0.5,
        y=(middle_y + on * sin + off * cos + 0.5) * scale - 0.5,
        angle=angle,
        length=(high - low + 1) * scale,
        breadth=(right - left + 1) * scale,
        slimness=along / max(across, 1e-9),
        lopsided=abs(skew),
        area=area / (rows * columns),
        inside=min(x0, y0) > 0 and x0 + wide < columns and y0 + tall < rows,
    )


def turn_of(
    lie: Lie | None, shape: tuple[int, ...], *, view: tuple[int, int], length: float
) -> Matrix:
    """Return what brings an image into a view in which the part lies level, in the middle.

    Args:
        lie: How the part lies; None looks at the middle of the image, as it is.
        shape: Of the image.
        view: Height and width of the view, pixels.
        length: Pixels of the image that the width of the view shows.
    """
    height, width = shape[:2]
    x, y, angle = (lie.x, lie.y, lie.angle) if lie else ((width - 1) / 2, (height - 1) / 2, 0.0)
    scale = view[1] / length
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    middle_x, middle_y = (view[1] - 1) / 2, (view[0] - 1) / 2
    return np.array(
        [
            [cos, sin, middle_x - cos * x - sin * y],
            [-sin, cos, middle_y + sin * x - cos * y],
        ]
    )


def _outline(image: Image) -> tuple[Any, tuple[int, int], int] | None:
    """Return the part's outline in a shrunken image, the shape of that, and how far it shrank."""
    import cv2  # noqa: PLC0415 - heavy: loaded with the first model, not with the program

    height, width = image.shape[:2]
    scale = max(1, round(max(height, width) / _SIDE))  # whole pixels: shrinking is much faster so
    rows, columns = max(1, height // scale), max(1, width // scale)
    whole = image[: rows * scale, : columns * scale]
    small = cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (5, 5), 1.0).reshape(rows, columns, -1)
    border = np.concatenate([small[0], small[-1], small[:, 0], small[:, -1]])
    plain = np.median(border, axis=0).astype(np.uint8)
    away = cv2.absdiff(small, np.broadcast_to(plain, small.shape)).reshape(rows, columns, -1)
    away = away.max(axis=2)
    limit, _ = cv2.threshold(away, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    differs = (away > max(limit, _LEAST_CONTRAST)).astype(np.uint8)
    outlines, _ = cv2.findContours(differs, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    largest = max(outlines, key=cv2.contourArea, default=None)
    if largest is None or cv2.contourArea(largest) < _LEAST_SHARE * differs.size:
        return None
    return largest, (rows, columns), scale
