"""Which part comes when, how it lies, and what else is in view: lots, empty frames, hands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tests.bench.drift.stations import Kind, Station

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_HANDS_PER_FRAME = 1 / 700
_GAPS_PER_FRAME = 1 / 400
_RUNS_PER_FRAME = 1 / 3000
_LOT_LEVEL_SD = 0.04


@dataclass(frozen=True)
class Traffic:
    """What each frame shows; one value a frame.

    Attributes:
        part: Which sprite; -1 where there is none.
        level: The part's reflectance: scatter, shade and lot.
        x_px: Of the part, from the frame's middle.
        y_px: The same.
        turn_deg: Of the part.
        hand: How far a hand reaches in, a share of the frame; 0 where there is none.
        hand_side: From where: 0 to 3.
        lot: Number of the lot.
    """

    part: Ints
    level: Floats
    x_px: Floats
    y_px: Floats
    turn_deg: Floats
    hand: Floats
    hand_side: Ints
    lot: Ints


def plan(station: Station, count: int, rng: np.random.Generator) -> Traffic:
    """Draw the traffic of `count` frames."""
    kind = station.kind
    lot = _lots(count, rng)
    lots = 1.0 + _LOT_LEVEL_SD * rng.standard_normal(int(lot[-1]) + 1)
    shades = np.array(station.shades)[rng.integers(len(station.shades), size=count)]
    scatter = np.exp(station.scatter * rng.standard_normal(count))
    part = rng.integers(len(station.parts), size=count)
    if kind.scene == "web":
        part = lot % len(station.parts)
        shades = scatter = np.ones(count)
    else:
        part[_gaps(count, rng)] = -1
    if kind.scene == "plate":
        reach_x, reach_y = 0.03 * kind.width, 0.03 * kind.height
    else:
        reach_x, reach_y = 0.012 * kind.width, 0.012 * kind.height
    hand, side = _hands(count, rng)
    return Traffic(
        part=part,
        level=np.clip(lots[lot] * shades * scatter, 0.3, 1.7),
        x_px=reach_x * np.clip(rng.standard_normal(count), -2.5, 2.5),
        y_px=reach_y * np.clip(rng.standard_normal(count), -2.5, 2.5),
        turn_deg=_turns(kind, count, rng),
        hand=hand,
        hand_side=side,
        lot=lot,
    )


def _turns(kind: Kind, count: int, rng: np.random.Generator) -> Floats:
    if kind.spin_deg >= 180.0:
        return rng.uniform(-180.0, 180.0, count)
    turns: Floats = kind.spin_deg * np.clip(rng.standard_normal(count), -2.5, 2.5)
    return turns


def _lots(count: int, rng: np.random.Generator) -> Ints:
    sizes: list[int] = []
    while sum(sizes) < count:
        sizes.append(int(rng.integers(150, 900)))
    return np.repeat(np.arange(len(sizes)), sizes)[:count].astype(np.int64)


def _gaps(count: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Say which frames show no part: single ones, and runs of up to 60."""
    empty: npt.NDArray[np.bool_] = rng.random(count) < _GAPS_PER_FRAME
    for start in np.flatnonzero(rng.random(count) < _RUNS_PER_FRAME).tolist():
        empty[start : start + int(rng.integers(5, 61))] = True
    return empty


def _hands(count: int, rng: np.random.Generator) -> tuple[Floats, Ints]:
    """Say when a hand reaches in, for 3 to 15 frames, in and out again."""
    reach, side = np.zeros(count), np.zeros(count, np.int64)
    for start in np.flatnonzero(rng.random(count) < _HANDS_PER_FRAME).tolist():
        length = min(int(rng.integers(3, 16)), count - start)
        deep = rng.uniform(0.3, 0.8)
        reach[start : start + length] = deep * np.sin(
            np.pi * (np.arange(length) + 0.7) / (length + 0.4)
        )
        side[start : start + length] = rng.integers(4)
    return np.maximum(reach, 0.0), side
