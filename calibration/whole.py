"""The part as a whole: the mean and the spread of its features over all cells, and one Gaussian.

What no single cell shows shows here: a surface that is uneven everywhere, a scratch that crosses
many cells faintly, a part of another kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Callable

    from calibration.projection import Floats

Doubles = npt.NDArray[np.float64]

_RIDGE = 0.1
"""Added to every variance, of features that have a variance of 1."""

_TINY = 1e-6


class Whole(msgspec.Struct, frozen=True):
    """The Gaussian: distance = | ((mean, spread) - centre) @ turn |.

    Attributes:
        centre: float32 (2 x channels,).
        turn: float32 (2 x channels, 2 x channels).
    """

    centre: Floats
    turn: Floats

    def distance(self, seen: Floats) -> Floats:
        """Return the distance per dimension of each part: (parts, 2 x channels) to (parts,)."""
        away: Floats = np.linalg.norm((seen - self.centre) @ self.turn, axis=1)
        return away


def describe(features: Floats, looked: npt.NDArray[np.bool_] | None = None) -> Floats:
    """Return mean and spread of each part: (parts, cells, channels) to (parts, 2 x channels).

    Args:
        features: float32 (parts, cells, channels).
        looked: bool (cells,): those that are looked at; None for all.
    """
    if looked is not None:
        features = features[:, looked]
    told = np.concatenate([features.mean(axis=1), features.std(axis=1)], axis=1)
    return np.asarray(told, np.float32)


def fit(seen: Floats, nuisance: Doubles | None = None) -> Whole:
    """Fit the Gaussian to parts.

    Args:
        seen: float32 (parts, 2 x channels).
        nuisance: float64 (2 x channels, 2 x channels): what else moves them, and means nothing.
    """
    centre, spread, away = _standard(seen)
    shared = away.T @ away / (len(seen) - 1)
    if nuisance is not None:
        shared += nuisance / np.outer(spread, spread)
    values, vectors = np.linalg.eigh(shared)
    weight = 1 / np.sqrt((np.maximum(values, 0) + _RIDGE) * len(values))
    turn = vectors * weight / spread[:, None]
    return Whole(centre.astype(np.float32), turn.astype(np.float32))


def leave_one_out(
    seen: Floats,
    twins: npt.NDArray[np.bool_],
    nuisance: Callable[[npt.NDArray[np.bool_]], Doubles] | None = None,
    *,
    exact: bool,
) -> Floats:
    """Return the distance of each part from the others.

    Args:
        seen: float32 (parts, 2 x channels).
        twins: bool (parts, parts): which show the same thing; true on the diagonal.
        nuisance: As for `fit`, by those parts alone that are given: bool (parts,).
        exact: Fit anew for each part. Else parts are taken out in ten lots, with their twins.

    Returns:
        float32 (parts,).
    """
    found = np.empty(len(seen), np.float32)
    lots = len(seen) if exact else min(len(seen), _LOTS)
    for lot in range(lots):
        mine = np.arange(lot, len(seen), lots)
        others = np.asarray(~twins[mine].any(axis=0))
        others[mine] = False
        if others.sum() < _LEAST:
            others = np.ones(len(seen), bool)
            others[mine] = False
        moved = nuisance(others) if nuisance else None
        found[mine] = fit(seen[others], moved).distance(seen[mine])
    return found


_LOTS = 10
_LEAST = 4


def _standard(seen: Floats) -> tuple[Doubles, Doubles, Doubles]:
    """Return the centre, the spread of each feature, and the parts in units of it."""
    values = seen.astype(np.float64)
    centre = values.mean(axis=0)
    spread = values.std(axis=0, ddof=1)
    spread = np.maximum(spread, _TINY * max(1.0, float(spread.max())))
    return centre, spread, (values - centre) / spread
