"""Golden and challenge samples: the frames with which a bundle tests itself.

Samples are JPEG of quality 100 without chroma subsampling: less than half of the lossless size,
with the camera's noise kept, which the model knows. The score that a sample must reach is that of
the decoded file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import cv2
import msgspec
import numpy as np

from edge_agent.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from calibration.projection import Floats
    from edge_agent.camera.frame import Image
    from edge_agent.camera.roi import Roi

Some = TypeVar("Some")

GOLDEN = 4
CHALLENGE = 4
_QUALITY = 100
_SIZES = (0.08, 0.12, 0.18, 0.27, 0.4)
"""Planted blots, as a share of the ROI's shorter side; the smallest that is caught is taken."""


class Planted(msgspec.Struct, frozen=True):
    """A frame with a known defect."""

    image: Image
    truth: str


def encode(image: Image) -> bytes:
    """Return the bytes of a sample's file."""
    flags = [
        cv2.IMWRITE_JPEG_QUALITY, _QUALITY,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]  # fmt: skip
    done, data = cv2.imencode(".jpg", image, flags)
    assert done, "OpenCV encodes every 8-bit image"
    return bytes(data)


def decode(data: bytes) -> Image:
    """Return the frame in a sample's file."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert image is not None, "it was just encoded"
    return np.ascontiguousarray(image, np.uint8)


def golden_of(scores: Floats, passes: Callable[[int], bool]) -> list[int]:
    """Choose golden samples: ordinary parts, spread over the lower three quarters of the scores.

    Args:
        scores: float32 (parts,), each by a fit without the part.
        passes: Tells whether the model finds a part good, as it is stored. Of a part that it does
            not, the next one with a lower score takes the place.

    Raises:
        UsageError: It finds none of them good.
    """
    order = np.argsort(scores, kind="stable")
    found: list[int] = []
    for place in np.linspace(0.1, 0.75, GOLDEN) * (len(order) - 1):
        lower = (int(order[rank]) for rank in range(round(place), -1, -1))
        chosen = next((part for part in lower if part not in found and passes(part)), None)
        if chosen is not None:
            found.append(chosen)
    if not found:
        raise UsageError(
            "the fitted model takes none of the ordinary good parts for good: allow more false "
            "rejects, or give more good parts"
        )
    return found


def plant(
    frames: Sequence[Image], roi: Roi, caught: Callable[[Image], bool], *, seed: int
) -> list[Planted]:
    """Plant blots on good frames, each as small as the model still catches.

    Args:
        frames: Good frames, used in turn.
        roi: Where to plant.
        caught: Tells whether the model sees something wrong with a frame, as it is stored.
        seed: Of place and shade.

    Raises:
        UsageError: Not even blots over a third of the part are caught: the model sees nothing.
    """
    rng = np.random.default_rng(seed)
    found = []
    for number in range(4 * CHALLENGE):
        for planted in _blots(frames[number % len(frames)], roi, rng):
            if caught(planted.image):
                found.append(planted)
                break
        if len(found) == CHALLENGE:
            return found
    raise UsageError(
        "the fitted model does not see defects as large as a third of the part: are the good "
        "parts aligned, and all of one kind?"
    )


def _blots(frame: Image, roi: Roi, rng: np.random.Generator) -> Iterator[Planted]:
    """Draw a blot on a frame, larger and larger."""
    x0, y0, x1, y1 = roi.pixels(frame)
    side = min(x1 - x0, y1 - y0)
    place = rng.uniform(0.3, 0.7, 2)
    centre = (round(x0 + place[0] * (x1 - x0)), round(y0 + place[1] * (y1 - y0)))
    shade = 20.0 if frame[centre[1], centre[0]].mean() > 127 else 235.0
    turn = float(rng.uniform(0, 180))
    for size in _SIZES:
        image = frame.copy()
        axes = (max(1, round(size * side / 2)), max(1, round(size * side / 4)))
        cv2.ellipse(image, centre, axes, turn, 0, 360, [shade] * 3, -1, cv2.LINE_AA)
        yield Planted(image, f"a planted blot, {2 * axes[0]} px")


def spread(some: Sequence[Some], first: int) -> list[Some]:
    """Order what there is so that the first few are spread over all of it.

    >>> spread("abcdefg", 3)
    ['a', 'd', 'g', 'b', 'c', 'e', 'f']
    """
    chosen = [round(place) for place in np.linspace(0, max(len(some) - 1, 0), first)]
    order = dict.fromkeys([*chosen, *range(len(some))]) if some else ()
    return [some[place] for place in order]
