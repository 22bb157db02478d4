"""The projection: of all directions in which features move, those in which defects show.

It is an orthogonal one *after* whitening with the covariance that all cells share, so that
directions of little variance, where small defects show, are not lost. It keeps the directions in
which planted marks show most (`calibration.marks`), or random ones without marks.
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from edge_agent.errors import UsageError

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

_FLOOR = 1e-4
_SAME = 1e-9
"""Variance of the widest direction, against the features' square, below which nothing varies."""


class Scatter(msgspec.Struct, frozen=True):
    """How features vary about the means of their cells, summed over cells.

    Attributes:
        total: float64 (channels, channels): sum of the outer products.
        mean: float32 (cells, channels): of each cell.
        size: Mean square of the features, to tell variation from noise.
        parts: How many.
        cells: How many.
    """

    total: Doubles
    mean: Floats
    size: float
    parts: int
    cells: int


def scatter(features: Floats) -> Scatter:
    """Sum up how features vary: float32 (parts, cells, channels)."""
    parts, cells, channels = features.shape
    mean: Floats = np.asarray(features.mean(axis=0), np.float32)
    total = np.zeros((channels, channels))
    for part in range(parts):
        away = features[part] - mean
        total += (away.T @ away).astype(np.float64)
    size = float(np.mean([np.square(each, dtype=np.float64).mean() for each in features]))
    return Scatter(total, mean, size, parts, cells)


def without(whole: Scatter, part: Floats) -> Scatter:
    """Take one part out of the sums, exactly: float32 (cells, channels)."""
    away = part - whole.mean
    rest = whole.parts - 1
    total = whole.total - (away.T @ away).astype(np.float64) * (whole.parts / rest)
    return Scatter(
        total, np.asarray(whole.mean - away / rest, np.float32), whole.size, rest, whole.cells
    )


def project(
    sums: Scatter,
    changes: Floats | None,
    nuisance: Doubles | None = None,
    *,
    dims: int,
    seed: int,
) -> Floats:
    """Choose the directions to keep.

    Args:
        sums: Of the good parts.
        changes: float32 (rows, channels): what planted marks do to features.
        nuisance: float64 (channels, channels): what else moves features, and means nothing; see
            `calibration.nuisances`.
        dims: How many to keep.
        seed: Of the random directions, where there are no changes.

    Returns:
        float32 (channels, dims).

    Raises:
        UsageError: The parts are all the same.
    """
    channels = len(sums.total)
    shared = sums.total / (sums.cells * (sums.parts - 1))
    if not np.trace(shared) > _SAME * sums.size:
        raise UsageError("the good parts are all the same image: nothing can be learned from them")
    values, vectors = np.linalg.eigh(shared if nuisance is None else shared + nuisance)
    whiten = vectors / np.sqrt(np.maximum(values, 0) + _FLOOR * values[-1])
    if changes is None:
        random = np.random.default_rng(seed).normal(size=(channels, channels))
        directions, _ = np.linalg.qr(random)
    else:
        directions = _telling(changes.astype(np.float64) @ whiten)
    kept: Floats = (whiten @ directions[:, :dims]).astype(np.float32)
    return kept


def _telling(moves: Doubles) -> Doubles:
    """Order directions by how much marks show in them, most first.

    The half of the cells that moved least holds no mark. Of the others, each counts with the
    length of its move, not with its square: faint marks are to be seen too.
    """
    length = np.linalg.norm(moves, axis=1)
    marked = (length >= np.median(length)) & (length > 0)
    moves = moves[marked] / np.sqrt(length[marked, None])
    _, directions = np.linalg.eigh(moves.T @ moves)
    return np.ascontiguousarray(directions[:, ::-1])
