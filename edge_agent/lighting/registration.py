"""Where the scene lies now: pieces of it looked for in the frame.

Run only on suspicion: the least squares of `meter` sees a shift up to about two pixels exactly and
without search; this finds larger ones. First in a small picture, by the shift that most patches
vote for; then patches around where that puts them, by normalised cross-correlation with a parabola
through the peak; then a similarity (shift, turn, scale) through those that agree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from edge_agent.camera.frame import Image
from edge_agent.lighting.sampling import green

SIDE = 40
"""Of a patch, in pixels."""

_REACH = 14
_PATCHES = 10
_THUMB = 240
_CONTEXT = 16
_ALIKE = 0.55
_AGREE_PX = 2.0
_LEAST = 3
_LEAST_TEXTURE = 3.0


class Patch(msgspec.Struct, frozen=True):
    """A piece of the scene: its upper left corner, and `SIDE` x `SIDE` pixels."""

    x: int
    y: int
    pixels: bytes


class Landmarks(msgspec.Struct, frozen=True):
    """What the scene is found again by.

    Attributes:
        patches: Distinctive pieces.
        thumb: `thumb_height` x `thumb_width` uint8: the median picture, small.
        thumb_height: Its height.
        thumb_width: Its width.
    """

    patches: tuple[Patch, ...]
    thumb: bytes
    thumb_height: int
    thumb_width: int


class Moved(msgspec.Struct, frozen=True):
    """How the scene lies against the baseline.

    Attributes:
        x_px: To the right.
        y_px: Down.
        turn_deg: Clockwise.
        scale: In per cent, larger.
        alike: How well the pieces match, from -1 to 1.
        pieces: How many agree.
    """

    x_px: float
    y_px: float
    turn_deg: float
    scale: float
    alike: float
    pieces: int

    @property
    def far_px(self) -> float:
        """How far, whichever way."""
        return math.hypot(self.x_px, self.y_px)

    @property
    def is_plain(self) -> bool:
        """Whether it is more than blur or noise could feign."""
        return self.far_px > 2.0 or abs(self.turn_deg) > 0.5 or abs(self.scale) > 0.8

    @property
    def is_far(self) -> bool:
        """Whether that is more than vibration."""
        return self.far_px > 1.0 or abs(self.turn_deg) > 0.2 or abs(self.scale) > 0.3


def learn_landmarks(picture: Image, scene: npt.NDArray[np.bool_]) -> Landmarks:
    """Choose what the scene will be found again by.

    Args:
        picture: HxW uint8, the median of good frames.
        scene: HxW, where it stays the same.
    """
    import cv2  # noqa: PLC0415 - heavy: not needed to read a configuration

    height, width = picture.shape
    scale = min(0.5, _THUMB / max(height, width))
    size = (max(2 * _CONTEXT, round(width * scale)), max(2 * _CONTEXT, round(height * scale)))
    thumb = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    patches = []
    if min(height, width) >= 2 * SIDE:
        for x, y in _corners(picture, scene):
            piece = np.ascontiguousarray(picture[y : y + SIDE, x : x + SIDE])
            patches.append(Patch(x, y, piece.tobytes()))
    return Landmarks(tuple(patches), thumb.tobytes(), size[1], size[0])


def _corners(picture: Image, scene: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Choose pieces that lie in the scene and look alike nowhere beside themselves.

    By the lesser eigenvalue of the gradient's covariance over a piece (Shi & Tomasi, 1994).
    """
    import cv2  # noqa: PLC0415 - see learn_landmarks

    eigen = cv2.cornerMinEigenVal(cv2.GaussianBlur(picture, (0, 0), 1.5), SIDE // 2)
    inside = cv2.boxFilter(scene.astype(np.float32), -1, (SIDE, SIDE)) > 0.9
    half = SIDE // 2
    allowed = np.zeros_like(inside)
    allowed[half + 1 : -half - 1, half + 1 : -half - 1] = True
    score = np.where(inside & allowed, eigen, 0.0)
    chosen: list[tuple[int, int]] = []
    while len(chosen) < _PATCHES:
        y, x = np.unravel_index(int(score.argmax()), score.shape)
        if score[y, x] <= 0.0:
            break
        top, left = int(y) - half, int(x) - half
        if float(picture[top : top + SIDE, left : left + SIDE].std()) >= _LEAST_TEXTURE:
            chosen.append((left, top))
        near = SIDE + half
        score[max(0, y - near) : y + near, max(0, x - near) : x + near] = 0.0
    return chosen


class Finder:
    """Finds the scene again."""

    def __init__(self, landmarks: Landmarks, height: int, width: int) -> None:
        self._size = (height, width)
        self._patches = [
            (patch.x, patch.y, np.frombuffer(patch.pixels, np.uint8).reshape(SIDE, SIDE))
            for patch in landmarks.patches
        ]
        shape = (landmarks.thumb_height, landmarks.thumb_width)
        self._thumb = np.frombuffer(landmarks.thumb, np.uint8).reshape(shape)

    @property
    def can_find(self) -> bool:
        """Whether the scene has enough to be found by."""
        return len(self._patches) >= _LEAST

    def find(self, image: Image) -> Moved | None:
        """Find the scene in a frame of the baseline's size; None where it is not found."""
        if not self.can_find or image.shape[:2] != self._size:
            return None
        view = green(image)
        x, y = self._coarse(view)
        found = [self._match(view, x, y)]
        if math.hypot(x, y) > 2.0:
            found.append(self._match(view, 0.0, 0.0))
        moves = [each for each in found if each is not None]
        return max(moves, key=lambda each: each.pieces * each.alike**8, default=None)

    def _coarse(self, view: Image) -> tuple[float, float]:
        """Return by how much the whole picture is shifted, in its pixels.

        Each patch with what lies around it is held against the whole small picture; the shift that
        most of them agree on wins, so that a pattern that repeats deceives one, not all.
        """
        import cv2  # noqa: PLC0415 - see learn_landmarks

        rows, columns = self._thumb.shape
        small = cv2.resize(view, (columns, rows), interpolation=cv2.INTER_AREA)
        far_y, far_x = rows // 3, columns // 3
        votes = np.zeros((2 * far_y + 1, 2 * far_x + 1), np.float32)
        counts = np.full_like(votes, 1e-3)
        for x, y, _ in self._patches:
            left = min(
                max(round((x + SIDE / 2) * columns / view.shape[1]) - _CONTEXT // 2, 0),
                columns - _CONTEXT,
            )
            top = min(
                max(round((y + SIDE / 2) * rows / view.shape[0]) - _CONTEXT // 2, 0),
                rows - _CONTEXT,
            )
            piece = self._thumb[top : top + _CONTEXT, left : left + _CONTEXT]
            score = cv2.matchTemplate(small, piece, cv2.TM_CCOEFF_NORMED)
            y0, y1 = max(top - far_y, 0), min(top + far_y + 1, score.shape[0])
            x0, x1 = max(left - far_x, 0), min(left + far_x + 1, score.shape[1])
            to = (
                slice(y0 - top + far_y, y1 - top + far_y),
                slice(x0 - left + far_x, x1 - left + far_x),
            )
            votes[to] += np.maximum(score[y0:y1, x0:x1], 0.0) ** 2
            counts[to] += 1.0
        votes = np.where(counts >= _LEAST, votes / counts, 0.0)
        row, column = np.unravel_index(int(votes.argmax()), votes.shape)
        return (
            (int(column) - far_x) * view.shape[1] / columns,
            (int(row) - far_y) * view.shape[0] / rows,
        )

    def _match(self, view: Image, x_px: float, y_px: float) -> Moved | None:
        import cv2  # noqa: PLC0415 - see learn_landmarks

        height, width = view.shape
        before, now, alike = [], [], []
        for x, y, piece in self._patches:
            left = min(max(round(x + x_px) - _REACH, 0), width - SIDE - 2 * _REACH)
            top = min(max(round(y + y_px) - _REACH, 0), height - SIDE - 2 * _REACH)
            if left < 0 or top < 0:
                continue
            room = np.ascontiguousarray(
                view[top : top + SIDE + 2 * _REACH, left : left + SIDE + 2 * _REACH]
            )
            score = cv2.matchTemplate(room, piece, cv2.TM_CCOEFF_NORMED)
            _, best, _, (at_x, at_y) = cv2.minMaxLoc(score)
            # A peak at the rim is none: the piece lies farther out, or half beyond the frame.
            at_rim = not (0 < at_x < score.shape[1] - 1 and 0 < at_y < score.shape[0] - 1)
            if best < _ALIKE or at_rim:
                continue
            before.append((x, y))
            now.append(
                (left + at_x + _peak(score[at_y], at_x), top + at_y + _peak(score[:, at_x], at_y))
            )
            alike.append(best)
        if len(before) < _LEAST:
            return None
        return _similarity(before, now, alike, ((width - SIDE) / 2.0, (height - SIDE) / 2.0))


def _peak(line: npt.NDArray[Any], at: int) -> float:
    """Return how far the true peak lies from the largest value: a parabola through three."""
    if not 0 < at < len(line) - 1:
        return 0.0
    left, middle, right = float(line[at - 1]), float(line[at]), float(line[at + 1])
    curve = left - 2.0 * middle + right
    return 0.5 * (left - right) / curve if curve < 0 else 0.0


def _similarity(
    before: Sequence[tuple[int, int]],
    now: Sequence[tuple[float, float]],
    alike: Sequence[float],
    centre: tuple[float, float],
) -> Moved | None:
    """Fit shift, turn and scale to the pieces that agree (Umeyama, 1991, in the plane)."""
    source = np.array(before, np.float64) - centre
    target = np.array(now, np.float64) - centre
    # Pieces that were mistaken for something else lie far from where the others say.
    keep = np.hypot(*(target - source - np.median(target - source, axis=0)).T) < 25.0
    for _ in range(3):
        if int(keep.sum()) < _LEAST:
            return None
        a, b = source[keep], target[keep]
        a0, b0 = a - a.mean(0), b - b.mean(0)
        size = float((a0 * a0).sum())
        cos = float((a0 * b0).sum()) / size
        sin = float((a0[:, 0] * b0[:, 1] - a0[:, 1] * b0[:, 0]).sum()) / size
        turn = np.array([[cos, -sin], [sin, cos]])
        shift = b.mean(0) - turn @ a.mean(0)
        left = np.hypot(*(target - source @ turn.T - shift).T)
        keep = left < max(_AGREE_PX, 2.0 * float(np.median(left)))
    return Moved(
        float(shift[0]),
        float(shift[1]),
        math.degrees(math.atan2(sin, cos)),
        100.0 * (math.hypot(cos, sin) - 1.0),
        float(np.mean(np.array(alike)[keep])),
        int(keep.sum()),
    )
