"""The region of interest: the part of a frame that is looked at."""

from __future__ import annotations

from typing import Annotated

import msgspec

from edge_agent.camera.frame import Image

Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]


class Roi(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rectangle in shares of the frame's width and height, so that it fits any resolution.

    Attributes:
        x: Left edge, share of the width.
        y: Upper edge, share of the height.
        width: Share of the width.
        height: Share of the height.
    """

    x: Share = 0.0
    y: Share = 0.0
    width: Share = 1.0
    height: Share = 1.0

    def __post_init__(self) -> None:
        """Refuse a rectangle that is empty or leaves the frame."""
        if not (self.width > 0.0 and self.height > 0.0):  # nor is it above 0 if it is no number
            raise ValueError("roi: width and height must be above 0")
        if not (self.x >= 0.0 and self.y >= 0.0):
            raise ValueError("roi: reaches beyond the frame (x or y below 0)")
        if not (self.x + self.width <= 1.0 + 1e-9 and self.y + self.height <= 1.0 + 1e-9):
            raise ValueError("roi: reaches beyond the frame (x + width or y + height over 1)")

    def pixels(self, image: Image) -> tuple[int, int, int, int]:
        """Return x0, y0, x1, y1 in pixels of this image; never empty.

        >>> import numpy as np
        >>> Roi(0.25, 0.0, 0.5, 1.0).pixels(np.zeros((480, 640), np.uint8))
        (160, 0, 480, 480)
        """
        height, width = image.shape[:2]
        x0, y0 = min(round(self.x * width), width - 1), min(round(self.y * height), height - 1)
        x1 = max(round((self.x + self.width) * width), x0 + 1)
        y1 = max(round((self.y + self.height) * height), y0 + 1)
        return x0, y0, x1, y1

    def crop(self, image: Image) -> Image:
        """Return the view of an image that lies in the region; no pixel is copied."""
        x0, y0, x1, y1 = self.pixels(image)
        return image[y0:y1, x0:x1]
