"""Engines: what runs a model. One file each, one line in `ENGINES`, one extra in pyproject.

The contract, held by tests/contract/test_engines.py: a model is loaded from bytes, its one input
is uint8 NHWC, its outputs are float32 arrays by name; a model that does not fit is refused with
an `EngineError` that says why; the input array is neither changed nor kept.
"""

from __future__ import annotations

import importlib
from typing import Annotated, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from edge_agent.errors import EngineError

ENGINES = {
    "onnx": "edge_agent.inspection.engines.onnx",
    "litert": "edge_agent.inspection.engines.litert",
}
"""Module by engine name; the first that a bundle holds a model for, and that is installed, runs."""

Pixels = npt.NDArray[np.uint8]
Outputs = dict[str, npt.NDArray[np.float32]]


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a model is run."""

    threads: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            le=64,
            description="Processor threads for one inference; 1 leaves the others to the rest.",
        ),
    ] = 1


class Engine(Protocol):
    """A loaded model. One thread uses it at a time.

    Attributes:
        name: The engine's name, as in `ENGINES`.
        input_shape: 1, height, width, channels.
    """

    name: str
    input_shape: tuple[int, int, int, int]

    def run(self, pixels: Pixels) -> Outputs:
        """Run the model once.

        Args:
            pixels: uint8 of `input_shape`, C-contiguous.

        Raises:
            EngineError: The engine failed.
        """

    def close(self) -> None:
        """Let go of the model's memory."""


def load_engine(name: str, model: bytes, settings: EngineSettings) -> Engine:
    """Load a model into an engine.

    Raises:
        EngineError: There is no such engine, it is not installed, or it refuses the model.
    """
    if name not in ENGINES:
        raise EngineError(f"engine {name!r}: unknown; there are {', '.join(ENGINES)}")
    try:
        module = importlib.import_module(ENGINES[name])
    except ImportError as error:
        raise EngineError(f"engine {name}: not installed here: {error}") from error
    engine: Engine = module.load(model, settings)
    return engine


def check_input(name: str, shape: tuple[object, ...], dtype: str) -> tuple[int, int, int, int]:
    """Return a model's input shape if it is one that we feed: uint8, (1, H, W, C), fixed.

    Raises:
        EngineError: It is not.
    """
    sides = tuple(side for side in shape if isinstance(side, int) and side > 0)
    if "uint8" not in dtype or len(shape) != 4 or len(sides) != 4 or sides[0] != 1:
        raise EngineError(
            f"engine {name}: the model's input is {dtype} {list(shape)}; a model takes the "
            f"camera's own pixels, uint8 [1, height, width, channels] with fixed sizes"
        )
    return sides[0], sides[1], sides[2], sides[3]


def check_output(name: str, output: str, dtype: str) -> None:
    """Refuse an output that is not float32: other numbers have a scale that we do not know.

    Raises:
        EngineError: It is not.
    """
    if dtype not in {"float32", "tensor(float)"}:
        raise EngineError(f"engine {name}: the model's output {output!r} is {dtype}, not float32")
