"""Planted marks: what defects do to features, learned without a defect.

Of the many directions in which features can move, a head keeps a few. Blots and lines of every
shade, planted on good parts, show which of them carry defects: with random ones instead, a
quarter more defects of real parts escape at 1 % false rejects (docs/figures.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from calibration.features import Extractor

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from calibration.projection import Floats
    from edge_agent.camera.frame import Image
    from edge_agent.inspection.spec import Input

PARTS = 30
"""Good parts that marks are planted on; more change nothing."""

_PIXELS_PER_MARK = 6500
_SEED = 77


def changes(frames: Sequence[Image], spec: Input, *, trunk: Path | None = None) -> Floats:
    """Plant marks on good parts; return how the features of each cell change.

    Args:
        frames: Good parts, HxWx3 BGR or HxW grey, uint8; at most `PARTS` are used, evenly.
        spec: What the model looks at.
        trunk: The trunk's file; the int8 one by default.

    Returns:
        float32 (cells of all parts, channels).
    """
    extractor = Extractor(spec, trunk=trunk)
    rng = np.random.default_rng(_SEED)
    parts = min(PARTS, len(frames))
    found = []
    for place in np.linspace(0, len(frames) - 1, parts):
        plain = extractor.view(frames[round(place)])
        count = max(1, round(plain.shape[0] * plain.shape[1] / _PIXELS_PER_MARK))
        found.append(extractor.of_view(plant(plain, rng, count)) - extractor.of_view(plain))
    return np.concatenate(found)


def plant(image: Image, rng: np.random.Generator, count: int) -> Image:
    """Draw so many faint and strong blots and lines, 2 to 50 pixels long, on a copy."""
    height, width = image.shape[:2]
    for _ in range(count):
        x, y = rng.uniform(0.03, 0.97) * width, rng.uniform(0.03, 0.97) * height
        image = plant_at(image, rng, (x, y))
    return image


def plant_at(
    image: Image, rng: np.random.Generator, place: tuple[float, float], *, scale: float = 1.0
) -> Image:
    """Draw one mark, larger by a factor, on a copy."""
    layer = image.copy()
    x, y = place
    size, turn = scale * rng.uniform(2, 10), rng.uniform(0, np.pi)
    shade = [float(rng.uniform(0, 255))] * 3
    if rng.random() < 0.5:
        axes = (max(1, round(size)), max(1, round(size * rng.uniform(0.3, 1))))
        middle = (round(x), round(y))
        cv2.ellipse(layer, middle, axes, float(np.degrees(turn)), 0, 360, shade, -1, cv2.LINE_AA)
    else:
        dx, dy = 2.5 * size * np.cos(turn), 2.5 * size * np.sin(turn)
        begin, end = (round(x - dx), round(y - dy)), (round(x + dx), round(y + dy))
        thick = max(1, round(scale * int(rng.integers(1, 3))))
        cv2.line(layer, begin, end, shade, thick, cv2.LINE_AA)
    strength = float(rng.uniform(0.2, 0.8))
    return np.asarray(cv2.addWeighted(layer, strength, image, 1 - strength, 0), np.uint8)
