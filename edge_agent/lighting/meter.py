"""The figures of one frame, by one robust least squares over a few thousand points.

Light, place and focus change a scene in ways that are told apart by their patterns. With R the
linear light of the baseline at a point (x, y), x and y from -1 to 1 across the frame,

    L - R = level R + slope_x x R + slope_y y R                      light
            - shift_x R_x - shift_y R_y - rotation (x' R_y - y' R_x)
            - scale (x' R_x + y' R_y)                                place; x', y' in px
            + blur (G R - R)                                         focus: G a Gaussian of 1 px
            + noise

is solved over the scene's points, each by its own noise (`fit`). What the scene cannot show, such
as shift on a plate without texture, is not solved for.

| statistic | what | unit |
|---|---|---|
| level | light on the scene against the baseline | % |
| slope_x, slope_y | more light to the right, to the bottom; from the centre to the edge | % |
| red, blue | ln of red (blue) to green against the baseline | % |
| noise | ln of the noise against the baseline | % |
| rows | change of the rows' light from frame to frame | % |
| beat | change of the level from frame to frame | % |
| shift_x, shift_y | the picture lies to the right, below | px |
| rotation | the picture is turned clockwise | degrees |
| scale | the picture is larger | % |
| blur | added blur, as a share of what a Gaussian of 1 px does; its variance while small | px^2 |
| sharpness | ln(variance of the Laplacian / variance) of patches, where nothing stays put | % |
| oddness | how far parts lie from what they look like, on average of about ten frames, in spreads
  of their points, their shade taken out (a multivariate EWMA; Lowry et al., 1992) | 1 |
| part_level, part_red, part_blue | as above, of the part | % |
| clipped_dark, clipped_bright | share of points at <= 2, >= 253 | % |
| contrast | standard deviation / mean of linear light | % |
| hidden | share of the scene's points that fit nothing | % |
| added | light on the scene, with what fits nothing | % |
| misfit | ln of what the fit leaves of the edges beside the lattice, in their spreads | % |
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
import numpy.typing as npt

from edge_agent.camera.frame import Image
from edge_agent.lighting.figures import (
    ADDED,
    BEAT,
    BLUE,
    BRIGHT,
    CONTRAST,
    DARK,
    HIDDEN,
    LEVEL,
    MISFIT,
    NAMES,
    NOISE,
    ODDNESS,
    PART_BLUE,
    PART_LEVEL,
    PART_RED,
    RED,
    ROWS,
    SHARPNESS,
    Vector,
)  # fmt: skip
from edge_agent.lighting.fit import Fit, median, points_of
from edge_agent.lighting.sampling import LINEAR, FloatArray, Places, Samples, lattice, take
from edge_agent.lighting.scene import EDGY, FLAT, PART, Scene
from edge_agent.lighting.sharpness import Spot, sharpness

_REJECT = 4.0
_MOST_ODD = 3.0
_PATTERN_WEIGHT = np.float32(0.1)
_COLOURFUL = 500
_LEAST_ROW = 6
_TINY = 1e-6
_CLIPPED = 6.0
_LIGHT = LINEAR.astype(np.float64)
_SQUARE = _LIGHT**2


class Reading(msgspec.Struct):
    """What one frame shows. Arrays are its own.

    Attributes:
        values: One for each of `figures.NAMES`; NaN where it cannot be measured.
        samples: The pixels that were looked at.
        residual: By scene point in the lattice's order: what the fit leaves, as a share of the
            point's light, taken in to six spreads.
        mean: Mean linear light of all points.
    """

    values: Vector
    samples: Samples
    residual: FloatArray
    mean: float


class Meter:
    """Measures frames of one scene. Not thread-safe: it remembers the last frames."""

    def __init__(self, scene: Scene, spots: tuple[Spot, ...] = ()) -> None:
        self.scene = scene
        self.has_scene = scene.has_scene
        self._spots = spots
        self._channel = 1 if scene.channels == 3 else 0
        kinds = scene.kind_of_points()
        is_scene = (kinds == FLAT) | (kinds == EDGY)
        part = np.flatnonzero(kinds == PART)
        self.points = np.flatnonzero(is_scene) if self.has_scene else part
        """Flat index in the lattice of each point that is fitted to."""

        known = points_of(scene, self.points, self._channel)
        self._fit = Fit(known, scene.height, scene.width, is_fixed=self.has_scene)
        self._count, self._edge_count = known.count, len(known.at) - known.count
        fitted = np.isin(np.arange(len(kinds)), self.points)
        others = np.concatenate([part[~fitted[part]], np.flatnonzero((kinds != PART) & ~fitted)])
        first = len(known.at) if self.has_scene else 0
        self._part = slice(first, first + len(part))
        self._others = others
        self._rows = np.concatenate([self.points, others]) // scene.columns
        self._places_of: tuple[int, int] = (0, 0)
        self._places: Places = np.zeros(0, np.intp)
        self._set_up_part(part)
        self._set_up_colour()
        self._set_up_rows()
        self.forget()

    def forget(self) -> None:
        """Forget the last frames: the next is measured as if it were the first."""
        self._usual_flat = np.zeros(len(self._fit.flat), np.float32)
        self._pattern = np.zeros(len(self._centre), np.float32)
        self._last_level = math.nan
        self._last_rows: FloatArray | None = None

    @property
    def solved(self) -> tuple[int, ...]:
        """The figures that the scene shows."""
        return self._fit.solved

    @property
    def shares(self) -> FloatArray:
        """By scene point: its spread as a share of its light."""
        return self._fit.shares

    def _set_up_part(self, part: npt.NDArray[np.intp]) -> None:
        reference = self.scene.floats("reference", self.scene.channels)[part]
        spread = self.scene.floats("spread", 1)[part, 0]
        self._part_mean = np.maximum(reference.mean(axis=0), _TINY) if len(part) else reference
        self._part_ones = np.full(len(part), 1.0 / max(len(part), 1), np.float32)
        self._per_part = (1.0 / np.maximum(spread, 1e-4)).astype(np.float32)
        self._centre = (reference[:, self._channel] * self._per_part).astype(np.float32)

    def _set_up_colour(self) -> None:
        """Choose points that show colour: nearly black or saturated ones say nothing of it."""
        colours = self.scene.floats("reference", self.scene.channels)[self.points]
        good = np.flatnonzero(((colours > 0.004) & (colours < 0.9)).all(axis=1))
        self._colourful = good[:: max(1, len(good) // _COLOURFUL)]
        some = np.maximum(colours[self._colourful].astype(np.float64), _TINY)
        if self.scene.channels == 3:
            self._per_red = (some[:, 1] / some[:, 2]).astype(np.float32)
            self._per_blue = (some[:, 1] / some[:, 0]).astype(np.float32)

    def _set_up_rows(self) -> None:
        row = self.points // self.scene.columns
        self._row_starts = np.flatnonzero(np.r_[True, row[1:] != row[:-1]]) if len(row) else row
        counts = np.diff(np.r_[self._row_starts, len(row)])
        self._row_use = np.flatnonzero(counts >= _LEAST_ROW)
        self._per_row = (1.0 / np.maximum(counts, 1)).astype(np.float32)

    def _places_in(self, height: int, width: int) -> Places:
        """Return where a frame of some size is sampled: fitted points, edges, part, the rest."""
        if self._places_of != (height, width):
            scene = self.scene
            at = lattice(height, width, scene.rows, scene.columns)
            edges = np.frombuffer(scene.features, "<u4").astype(np.intp)[: self._edge_count]
            if (height, width) != (scene.height, scene.width):
                edges = np.zeros_like(edges)
            self._places = np.concatenate([at[self.points], edges, at[self._others]])
            self._places_of = (height, width)
        return self._places

    def measure(self, image: Image) -> Reading:
        """Measure one frame.

        Args:
            image: HxWx3 BGR or HxW grey, uint8.
        """
        import cv2  # noqa: PLC0415 - heavy: not needed to read a configuration

        height, width = image.shape[:2]
        samples = take(image, self._places_in(height, width))
        if samples.shape[1] != self.scene.channels:
            samples = _as_channels(samples, self.scene.channels)
        light = np.asarray(cv2.LUT(samples, LINEAR), np.float32)
        values = np.full(len(NAMES), np.nan)
        if (height, width) == (self.scene.height, self.scene.width) or not self.has_scene:
            residual = self._measure_scene(light, values)
        else:  # of another size: nothing of the scene is found again
            values[HIDDEN] = 100.0
            residual = np.zeros(self._count, np.float32)
        mean = self._measure_frame(samples, values)
        self._measure_part(light[self._part], values)
        if self._spots:
            values[SHARPNESS] = 100.0 * sharpness(image, self._spots)
        return Reading(values, samples, residual, mean)

    def _measure_scene(self, light: FloatArray, values: Vector) -> FloatArray:
        count, fit = self._count, self._fit
        fit.solve(np.ascontiguousarray(light[: count + self._edge_count, self._channel]), values)
        keep = fit.keep[:count]
        self._noise(fit.away[fit.flat], values)
        values[HIDDEN] = 100.0 * (1.0 - np.count_nonzero(keep) / count)
        if fit.edges is not None:
            values[MISFIT] = 100.0 * math.log(max(fit.misfit, 0.02))
        residual = np.minimum(np.maximum(fit.away[:count], -_CLIPPED), _CLIPPED)
        residual *= fit.shares
        values[ADDED] = values[LEVEL] + 100.0 * float(residual.sum()) / count
        self._flicker(float(values[LEVEL]), residual * keep, values)
        if self.scene.channels == 3:
            self._colour(light, keep, values)
        return residual

    def _noise(self, flat: FloatArray, values: Vector) -> None:
        """Measure noise about what the fit always leaves at each point, which is kept up slowly."""
        flat -= self._usual_flat
        size = np.abs(flat)
        limit = _REJECT * max(1.4826 * median(size.copy()), 0.02)
        size = size[size < limit]
        noise = 1.2533 * float(size.sum()) / len(size)  # sqrt(pi / 2): of the mean distance
        values[NOISE] = 100.0 * math.log(max(noise, 0.02))
        np.minimum(np.maximum(flat, -3.0, out=flat), 3.0, out=flat)
        flat *= _PATTERN_WEIGHT
        self._usual_flat += flat

    def _flicker(self, level: float, residual: FloatArray, values: Vector) -> None:
        if not math.isnan(self._last_level):
            values[BEAT] = abs(level - self._last_level)
        self._last_level = level
        if len(self._row_use) < 4:
            return
        rows = np.add.reduceat(residual, self._row_starts) * self._per_row
        if self._last_rows is not None:
            change = (rows - self._last_rows)[self._row_use]
            values[ROWS] = 100.0 * math.sqrt(float(change @ change) / len(change) / 2.0)
        self._last_rows = rows

    def _colour(self, light: FloatArray, keep: npt.NDArray[np.bool_], values: Vector) -> None:
        here = keep[self._colourful]
        some = light[self._colourful[here]]
        if len(some) < 8:
            return
        per_green = 1.0 / np.maximum(some[:, 1], 1e-3)
        red = median(np.asarray(some[:, 2] * per_green * self._per_red[here], np.float32))
        blue = median(np.asarray(some[:, 0] * per_green * self._per_blue[here], np.float32))
        values[RED] = 100.0 * math.log(max(red, 1e-3))
        values[BLUE] = 100.0 * math.log(max(blue, 1e-3))

    def _measure_frame(self, samples: Samples, values: Vector) -> float:
        """Fill in what is said of the whole frame; return its mean light."""
        per = 1.0 / len(samples)
        counts = np.bincount(samples[:, self._channel], minlength=256)
        values[DARK] = 100.0 * per * int(counts[:3].sum())
        values[BRIGHT] = 100.0 * per * int(counts[253:].sum())
        mean, square = per * float(counts @ _LIGHT), per * float(counts @ _SQUARE)
        values[CONTRAST] = 100.0 * math.sqrt(max(square - mean * mean, 0.0)) / (mean + _TINY)
        return mean

    def _measure_part(self, part: FloatArray, values: Vector) -> None:
        if not len(part):
            return
        shade = (self._part_ones @ part) / self._part_mean
        middle = max(float(shade[self._channel]), 1e-3)
        odd = part[:, self._channel] * self._per_part
        odd *= np.float32(1.0 / middle)
        odd -= self._centre
        np.minimum(np.maximum(odd, -_MOST_ODD, out=odd), _MOST_ODD, out=odd)
        odd -= self._pattern
        odd *= _PATTERN_WEIGHT
        self._pattern += odd
        values[ODDNESS] = math.sqrt(float(self._pattern @ self._pattern) / len(odd))
        if not self.has_scene:
            return
        level = values[LEVEL] if values[LEVEL] == values[LEVEL] else 0.0  # NaN is not itself
        values[PART_LEVEL] = 100.0 * (middle / max(1.0 + level / 100.0, 0.02) - 1.0)
        if self.scene.channels == 3:
            blue, green, red = (math.log(max(each, 1e-3)) for each in shade.tolist())
            values[PART_RED] = 100.0 * (red - green)
            values[PART_BLUE] = 100.0 * (blue - green)

    def same_rows(self, same: npt.NDArray[np.bool_], telling: npt.NDArray[np.bool_]) -> float:
        """Return the share of the lattice's rows in which all points are the same as before.

        Args:
            same: By point, in the order of a reading's samples.
            telling: The same; which points can tell. Rows with few of them do not count.
        """
        lattice_only = np.r_[: self._count, self._count + self._edge_count : len(same)]
        tells, equals = telling[lattice_only], (same & telling)[lattice_only]
        count = np.bincount(self._rows, weights=tells, minlength=self.scene.rows)
        equal = np.bincount(self._rows, weights=equals, minlength=self.scene.rows)
        return float(np.mean((equal == count) & (count >= _LEAST_ROW)))


def _as_channels(samples: Samples, channels: int) -> Samples:
    if channels == 3:
        return np.repeat(samples[:, :1], 3, axis=1)
    return np.ascontiguousarray(samples[:, 1:2])
