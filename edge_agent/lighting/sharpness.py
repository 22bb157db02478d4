"""Sharpness of patches, where the scene has no edges of its own to see focus by."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edge_agent.camera.frame import Image

PATCH = 48
"""Side of a patch in pixels."""

_SPOTS = 2
Spot = tuple[float, float]
"""Upper left corner of a patch, as shares of the frame's width and height."""


def sharpness(image: Image, spots: tuple[Spot, ...]) -> float:
    """Return ln(variance of the Laplacian / variance) over patches (Pech-Pacheco et al., 2000)."""
    import cv2  # noqa: PLC0415 - heavy: not needed to read a configuration

    edges = texture = 0.0
    for spot in spots:
        patch = np.ascontiguousarray(patch_at(image, spot))
        _, deviation = cv2.meanStdDev(patch)
        _, laplacian = cv2.meanStdDev(cv2.Laplacian(patch, cv2.CV_16S))
        texture += float(deviation[0, 0]) ** 2
        edges += float(laplacian[0, 0]) ** 2
    return math.log((edges + 1.0) / (texture + 1.0))


def patch_at(image: Image, spot: Spot) -> Image:
    """Return the view of the patch at a spot, its green channel where there is colour."""
    height, width = image.shape[:2]
    x = min(round(spot[0] * width), max(0, width - PATCH))
    y = min(round(spot[1] * height), max(0, height - PATCH))
    patch = image[y : y + PATCH, x : x + PATCH]
    return patch if patch.ndim == 2 else patch[:, :, 1]


def choose_spots(frames: Sequence[Image]) -> tuple[Spot, ...]:
    """Choose where sharpness is measured: texture that is there in every frame.

    A patch qualifies by the least of its standard deviations over the frames, so that what moves
    with the part is not chosen.
    """
    height, width = frames[0].shape[:2]
    columns, rows = max(1, width // PATCH), max(1, height // PATCH)
    spots = [(x / columns, y / rows) for y in range(rows) for x in range(columns)]
    some = frames[:: max(1, len(frames) // 10)]
    texture = [min(float(patch_at(frame, spot).std()) for frame in some) for spot in spots]
    best = np.argsort(texture)[::-1][:_SPOTS]
    return tuple(spots[int(index)] for index in sorted(best.tolist()))
