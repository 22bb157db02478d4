"""The memory: examples of what good parts look like at each place, and the way to the nearest.

Nearest neighbours (Roth et al., "PatchCore", arXiv:2106.08265), but each cell of the grid has a
memory of its own, as each has a Gaussian in "PaDiM" (Defard et al., arXiv:2011.08785): what is good
at one place may be a defect at another. Half of a cell's examples are its own; the other half are
those of the cells around it that differ most, so that a part may lie a little beside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from calibration.projection import Floats

Integers = npt.NDArray[np.int64]

SIZE = 128
"""Examples that each cell keeps at most: more see a little more, and cost time and memory."""

_ALL = 64 * 1024
"""Examples of all cells together, at most."""

_CROWD = 1000
"""Of more examples around a cell, so many are drawn, to choose from."""


class Examples(msgspec.Struct, frozen=True):
    """Which features each cell keeps.

    Attributes:
        parts: int64 (cells, size): the part that an example comes from.
        cells: int64 (cells, size): the cell that it comes from.
    """

    parts: Integers
    cells: Integers

    def of(self, seen: Floats) -> Floats:
        """Return the examples, (cells, size, dims), of projected features (parts, cells, dims)."""
        return seen[self.parts, self.cells]


def size_of(cells: int) -> int:
    """Return how many examples each of so many cells keeps."""
    return max(8, min(SIZE, _ALL // cells))


def choose(seen: Floats, rows: int, *, seed: int, size: int | None = None) -> Examples:
    """Choose the examples of each cell.

    Args:
        seen: float32 (parts, cells, dims), projected.
        rows: Of the grid; cells are numbered row by row.
        seed: Of what is drawn.
        size: Examples of each cell, `size_of` by default; where there are fewer, some are kept
            twice.
    """
    rng = np.random.default_rng(seed)
    parts, cells, _ = seen.shape
    size = size_of(cells) if size is None else size
    near = _around(rows, cells // rows)
    chosen_parts = np.empty((cells, size), np.int64)
    chosen_cells = np.empty((cells, size), np.int64)
    own = min(parts, size // 2)
    for cell in range(cells):
        from_own = rng.permutation(parts)[:own]
        crowd = np.array([(part, each) for each in near[cell] for part in range(parts)])
        if len(crowd) > _CROWD:
            crowd = crowd[rng.choice(len(crowd), _CROWD, replace=False)]
        spread = _farthest(seen[crowd[:, 0], crowd[:, 1]], size - own)
        chosen_parts[cell, :own], chosen_cells[cell, :own] = from_own, cell
        chosen_parts[cell, own:], chosen_cells[cell, own:] = crowd[spread].T
    return Examples(chosen_parts, chosen_cells)


def squared(examples: Floats, seen: Floats) -> Floats:
    """Return the squared distances of parts to a cell's examples.

    Args:
        examples: float32 (cells, size, dims).
        seen: float32 (parts, cells, dims).

    Returns:
        float32 (cells, parts, size), a little below 0 at worst.
    """
    mine = np.ascontiguousarray(seen.transpose(1, 0, 2))
    product = np.matmul(mine, examples.transpose(0, 2, 1))
    away: Floats = np.square(examples).sum(axis=2)[:, None] - 2 * product
    away += np.square(mine).sum(axis=2)[:, :, None]
    return away


def nearest(examples: Floats, seen: Floats) -> Floats:
    """Return the distance per dimension to the nearest example, (parts, cells)."""
    found = np.empty(seen.shape[:2], np.float32)
    for part in range(len(seen)):
        found[part] = _root(squared(examples, seen[[part]]).min(axis=2), seen.shape[2])[0]
    return found


def nearest_of_others(
    kept: Examples, examples: Floats, seen: Floats, own: npt.NDArray[np.bool_]
) -> Floats:
    """Return one part's distances to the nearest example that is no part of it.

    Args:
        kept: Where the examples come from.
        examples: float32 (cells, size, dims).
        seen: float32 (cells, dims): the part.
        own: bool (parts,): the part itself, and those that show the same thing.

    Returns:
        float32 (cells,); NaN where a cell has no example of another part.
    """
    away = squared(examples, seen[None])[:, 0]
    away[own[kept.parts]] = np.inf
    closest = away.min(axis=1)
    closest[np.isinf(closest)] = np.nan
    distance: Floats = _root(closest, seen.shape[1])
    return distance


def _root(away: Floats, dims: int) -> Floats:
    distance: Floats = np.sqrt(np.maximum(away, 0) / dims).T
    return distance


def _around(rows: int, columns: int) -> list[Integers]:
    """List, for each cell, itself and the up to eight around it."""
    numbers = np.arange(rows * columns).reshape(rows, columns)
    return [
        numbers[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2].ravel()
        for row in range(rows)
        for column in range(columns)
    ]


def _farthest(points: Floats, count: int) -> Integers:
    """Choose points that lie far from each other: always the one farthest from those chosen.

    Gonzalez, "Clustering to minimize the maximum intercluster distance", 1985. Where there are
    fewer points than are wanted, some are chosen twice.
    """
    length = np.square(points).sum(axis=1)
    middle = points.mean(axis=0)
    chosen = [int((length - 2 * points @ middle).argmin())]
    left = np.full(len(points), np.inf, np.float32)
    while len(chosen) < count:
        last = chosen[-1]
        np.minimum(left, length - 2 * points @ points[last] + length[last], out=left)
        chosen.append(int(left.argmax()))
    return np.array(chosen)
