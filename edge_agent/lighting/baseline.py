"""The baseline: light and camera as they were commissioned, frozen.

Invariants:
    - A baseline never changes after it was learned; a new one is a new file.
    - Every frame it was learned from lies inside its limits.
    - `decode` returns what `encode` wrote, or raises.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np

from edge_agent.camera.frame import Image
from edge_agent.errors import UsageError
from edge_agent.lighting.statistics import (
    COLUMNS,
    PATCH,
    ROWS,
    SCALARS,
    Spot,
    Statistics,
    measure,
    patch_at,
)

MIN_FRAMES = 5
GOOD_FRAMES = 50
_SPOTS = 3
_SIGMAS = 6.0
_LEAST_LIGHT = 0.03
"""Share by which the level may always move: lamps flicker by half as much."""

_SEEN = 1.5
# How far each statistic may move before it is worth speaking of, whatever its spread: limits
# tighter than this would answer to vibration and to the noise of the sensor.
_DEAD_BAND = {
    "level": 0.12,  # share of the level
    "contrast": 0.20,  # share of the contrast
    # A part with a piece missing shows that much more of a black or white ground.
    "clipped_dark": 0.06,
    "clipped_bright": 0.06,
    "warmth": 0.04,
    "sharpness": 0.5,
    "grid": 0.12,  # share of the cell
}


class Limit(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What is normal for one statistic: `centre`, and how far from it is still inside.

    Attributes:
        centre: Where it lies.
        reach: How far above is inside; and below, where `below` is not given.
        below: How far below is inside.
    """

    centre: float
    reach: Annotated[float, msgspec.Meta(gt=0.0)]
    below: Annotated[float, msgspec.Meta(gt=0.0)] | None = None

    def excess(self, value: float) -> float:
        """Return how far outside a value lies: up to 1 is inside, 2 is twice the reach."""
        away = value - self.centre
        reach = self.below if self.below is not None and away < 0 else self.reach
        return abs(away) / reach


class Baseline(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What good frames look like under correct light.

    Attributes:
        frames: How many frames it was learned from.
        height: Of those frames, in pixels (of the first, where they differ).
        width: The same.
        limits: By statistic (see `edge_agent.lighting.statistics`).
        grid: For each cell of the grid, row by row.
        spots: Where sharpness is measured.
        digest: SHA-256 over the statistics of the frames, so that a record can name it.
    """

    schema: Literal["edge/baseline/1"] = "edge/baseline/1"
    frames: Annotated[int, msgspec.Meta(ge=MIN_FRAMES)]
    height: Annotated[int, msgspec.Meta(ge=1)]
    width: Annotated[int, msgspec.Meta(ge=1)]
    limits: dict[str, Limit]
    grid: tuple[Limit, ...]
    spots: tuple[Spot, ...]
    digest: str

    def __post_init__(self) -> None:
        """Refuse a baseline that lacks a statistic."""
        missing = [name for name in SCALARS if name not in self.limits]
        if missing or len(self.grid) != ROWS * COLUMNS:
            raise ValueError(f"baseline lacks {', '.join(missing) or 'cells of the grid'}")

    @classmethod
    def learn(
        cls, frames: Sequence[Image], *, light: tuple[float, float] | None = None
    ) -> Baseline:
        """Learn a baseline from good frames under correct light.

        Args:
            frames: HxWx3 BGR or HxW grey, uint8. At least 5; 50 or more make it trustworthy.
            light: Least and most light that the model can bear, as multiples of what it is now;
                None takes what is usual.

        Raises:
            UsageError: There are too few frames, or they are too small.
        """
        if len(frames) < MIN_FRAMES:
            raise UsageError(
                f"a lighting baseline needs at least {MIN_FRAMES} good frames and got "
                f"{len(frames)}: take {GOOD_FRAMES} or more"
            )
        if min(min(frame.shape[:2]) for frame in frames) < 8:
            raise UsageError("a lighting baseline needs frames of at least 8 x 8 pixels")
        spots = _choose_spots(frames)
        seen = [measure(frame, spots) for frame in frames]
        grid = np.array([statistics.grid for statistics in seen], np.float64)
        limits = {name: _limit(name, _column(seen, name)) for name in SCALARS}
        if light is not None:
            limits["level"] = _borne(_column(seen, "level"), *light)
        return cls(
            frames=len(frames),
            height=frames[0].shape[0],
            width=frames[0].shape[1],
            limits=limits,
            grid=tuple(_limit("grid", grid[:, cell]) for cell in range(ROWS * COLUMNS)),
            spots=spots,
            digest=hashlib.sha256(msgspec.json.encode([_plain(each) for each in seen])).hexdigest(),
        )

    @classmethod
    def decode(cls, data: bytes, origin: str) -> Baseline:
        """Read a baseline from the bytes of its file; `origin` names it in errors.

        Raises:
            UsageError: It is not a baseline.
        """
        try:
            return msgspec.json.decode(data, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"baseline {origin}: {error}: learn it again") from error

    @classmethod
    def read(cls, path: Path) -> Baseline:
        """Read a baseline file.

        Raises:
            UsageError: It is missing or not a baseline.
        """
        try:
            return cls.decode(path.read_bytes(), str(path))
        except OSError as error:
            raise UsageError(f"baseline {path}: cannot be read: {error.strerror}") from error

    def encode(self) -> bytes:
        """Return the bytes of the baseline's file."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1)


def _column(seen: Sequence[Statistics], name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([getattr(statistics, name) for statistics in seen], np.float64)


def _plain(statistics: Statistics) -> list[float]:
    values = [float(getattr(statistics, name)) for name in SCALARS]
    return [round(value, 5) for value in (*values, *statistics.grid.tolist())]


def _limit(name: str, values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Limit:
    """Set the limit of one statistic: six robust sigmas, what was seen, the dead band.

    The median absolute deviation is scaled to a standard deviation by 1.4826 (Rousseeuw and
    Croux, 1993).
    """
    centre = float(np.median(values))
    away = np.abs(values - centre)
    band = _DEAD_BAND[name] * (centre if name in {"level", "contrast", "grid"} else 1.0)
    reach = max(_SIGMAS * 1.4826 * float(np.median(away)), _SEEN * float(away.max()), band, 1e-3)
    return Limit(centre=round(centre, 6), reach=round(reach, 6) + 1e-6)


def _borne(
    values: np.ndarray[tuple[int], np.dtype[np.float64]], darkest: float, brightest: float
) -> Limit:
    """Set the limit of the level to what a model bears; what was seen is inside in any case."""
    centre = float(np.median(values))
    least = _LEAST_LIGHT * centre
    above = max(centre * (brightest - 1.0), _SEEN * float((values - centre).max()), least, 1e-3)
    below = max(centre * (1.0 - darkest), _SEEN * float((centre - values).max()), least, 1e-3)
    return Limit(
        centre=round(centre, 6), reach=round(above, 6) + 1e-6, below=round(below, 6) + 1e-6
    )


def _choose_spots(frames: Sequence[Image]) -> tuple[Spot, ...]:
    """Choose where sharpness is measured: texture that is there in every frame.

    A patch qualifies by the least of its standard deviations over the frames, so that what moves
    with the part is not chosen.
    """
    height, width = frames[0].shape[:2]
    columns, rows = max(1, width // PATCH), max(1, height // PATCH)
    spots = [(x / columns, y / rows) for y in range(rows) for x in range(columns)]
    some = frames[:: max(1, len(frames) // 10)]
    texture = [min(float(patch_at(frame, spot).std()) for frame in some) for spot in spots]
    best = np.argsort(texture)[::-1][:_SPOTS]
    return tuple(spots[int(index)] for index in sorted(best.tolist()))
