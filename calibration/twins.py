"""Twins: pictures of one and the same part, which know each other too well.

Of a part that was photographed twice, each picture is judged by a fit that saw the other: its
score is far too low, and with it the threshold. Twins are left out together.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from calibration.projection import Floats

_ALIKE = 0.4
"""Correlation of two parts' features, each less the mean part, from which they may be twins."""

_TIMES = 2.0
"""And so many times as alike as a part is to others that are like it, but no twins."""

_RANK = 10


def find(seen: Floats) -> npt.NDArray[np.bool_]:
    """Find which parts show the same thing.

    Args:
        seen: float32 (parts, cells, dims), projected.

    Returns:
        bool (parts, parts), true on the diagonal.
    """
    parts = len(seen)
    away = (seen - seen.mean(axis=0)).reshape(parts, -1)
    away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-9)
    alike = away @ away.T
    np.fill_diagonal(alike, -1.0)
    rank = min(_RANK, max(1, parts // 4))
    usual = np.partition(alike, parts - rank, axis=1)[:, parts - rank]
    same = alike > np.maximum(_ALIKE, _TIMES * usual)[:, None]
    return _joined(same | same.T)


def grouped(labels: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Return which parts have the same label, bool (parts, parts)."""
    names = np.array(labels)
    same: npt.NDArray[np.bool_] = names[:, None] == names[None]
    return same


def count(same: npt.NDArray[np.bool_]) -> int:
    """Return how many different things the parts show."""
    return len({row.tobytes() for row in same})


def note(same: npt.NDArray[np.bool_]) -> str:
    """Say in words that there are twins; empty where there are none."""
    sizes = Counter(int(row.sum()) for row in same)
    paired = sum(many for size, many in sizes.items() if size > 1)
    if not paired:
        return ""
    return (
        f"{paired} of {len(same)} images look like pictures of a part that others show too: they "
        f"count as {count(same)} parts, and none is judged by a fit that saw its twin; where that "
        "is wrong, say which belong together with --group-by"
    )


def _joined(same: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Let the twin of a twin be a twin."""
    label = np.arange(len(same))
    for part in range(len(same)):
        mine = np.flatnonzero(same[part])
        if len(mine):
            joined = np.isin(label, np.append(label[mine], label[part]))
            label[joined] = label[joined].min()
    result: npt.NDArray[np.bool_] = label[:, None] == label[None]
    return result
