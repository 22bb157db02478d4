"""Fit the anomaly head: what good parts look like at each place, from good parts only.

Each cell of the grid has a Gaussian of its own over projected features; the map is the Mahalanobis
distance to it per dimension, about 1 for a good part (Defard et al., "PaDiM", arXiv:2011.08785).
Three things differ from the paper, and make it small and fit for few parts:

- The projection is an orthogonal one *after* whitening with the covariance that all cells share,
  so that directions of little variance, where small defects show, are not lost. It keeps the
  directions in which planted marks show most (`calibration.marks`), or random ones without marks.
- A cell's covariance is drawn towards the shared one, with the weight of `PRIOR` parts.
- The whitening matrices are triangular and kept in half precision.
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from edge_agent.errors import UsageError

Floats = npt.NDArray[np.float32]

MIN_PARTS = 5
FEW = 50
"""Parts up to which one part has a say in everything that is fitted."""

DIMS = 64
PRIOR = 100.0
TOP_SHARE = 0.01
"""Share of the map's cells whose mean is the score."""

_FLOOR = 1e-4
_SAME = 1e-9
"""Variance of the widest direction, against the features' square, below which nothing varies."""


class Head(msgspec.Struct, frozen=True):
    """A fitted head: map = | (features @ projection - mean[cell]) @ whitening[cell] |.

    Attributes:
        projection: float32 (channels, dims).
        mean: float32 (cells, dims).
        whitening: float16 (cells, dims, dims), lower triangular, with 1 / sqrt(dims) in it, to
            eight significant bits: zeros and short numbers are what makes a bundle small.
    """

    projection: Floats
    mean: Floats
    whitening: npt.NDArray[np.float16]

    def map(self, features: Floats) -> Floats:
        """Return the map of each part: (parts, cells, channels) to (parts, cells)."""
        away = features @ self.projection - self.mean
        # Cells first: one matrix product a cell, over all parts.
        turned = np.matmul(away.transpose(1, 0, 2), self.whitening.astype(np.float32))
        distance: Floats = np.sqrt(np.einsum("pnd,pnd->np", turned, turned))
        return distance


def top_of(cells: int) -> int:
    """Return how many of a map's cells make the score."""
    return max(1, round(cells * TOP_SHARE))


def scores(maps: Floats, top: int) -> Floats:
    """Return the mean of the `top` largest cells of each map: (parts, cells) to (parts,)."""
    best = np.partition(maps, maps.shape[1] - top, axis=1)[:, maps.shape[1] - top :]
    mean: Floats = best.mean(axis=1)
    return mean


def fit(
    features: Floats,
    *,
    changes: Floats | None = None,
    dims: int = DIMS,
    seed: int = 0,
    least: int = MIN_PARTS,
) -> Head:
    """Fit the head to good parts.

    Args:
        features: float32 (parts, cells, channels).
        changes: float32 (rows, channels): what planted marks do to features.
        dims: Dimensions that are kept of the channels.
        seed: Of the random projection, where there are no changes.
        least: Parts that are enough.

    Raises:
        UsageError: There are too few parts, or they are all the same.
    """
    parts, _, channels = features.shape
    if parts < least:
        raise UsageError(
            f"{parts} good parts: fitting needs at least {MIN_PARTS}, better 50 to 300"
        )
    projection = _projection(features, changes, min(dims, channels), seed)
    mean, away = _centred(features, projection)
    own = _covariances(away)
    weight = _weight(parts)
    precision = np.linalg.inv(weight * own + (1 - weight) * own.mean(axis=0))
    whitening = np.linalg.cholesky(precision / own.shape[2])
    return Head(projection, mean.astype(np.float32), _short(whitening.astype(np.float16)))


def leave_one_out(
    features: Floats, *, changes: Floats | None = None, dims: int = DIMS, seed: int = 0
) -> Floats:
    """Map each part by a head that was fitted without it.

    Maps of parts that the head was fitted on are far too low (7 where fresh parts have 12):
    nothing may be learned from them. Up to `FEW` parts the head is fitted anew for each; of more,
    the part is taken out of its cells' means and covariances by a step of rank one (Sherman and
    Morrison, 1950), exact but for the projection and the shared covariance, on which one part of
    many has no say.

    Returns:
        float32 (parts, cells).

    Raises:
        UsageError: There are too few parts, or they are all the same.
    """
    parts, _, channels = features.shape
    if parts <= FEW:
        kept = [np.delete(features, part, axis=0) for part in range(parts)]
        heads = (
            fit(others, changes=changes, dims=dims, seed=seed, least=MIN_PARTS - 1)
            for others in kept
        )
        return np.concatenate([head.map(features[[part]]) for part, head in enumerate(heads)])
    _, away = _centred(features, _projection(features, changes, min(dims, channels), seed))
    own = _covariances(away)
    weight = _weight(parts - 1)
    with_it = weight * own * ((parts - 1) / (parts - 2)) + (1 - weight) * own.mean(axis=0)
    precision = np.linalg.inv(with_it).astype(np.float32)
    squared = np.einsum("cpd,cpd->pc", np.matmul(away, precision), away).astype(np.float64)
    removed = weight / (parts - 2) * parts / (parts - 1)
    squared *= (parts / (parts - 1)) ** 2 / (1 - removed * squared)
    maps: Floats = np.sqrt(squared / own.shape[2]).astype(np.float32)
    return maps


def _centred(features: Floats, projection: Floats) -> tuple[Floats, Floats]:
    """Return the mean of each cell, (cells, dims), and each part's way from it, cells first."""
    seen = np.ascontiguousarray((features @ projection).transpose(1, 0, 2))
    mean = seen.mean(axis=1)
    return mean, seen - mean[:, None]


def _covariances(away: Floats) -> npt.NDArray[np.float64]:
    """Return the covariance of each cell, (cells, dims, dims)."""
    sums = np.matmul(away.transpose(0, 2, 1), away)
    covariances: npt.NDArray[np.float64] = sums.astype(np.float64) / (away.shape[1] - 1)
    return covariances


def _weight(parts: int) -> float:
    """Return how much a cell's own covariance counts against the shared one."""
    return (parts - 1) / (parts - 1 + PRIOR)


def _projection(features: Floats, changes: Floats | None, dims: int, seed: int) -> Floats:
    """Whiten with the covariance that all cells share, then keep `dims` directions."""
    parts, places, channels = features.shape
    shared = np.zeros((channels, channels))
    for cell in range(places):
        away = (features[:, cell] - features[:, cell].mean(axis=0)).astype(np.float64)
        shared += away.T @ away
    values, vectors = np.linalg.eigh(shared / (places * (parts - 1)))
    if not values[-1] > _SAME * float(np.mean(np.square(features, dtype=np.float64))):
        raise UsageError("the good parts are all the same image: nothing can be learned from them")
    whiten = vectors / np.sqrt(np.maximum(values, 0) + _FLOOR * values[-1])
    if changes is None:
        random = np.random.default_rng(seed).normal(size=(channels, channels))
        directions, _ = np.linalg.qr(random)
    else:
        directions = _telling(changes.astype(np.float64) @ whiten)
    projection: Floats = (whiten @ directions[:, :dims]).astype(np.float32)
    return projection


def _telling(moves: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Order directions by how much marks show in them, most first.

    The half of the cells that moved least holds no mark. Of the others, each counts with the
    length of its move, not with its square: faint marks are to be seen too.
    """
    length = np.linalg.norm(moves, axis=1)
    marked = (length >= np.median(length)) & (length > 0)
    moves = moves[marked] / np.sqrt(length[marked, None])
    _, directions = np.linalg.eigh(moves.T @ moves)
    return np.ascontiguousarray(directions[:, ::-1])


def _short(values: npt.NDArray[np.float16]) -> npt.NDArray[np.float16]:
    """Round to eight significant bits of eleven: an error of at most 0.4 %, of either sign."""
    bits = values.view(np.uint16) + np.uint16(4)
    return (bits & np.uint16(0xFFF8)).view(np.float16)
