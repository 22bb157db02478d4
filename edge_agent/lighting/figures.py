"""What is measured of a frame: names and order of its figures; `meter` says what they are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

NAMES = (
    "level", "slope_x", "slope_y", "red", "blue", "noise", "rows", "beat", "shift_x", "shift_y",
    "rotation", "scale", "blur", "sharpness", "oddness", "part_level", "part_red", "part_blue",
    "clipped_dark", "clipped_bright", "contrast", "hidden", "misfit", "added",
)  # fmt: skip
(
    LEVEL, SLOPE_X, SLOPE_Y, RED, BLUE, NOISE, ROWS, BEAT, SHIFT_X, SHIFT_Y, ROTATION, SCALE, BLUR,
    SHARPNESS, ODDNESS, PART_LEVEL, PART_RED, PART_BLUE, DARK, BRIGHT, CONTRAST, HIDDEN, MISFIT,
    ADDED,
) = range(len(NAMES))  # fmt: skip

Vector = npt.NDArray[np.float64]
"""One value for each of `NAMES`."""
