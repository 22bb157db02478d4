"""Global statistics of a frame: what detectors on a time series are given to watch.

All from a thumbnail of every fourth pixel but for sharpness and noise, which are taken at full
resolution in the middle rows. Levels are logarithms: a factor is a step of the
same height anywhere.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from edge_agent.camera.frame import Image

Row = npt.NDArray[np.float32]

NAMES = (
    "level", "contrast", "dark", "bright", "red_blue", "green", "sharpness", "noise",
    "left_right", "top_bottom", "middle", "rows",
)  # fmt: skip
BINS = 16


def figures_of(frame: Image) -> Row:
    """Return the global statistics of a frame, as in `NAMES`."""
    thin = frame[::4, ::4]
    if thin.ndim == 3:
        blue, green, red, _ = cv2.mean(np.ascontiguousarray(thin))
        red_blue = np.log((red + 1) / (blue + 1))
        green = np.log((green + 1) / ((red + blue) / 2 + 1))
        full: Image = frame[:, :, 1]
    else:
        red_blue = green = 0.0
        full = frame
    grey = full[::4, ::4].astype(np.float32)
    level = float(grey.mean()) + 1e-3
    height, width = grey.shape
    strip = np.ascontiguousarray(full[full.shape[0] // 4 : full.shape[0] * 3 // 4 : 1])
    edges = cv2.Laplacian(strip, cv2.CV_16S)
    rows = grey.mean(axis=1)
    return np.array(
        [
            np.log(level),
            grey.std() / level,
            (grey <= 2).mean(),
            (grey >= 253).mean(),
            red_blue,
            green,
            np.log(float(edges.std()) + 1e-3),
            np.log(float(np.abs(edges[::2, ::2]).mean()) + 1e-3),
            np.log((grey[:, : width // 2].mean() + 1) / (grey[:, width // 2 :].mean() + 1)),
            np.log((grey[: height // 2].mean() + 1) / (grey[height // 2 :].mean() + 1)),
            np.log((grey[height // 3 : -height // 3, width // 3 : -width // 3].mean() + 1) / level),
            float(np.abs(np.diff(rows, 2)).mean()) / level,
        ],
        np.float32,
    )


def histogram_of(frame: Image) -> Row:
    """Return the shares of `BINS` ranges of brightness."""
    thin = frame[::4, ::4] if frame.ndim == 2 else frame[::4, ::4, 1]
    counts = np.bincount((thin.reshape(-1) >> 4), minlength=BINS)
    return (counts / thin.size).astype(np.float32)
