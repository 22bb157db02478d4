"""The overlay: a picture of a part that shows where its score comes from."""

from __future__ import annotations

import numpy as np

from edge_agent.camera.frame import Image
from edge_agent.camera.roi import Roi
from edge_agent.inspection.seen import Map

_COLOURS = {"ok": (90, 170, 60), "ng": (50, 50, 220), "review": (0, 165, 240)}
_GREY = (130, 130, 130)
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
    import cv2  # noqa: PLC0415 - heavy: only who draws needs it

    canvas = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image.copy()
    if anomaly_map is not None:
        x0, y0, x1, y1 = roi.pixels(image)
        size = (x1 - x0, y1 - y0)
        heat = cv2.resize(anomaly_map, size, interpolation=cv2.INTER_CUBIC)
        level = np.clip(heat / max(threshold, 1e-6), 0.0, 1.0)
        colours = cv2.applyColorMap((level * 255).astype(np.uint8), cv2.COLORMAP_TURBO)
        weight = (_SHARE * np.square(level))[:, :, np.newaxis]
        view = canvas[y0:y1, x0:x1]
        view[:] = (view * (1.0 - weight) + colours * weight).astype(np.uint8)
        above = (heat >= threshold).astype(np.uint8)
        outlines, _ = cv2.findContours(above, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(view, outlines, -1, _COLOURS["ng"], 2)
    colour = _COLOURS.get(verdict, _GREY)
    scale = max(canvas.shape[1] / 900.0, 0.4)
    bar = np.full((round(40 * scale), canvas.shape[1], 3), colour, np.uint8)
    cv2.putText(
        bar, caption, (round(8 * scale), round(28 * scale)), cv2.FONT_HERSHEY_SIMPLEX, 0.75 * scale,
        (255, 255, 255), max(1, round(1.6 * scale)), cv2.LINE_AA,
    )  # fmt: skip
    return np.vstack([canvas, bar]).astype(np.uint8, copy=False)
