"""What changes a picture and means nothing: the camera's noise, compression, focus, a nudge.

A lot of good parts that were photographed in one hour has none of this, and a model that was fitted
to it takes the first noisier picture for a defect: with noise of one grey level more, every good
casting was rejected. So a few good parts are looked at again with such changes, and the
directions in which their features then move count less, as if good parts varied in them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from calibration import whole

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from calibration.features import Extractor
    from calibration.projection import Doubles, Floats
    from edge_agent.camera.frame import Image

PARTS = 30
"""Good parts that are looked at again."""

_SEED = 31
_QUALITY = 90
_NOISE = 1.5
_BLUR_PX = 0.5
_NUDGE_PX = 1.0
_ALONE = 0.25


class Nuisances(msgspec.Struct, frozen=True):
    """How such changes move features.

    Attributes:
        cells: float64 (channels, channels): mean outer product of the moves of each cell.
        moves: float32 (moves, 2 x channels): of the mean and spread over all cells.
        of: int64 (moves,): the part that each of those is.
    """

    cells: Doubles
    moves: Floats
    of: npt.NDArray[np.int64]

    def wholes(self, parts: npt.NDArray[np.bool_] | None = None) -> Doubles:
        """Return the mean outer product of the moves, float64 (2 x channels, 2 x channels).

        Args:
            parts: bool (parts,): those whose moves count; all by default. A part that is left out
                has no say here either: few moves in many channels tell it from the others.
        """
        moves = self.moves if parts is None else self.moves[parts[self.of]]
        products = moves.T.astype(np.float64) @ moves / max(1, len(moves))
        # A hundred moves do not show all the ways in which hundreds of features can move: more
        # alone.
        more: Doubles = products + _ALONE * np.diag(np.diag(products))
        return more

    def renumbered(self, places: npt.NDArray[np.int64]) -> Nuisances:
        """Keep the moves of some parts: int64 (parts,), what number each gets; below 0 for none."""
        kept = places[self.of] >= 0
        return Nuisances(self.cells, self.moves[kept], places[self.of[kept]])


def measure(
    kept: Sequence[tuple[int, Image]],
    extractor: Extractor,
    looked: npt.NDArray[np.bool_] | None = None,
) -> Nuisances:
    """Look at good parts again, changed in ways that mean nothing.

    Args:
        kept: Good parts with their numbers, HxWx3 BGR or HxW grey, uint8; at most `PARTS` are
            used, evenly.
        extractor: Of the features.
        looked: bool (cells,): those that are looked at; None for all.
    """
    rng = np.random.default_rng(_SEED)
    cells, wholes, of = [], [], []
    for place in np.linspace(0, len(kept) - 1, min(PARTS, len(kept))).round().astype(int):
        number, frame = kept[place]
        plain = extractor.features(frame)
        for change in CHANGES:
            changed = extractor.features(change(frame, rng))
            move = changed - plain
            cells.append(move.T @ move / len(move))
            both = whole.describe(np.stack([plain, changed]), looked)
            wholes.append(both[1] - both[0])
            of.append(number)
    return Nuisances(np.mean(cells, axis=0, dtype=np.float64), np.stack(wholes), np.array(of))


def _compress(image: Image, _rng: np.random.Generator) -> Image:
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED), np.uint8)


def _add_noise(image: Image, rng: np.random.Generator) -> Image:
    noisy = image + rng.normal(0.0, _NOISE, image.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def _blur(image: Image, _rng: np.random.Generator) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), _BLUR_PX), np.uint8)


def _nudge(image: Image, rng: np.random.Generator) -> Image:
    x, y = rng.uniform(-_NUDGE_PX, _NUDGE_PX, 2)
    move = np.array([[1.0, 0.0, x], [0.0, 1.0, y]])
    size = (image.shape[1], image.shape[0])
    moved = cv2.warpAffine(image, move, size, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)


CHANGES: tuple[Callable[[Image, np.random.Generator], Image], ...] = (
    _compress, _add_noise, _blur, _nudge,
)  # fmt: skip
"""Compression, noise, focus, and a nudge of up to a pixel."""
