"""Fit the anomaly head: what good parts look like, from good parts only.

Two looks at a part, added up: each cell of the grid against the examples that were kept for its
place (`calibration.memory`), and the part as a whole (`calibration.whole`). Each counts as a
multiple of what it is on a good part that was not fitted to, so that the score of one is about 1.
With few parts nearly nothing is known of the whole, and it counts little.
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from calibration import memory, projection, whole
from calibration.nuisances import Nuisances
from calibration.projection import Floats
from edge_agent.errors import UsageError

MIN_PARTS = 5
FEW = 50
"""Parts up to which one part has a say in everything that is fitted."""

DIMS = 64
TOP_SHARE = 0.01
"""Share of the map's cells whose mean is the score."""

_LEAST = 1e-6


class Material(msgspec.Struct, frozen=True):
    """What a head is fitted to.

    Attributes:
        features: float32 (parts, cells, channels) of the good parts.
        rows: Of the grid; cells are numbered row by row.
        changes: float32 (rows, channels): what planted marks do to features.
        twins: bool (parts, parts): which parts show the same thing; true on the diagonal.
        extra: float32 (more, cells, channels): the same parts, mirrored or turned.
        extra_of: int64 (more,): the part that each of those is.
        nuisances: What else moves features, and means nothing.
        looked: bool (cells,): those that are looked at; None for all.
    """

    features: Floats
    rows: int
    changes: Floats | None
    twins: npt.NDArray[np.bool_]
    extra: Floats
    extra_of: npt.NDArray[np.int64]
    nuisances: Nuisances | None = None
    looked: npt.NDArray[np.bool_] | None = None

    @classmethod
    def of(
        cls,
        features: Floats,
        rows: int,
        changes: Floats | None = None,
        nuisances: Nuisances | None = None,
    ) -> Material:
        """Return parts with no twins and nothing extra."""
        none = np.zeros((0, *features.shape[1:]), np.float32)
        return cls(
            features,
            rows,
            changes,
            np.eye(len(features), dtype=bool),
            none,
            np.zeros(0, np.int64),
            nuisances,
        )

    def subset(self, parts: npt.NDArray[np.int64]) -> Material:
        """Return some of the parts, by their numbers."""
        places = np.full(len(self.features), -1)
        places[parts] = np.arange(len(parts))
        kept = places[self.extra_of] >= 0
        return Material(
            self.features[parts], self.rows, self.changes, self.twins[np.ix_(parts, parts)],
            self.extra[kept], places[self.extra_of[kept]],
            self.nuisances.renumbered(places) if self.nuisances else None, self.looked,
        )  # fmt: skip

    def project(self, sums: projection.Scatter, *, dims: int, seed: int) -> Floats:
        """Choose the directions to keep; see `projection.project`."""
        return projection.project(
            sums,
            self.changes,
            self.nuisances.cells if self.nuisances else None,
            dims=min(dims, self.features.shape[2]),
            seed=seed,
        )

    def describe(self, features: Floats) -> Floats:
        """Return mean and spread over the cells that are looked at; see `whole.describe`."""
        return whole.describe(features, self.looked)

    def fit_whole(self, told: Floats) -> whole.Whole:
        """Fit the Gaussian of the whole to what `whole.describe` told of parts."""
        return whole.fit(told, self.nuisances.wholes() if self.nuisances else None)

    @property
    def all(self) -> Floats:
        """The parts, and behind them what is extra."""
        return np.concatenate([self.features, self.extra]) if len(self.extra) else self.features

    @property
    def owners(self) -> npt.NDArray[np.int64]:
        """The part that each of `all` is."""
        return np.concatenate([np.arange(len(self.features)), self.extra_of])


class Head(msgspec.Struct, frozen=True):
    """A fitted head: map = near * distance to the nearest example + far * distance of the whole.

    Attributes:
        projection: float32 (channels, dims).
        examples: float16 (cells, size, dims), to eight significant bits: short numbers make a
            small bundle.
        whole: The part as a whole.
        near: What a cell's distance counts.
        far: What the whole part's distance counts.
        looked: bool (cells,): those that are looked at; None for all.
    """

    projection: Floats
    examples: npt.NDArray[np.float16]
    whole: whole.Whole
    near: float
    far: float
    looked: npt.NDArray[np.bool_] | None = None

    def map(self, features: Floats) -> Floats:
        """Return the map of each part: (parts, cells, channels) to (parts, cells)."""
        cells = memory.nearest(self.examples.astype(np.float32), features @ self.projection)
        cells = cells if self.looked is None else cells * self.looked
        away = self.whole.distance(whole.describe(features, self.looked))
        return add_up(cells, away, (self.near, self.far))


class Unseen(msgspec.Struct, frozen=True):
    """What good parts look like to a head that was fitted without them.

    Attributes:
        cells: float32 (parts, cells): to the nearest example of another part.
        wholes: float32 (parts,): from the other parts, as a whole.
    """

    cells: Floats
    wholes: Floats

    def weights(self) -> tuple[float, float]:
        """Return what distances count, near and far: `Head.near` and `Head.far`."""
        parts, cells = self.cells.shape
        share = 0.5 * parts / (parts + FEW)
        near = float(np.median(scores(self.cells, top_of(cells))))
        return (1 - share) / max(near, _LEAST), share / max(float(np.median(self.wholes)), _LEAST)

    def maps(self) -> Floats:
        """Return the map of each part by a head without it, (parts, cells)."""
        return add_up(self.cells, self.wholes, self.weights())

    def scores(self) -> Floats:
        """Return the score of each part by a head without it, (parts,)."""
        return scores(self.maps(), top_of(self.cells.shape[1]))


def add_up(cells: Floats, wholes: Floats, weights: tuple[float, float]) -> Floats:
    """Return the map of each part, near * cells + far * whole: (parts, cells).

    Args:
        cells: float32 (parts, cells): distances to the nearest example.
        wholes: float32 (parts,): distances of the parts as a whole.
        weights: What each counts: near, far.
    """
    near, far = weights
    values: Floats = np.float32(near) * cells + np.float32(far) * wholes[:, None]
    return values


def top_of(cells: int) -> int:
    """Return how many of a map's cells make the score."""
    return max(1, round(cells * TOP_SHARE))


def scores(maps: Floats, top: int) -> Floats:
    """Return the mean of the `top` largest cells of each map: (parts, cells) to (parts,)."""
    best = np.partition(maps, maps.shape[1] - top, axis=1)[:, maps.shape[1] - top :]
    mean: Floats = best.mean(axis=1)
    return mean


def fit(
    material: Material, weights: tuple[float, float], *, dims: int = DIMS, seed: int = 0
) -> Head:
    """Fit the head to good parts.

    Args:
        material: The parts.
        weights: What distances count; `Unseen.weights`.
        dims: Dimensions that are kept of the channels.
        seed: Of what is drawn.

    Raises:
        UsageError: There are too few parts, or they are all the same.
    """
    features = material.features
    _check(features, MIN_PARTS)
    kept = material.project(projection.scatter(features), dims=dims, seed=seed)
    seen = material.all @ kept
    examples = memory.choose(seen, material.rows, seed=seed).of(seen)
    gaussian = material.fit_whole(material.describe(features))
    kept_short = _short(examples.astype(np.float16))
    return Head(kept, kept_short, gaussian, *weights, material.looked)


def leave_one_out(material: Material, *, dims: int = DIMS, seed: int = 0) -> Unseen:
    """Look at each part with a head that was fitted without it.

    The distances of parts that the head was fitted on are 0 or far too low: nothing may be learned
    from them. The examples that are the part's own, or those of a twin, are passed over. Up to
    `FEW` parts the projection and the whole are fitted anew for each part; of more, one part has no
    say in the projection, and the whole is fitted without a tenth of the parts at a time.

    Args:
        material: The parts.
        dims: As for `fit`.
        seed: As for `fit`.

    Raises:
        UsageError: There are too few parts, or they are all the same.
    """
    features, owners = material.features, material.owners
    _check(features, MIN_PARTS - 1)
    parts, cells, _ = features.shape
    sums = projection.scatter(features)
    kept = material.project(sums, dims=dims, seed=seed)
    everything = material.all
    seen = everything @ kept
    chosen = memory.choose(seen, material.rows, seed=seed)
    examples = chosen.of(seen)
    raw = chosen.of(everything) if parts <= FEW else None
    found = np.empty((parts, cells), np.float32)
    for part in range(parts):
        mine = seen[part]
        if raw is not None:
            rest = projection.without(sums, features[part])
            kept = material.project(rest, dims=dims, seed=seed)
            examples, mine = raw @ kept, features[part] @ kept
        own = material.twins[part][owners]
        found[part] = memory.nearest_of_others(chosen, examples, mine, own)
    alone = np.isnan(found)
    if alone.any():  # a place of which only the part itself and its twins were kept
        found[alone] = np.nanmedian(found)
    found = found if material.looked is None else found * material.looked
    wholes = whole.leave_one_out(
        material.describe(features),
        material.twins,
        material.nuisances.wholes if material.nuisances else None,
        exact=parts <= FEW,
    )
    return Unseen(found, wholes)


def ask(
    material: Material,
    asked: Floats,
    own: npt.NDArray[np.int64],
    weights: tuple[float, float],
    *,
    dims: int = DIMS,
    seed: int = 0,
) -> Floats:
    """Score other looks at the parts, each by what is known of the others.

    Args:
        material: The parts.
        asked: float32 (looks, cells, channels): parts in other light, say.
        own: int64 (looks,): the part that each of these is.
        weights: What distances count; `Unseen.weights`.
        dims: As for `fit`.
        seed: As for `fit`.

    Returns:
        float32 (looks,).
    """
    features = material.features
    kept = material.project(projection.scatter(features), dims=dims, seed=seed)
    seen, looks = material.all @ kept, asked @ kept
    chosen = memory.choose(seen, material.rows, seed=seed)
    examples = chosen.of(seen)
    cells = np.stack(
        [
            memory.nearest_of_others(chosen, examples, look, material.twins[part][material.owners])
            for look, part in zip(looks, own, strict=True)
        ]
    )
    told, wholes = material.describe(features), np.empty(len(asked), np.float32)
    for lot in np.array_split(np.unique(own), min(10, len(np.unique(own)))):
        mine = np.isin(own, lot)
        others = ~np.asarray(material.twins[lot].any(axis=0))
        if others.sum() < MIN_PARTS - 1:
            others = ~np.isin(np.arange(len(features)), lot)
        wholes[mine] = material.fit_whole(told[others]).distance(material.describe(asked[mine]))
    cells[np.isnan(cells)] = np.nanmedian(cells)
    cells = cells if material.looked is None else cells * material.looked
    maps = add_up(cells, wholes, weights)
    return scores(maps, top_of(maps.shape[1]))


def _check(features: Floats, least: int) -> None:
    if len(features) < least:
        raise UsageError(
            f"{len(features)} good parts: fitting needs at least {MIN_PARTS}, better 50 to 300"
        )


def _short(values: npt.NDArray[np.float16]) -> npt.NDArray[np.float16]:
    """Round to eight significant bits of eleven: an error of at most 0.4 %, of either sign."""
    bits = values.view(np.uint16) + np.uint16(4)
    return (bits & np.uint16(0xFFF8)).view(np.float16)
