"""The figures that describe the light and the camera of one frame.

All of them come from a thinned copy of the frame (one pixel of every n x n, about 80 columns) and
from a few small patches at full resolution, so that their cost hardly grows with the resolution.
Pixel values are decoded to linear light first, (v / 255) ** 2.2, the inverse of the usual camera
response: a lamp at half its power then shows as half the level.

| statistic | formula | unit |
|---|---|---|
| level | mean linear light of the grey image | share of full scale |
| contrast | standard deviation / mean of linear light | ratio |
| clipped_dark | share of values <= 2 | share |
| clipped_bright | share of values >= 253 | share |
| warmth | ln(mean red / mean blue) of linear light; 0 in grey images | ln ratio |
| sharpness | ln(variance of the Laplacian / variance) over the patches | ln ratio |
| grid | mean linear light of each cell of a 4 x 6 grid / level | ratio |

The Laplacian's variance as a measure of focus: Pech-Pacheco et al., "Diatom autofocusing in
brightfield microscopy", ICPR 2000.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Annotated

import msgspec
import numpy as np
import numpy.typing as npt

from edge_agent.camera.frame import Image

GAMMA = 2.2
ROWS, COLUMNS = 4, 6
PATCH = 48
"""Side of a sharpness patch in pixels of the frame."""

_THIN_COLUMNS = 80
_GOLDEN = 0.6180339887498949
_DARK, _BRIGHT = 2, 253
_TINY = 1e-6
_LINEAR = ((np.arange(256) / 255.0) ** GAMMA).astype(np.float32)
SCALARS = ("level", "contrast", "clipped_dark", "clipped_bright", "warmth", "sharpness")

FloatArray = npt.NDArray[np.float32]
_Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Spot = tuple[_Share, _Share]
"""Upper left corner of a patch, as shares of the frame's width and height."""


class Statistics(msgspec.Struct, frozen=True):
    """The figures of one frame; see the module for formulas and units.

    Attributes:
        grid: `ROWS` * `COLUMNS` cells, row by row, from the upper left.
    """

    level: float
    contrast: float
    clipped_dark: float
    clipped_bright: float
    warmth: float
    sharpness: float
    grid: FloatArray


def measure(image: Image, spots: tuple[Spot, ...]) -> Statistics:
    """Measure one frame.

    Args:
        image: HxWx3 BGR or HxW grey, uint8, at least 8 pixels a side.
        spots: Where sharpness is measured; see `Baseline.spots`.
    """
    import cv2  # noqa: PLC0415 - heavy: not needed to read a configuration

    thin = _thin(image)
    light = cv2.LUT(thin, _LINEAR)
    if thin.ndim == 2:
        warmth = 0.0
        grey = light
    else:
        blue, _, red, _ = cv2.mean(light)
        warmth = math.log((red + _TINY) / (blue + _TINY))
        grey = cv2.transform(light, _TO_GREY)
    mean, deviation = cv2.meanStdDev(grey)
    level = float(mean[0, 0])
    counts = cv2.calcHist([thin.reshape(-1)], [0], None, [256], [0, 256]).reshape(-1).tolist()
    cells = cv2.resize(grey, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA)
    return Statistics(
        level=level,
        contrast=float(deviation[0, 0]) / (level + _TINY),
        clipped_dark=sum(counts[: _DARK + 1]) / thin.size,
        clipped_bright=sum(counts[_BRIGHT:]) / thin.size,
        warmth=warmth,
        sharpness=_sharpness(image, spots),
        grid=np.asarray(cells.reshape(-1) / np.float32(level + _TINY), np.float32),
    )


def _thin(image: Image) -> Image:
    """Return one pixel of each small square of a frame, about `_THIN_COLUMNS` across."""
    height, width = image.shape[:2]
    places = _places(height, width)
    if image.ndim == 2:
        return image.reshape(-1).take(places)
    return image.reshape(-1, image.shape[2]).take(places, axis=0)


@lru_cache(maxsize=4)
def _places(height: int, width: int) -> npt.NDArray[np.intp]:
    """Choose where a frame is sampled: rows x columns of flat pixel indices.

    Each square is sampled at another place than its neighbours (by the golden ratio, which never
    repeats): on a regular grid a thin line, such as the edge of a conveyor, would lie on a whole
    row of samples or on none, and a shift of one pixel would look like a change of light.
    """
    step = max(1, width // _THIN_COLUMNS)
    rows, columns = max(ROWS, height // step), max(COLUMNS, width // step)
    row, column = np.arange(rows)[:, np.newaxis], np.arange(columns)[np.newaxis, :]
    down, right = np.modf(column * _GOLDEN)[0], np.modf(row * _GOLDEN)[0]
    y = np.floor((row + down) * (height / rows)).astype(np.intp)
    x = np.floor((column + right) * (width / columns)).astype(np.intp)
    places: npt.NDArray[np.intp] = y * width + x
    return places


def patch_at(image: Image, spot: Spot) -> Image:
    """Return the view of the patch at a spot, its green channel where there is colour."""
    height, width = image.shape[:2]
    x = min(round(spot[0] * width), max(0, width - PATCH))
    y = min(round(spot[1] * height), max(0, height - PATCH))
    patch = image[y : y + PATCH, x : x + PATCH]
    return patch if patch.ndim == 2 else patch[:, :, 1]


def _sharpness(image: Image, spots: tuple[Spot, ...]) -> float:
    import cv2  # noqa: PLC0415 - see measure

    edges = texture = 0.0
    for spot in spots:
        patch = np.ascontiguousarray(patch_at(image, spot))
        _, deviation = cv2.meanStdDev(patch)
        _, laplacian = cv2.meanStdDev(cv2.Laplacian(patch, cv2.CV_16S))
        texture += float(deviation[0, 0]) ** 2
        edges += float(laplacian[0, 0]) ** 2
    return math.log((edges + 1.0) / (texture + 1.0))


_TO_GREY: FloatArray = np.array([[1 / 3, 1 / 3, 1 / 3]], np.float32)
