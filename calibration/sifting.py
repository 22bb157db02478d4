"""Sift the good parts before a model is fitted to them: copies, strangers, and a lot that is mixed.

All rules here work on scores and digests; nothing is read or written.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from calibration import anomaly
from edge_agent.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from calibration.projection import Floats

_FAR = 3.5
"""Robust standard deviations of the logarithm from which a good part is odd."""

_LEAST_SPREAD = 0.04
_MANY = 0.1
_FEW_ODD = 2
_AGREED = 0.011
"""Of 40 real lots of good parts one came above; see docs/figures.md."""

_MIN_SHAPE = 20
"""Parts from which the shape of their scores says anything."""


class Odd(msgspec.Struct, frozen=True):
    """A good part that is unlike the others.

    Attributes:
        number: Its place among the good parts.
        score: By a fit without it.
        times: The same as a multiple of the median.
    """

    number: int
    score: float
    times: float


def odd_ones(scores: Floats) -> list[Odd]:
    """Find the parts that lie far above the others, strangest first.

    Args:
        scores: float32 (parts,), each by a fit without the part.
    """
    logs = np.log(np.maximum(scores.astype(np.float64), 1e-9))
    middle = float(np.median(logs))
    spread = max(1.4826 * float(np.median(np.abs(logs - middle))), _LEAST_SPREAD)
    found = [
        Odd(int(number), float(scores[number]), float(np.exp(logs[number] - middle)))
        for number in np.flatnonzero(logs > middle + _FAR * spread)
    ]
    return sorted(found, key=lambda odd: -odd.score)


def is_mixed(unseen: anomaly.Unseen, odd: int) -> bool:
    """Tell whether a lot looks as if a good share of its parts were not good.

    A part is looked at twice, cell by cell and as a whole. Good parts differ a little in either
    look, each for its own reasons; a defect that is not small shows in both. So where the two
    agree about which parts are strange, by more than good parts ever made them, there are strange
    parts; even where they are half of the lot, and no part lies far above the others. It is a hint
    and no proof: a lot with defects too small to be seen in the whole passes for a good one.

    Args:
        unseen: What each part looks like to a fit without it.
        odd: How many are odd.
    """
    parts = len(unseen.wholes)
    if odd > max(_FEW_ODD, _MANY * parts):
        return True
    return parts >= _MIN_SHAPE and agreement(unseen) > _AGREED


def agreement(unseen: anomaly.Unseen) -> float:
    """Return how far the two looks agree: the covariance of their logarithms over the parts."""
    near = anomaly.scores(unseen.cells, anomaly.top_of(unseen.cells.shape[1]))
    logs = [np.log(np.maximum(each, 1e-9)) for each in (near, unseen.wholes)]
    return float(np.cov(logs)[0, 1])


def copies(digests: Sequence[str]) -> list[int]:
    """Find images that are exact copies of one before them.

    Raises:
        UsageError: Hardly anything is left without them.
    """
    seen: set[str] = set()
    found = []
    for number, digest in enumerate(digests):
        if digest in seen:
            found.append(number)
        seen.add(digest)
    if found and len(seen) < anomaly.MIN_PARTS:
        raise UsageError(
            f"{len(digests)} images of good parts, but only {len(seen)} of them differ, the others "
            f"are all the same image: take one picture each of {anomaly.MIN_PARTS} parts or more"
        )
    return found


def kinds_note(shapes: Sequence[tuple[int, ...]]) -> list[str]:
    """Say in words that images are of several sizes, or some grey and some in colour."""
    notes = []
    sizes = Counter(shape[:2] for shape in shapes)
    if len(sizes) > 1:
        named = ", ".join(f"{w}x{h}: {count}" for (h, w), count in sizes.most_common(3))
        more = ", ..." if len(sizes) > 3 else ""
        notes.append(
            f"the images have {len(sizes)} sizes ({named}{more}): each is resized as a whole, so "
            "parts must fill them alike; leave out what another camera took"
        )
    grey = sum(len(shape) == 2 for shape in shapes)
    if 0 < grey < len(shapes):
        notes.append(
            f"{grey} of {len(shapes)} images are grey, the others in colour: a model of both "
            "learns that colour does not matter; give only what the station's camera gives"
        )
    return notes
