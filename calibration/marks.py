"""Planted marks: what defects do to features, learned without a defect.

Of the many directions in which features can move, a head keeps a few. Blots and lines of every
shade, planted on good parts, show which of them carry defects: with random ones instead, a
quarter more defects of real parts escape at 1 % false rejects (docs/figures.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import msgspec
import numpy as np

from calibration.features import Extractor
from edge_agent.camera.roi import Roi

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from calibration.anomaly import Floats
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
    extractor = Extractor(msgspec.structs.replace(spec, roi=Roi()), trunk=trunk)
    rng = np.random.default_rng(_SEED)
    count = min(PARTS, len(frames))
    found = []
    for place in np.linspace(0, len(frames) - 1, count):
        plain = _as_seen(frames[round(place)], spec)
        before = extractor.features(plain).copy()
        found.append(extractor.features(_plant(plain, rng)) - before)
    return np.concatenate(found)


def _as_seen(frame: Image, spec: Input) -> Image:
    """Return a frame as large as the model sees it, in colour."""
    view = cv2.resize(spec.roi.crop(frame), (spec.width, spec.height), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(view, cv2.COLOR_GRAY2BGR) if view.ndim == 2 else view, np.uint8)


def _plant(image: Image, rng: np.random.Generator) -> Image:
    """Draw faint and strong blots and lines, 2 to 50 pixels long."""
    marked = image.copy()
    height, width = image.shape[:2]
    for _ in range(max(1, round(height * width / _PIXELS_PER_MARK))):
        layer = marked.copy()
        x, y = rng.uniform(0.03, 0.97) * width, rng.uniform(0.03, 0.97) * height
        size, turn = rng.uniform(2, 10), rng.uniform(0, np.pi)
        shade = [float(rng.uniform(0, 255))] * 3
        if rng.random() < 0.5:
            axes = (max(1, round(size)), max(1, round(size * rng.uniform(0.3, 1))))
            middle = (round(x), round(y))
            cv2.ellipse(
                layer, middle, axes, float(np.degrees(turn)), 0, 360, shade, -1, cv2.LINE_AA
            )
        else:
            dx, dy = 2.5 * size * np.cos(turn), 2.5 * size * np.sin(turn)
            begin, end = (round(x - dx), round(y - dy)), (round(x + dx), round(y + dy))
            cv2.line(layer, begin, end, shade, int(rng.integers(1, 3)), cv2.LINE_AA)
        strength = float(rng.uniform(0.2, 0.8))
        marked = np.asarray(cv2.addWeighted(layer, strength, marked, 1 - strength, 0), np.uint8)
    return marked
