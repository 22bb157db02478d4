"""From an image to a model's input: crop, resize and reorder, into buffers that are reused.

Invariants:
    - What the model sees is the image's own uint8, cropped, resized or turned (`Input.pose`), its
      channels as the model wants them, times one factor where a level is asked for, and nothing
      else; the border of a letterbox is as grey as `Input.fill` says.
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
from edge_agent.inspection.pose import Matrix, find_lie, turn_of
from edge_agent.inspection.seen import WHOLE, Box, Map
from edge_agent.inspection.spec import Input

_AREA_FROM = 2.0
"""Shrinking by this much or more averages all pixels; less takes the nearest four."""

_MOST_GAIN = 4.0
"""Light is made up for by up to this factor, and down to one over it."""

_UPRIGHT = 32
"""Longer side of a map that was turned back."""


class Placement(msgspec.Struct, frozen=True):
    """Where the model's input lies.

    Attributes:
        region: What of the image the whole input covers, in shares of the image; it juts out of
            it where the input has a border.
        content: What of the input is not border, in shares of the input.
        turn: 2 x 3, from pixels of the region to shares of the input, where the part was turned.
        size: Height and width of the region, in those pixels.
    """

    region: Box
    content: Box = WHOLE
    turn: Matrix | None = None
    size: tuple[int, int] = (0, 0)


class _Plan(msgspec.Struct, frozen=True):
    """How images of one shape are brought into the buffer."""

    shape: tuple[int, ...]
    crop: tuple[int, int, int, int]
    target: Any  # the part of the buffer that the image fills
    scratch: Any  # the image as large as the target, before its channels are brought into order
    reduced: Any  # the image before it is turned, where it is much larger than the target
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
        placement = plan.placement
        if self._spec.pose is not None:
            placement = self._turn(view, plan, into, self._spec.pose.length)
        else:
            cv2.resize(view, size, dst=into, interpolation=plan.how)
        if plan.scratch is not None:
            cv2.cvtColor(into, self._conversion(image.ndim), dst=plan.target)
        if self._spec.level is not None:
            mean = sum(cv2.mean(plan.target)[: self._spec.channels]) / self._spec.channels
            gain = min(max(self._spec.level / max(mean, 1e-6), 1 / _MOST_GAIN), _MOST_GAIN)
            cv2.convertScaleAbs(plan.target, dst=plan.target, alpha=gain)
        return placement

    def _turn(self, view: Image, plan: _Plan, into: Any, length: float) -> Placement:
        """Bring the part into the buffer, level and in the middle."""
        import cv2  # noqa: PLC0415 - as above

        if plan.reduced is not None:
            size = (plan.reduced.shape[1], plan.reduced.shape[0])
            cv2.resize(view, size, dst=plan.reduced, interpolation=cv2.INTER_AREA)
            view = plan.reduced
        height, width = into.shape[:2]
        turn = turn_of(
            find_lie(view), view.shape, view=(height, width), length=length * view.shape[1]
        )
        cv2.warpAffine(
            view, turn, (width, height), dst=into,
            flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        shares = (turn + np.array([[0.0, 0.0, 0.5]])) / np.array([[width], [height]])
        return msgspec.structs.replace(plan.placement, turn=shares, size=view.shape[:2])

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
        if spec.fit == "crop" and spec.pose is None:
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
            self._reduced((down, across, *channels)),
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

    def _reduced(self, shape: tuple[int, ...]) -> Any:
        """Return a buffer for an image that is shrunk before it is turned; None if it need not."""
        pose = self._spec.pose
        factor = int(pose.length * shape[1] / self._spec.width) if pose else 1
        if factor < _AREA_FROM:
            return None
        rows, columns = (max(1, side // factor) for side in shape[:2])
        return np.zeros((rows, columns, *shape[2:]), np.uint8)


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

    It is cut between cells: a cell that is partly border stays, and is placed within the image. A
    map of a part that was turned is turned back; where the view did not reach, it is 0.
    """
    content = placement.content
    if placement.turn is not None:
        return _turned_back(values, placement.turn, placement.size), placement.region
    if content == WHOLE:
        return values, placement.region
    rows, columns = values.shape
    x0, y0, x1, y1 = content.pixels((rows, columns))
    cut = Box(x0 / columns, y0 / rows, (x1 - x0) / columns, (y1 - y0) / rows)
    inside = clip(cut, content)
    return values[y0:y1, x0:x1], inside.within(placement.region)


def _turned_back(values: Map, turn: Matrix, size: tuple[int, int]) -> Map:
    """Lay a map over the view onto the region that the view was taken from."""
    import cv2  # noqa: PLC0415 - as above

    scale = _UPRIGHT / max(size)
    rows, columns = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    across, down = size[1] / columns, size[0] / rows
    # From cells of the new map to pixels of the region, to shares of the view, to cells of the map.
    pixels = np.array([[across, 0.0, across / 2 - 0.5], [0.0, down, down / 2 - 0.5], [0, 0, 1.0]])
    cells = np.array([[values.shape[1]], [values.shape[0]]]) * (turn @ pixels)
    cells[:, 2] -= 0.5
    back = cv2.warpAffine(
        values, cells, (columns, rows), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    return np.asarray(back, np.float32)
