"""Images to features: the int8 trunk, fed by the station's own preprocessing.

The trunk is a file of this repository (`models/trunk`, made by `make models`), so that fitting
needs neither the weights' package nor any training framework.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edge_agent.errors import UsageError
from edge_agent.inspection.engines import EngineSettings, Pixels, load_engine
from edge_agent.inspection.spec import Input
from edge_agent.inspection.view import View

if TYPE_CHECKING:
    import onnx

    from edge_agent.camera.frame import Image

Features = npt.NDArray[np.float32]
"""(positions, channels): the taps on one grid, row by row; fine taps are averaged per cell."""

STEP = 16
"""Pixels of the model's input per cell of the grid."""

FINE = "stage2"
COARSE = "stage4"
"""The trunk's taps: 40 channels on a grid twice as fine, and 112 on the grid itself."""

_TRUNK = "trunk/lite0_int8.onnx"


def trunk_file() -> Path:
    """Find the int8 trunk.

    Raises:
        UsageError: It is not there: the package `models` was left out or not built.
    """
    spec = importlib.util.find_spec("models")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        path = Path(folder) / _TRUNK
        if path.is_file():
            return path
    raise UsageError(f"models/{_TRUNK} is missing: make it with `make models`")


def load_trunk(height: int, width: int, *, path: Path | None = None) -> onnx.ModelProto:
    """Read the trunk and fix its input size.

    Raises:
        UsageError: The size does not fit the trunk, or the trunk is missing.
    """
    import onnx  # noqa: PLC0415 - heavy, and only fitting needs it

    for side in (height, width):
        if side % STEP or side < 4 * STEP:
            raise UsageError(f"input size {side}: take a multiple of {STEP}, {4 * STEP} or more")
    model = onnx.load_model(path or trunk_file())
    dims = model.graph.input[0].type.tensor_type.shape.dim
    dims[1].dim_value, dims[2].dim_value = height, width
    return model


def cells(fine: npt.NDArray[np.float32], coarse: npt.NDArray[np.float32]) -> Features:
    """Bring both taps to the coarse grid: (1, A, 2H, 2W) and (1, B, H, W) to (H * W, A + B)."""
    _, depth, height, width = coarse.shape
    pooled = fine.reshape(-1, height, 2, width, 2).mean(axis=(2, 4))
    return np.concatenate([pooled.reshape(-1, height * width), coarse.reshape(depth, -1)]).T


class Extractor:
    """Turns frames into features as the station's model will see them.

    Attributes:
        spec: What the model sees.
    """

    def __init__(self, spec: Input, *, trunk: Path | None = None) -> None:
        model = load_trunk(spec.height, spec.width, path=trunk).SerializeToString()
        self._engine = load_engine("onnx", model, EngineSettings())
        self._view = View(spec)
        self.spec = spec

    def view(self, image: Image) -> Pixels:
        """Return what the model sees of a frame, uint8 (height, width, 3), a copy.

        Args:
            image: HxWx3 BGR or HxW grey, uint8.
        """
        self._view.fill(image)
        seen: Pixels = self._view.pixels[0].copy()
        return seen

    def of_view(self, view: Pixels) -> Features:
        """Return the features of what `view` returned, or of the same with marks on it."""
        outputs = self._engine.run(np.ascontiguousarray(view)[None])
        return cells(outputs[FINE], outputs[COARSE])

    def features(self, image: Image) -> Features:
        """Return the features of one frame, HxWx3 BGR or HxW grey, uint8."""
        self._view.fill(image)
        outputs = self._engine.run(self._view.pixels)
        return cells(outputs[FINE], outputs[COARSE])
