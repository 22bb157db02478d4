"""Make a model ready to be quantized: refuse what cannot be, fold what need not run."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

import numpy as np

from edge_agent.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    import onnx

    Outputs = dict[str, npt.NDArray[np.float32]]

OLDEST = 13
"""The first opset with steps per channel."""

_LARGEST = 1 << 30
_DONE = ("DynamicQuantizeLinear", "MatMulInteger", "ConvInteger", "QLinearConv", "QLinearMatMul")


def prepare(model: onnx.ModelProto) -> onnx.ModelProto:
    """Fold constants and normalisations, name every node.

    Raises:
        UsageError: The model is not one that can be quantized; the text says why.
    """
    import onnx  # noqa: PLC0415 - heavy
    import onnxruntime  # noqa: PLC0415 - heavy

    model = _current(model)
    _check(model)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 4
    # Written as a file is the only way in which the runtime gives a folded graph back.
    with tempfile.TemporaryDirectory(prefix="edge-quantizing-") as folder:
        options.optimized_model_filepath = f"{folder}/folded.onnx"
        try:
            onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the runtime's own errors share no base
            raise UsageError(f"the model cannot be loaded: {_line(error)}") from error
        folded = onnx.load_model(options.optimized_model_filepath)
    used = {node.domain for node in folded.graph.node}
    kept = [each for each in folded.opset_import if each.domain in used | {""}]
    del folded.opset_import[:]
    folded.opset_import.extend(kept)
    names: set[str] = set()
    for number, node in enumerate(folded.graph.node):
        if not node.name or node.name in names:
            node.name = f"{node.name or node.op_type}_{number}"
        names.add(node.name)
    del folded.graph.value_info[:]
    return folded


class Runner:
    """Runs a model and gives some of its tensors."""

    def __init__(self, model: onnx.ModelProto, names: Sequence[str]) -> None:
        import onnxruntime  # noqa: PLC0415 - heavy

        self._names = list(names)
        opened = type(model)()
        opened.CopyFrom(model)
        del opened.graph.output[:]
        for name in names:
            opened.graph.output.add().name = name
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        self._session = onnxruntime.InferenceSession(
            opened.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self._input = self._session.get_inputs()[0].name

    def __call__(self, pixels: npt.NDArray[np.generic]) -> Outputs:
        """Run the model on one input."""
        values = self._session.run(self._names, {self._input: pixels})
        return dict(zip(self._names, values, strict=True))


def _current(model: onnx.ModelProto) -> onnx.ModelProto:
    """Bring a model of an older opset to the oldest that will do, where that can be done."""
    from onnx import version_converter  # noqa: PLC0415 - heavy

    opset = _opset(model)
    if not 7 <= opset < OLDEST:
        return model
    try:
        return version_converter.convert_version(model, OLDEST)
    except (RuntimeError, ValueError) as error:
        raise UsageError(
            f"the model has opset {opset}: export it with opset {OLDEST} or later ({_line(error)})"
        ) from error


def _opset(model: onnx.ModelProto) -> int:
    return max((each.version for each in model.opset_import if not each.domain), default=0)


def _check(model: onnx.ModelProto) -> None:
    """Refuse models of more than one input, of old opsets, already quantized, or in half."""
    known = {tensor.name for tensor in model.graph.initializer}
    inputs = [each.name for each in model.graph.input if each.name not in known]
    if len(inputs) != 1:
        named = ", ".join(inputs) or "none"
        raise UsageError(f"the model has {len(inputs)} inputs ({named}): one is needed")
    opset = _opset(model)
    if opset < OLDEST:
        raise UsageError(f"the model has opset {opset}: export it with opset {OLDEST} or later")
    coded = [node.op_type for node in model.graph.node if node.op_type in _DONE]
    coded += [node.op_type for node in model.graph.node if node.op_type == "QuantizeLinear"]
    if coded:
        raise UsageError(f"the model is quantized already (it has {coded[0]}): use it as it is")
    if any(tensor.data_type == 10 for tensor in model.graph.initializer):  # FLOAT16
        raise UsageError("the model's weights are in half precision: export it in float32")
    if any(tensor.data_location for tensor in model.graph.initializer):
        raise UsageError("the model's weights lie in other files: load them with it")
    if model.ByteSize() > _LARGEST:
        raise UsageError(f"the model has {model.ByteSize() / 1e9:.1f} GB: 1 GB is the most")


def _line(error: Exception) -> str:
    return str(error).splitlines()[0][:200]
