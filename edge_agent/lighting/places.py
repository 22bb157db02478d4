"""Where in the image something is, in words, and which cells of a field stand out."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from edge_agent.lighting.sampling import FloatArray

_EDGE = 1.0 / 3.0
POINT, SMALL, LARGE = 1, 3, 9
SIDES = (POINT, SMALL, LARGE)
AVERAGE_WEIGHT = np.float32(0.1)
"""Of a frame in the average in which places show."""

_LOOK_EVERY = 4
_STAYS_FRAMES = 17
"""Frames that a place must stand out for: a hand moves on before."""

"""Sides of the windows in which points of the lattice are taken together."""


def in_words(x: float, y: float) -> str:
    """Say where a place is.

    Args:
        x: -1 left to 1 right.
        y: -1 top to 1 bottom.

    >>> in_words(-0.8, 0.1), in_words(0.0, 0.0), in_words(0.5, -0.9)
    ('left', 'centre', 'top right')
    """
    down = "top" if y < -_EDGE else "bottom" if y > _EDGE else ""
    across = "left" if x < -_EDGE else "right" if x > _EDGE else ""
    return f"{down} {across}".strip() or "centre"


class Blob(msgspec.Struct, frozen=True):
    """A place that is brighter or darker than the rest.

    Attributes:
        size: Mean over its window, as a share of the light there; negative is darker.
        x: Of its middle, -1 left to 1 right.
        y: -1 top to 1 bottom.
        share: Of the scene's points that are part of it, 0 to 1.
        excess: In limits.
        side: Of its window, in points of the lattice.
    """

    size: float
    x: float
    y: float
    share: float
    excess: float
    side: int


class Windows:
    """Means of a field over windows of three sizes, and how far each may lie from 0.

    Args:
        rows: Of the lattice.
        columns: Of the lattice.
        points: Flat index of the points that the field is known at.
    """

    def __init__(self, rows: int, columns: int, points: npt.NDArray[np.intp]) -> None:
        self.rows, self.columns, self.points = rows, columns, points
        self._row, self._column = np.divmod(points, columns)
        self._grid = np.zeros((rows, columns), np.float32)
        self._counts = {}
        known = np.zeros((rows, columns), np.float32)
        known.reshape(-1)[points] = 1.0
        for side in SIDES:
            count = self._box(known, side)
            enough = count >= (0.25 if side == LARGE else 0.4) * side * side
            self._counts[side] = np.where(enough, 1.0 / np.maximum(count, 1.0), 0.0).astype(
                np.float32
            )

    def _box(self, grid: FloatArray, side: int) -> FloatArray:
        if side == POINT:
            return grid
        import cv2  # noqa: PLC0415 - heavy: not needed to read a configuration

        return np.asarray(
            cv2.boxFilter(grid, -1, (side, side), normalize=False, borderType=cv2.BORDER_CONSTANT),
            np.float32,
        )

    def means(self, field: FloatArray) -> dict[int, FloatArray]:
        """Return the mean over each window, rows x columns by side; 0 where too little is known."""
        self._grid.reshape(-1)[self.points] = field
        return {side: self._box(self._grid, side) * self._counts[side] for side in SIDES}

    def shows(self, field: FloatArray, blob: Blob) -> bool:
        """Tell whether a place stands out in a field too, by half of its size."""
        row = min(int((blob.y + 1.0) / 2.0 * self.rows), self.rows - 1)
        column = min(int((blob.x + 1.0) / 2.0 * self.columns), self.columns - 1)
        half = blob.side // 2
        near = self._near(row, column, half)
        return bool(near.any()) and float(field[near].mean()) * np.sign(blob.size) > 0.5 * abs(
            blob.size
        )

    def _near(self, row: int, column: int, half: int) -> npt.NDArray[np.bool_]:
        far = np.maximum(np.abs(self._row - row), np.abs(self._column - column))
        near: npt.NDArray[np.bool_] = far <= half
        return near

    def worst(
        self, field: FloatArray, limits: dict[int, FloatArray], *, sign: int = 0
    ) -> Blob | None:
        """Return the place that is furthest beyond its limit, if any.

        Args:
            field: By point.
            limits: By side, rows x columns.
            sign: 1 only brighter, -1 only darker, 0 either.
        """
        best: Blob | None = None
        for side, mean in self.means(field).items():
            over = (np.abs(mean) if sign == 0 else sign * mean) / limits[side]
            at = int(over.argmax())
            if over.flat[at] > (best.excess if best else 1.0):
                row, column = divmod(at, self.columns)
                size = float(mean.flat[at])
                alike = np.sign(size) * field > 0.5 * abs(size)
                best = Blob(
                    size,
                    2.0 * (column + 0.5) / self.columns - 1.0,
                    2.0 * (row + 0.5) / self.rows - 1.0,
                    float(alike.mean()),
                    float(over.flat[at]),
                    side,
                )
        return best


class LastingPlaces:
    """Finds places that stay brighter or darker than the rest.

    A hand that passes leaves its mark in an average for a while; what stays shows in every frame
    too. So a place that stands out in the average counts when it has shown in many frames.
    """

    def __init__(self, windows: Windows, limits: dict[int, FloatArray]) -> None:
        self._windows = windows
        self._limits = limits
        self._average = np.zeros(len(windows.points), np.float32)
        self._frames = 0
        self._count = 0
        self.blob: Blob | None = None
        """What stands out in the average, passing or not."""

    def update(self, residual: FloatArray) -> Blob | None:
        """Take what the fit leaves of a frame; return the place that stays, if one does."""
        self._average += AVERAGE_WEIGHT * (residual - self._average)
        self._count += 1
        if self._count % _LOOK_EVERY == 0:
            self.blob = self._windows.worst(self._average, self._limits)
        if self.blob is None:
            self._frames = 0
        elif self._windows.shows(residual, self.blob):
            self._frames += 1
        else:
            self._frames = max(0, self._frames - 3)
        return self.blob if self._frames >= _STAYS_FRAMES else None
