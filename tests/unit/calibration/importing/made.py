"""Small models with the inputs, outputs and metadata of what the libraries export."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from calibration.flat import Flat

SIDE = 32
Shape = Sequence[int | str | None]


class Net:
    """A graph being made; every method appends a node and returns the tensor it writes."""

    def __init__(self, shape: Shape = (1, 3, SIDE, SIDE), kind: int = TensorProto.FLOAT) -> None:
        self._nodes: list[Any] = []
        self._tensors: list[Any] = []
        self._noise = np.random.default_rng(3)
        self.inputs = [helper.make_tensor_value_info("images", kind, shape)]
        self.domains = [helper.make_opsetid("", 17)]

    def constant(self, value: npt.ArrayLike) -> str:
        name = f"c{len(self._tensors)}"
        self._tensors.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, op: str, *inputs: str, to: str = "", **attributes: Any) -> str:
        name = to or f"t{len(self._nodes)}"
        self._nodes.append(helper.make_node(op, inputs, [name], **attributes))
        return name

    def take(self, node: Any) -> None:
        self._nodes.append(node)

    def conv(self, source: str, depth: int, wide: int, size: int, stride: int = 1) -> str:
        weight = self._noise.normal(0, 0.3, (wide, depth, size, size)).astype(np.float32)
        bias = self.constant(self._noise.normal(0, 0.1, wide).astype(np.float32))
        pads = [(size - 1) // 2] * 4
        return self.add(
            "Conv", source, self.constant(weight), bias,
            kernel_shape=[size, size], strides=[stride, stride], pads=pads,
        )  # fmt: skip

    def model(
        self, outputs: dict[str, tuple[int, Shape | None]], meta: dict[str, str] | None = None
    ) -> onnx.ModelProto:
        results = [
            helper.make_tensor_value_info(name, kind, shape)
            for name, (kind, shape) in outputs.items()
        ]
        graph = helper.make_graph(self._nodes, "made", self.inputs, results, self._tensors)
        model = helper.make_model(
            graph, opset_imports=self.domains, ir_version=8, producer_name="pytorch",
            producer_version="2.13.0",
        )  # fmt: skip
        helper.set_model_props(model, meta or {})
        return model


def save(model: onnx.ModelProto, file: Path) -> Path:
    file.write_bytes(model.SerializeToString())
    return file


def classifier(
    classes: int = 3,
    *,
    shape: Shape = ("batch", 3, SIDE, SIDE),
    softmax: bool = False,
    depth: int = 3,
    inside: float = 0.0,
    meta: dict[str, str] | None = None,
) -> onnx.ModelProto:
    """A classifier as torch exports it; `inside` divides the pixels by that first."""
    net = Net(shape)
    value = "images"
    if inside:
        value = net.add("Div", value, net.constant(np.float32(inside)))
    value = net.add("Relu", net.conv(value, depth, 8, 3, 2))
    value = net.add("Relu", net.conv(value, 8, 16, 3, 2))
    value = net.add("Flatten", net.add("GlobalAveragePool", value))
    weight = net.constant(np.random.default_rng(9).normal(0, 1, (16, classes)).astype(np.float32))
    value = net.add("MatMul", value, weight, to="logits")
    if softmax:
        net.add("Softmax", value, to="probabilities", axis=1)
    name = "probabilities" if softmax else "logits"
    return net.model({name: (TensorProto.FLOAT, ("batch", classes))}, meta)


def yolo(
    task: str = "detect",
    *,
    names: Sequence[str] = ("chip", "dent"),
    shape: Shape = (1, 3, SIDE, SIDE),
    layout: str = "yolo",
    **meta: str,
) -> onnx.ModelProto:
    """What Ultralytics exports: boxes in pixels, scores squashed, its words in the metadata."""
    net = Net(shape)
    extra = 32 if task == "segment" else 0
    outputs: dict[str, tuple[int, Shape | None]] = {"output0": (TensorProto.FLOAT, None)}
    stem = net.add("Relu", net.conv("images", 3, 8, 4, 4))
    cells = net.conv(stem, 8, 4 + len(names) + extra, 1)
    wide = 4 + len(names) + extra
    flat = net.add("Reshape", cells, net.constant(np.array([1, wide, -1], np.int64)))
    scale = np.ones((1, wide, 1), np.float32)
    scale[:, :4] = SIDE
    squashed = net.add("Mul", net.add("Sigmoid", flat), net.constant(scale))
    if task == "classify":
        weight = net.constant(np.ones((8, len(names)), np.float32))
        value = net.add("MatMul", net.add("Flatten", net.add("GlobalAveragePool", stem)), weight)
        net.add("Softmax", value, to="output0", axis=1)
    elif layout == "yolo":
        net.add("Identity", squashed, to="output0")
    else:  # two corners, confidence, class, coefficients
        rows = net.add("Transpose", squashed, perm=[0, 2, 1])
        keep = np.array([0, 1, 2, 3, 4, 4, *range(6, 6 + extra)], np.int64)
        net.add("Gather", rows, net.constant(keep), to="output0", axis=2)
    if task == "segment":
        net.conv(stem, 8, 32, 1)
        outputs["output1"] = (TensorProto.FLOAT, None)
        net.add("Identity", net.conv(stem, 8, 32, 1), to="output1")
    said = {
        "author": "Ultralytics", "version": "8.4.190", "task": task, "stride": "32",
        "imgsz": f"[{SIDE}, {SIDE}]", "names": str(dict(enumerate(names))), **meta,
    }  # fmt: skip
    return net.model(outputs, said)


def anomalib(
    *,
    threshold: float = 8.0,
    span: float = 10.0,
    shape: Shape = ("batch_size", 3, "height", "width"),
    forked: bool = True,
) -> onnx.ModelProto:
    """What anomalib 2 exports: resized and normalised inside, score and map normalised after.

    With `forked` as since 2.7: a fork for a range of 0 around it.
    """
    net = Net(shape)
    sizes = net.constant(np.array([1, 3, SIDE, SIDE], np.int64))
    small = net.add("Resize", "images", "", "", sizes, mode="linear")
    mean = net.constant(np.array([0.485, 0.456, 0.406], np.float32).reshape(3, 1, 1))
    std = net.constant(np.array([0.229, 0.224, 0.225], np.float32).reshape(3, 1, 1))
    value = net.add("Div", net.add("Sub", small, mean), std)
    cells = net.add("Abs", net.conv(value, 3, 1, 3), to="raw_map")
    score = net.add("ReduceMax", cells, axes=[1, 2, 3], keepdims=0, to="raw_score")
    for raw, name in ((score, "pred_score"), (cells, "anomaly_map")):
        edge = net.constant(np.float32(threshold))
        width = net.constant(np.float32(span))
        half = net.constant(np.float32(0.5))
        moved = net.add("Add", net.add("Div", net.add("Sub", raw, edge), width), half)
        zero, one = net.constant(np.float32(0.0)), net.constant(np.float32(1.0))
        squeezed = net.add("Clip", moved, zero, one, to=name if not forked else "")
        if forked:
            flat = net.constant(np.array(False))
            step = net.add("Where", net.add("Greater", raw, edge), one, zero)
            net.add("Where", flat, step, squeezed, to=name)
        label = "pred_label" if name == "pred_score" else "pred_mask"
        net.add("Greater", name, half, to=label)
    return net.model({
        "pred_score": (TensorProto.FLOAT, ("batch_size",)),
        "pred_label": (TensorProto.BOOL, ("batch_size",)),
        "anomaly_map": (TensorProto.FLOAT, ("batch_size", 1, SIDE, SIDE)),
        "pred_mask": (TensorProto.BOOL, ("batch_size", 1, SIDE, SIDE)),
    })  # fmt: skip


def tflite(
    kind: str = "float32",
    *,
    classes: int = 3,
    softmax: bool = True,
    first: str = "",
    step: tuple[float, int] | None = None,
    last: bool = True,
) -> bytes:
    """A classifier as Keras converts it.

    `kind` is that of its input, `step` its scale and zero point, `first` the first operator;
    without `last` the channels come first.
    """
    flat, side = Flat("made"), 8
    shape = (1, side, side, 3) if last else (1, 3, side, side)
    noise = np.random.default_rng(5)
    step = step or {"uint8": (1.0, 0), "int8": (1.0, -128)}.get(kind)
    if step is None:
        source = flat.tensor("image", shape, np.float32)
        value = source
    else:
        source = flat.tensor("image", shape, kind, scale=step[0], zero=step[1])
        value = flat.operator(
            "DEQUANTIZE", [source], flat.tensor("floats", shape, np.float32),
            ("DequantizeOptions", {}),
        )  # fmt: skip
    if first:
        by = flat.constant(np.array([1 / 255 if first == "MUL" else 0.5], np.float32))
        scaled = flat.tensor("scaled", shape, np.float32)
        options: tuple[str, dict[str, Any]] = (f"{first.title()}Options", {})
        value = flat.operator(first, [value, by], scaled, options)
    row = flat.tensor("row", (1, side * side * 3), np.float32)
    target = flat.constant(np.array([1, side * side * 3], np.int32))
    flat.operator("RESHAPE", [value, target], row, ("ReshapeOptions", {}))
    weight = flat.constant(noise.normal(0, 0.01, (side * side * 3, classes)).astype(np.float32))
    logits = flat.tensor("logits", (1, classes), np.float32)
    result = flat.operator("BATCH_MATMUL", [row, weight], logits, ("BatchMatMulOptions", {}))
    if softmax:
        shares = flat.tensor("shares", (1, classes), np.float32)
        result = flat.operator("SOFTMAX", [logits], shares, ("SoftmaxOptions", {"beta": 1.0}))
    if kind == "int8":
        codes = flat.tensor("codes", (1, classes), np.int8, scale=1 / 256, zero=-128)
        result = flat.operator("QUANTIZE", [result], codes, ("QuantizeOptions", {}))
    return flat.model([source], [result])


def photo(seed: int, side: int = SIDE, spot: int = 0) -> npt.NDArray[np.uint8]:
    """A picture of a bright plate, with a dark spot of some pixels where asked for."""
    noise = np.random.default_rng([7, seed])
    image = noise.normal(150, 6, (side, side, 3))
    if spot:
        x, y = noise.integers(0, side - spot, 2)
        image[y : y + spot, x : x + spot] = 10
    return np.clip(image, 0, 255).astype(np.uint8)
