"""One robust least squares over a few thousand points: light, place and focus at once.

See `meter` for the model. Points that fit nothing (a hand, a part where none should be) are left
out: least squares over what is left, repeated until it stays the same (hard-rejection M-estimate;
Huber & Ronchetti, Robust Statistics, ch. 7).
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
import numpy.typing as npt

from edge_agent.lighting.figures import (
    BLUR,
    LEVEL,
    ROTATION,
    SCALE,
    SHIFT_X,
    SHIFT_Y,
    SLOPE_X,
    SLOPE_Y,
    Vector,
)  # fmt: skip
from edge_agent.lighting.sampling import FloatArray, Places, lattice
from edge_agent.lighting.scene import Scene

_ROUNDS = 4
_REJECT = 4.0
_SETTLED = 0.04
_MOST_ERROR = {SHIFT_X: 0.08, SHIFT_Y: 0.08, ROTATION: 0.025, SCALE: 0.06, BLUR: 0.06}
"""Standard error in one frame above which the scene does not show a thing."""

_FLATTEST, _FEW = 1000, 300
_BLUR_OF_SHIFT = 0.75
_LOOSE = 0.12
"""Spread of parts' points, as a share of their light, above which their pattern means nothing."""

_LEAST_POINTS, _LEAST_EDGES = 12, 20
_DEGREE = math.pi / 180.0


class Points(msgspec.Struct, frozen=True):
    """What is fitted to.

    Attributes:
        at: N; flat places in a frame of the baseline's size. Points of the lattice come first.
        count: How many are of the lattice; the rest are edges.
        reference: N; linear light of the baseline.
        spread: N; how far a point lies off it in good frames.
        slopes: Nx3; d/dx, d/dy, change by blur.
    """

    at: Places
    count: int
    reference: FloatArray
    spread: FloatArray
    slopes: FloatArray


def points_of(scene: Scene, fitted: npt.NDArray[np.intp], channel: int) -> Points:
    """Gather what a scene is fitted by: points of its lattice, then its edges."""
    at = lattice(scene.height, scene.width, scene.rows, scene.columns)[fitted]
    values = scene.floats("feature_values", 5)
    edges = np.frombuffer(scene.features, "<u4").astype(np.intp)
    if not scene.has_scene:
        values, edges = values[:0], edges[:0]
    reference = scene.floats("reference", scene.channels)[fitted, channel]
    return Points(
        np.concatenate([at, edges]),
        len(fitted),
        np.concatenate([reference, values[:, 0]]),
        np.concatenate([scene.floats("spread", 1)[fitted, 0], values[:, 1]]),
        np.concatenate([scene.floats("slopes", 3)[fitted], values[:, 2:]]),
    )


class Fit:
    """Fits frames to the points. Not thread-safe: it works in buffers of its own.

    Args:
        points: What to fit to.
        height: Of the frames.
        width: Of the frames.
        is_fixed: Whether the points stay put; else they are parts, of which only light is asked.
    """

    def __init__(self, points: Points, height: int, width: int, *, is_fixed: bool) -> None:
        count, total = points.count, len(points.at)
        self.count = count
        reference = points.reference.astype(np.float64)
        spread = np.maximum(points.spread.astype(np.float64), 2e-4)
        relative = spread / np.maximum(reference, 1e-4)
        self._is_loose = not is_fixed and float(np.median(relative)) > _LOOSE
        if self._is_loose:
            # Parts in any pose: no point says anything by itself, only all of them together.
            reference = np.full_like(reference, reference.mean())
            spread = np.full_like(spread, spread.mean())
        columns = self._columns(points, reference, height, width)
        self._solve_columns(columns, 1.0 / spread)
        self._per_sd = (1.0 / spread).astype(np.float32)
        self._offset = (reference / spread).astype(np.float32)
        self.shares = (spread / np.maximum(reference, 1e-4)).astype(np.float32)[:count]
        # Noise is measured where vibration shows least.
        steep = np.hypot(points.slopes[:count, 0], points.slopes[:count, 1]) / spread[:count]
        self.flat = np.sort(np.argsort(steep, kind="stable")[:_FLATTEST])
        self._few = self.flat[:: max(1, len(self.flat) // _FEW)]
        self._start = (1.0 / np.maximum(reference, 1e-4))[self._few].astype(np.float32)
        # Edges have a misfit of their own: a shift spoils them all, and flat points not at all.
        self.edges = np.arange(count, total) if total - count >= _LEAST_EDGES else None
        if self.edges is not None:
            self.edges = self.edges[:: max(1, len(self.edges) // _FEW)]
        self._scaled = np.empty(total, np.float32)
        self.away = np.empty(total, np.float32)
        self._size = np.empty(total, np.float32)
        self.keep = np.ones(total, np.bool_)
        self.misfit = 0.0

    def _columns(
        self, points: Points, reference: Vector, height: int, width: int
    ) -> dict[int, Vector]:
        """Lay out what each figure does to the points."""
        y, x = np.divmod(points.at, width)
        x_px, y_px = x - (width - 1) / 2.0, y - (height - 1) / 2.0
        far = math.sqrt(float(np.mean(x_px**2 + y_px**2)))
        self._far_per_unit = (1.0, 1.0, _DEGREE * far, far / 100.0)
        across, down, blurred = points.slopes.astype(np.float64).T
        columns = {
            LEVEL: reference / 100.0,
            SLOPE_X: reference * (2.0 * x_px / width) / 100.0,
            SLOPE_Y: reference * (2.0 * y_px / height) / 100.0,
            SHIFT_X: -across,
            SHIFT_Y: -down,
            ROTATION: -_DEGREE * (x_px * down - y_px * across),
            SCALE: -(x_px * across + y_px * down) / 100.0,
            BLUR: blurred,
        }
        return columns if points.count >= _LEAST_POINTS else {LEVEL: columns[LEVEL]}

    def _solve_columns(self, columns: dict[int, Vector], per_sd: Vector) -> None:
        """Solve the normal equations once; columns that the scene cannot show are dropped."""
        matrix = {key: column * per_sd for key, column in columns.items() if np.any(column)}
        while True:
            keys = list(matrix)
            stack = np.column_stack([matrix[key] for key in keys])
            inverse = np.linalg.pinv(stack.T @ stack, hermitian=True)
            error = {
                key: math.sqrt(max(float(inverse[i, i]), 0.0)) / _MOST_ERROR[key]
                for i, key in enumerate(keys)
                if key in _MOST_ERROR
            }
            worst = max(error, key=error.__getitem__, default=None)
            if worst is None or error[worst] <= 1.0:
                break
            del matrix[worst]
        self.solved = tuple(keys)
        self._index = np.array(keys, np.intp)
        self._stack = np.ascontiguousarray(stack, np.float32)
        self._solve = np.ascontiguousarray(inverse @ stack.T, np.float32)

    def solve(self, seen: FloatArray, values: Vector) -> None:
        """Fit one frame; fill in its figures, `away`, `keep` and `misfit`.

        Args:
            seen: N; linear light of the points.
            values: One for each figure; those that are solved for are written.
        """
        scaled, away, size, keep = self._scaled, self.away, self._size, self.keep
        np.multiply(seen, self._per_sd, out=scaled)
        np.subtract(scaled, self._offset, out=scaled)
        answer = np.zeros(len(self.solved), np.float32)
        if not self._is_loose:
            answer[0] = 100.0 * (median(seen[self._few] * self._start) - 1.0)  # LEVEL comes first
        for _ in range(_ROUNDS):
            np.dot(self._stack, answer, out=away)
            np.subtract(scaled, away, out=away)
            if not self._is_loose:
                self._choose(away, size, keep)
                np.multiply(away, keep, out=size)
            else:
                np.copyto(size, away)
            change = self._solve @ size
            answer += change
            if max(abs(float(each)) for each in change[:3]) < _SETTLED:
                break
        values[self._index] = answer
        if BLUR in self.solved:
            # A moved edge is not itself and its slope alone: the series' next term is a blur.
            per = self._far_per_unit
            far = sum(
                (float(values[i]) * unit) ** 2
                for i, unit in zip((SHIFT_X, SHIFT_Y, ROTATION, SCALE), per, strict=True)
                if i in self.solved
            )
            values[BLUR] -= _BLUR_OF_SHIFT * far
        level = max(1.0 + float(answer[0]) / 100.0, 0.02)
        values[SLOPE_X] /= level
        values[SLOPE_Y] /= level

    def _choose(self, away: FloatArray, size: FloatArray, keep: npt.NDArray[np.bool_]) -> None:
        """Keep the points that fit."""
        np.abs(away, out=size)
        noise = max(1.4826 * median(size[self._few]), 1.0)
        if self.edges is not None:
            self.misfit = 1.4826 * median(size[self.edges])
            if self.misfit > noise:
                size[self.count :] *= np.float32(noise / self.misfit)
        np.less(size, _REJECT * noise, out=keep)


def median(values: FloatArray) -> float:
    """Return the upper median; the array, a copy of its own, is put out of order."""
    middle = len(values) // 2
    values.partition(middle)
    return float(values[middle])
