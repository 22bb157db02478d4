"""Symmetry: where good parts look as good mirrored or turned, few parts count for many.

Nobody has to say so: parts are mirrored and turned, and where they then are about as far from the
others as they were before, the kind of part does not mind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from calibration import anomaly, memory, projection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from calibration.anomaly import Material
    from calibration.features import Extractor
    from calibration.projection import Floats
    from edge_agent.inspection.engines import Pixels

_AS_GOOD = 1.15
"""How much farther from the others parts may be, mirrored or turned, than as they are."""

WAYS: dict[str, Callable[[Pixels], Pixels]] = {
    "left for right": lambda view: view[:, ::-1],
    "upside down": lambda view: view[::-1],
    "half a turn": lambda view: view[::-1, ::-1],
    "a quarter turn": np.rot90,
    "three quarters of a turn": lambda view: np.rot90(view, 3),
    "across one diagonal": lambda view: view.transpose(1, 0, 2),
    "across the other diagonal": lambda view: np.rot90(view, 2).transpose(1, 0, 2),
}
_KEEP_SHAPE = 3
"""So many of them go with a view that is not square."""


def extend(
    material: Material, views: Sequence[Pixels], extractor: Extractor, *, dims: int, seed: int
) -> tuple[Material, list[str]]:
    """Add the parts mirrored and turned, in the ways in which they look as good.

    Args:
        material: The parts, with nothing extra.
        views: What the model sees of each.
        extractor: Of the features.
        dims: Of the head.
        seed: Of what is drawn.

    Returns:
        The material, and the ways.
    """
    features = material.features
    square = views[0].shape[0] == views[0].shape[1]
    names = list(WAYS)[: None if square else _KEEP_SHAPE]
    turned = [np.stack([extractor.of_view(WAYS[name](view)) for view in views]) for name in names]
    before, *after = _usual(material, [features, *turned], dims=dims, seed=seed)
    found = [name for name, each in zip(names, after, strict=True) if each <= _AS_GOOD * before]
    extra = [each for name, each in zip(names, turned, strict=True) if name in found]
    if not found:
        return material, []
    return (
        anomaly.Material(
            features, material.rows, material.changes, material.twins,
            np.concatenate(extra), np.tile(np.arange(len(features)), len(extra)),
            material.nuisances, material.looked,
        ),
        found,
    )  # fmt: skip


def _usual(material: Material, asked: Sequence[Floats], *, dims: int, seed: int) -> list[float]:
    """Return the median score of parts, in each way to ask, by what is known of the others.

    The projection is fitted without the part too: one that saw the part as it is, but not as it is
    turned, brings the one nearer to the others than the other.
    """
    features = material.features
    sums = projection.scatter(features)
    kept = material.project(sums, dims=dims, seed=seed)
    chosen = memory.choose(features @ kept, material.rows, seed=seed)
    examples = chosen.of(features)
    maps = np.empty((len(asked), *features.shape[:2]), np.float32)
    for part in range(len(features)):
        kept = material.project(projection.without(sums, features[part]), dims=dims, seed=seed)
        others = examples @ kept
        for way, each in enumerate(asked):
            own = material.twins[part]
            maps[way, part] = memory.nearest_of_others(chosen, others, each[part] @ kept, own)
    top = anomaly.top_of(maps.shape[2])
    return [float(np.nanmedian(anomaly.scores(np.nan_to_num(each, nan=0.0), top))) for each in maps]
