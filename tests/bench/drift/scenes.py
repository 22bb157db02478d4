"""What is fixed in view: the reflectance of a fixture or a plate, at twice the frame's resolution.

Drawn larger than the frame, so that a camera that moved sees more of it and no edge.
"""

from __future__ import annotations

import cv2
import numpy as np

from tests.bench.drift.images import Linear, Split, some

ZOOM = 2
MARGIN = 64
"""Pixels of the frame that the scene reaches beyond it, on each side."""


def canvas_size(width: int, height: int) -> tuple[int, int]:
    """Return width and height of the scene of a frame."""
    return ZOOM * (width + 2 * MARGIN), ZOOM * (height + 2 * MARGIN)


def photo(size: tuple[int, int], split: Split, rng: np.random.Generator, *, colour: bool) -> Linear:
    """Take a photograph of a block with screws, turned and mirrored by chance, as the scene."""
    (image,) = some("four_screws", split, rng, count=1, colour=colour)
    if rng.random() < 0.5:
        image = np.ascontiguousarray(image[:, ::-1])
    image = np.ascontiguousarray(np.rot90(image, int(rng.integers(4))))
    return _fill(image, size)


def mosaic(
    size: tuple[int, int], split: Split, rng: np.random.Generator, *, colour: bool
) -> Linear:
    """Build a fixture of panels with the textures of real images, and screws on it."""
    width, height = size
    scene = _texture(size, split, rng, colour=colour)
    for _ in range(int(rng.integers(7, 14))):
        w, h = (int(rng.uniform(0.12, 0.4) * width), int(rng.uniform(0.12, 0.4) * height))
        x, y = int(rng.integers(0, width - w)), int(rng.integers(0, height - h))
        scene[y : y + h, x : x + w] = _texture((w, h), split, rng, colour=colour)
        line = float(rng.uniform(0.02, 0.08))
        shade = (line, line, line) if colour else (line,)
        cv2.rectangle(scene, (x, y), (x + w, y + h), shade, int(rng.integers(2, 6)), cv2.LINE_AA)
    for _ in range(int(rng.integers(5, 10))):
        _add_screw(scene, split, rng, colour=colour)
    return scene


def plate(size: tuple[int, int], rng: np.random.Generator, *, colour: bool) -> Linear:
    """Make a bright plate with next to no texture: a haze of half a percent."""
    width, height = size
    shape = (max(2, height // 24), max(2, width // 24))
    coarse = rng.standard_normal(shape).astype(np.float32)
    haze = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
    scene = (0.6 * (1.0 + 0.005 * haze)).astype(np.float32)
    return cv2.cvtColor(scene, cv2.COLOR_GRAY2BGR) if colour else scene


def texture(
    size: tuple[int, int], split: Split, rng: np.random.Generator, *, colour: bool
) -> Linear:
    """Return a real surface, of a reflectance by chance."""
    return _texture(size, split, rng, colour=colour)


def _texture(
    size: tuple[int, int], split: Split, rng: np.random.Generator, *, colour: bool
) -> Linear:
    name = str(rng.choice(["mtd", "mtd", "casting", "four_screws"]))
    (image,) = some(name, split, rng, count=1, colour=colour)
    height, width = image.shape[:2]
    share = rng.uniform(0.4, 0.8)
    h, w = int(share * height), int(share * width)
    y, x = int(rng.integers(0, height - h)), int(rng.integers(0, width - w))
    piece = _fill(image[y : y + h, x : x + w], size)
    level = float(piece.mean()) + 1e-3
    bright: Linear = (piece * np.float32(rng.uniform(0.12, 0.45) / level)).astype(np.float32)
    return np.minimum(bright, np.float32(0.95))


def _add_screw(scene: Linear, split: Split, rng: np.random.Generator, *, colour: bool) -> None:
    (image,) = some("four_screws", split, rng, count=1, colour=colour)
    head = image[69:326, 5:261]
    side = int(rng.uniform(0.06, 0.14) * scene.shape[1])
    head = cv2.resize(head, (side, side), interpolation=cv2.INTER_AREA)
    y, x = (int(rng.integers(0, scene.shape[axis] - side)) for axis in (0, 1))
    mask = np.zeros((side, side), np.float32)
    cv2.circle(mask, (side // 2, side // 2), int(0.46 * side), (1.0,), -1, cv2.LINE_AA)
    weight = mask[..., np.newaxis] if colour else mask
    place = scene[y : y + side, x : x + side]
    place += weight * (head * np.float32(1.5) - place)


def _fill(image: Linear, size: tuple[int, int]) -> Linear:
    """Cut an image to the shape of a size and resize it to that."""
    width, height = size
    rows, columns = image.shape[:2]
    scale = max(width / columns, height / rows)
    h, w = min(rows, round(height / scale)), min(columns, round(width / scale))
    y, x = (rows - h) // 2, (columns - w) // 2
    area = scale < 1
    flag = cv2.INTER_AREA if area else cv2.INTER_CUBIC
    filled = cv2.resize(image[y : y + h, x : x + w], size, interpolation=flag)
    return np.clip(filled, 0.0, 1.0).astype(np.float32)
