"""The overlay: a picture of a part that shows where its scores come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edge_agent.camera.frame import Image
from edge_agent.camera.roi import Roi
from edge_agent.inspection.seen import Box, Finding, Map, PartSeen, PlacedMap
from edge_agent.inspection.spec import Thresholds

_COLOURS = {"ok": (90, 170, 60), "ng": (50, 50, 220), "review": (0, 165, 240)}
_GREY = (130, 130, 130)
_PLAIN = (200, 160, 40)
_SHARE = 0.45
"""How much of the heat colour a point at or above the threshold gets."""


def draw_overlay(
    image: Image, anomaly_map: Map | None, *, roi: Roi, threshold: float, verdict: str, caption: str
) -> Image:
    """Draw the anomaly map over a part, a line around what is above the threshold, and a caption.

    Args:
        image: HxWx3 BGR or HxW grey, uint8; not changed.
        anomaly_map: Rows x columns over the ROI; None when no model looked.
        roi: Where in the image the map lies.
        threshold: Map values from here on are drawn as defect.
        verdict: Sets the colour of the frame.
        caption: One line, written below the image.

    Returns:
        A new image, (H + caption) x W x 3, uint8.
    """
    canvas = _canvas(image)
    if anomaly_map is not None:
        _draw_map(canvas, PlacedMap(anomaly_map, Box.of(roi)), threshold)
    return _with_caption(canvas, verdict, caption)


def draw_part(
    image: Image,
    seen: PartSeen | None,
    *,
    thresholds: Mapping[str, Thresholds],
    verdict: str,
    caption: str,
) -> Image:
    """Draw all that the stages saw in a part: maps, boxes with labels, and a caption.

    Args:
        image: HxWx3 BGR or HxW grey, uint8; not changed.
        seen: What the stages saw; None when none looked.
        thresholds: By stage; what is above is drawn as defect.
        verdict: Sets the colour of the frame.
        caption: One line, written below the image.

    Returns:
        A new image, (H + caption) x W x 3, uint8.
    """
    canvas = _canvas(image)
    stages = seen.stages if seen is not None else ()
    for stage in stages:
        limits = thresholds.get(stage.name)
        for placed in stage.maps:
            _draw_map(canvas, placed, limits.ng if limits else 1.0)
    for stage in stages:
        for finding in reversed(stage.findings):  # the surest on top
            if finding.box is not None:
                _draw_box(canvas, finding, finding.box, thresholds.get(stage.name))
    return _with_caption(canvas, verdict, caption)


def _canvas(image: Image) -> Any:
    import cv2  # noqa: PLC0415 - heavy: only who draws needs it

    return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image.copy()


def _draw_map(canvas: Any, placed: PlacedMap, threshold: float) -> None:
    import cv2  # noqa: PLC0415 - as above

    x0, y0, x1, y1 = placed.region.pixels(canvas.shape)
    heat = cv2.resize(placed.map, (x1 - x0, y1 - y0), interpolation=cv2.INTER_CUBIC)
    level = np.clip(heat / max(threshold, 1e-6), 0.0, 1.0)
    colours = cv2.applyColorMap((level * 255).astype(np.uint8), cv2.COLORMAP_TURBO)
    weight = (_SHARE * np.square(level))[:, :, np.newaxis]
    view = canvas[y0:y1, x0:x1]
    view[:] = (view * (1.0 - weight) + colours * weight).astype(np.uint8)
    above = (heat >= threshold).astype(np.uint8)
    outlines, _ = cv2.findContours(above, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    cv2.drawContours(view, outlines, -1, _COLOURS["ng"], 2)


def _draw_box(canvas: Any, finding: Finding, box: Box, limits: Thresholds | None) -> None:
    import cv2  # noqa: PLC0415 - as above

    colour = _PLAIN
    if limits is not None:
        rank = "ng" if finding.score >= limits.ng else "review"
        colour = _COLOURS[rank if finding.score >= limits.review else "ok"]
    scale = max(canvas.shape[1] / 900.0, 0.4)
    thick = max(1, round(2 * scale))
    x0, y0, x1, y1 = box.pixels(canvas.shape)
    cv2.rectangle(canvas, (x0, y0), (x1 - 1, y1 - 1), colour, thick)
    text = f"{finding.label} {finding.confidence or finding.score:.2f}".lstrip()
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.5 * scale, thick)
    top = y0 - height - 4 if y0 > height + 4 else y0
    cv2.rectangle(canvas, (x0, top), (x0 + width + 4, top + height + 4), colour, cv2.FILLED)
    cv2.putText(
        canvas, text, (x0 + 2, top + height + 1), cv2.FONT_HERSHEY_SIMPLEX, 0.5 * scale,
        (255, 255, 255), max(1, round(scale)), cv2.LINE_AA,
    )  # fmt: skip


def _with_caption(canvas: Any, verdict: str, caption: str) -> Image:
    import cv2  # noqa: PLC0415 - as above

    colour = _COLOURS.get(verdict, _GREY)
    scale = max(canvas.shape[1] / 900.0, 0.4)
    bar = np.full((round(40 * scale), canvas.shape[1], 3), colour, np.uint8)
    cv2.putText(
        bar, caption, (round(8 * scale), round(28 * scale)), cv2.FONT_HERSHEY_SIMPLEX, 0.75 * scale,
        (255, 255, 255), max(1, round(1.6 * scale)), cv2.LINE_AA,
    )  # fmt: skip
    return np.vstack([canvas, bar]).astype(np.uint8, copy=False)
