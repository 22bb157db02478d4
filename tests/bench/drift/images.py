"""Real images, decoded to linear light.

Files are split by name into those to tune on and those held out: a watch that was tuned on one half
is checked on the other.
"""

from __future__ import annotations

import os
import zlib
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Linear = npt.NDArray[Any]
"""HxW or HxWx3 BGR, float32, linear light; 1.0 saturates the sensor."""

_GAMMA = 2.2
_LINEAR = ((np.arange(256) / 255.0) ** _GAMMA).astype(np.float32)
_PATTERNS = {
    "casting": "casting/train/good/*.jpeg",
    "screw": "screw/train/good/*.jpg",
    "mtd": "mtd/train/good/*.jpg",
    "aliens": "aliens/*/*/*.png",
    "four_screws": "four_screws/*.jpg",
}


class Split(StrEnum):
    """Which half of the images and of the settings."""

    TUNE = "tune"
    HELD = "held"


def folder() -> Path:
    """Return where the image sets lie: EDGE_IMAGES, or `shared/data` beside the checkout."""
    beside = Path(__file__).resolve().parents[4] / "shared" / "data"
    return Path(os.environ.get("EDGE_IMAGES", beside))


@lru_cache(maxsize=32)
def files(name: str, split: Split) -> tuple[Path, ...]:
    """List the images of a set in one half, by name.

    Raises:
        FileNotFoundError: The sets are not on this machine.
    """
    found = sorted(folder().glob(_PATTERNS[name]))
    side = split is Split.HELD
    chosen = tuple(p for p in found if bool(zlib.crc32(_stem(p).encode()) >> 7 & 1) is side)
    if not chosen:
        text = f"no images of {name} in {folder()}: name the folder in EDGE_IMAGES"
        raise FileNotFoundError(text)
    return chosen


def _stem(path: Path) -> str:
    """Return what names the thing in the picture: the same tile at another exposure is the same."""
    return path.stem.rpartition("_")[2]


def read(path: Path, *, colour: bool) -> Linear:
    """Read an image as linear light, undoing the usual camera response."""
    flag = cv2.IMREAD_COLOR if colour else cv2.IMREAD_GRAYSCALE
    image = cv2.imread(str(path), flag)
    if image is None:
        raise FileNotFoundError(f"{path}: not an image")
    linear: Linear = _LINEAR[image]
    return linear


def some(
    name: str, split: Split, rng: np.random.Generator, *, count: int, colour: bool
) -> list[Linear]:
    """Read a few images of a set, chosen by `rng`."""
    paths = files(name, split)
    chosen = rng.choice(len(paths), size=min(count, len(paths)), replace=False)
    return [read(paths[int(index)], colour=colour) for index in chosen]
