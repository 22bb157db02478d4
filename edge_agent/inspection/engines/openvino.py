"""OpenVINO on the CPU, an extra: it runs the ONNX model of a bundle."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from edge_agent.errors import EngineError
from edge_agent.inspection.engines import EngineSettings, Outputs, Pixels, check_input, check_output

NAME = "openvino"
OPTIONS = ("f32",)
"""What is not int8 is counted in float32: left to itself OpenVINO takes bfloat16 where the
processor has it, and the scores would depend on the device."""


class OpenvinoEngine:
    """A compiled model of OpenVINO."""

    name = NAME

    def __init__(self, model: bytes, settings: EngineSettings) -> None:
        core = _package().Core()
        try:
            compiled = core.compile_model(
                core.read_model(model),
                "CPU",
                {
                    "INFERENCE_NUM_THREADS": settings.threads,
                    "NUM_STREAMS": 1,
                    "PERFORMANCE_HINT": "LATENCY",
                    "INFERENCE_PRECISION_HINT": "f32",
                },
            )
        except (RuntimeError, ValueError, TypeError) as error:
            raise EngineError(f"engine openvino: refuses the model: {_line(error)}") from error
        if len(compiled.inputs) != 1:
            raise EngineError(
                f"engine openvino: the model has {len(compiled.inputs)} inputs; one is expected"
            )
        shape = tuple(
            int(side.get_length()) if side.is_static else None
            for side in compiled.inputs[0].get_partial_shape()
        )
        element = compiled.inputs[0].get_element_type().to_dtype()
        self.input_shape = check_input(NAME, shape, np.dtype(element).name)
        self._outputs = [port.get_any_name() for port in compiled.outputs]
        for port in compiled.outputs:
            dtype = np.dtype(port.get_element_type().to_dtype()).name
            check_output(NAME, port.get_any_name(), dtype)
        self._request = compiled.create_infer_request()

    def run(self, pixels: Pixels) -> Outputs:
        """Run the model once; see `Engine.run`."""
        if pixels.shape != self.input_shape or pixels.dtype != np.uint8:  # it would convert them
            raise EngineError(
                f"engine openvino: the input is {pixels.dtype} {list(pixels.shape)}, not uint8 "
                f"{list(self.input_shape)}"
            )
        try:
            self._request.infer([pixels], share_inputs=False)
            # Copied: OpenVINO's own arrays are overwritten by the next part.
            return {
                name: np.array(self._request.get_output_tensor(index).data, np.float32)
                for index, name in enumerate(self._outputs)
            }
        except (RuntimeError, ValueError, TypeError) as error:
            raise EngineError(f"engine openvino: {_line(error)}") from error

    def close(self) -> None:
        """Let go of the model."""
        del self._request


def load(model: bytes, settings: EngineSettings, option: str) -> OpenvinoEngine:  # noqa: ARG001 - there is one
    """Load a model; see `load_engine`."""
    return OpenvinoEngine(model, settings)


def version() -> str:
    """Return the version of OpenVINO; see `version_of`."""
    return str(_package().__version__)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _package() -> Any:
    try:
        return importlib.import_module("openvino")
    except ModuleNotFoundError as error:
        raise EngineError(
            "engine openvino: not installed: install the extra 'openvino', or use another engine"
        ) from error
