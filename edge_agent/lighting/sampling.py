"""Which pixels of a frame are looked at: a lattice that no line of the scene can hide behind.

Pixel values are decoded to linear light, (v / 255) ** 2.2, the inverse of the usual camera
response: a lamp at half its power then shows as half the light, and light that is added adds up.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from edge_agent.camera.frame import Image

GAMMA = 2.2
LINEAR = ((np.arange(256) / 255.0) ** GAMMA).astype(np.float32)
"""256: the linear light of each pixel value, 1.0 saturates."""

POINTS = 2000
"""About so many points of a frame are looked at."""

_LEAST_STEP = 2.0
_GOLDEN = 0.6180339887498949

Places = npt.NDArray[np.intp]
FloatArray = npt.NDArray[np.float32]
Samples = npt.NDArray[np.uint8]


def lattice_size(height: int, width: int) -> tuple[int, int]:
    """Return how many rows and columns of points suit a frame."""
    step = max(_LEAST_STEP, (height * width / POINTS) ** 0.5)
    return max(4, int(height / step)), max(6, int(width / step))


@lru_cache(maxsize=8)
def lattice(height: int, width: int, rows: int, columns: int) -> Places:
    """Choose where a frame is sampled: flat pixel indices, rows * columns of them, row by row.

    Each square is sampled at another place than its neighbours (by the golden ratio, which never
    repeats): on a regular grid a thin line, such as the edge of a conveyor, would lie on a whole
    row of points or on none, and a shift of one pixel would look like a change of light.
    """
    row, column = np.arange(rows)[:, np.newaxis], np.arange(columns)[np.newaxis, :]
    down, right = np.modf(column * _GOLDEN)[0], np.modf(row * _GOLDEN)[0]
    y = np.minimum(np.floor((row + down) * (height / rows)), height - 1).astype(np.intp)
    x = np.minimum(np.floor((column + right) * (width / columns)), width - 1).astype(np.intp)
    return np.ascontiguousarray((y * width + x).reshape(-1))


def take(image: Image, places: Places) -> Samples:
    """Return the pixels at flat places: PxC, C = 1 in grey images."""
    channels = 1 if image.ndim == 2 else image.shape[2]
    if image.flags.c_contiguous:
        return image.reshape(-1, channels).take(places, axis=0)
    y, x = np.divmod(places, image.shape[1])
    return image[y, x].reshape(len(places), channels)


def green(image: Image) -> Image:
    """Return the view of the channel with the least noise: green, or the only one."""
    return image if image.ndim == 2 else image[:, :, 1]
