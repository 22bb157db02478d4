"""Engines: what runs a model. One file each, one line in `ENGINES`, one extra in pyproject.

The contract, held by tests/contract/test_engines.py: a model is loaded from bytes, its one input
is uint8 NHWC, its outputs are float32 arrays by name; a model that does not fit is refused with
an `EngineError` that says why; the input array is neither changed nor kept.

Each file has `OPTIONS`, the ways in which its engine can run a model, the usual one first;
`load(model, settings, option)`; and `version()`, which raises `EngineError` where the engine is
not installed.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Annotated, Literal, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from edge_agent.errors import EngineError

ENGINES = {
    "onnx": "edge_agent.inspection.engines.onnx",
    "litert": "edge_agent.inspection.engines.litert",
    "openvino": "edge_agent.inspection.engines.openvino",
}
"""Module by engine name; the first that a bundle holds a model for, and that is installed, runs."""

FORMATS: dict[str, Literal["onnx", "litert"]] = {
    "onnx": "onnx",
    "litert": "litert",
    "openvino": "onnx",
}
"""Which of a bundle's models an engine runs, by engine name."""

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


class Choice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One way to run a model.

    Attributes:
        engine: As in `ENGINES`.
        threads: Processor threads for one inference.
        option: As in the engine's `OPTIONS`; empty for its usual one.
    """

    engine: str
    threads: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    option: str = ""

    def __str__(self) -> str:
        """Say it to people."""
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        return ", ".join(each for each in (self.engine, threads, self.option) if each)


class Engine(Protocol):
    """A loaded model. One thread uses it at a time."""

    @property
    def name(self) -> str:
        """The engine's name, as in `ENGINES`."""

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """The shape that it takes: 1, height, width, channels."""

    def run(self, pixels: Pixels) -> Outputs:
        """Run the model once.

        Args:
            pixels: uint8 of `input_shape`, C-contiguous.

        Raises:
            EngineError: The engine failed.
        """

    def close(self) -> None:
        """Let go of the model's memory."""


def load_engine(name: str, model: bytes, settings: EngineSettings, *, option: str = "") -> Engine:
    """Load a model into an engine.

    Args:
        name: As in `ENGINES`.
        model: The bytes of a model in the engine's format (`FORMATS`).
        settings: How to run it.
        option: One of `options_of`; empty for the usual one.

    Raises:
        EngineError: There is no such engine or option, it is not installed, or it refuses the
            model.
    """
    module = _module(name)
    if option and option not in module.OPTIONS:
        raise EngineError(
            f"engine {name}: option {option!r}: unknown; there are {', '.join(module.OPTIONS)}"
        )
    engine: Engine = module.load(model, settings, option or module.OPTIONS[0])
    return engine


def options_of(name: str) -> tuple[str, ...]:
    """Return the ways in which an engine can run a model, the usual one first.

    Raises:
        EngineError: There is no such engine, or it is not installed.
    """
    options: tuple[str, ...] = _module(name).OPTIONS
    return options


def version_of(name: str) -> str:
    """Return the version of an engine that is installed here.

    Raises:
        EngineError: There is no such engine, or it is not installed.
    """
    version: str = _module(name).version()
    return version


def _module(name: str) -> ModuleType:
    if name not in ENGINES:
        raise EngineError(f"engine {name!r}: unknown; there are {', '.join(ENGINES)}")
    try:
        return importlib.import_module(ENGINES[name])
    except ImportError as error:
        raise EngineError(f"engine {name}: not installed here: {error}") from error


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
