"""How well a model stands eight bits: ours, layer by layer, and ONNX Runtime's own quantizer.

    python tests/bench/quantizing.py [MODEL.onnx] [--size 320]

MODEL takes one picture, float32 (1, 3, size, size) from 0 to 1 or uint8 (1, size, size, 3); without
one it is our trunk in float. Drawn pictures calibrate and measure: 16, a fifth of them kept for
measuring. What comes after the last layer stays in float for both.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)

from calibration.quantizing import sensitivity
from calibration.quantizing.network import Network
from calibration.quantizing.prepare import prepare
from calibration.quantizing.quantize import Options, quantize
from models import lite0
from models.pictures import pictures
from models.weights import package_weights, read_weights

if TYPE_CHECKING:
    import numpy.typing as npt

_PICTURES = 16
_WORST = 12


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # the library is untyped
    def __init__(self, name: str, inputs: list[npt.NDArray[Any]]) -> None:
        self._name, self._left = name, iter(inputs)

    def get_next(self) -> dict[str, npt.NDArray[Any]] | None:
        pixels = next(self._left, None)
        return None if pixels is None else {self._name: pixels}


def _inputs(model: onnx.ModelProto, size: int) -> list[npt.NDArray[Any]]:
    drawn = pictures(_PICTURES, size, seed=1)
    if model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8:
        return [picture[None] for picture in drawn]
    return [
        (picture[:, :, ::-1].transpose(2, 0, 1)[None] / np.float32(255)).astype(np.float32)
        for picture in drawn
    ]


def _theirs(network: Network, inputs: list[npt.NDArray[Any]], *, reduced: bool) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder, "float.onnx"), Path(folder, "int8.onnx")
        onnx.save_model(network.model, source)
        quantize_static(
            source, result, _Reader(network.input, inputs), quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, per_channel=True,
            reduce_range=reduced,
            nodes_to_exclude=[name for name in network.nodes if name not in network.body],
        )  # fmt: skip
        return onnx.load_model(result)


def _times(models: dict[str, onnx.ModelProto], pixels: npt.NDArray[Any]) -> dict[str, float]:
    """Time models in turn, on one thread; return the minima."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    sessions = {
        name: onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        for name, model in models.items()
    }
    best = dict.fromkeys(models, float("inf"))
    for _ in range(40):
        for name, session in sessions.items():
            start = time.perf_counter()
            session.run(None, {session.get_inputs()[0].name: pixels})
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--size", type=int, default=256)
    given = parser.parse_args()
    model = (
        onnx.load_model(given.model)
        if given.model
        else lite0.float_graph(lite0.layers(read_weights(package_weights())))
    )
    inputs = _inputs(model, given.size)
    apart = [each for number, each in enumerate(inputs) if number % 5]
    network = Network(prepare(model))
    judge = sensitivity.Judge(network, inputs[::5])
    start = time.perf_counter()
    ours = quantize(model, inputs)
    seconds = time.perf_counter() - start
    every = quantize(model, inputs, options=Options(target_db=-100.0, always=False))
    made = {
        "float": model,
        "ONNX Runtime's quantizer": _theirs(network, apart, reduced=False),
        "the same, reduced range": _theirs(network, apart, reduced=True),
        "ours, every layer in int8": every.model,
        f"ours, {len(ours.kept_float)} layers in float ({ours.float_share:.1%})": ours.model,
    }
    best = _times(made, inputs[0])
    print("| | signal to noise | float / it |\n|---|---|---|")  # noqa: T201 - its answer
    for name, each in made.items():
        noise = sensitivity.decibels(judge.noise(each)) if name != "float" else float("inf")
        print(f"| {name} | {noise:.1f} dB | {best['float'] / best[name]:.2f} |")  # noqa: T201 - its answer
    print(f"quantized and measured in {seconds:.0f} s\n")  # noqa: T201 - its answer
    print("| layer alone | dB | share |\n|---|---|---|")  # noqa: T201 - its answer
    for layer in sorted(ours.layers, key=lambda each: each.alone_db or 0.0)[:_WORST]:
        held = ", float" if layer.is_float else ""
        print(f"| {layer.name}{held} | {layer.alone_db:.1f} | {layer.share:.1%} |")  # noqa: T201 - its answer


if __name__ == "__main__":
    _main()
