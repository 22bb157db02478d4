"""From an image to a model's input: crop, resize and reorder, into buffers that are reused.

Invariants:
    - What the model sees is the image's own uint8, cropped, resized, its channels as the model
      wants them, and nothing else; the border of a letterbox is as grey as `Input.fill` says.
    - No buffer is allocated for an image of the same size as the one before.
    - An image that cannot be looked at is refused: the buffer never keeps the one before.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from edge_agent.camera.frame import Image
from edge_agent.errors import EngineError
from edge_agent.inspection.engines import Pixels
from edge_agent.inspection.seen import WHOLE, Box, Map
from edge_agent.inspection.spec import Input

_AREA_FROM = 2.0
"""Shrinking by this much or more averages all pixels; less takes the nearest four."""


class Placement(msgspec.Struct, frozen=True):
    """Where the model's input lies.

    Attributes:
        region: What of the image the whole input covers, in shares of the image; it juts out of
            it where the input has a border.
        content: What of the input is not border, in shares of the input.
    """

    region: Box
    content: Box = WHOLE


class _Plan(msgspec.Struct, frozen=True):
    """How images of one shape are brought into the buffer."""

    shape: tuple[int, ...]
    crop: tuple[int, int, int, int]
    target: Any  # the part of the buffer that the image fills
    scratch: Any  # the image as large as the target, before its channels are brought into order
    how: int
    placement: Placement


class View:
    """Fills the input of one model. Not thread-safe.

    Attributes:
        pixels: The input, uint8 (1, height, width, channels).
    """

    def __init__(self, spec: Input) -> None:
        self._spec = spec
        self.pixels: Pixels = np.zeros((1, spec.height, spec.width, spec.channels), np.uint8)
        self._plan: _Plan | None = None

    def fill(self, image: Image) -> Placement:
        """Bring an image into the buffer.

        Args:
            image: HxWx3 BGR or HxW grey, uint8; neither changed nor kept.

        Raises:
            EngineError: It is not such an image.
        """
        import cv2  # noqa: PLC0415 - heavy: loaded with the first model, not with the program

        if image.dtype != np.uint8 or image.size == 0 or image.shape[2:] not in {(), (3,)}:
            raise EngineError(
                f"an image of {list(image.shape)} {image.dtype} cannot be looked at: it takes "
                f"uint8, height x width x 3 or height x width"
            )
        plan = self._plan
        if plan is None or plan.shape != image.shape:
            plan = self._plan = self._make_plan(image.shape)
        x0, y0, x1, y1 = plan.crop
        view = image[y0:y1, x0:x1]
        into = plan.target if plan.scratch is None else plan.scratch
        size = (into.shape[1], into.shape[0])
        cv2.resize(view, size, dst=into, interpolation=plan.how)
        if plan.scratch is not None:
            cv2.cvtColor(into, self._conversion(image.ndim), dst=plan.target)
        return plan.placement

    def _conversion(self, dimensions: int) -> int:
        import cv2  # noqa: PLC0415 - as above

        if dimensions == 2:
            return cv2.COLOR_GRAY2BGR
        return cv2.COLOR_BGR2GRAY if self._spec.channels == 1 else cv2.COLOR_BGR2RGB

    def _make_plan(self, shape: tuple[int, ...]) -> _Plan:
        import cv2  # noqa: PLC0415 - as above

        spec = self._spec
        crop = Box.of(spec.roi).pixels(shape)
        left, top, width, height = 0, 0, spec.width, spec.height
        if spec.fit == "crop":
            crop = _middle(crop, width / height)
        across, down = crop[2] - crop[0], crop[3] - crop[1]
        if spec.fit == "letterbox":
            scale = min(width / across, height / down)
            width, height = max(1, round(across * scale)), max(1, round(down * scale))
            left, top = (spec.width - width) // 2, (spec.height - height) // 2
            self.pixels[:] = spec.fill
        target = self.pixels[0, top : top + height, left : left + width]
        if spec.channels == 1:
            target = target[:, :, 0]
        channels = shape[2:]
        as_is = channels == ((3,) if spec.order == "BGR" else () if spec.channels == 1 else None)
        shrink = min(down / height, across / width)
        return _Plan(
            shape,
            crop,
            target,
            None if as_is else np.zeros((height, width, *channels), np.uint8),
            cv2.INTER_AREA if shrink >= _AREA_FROM else cv2.INTER_LINEAR,
            Placement(
                Box(
                    (crop[0] - left * across / width) / shape[1],
                    (crop[1] - top * down / height) / shape[0],
                    spec.width * across / width / shape[1],
                    spec.height * down / height / shape[0],
                ),
                Box(left / spec.width, top / spec.height, width / spec.width, height / spec.height),
            ),
        )


def _middle(crop: tuple[int, int, int, int], aspect: float) -> tuple[int, int, int, int]:
    """Return the middle of a rectangle of pixels that has this aspect (width by height)."""
    x0, y0, x1, y1 = crop
    width = min(x1 - x0, max(1, round((y1 - y0) * aspect)))
    height = min(y1 - y0, max(1, round((x1 - x0) / aspect)))
    left, top = x0 + (x1 - x0 - width) // 2, y0 + (y1 - y0 - height) // 2
    return left, top, left + width, top + height


def clip(box: Box, bounds: Box) -> Box:
    """Return the part of a box that lies within bounds; of no size where none does."""
    x0 = min(max(box.x, bounds.x), bounds.x + bounds.width)
    y0 = min(max(box.y, bounds.y), bounds.y + bounds.height)
    x1 = min(max(box.x + box.width, x0), bounds.x + bounds.width)
    y1 = min(max(box.y + box.height, y0), bounds.y + bounds.height)
    return Box(x0, y0, x1 - x0, y1 - y0)


def place_map(values: Map, placement: Placement) -> tuple[Map, Box]:
    """Cut the border off a map over the whole input; return it with what of the image it covers.

    It is cut between cells: a cell that is partly border stays, and is placed within the image.
    """
    content = placement.content
    if content == WHOLE:
        return values, placement.region
    rows, columns = values.shape
    x0, y0, x1, y1 = content.pixels((rows, columns))
    cut = Box(x0 / columns, y0 / rows, (x1 - x0) / columns, (y1 - y0) / rows)
    inside = clip(cut, content)
    return values[y0:y1, x0:x1], inside.within(placement.region)
