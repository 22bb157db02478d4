"""LiteRT (TensorFlow Lite) on the CPU; where it is not installed, the older `tflite_runtime`."""

from __future__ import annotations

import importlib
from importlib import metadata
from typing import Any

import numpy as np

from edge_agent.errors import EngineError
from edge_agent.inspection.engines import EngineSettings, Outputs, Pixels, check_input, check_output

NAME = "litert"
OPTIONS = ("xnnpack", "builtin")
"""Whose kernels run: XNNPACK's, or LiteRT's own where XNNPACK is wrong or slow."""
_MODULES = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter")


class LitertEngine:
    """An interpreter of LiteRT."""

    name = NAME

    def __init__(self, model: bytes, settings: EngineSettings, option: str = OPTIONS[0]) -> None:
        module = _interpreter_module()
        resolvers = module.OpResolverType
        resolver = resolvers.AUTO
        if option == "builtin":
            resolver = resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        try:
            self._interpreter = module.Interpreter(
                model_content=model,
                num_threads=settings.threads,
                experimental_op_resolver_type=resolver,
            )
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise EngineError(f"engine litert: refuses the model: {_line(error)}") from error
        inputs = self._interpreter.get_input_details()
        if len(inputs) != 1:
            raise EngineError(f"engine litert: the model has {len(inputs)} inputs; one is expected")
        self._input = int(inputs[0]["index"])
        shape = tuple(int(side) for side in inputs[0]["shape"])
        self.input_shape = check_input(NAME, shape, np.dtype(inputs[0]["dtype"]).name)
        self._outputs: dict[str, int] = {}
        for output in self._interpreter.get_output_details():
            check_output(NAME, str(output["name"]), np.dtype(output["dtype"]).name)
            self._outputs[str(output["name"])] = int(output["index"])

    def run(self, pixels: Pixels) -> Outputs:
        """Run the model once; see `Engine.run`."""
        try:
            self._interpreter.set_tensor(self._input, pixels)
            self._interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise EngineError(f"engine litert: {_line(error)}") from error
        return {
            name: np.asarray(self._interpreter.get_tensor(index), np.float32)
            for name, index in self._outputs.items()
        }

    def close(self) -> None:
        """Let go of the interpreter."""
        del self._interpreter


def load(model: bytes, settings: EngineSettings, option: str) -> LitertEngine:
    """Load a model; see `load_engine`."""
    return LitertEngine(model, settings, option)


def version() -> str:
    """Return the version of LiteRT; see `version_of`."""
    package = _interpreter_module().__name__.partition(".")[0]
    return f"{package} {metadata.version(package)}"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _interpreter_module() -> Any:
    for name in _MODULES:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            continue
    raise EngineError(
        "engine litert: not installed: install the extra 'litert' (ai-edge-litert), or use a "
        "bundle with an ONNX model"
    )
