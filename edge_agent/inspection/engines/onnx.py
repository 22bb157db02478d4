"""ONNX Runtime on the CPU: the default engine."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
from onnxruntime.capi.onnxruntime_pybind11_state import (
    EPFail,
    Fail,
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
    NoSuchFile,
    RuntimeException,
)
from onnxruntime.capi.onnxruntime_pybind11_state import (
    NotImplemented as Unsupported,
)

from edge_agent.errors import EngineError
from edge_agent.inspection.engines import EngineSettings, Outputs, Pixels, check_input, check_output

NAME = "onnx"
_LEVELS = {
    "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
}
OPTIONS = tuple(_LEVELS)
"""How far the graph is optimized: `all` changes the layout too, `extended` fuses operators, `basic`
runs nearly what the file says, for a device on which the fused operators are wrong."""

# onnxruntime's errors share no base class of their own.
_ERRORS = (
    EPFail, Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, NoSuchFile, RuntimeException,
    Unsupported, ValueError,
)  # fmt: skip


class OnnxEngine:
    """A session of ONNX Runtime."""

    name = NAME

    def __init__(self, model: bytes, settings: EngineSettings, option: str = OPTIONS[0]) -> None:
        options = ort.SessionOptions()
        options.graph_optimization_level = _LEVELS[option]
        options.enable_cpu_mem_arena = False  # the arena only grows; a device has little memory
        options.intra_op_num_threads = settings.threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # else 100 % idle
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except _ERRORS as error:
            raise EngineError(f"engine onnx: refuses the model: {_line(error)}") from error
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            raise EngineError(f"engine onnx: the model has {len(inputs)} inputs; one is expected")
        self._input = inputs[0].name
        self.input_shape = check_input(NAME, tuple(inputs[0].shape), inputs[0].type)
        self._outputs = [output.name for output in self._session.get_outputs()]
        for output in self._session.get_outputs():
            check_output(NAME, output.name, output.type)

    def run(self, pixels: Pixels) -> Outputs:
        """Run the model once; see `Engine.run`."""
        try:
            values = self._session.run(self._outputs, {self._input: pixels})
        except _ERRORS as error:
            raise EngineError(f"engine onnx: {_line(error)}") from error
        return {
            name: np.asarray(value, np.float32)
            for name, value in zip(self._outputs, values, strict=True)
        }

    def close(self) -> None:
        """Let go of the session."""
        del self._session


def load(model: bytes, settings: EngineSettings, option: str) -> OnnxEngine:
    """Load a model; see `load_engine`."""
    return OnnxEngine(model, settings, option)


def version() -> str:
    """Return the version of ONNX Runtime."""
    return str(ort.__version__)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
