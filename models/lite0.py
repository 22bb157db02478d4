"""The trunk: EfficientNet-Lite0 up to its fifth stage, as plain arrays and as a float ONNX graph.

Architecture: Tan and Le, "EfficientNet", arXiv:1905.11946, table 1, in the Lite form of
tensorflow/tpu (no squeeze-and-excite, ReLU6, stem and head not scaled). Batch normalisation is
folded into the convolutions, the channel order of our cameras (BGR) into the stem. Padding is
TensorFlow's "same": all of an odd padding goes to the bottom and the right.

Stages are counted from 0, without the stem: the trunk gives the outputs of stage 2 (40 channels,
stride 8) and stage 4 (112 channels, stride 16).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import numpy.typing as npt

from calibration.graph import Graph

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx

    from models.weights import Weights

Array = npt.NDArray[np.float32]

IMAGE = "image"
"""The graph's input: uint8 (1, H, W, 3), BGR; H and W multiples of `STEP`."""

STEP = 16
DEPTHS = {"stage2": 40, "stage4": 112}
TAPS = tuple(DEPTHS)
"""The graph's outputs: float32 (1, 40, H/8, W/8) and (1, 112, H/16, W/16)."""

INPUT_SCALE = 1 / 128
INPUT_ZERO = 127
"""What the network was trained with: (pixel - 127) / 128."""

_STAGES = (  # repeats, kernel, stride of the first, expansion
    (1, 3, 1, 1),
    (2, 3, 2, 6),
    (2, 5, 2, 6),
    (3, 3, 2, 6),
    (3, 5, 1, 6),
)
_EPSILON = 1e-3


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """One convolution with what follows it.

    Attributes:
        name: Its name, and that of its output.
        source: The name of its input.
        weight: float32 (O, I / groups, K, K), batch normalisation folded in.
        bias: float32 (O,).
        stride: 1 or 2.
        groups: 1, or the number of channels (depthwise).
        clip: True where ReLU6 follows.
        skip: The name of the tensor that is added to the output; empty where none is.
    """

    name: str
    source: str
    weight: Array
    bias: Array
    stride: int = 1
    groups: int = 1
    clip: bool = False
    skip: str = ""

    @property
    def padding(self) -> tuple[int, int]:
        """Zeros before and after each axis, for inputs that are multiples of `STEP`."""
        total = self.weight.shape[2] - self.stride
        return total // 2, total - total // 2


def layers(weights: Weights) -> list[Layer]:
    """Fold the trunk's weights into convolutions, in the order in which they run."""
    stem, bias = _fold(weights, "_conv_stem", "_bn0")
    out = [Layer(name="stem", source="pixels", weight=stem[:, ::-1].copy(), bias=bias,
                 stride=2, clip=True)]  # fmt: skip
    block = 0
    for stage, (repeats, kernel, stride, expansion) in enumerate(_STAGES):
        for repeat in range(repeats):
            name = f"stage{stage}" if repeat == repeats - 1 else f"block{block}"
            out += _block(
                weights,
                f"_blocks.{block}.",
                name=name,
                source=out[-1].name,
                stride=stride if repeat == 0 else 1,
                expansion=expansion,
            )
            if out[-2].weight.shape[2] != kernel:
                msg = f"block {block} has another kernel than EfficientNet-Lite0"
                raise ValueError(msg)
            block += 1
    return out


def float_graph(network: Sequence[Layer]) -> onnx.ModelProto:
    """Write the trunk as a float ONNX graph; every tensor between has its layer's name."""
    graph = Graph("efficientnet_lite0")
    pixels(graph)
    for layer in network:
        convolution(graph, layer)
    for tap in TAPS:
        graph.output(tap, (1, DEPTHS[tap], None, None))
    return graph.model()


def half_graph(network: Sequence[Layer]) -> onnx.ModelProto:
    """Write the float trunk with its weights in half precision: half the file, the same results.

    Its features have a signal-to-noise ratio of 45 dB, those of int8 about 20; runtimes expand the
    weights once, when they load the model.
    """
    graph = Graph("efficientnet_lite0")
    pixels(graph)
    for layer in network:
        convolution(graph, layer, weight=graph.cast(
            graph.constant(layer.weight.astype(np.float16)), np.float32
        ))  # fmt: skip
    for tap in TAPS:
        graph.output(tap, (1, DEPTHS[tap], None, None))
    return graph.model()


def pixels(graph: Graph) -> None:
    """Turn the camera's pixels into what the network was trained on: `IMAGE` to `pixels`."""
    graph.input(IMAGE, (1, "height", "width", 3), np.uint8)
    planes = graph.node("Transpose", IMAGE, perm=[0, 3, 1, 2])
    scale = graph.constant(np.float32(INPUT_SCALE))
    zero = graph.constant(np.uint8(INPUT_ZERO))
    graph.node("DequantizeLinear", planes, scale, zero, to="pixels")


def convolution(graph: Graph, layer: Layer, *, weight: str = "") -> None:
    """Append one layer in float; the sums before clipping or skip are `NAME.sums`.

    Args:
        graph: What to append to.
        layer: What to append.
        weight: The tensor that holds its weights; a constant of their own by default.
    """
    before, after = layer.padding
    size = layer.weight.shape[2]
    value = graph.node(
        "Conv", layer.source, weight or graph.constant(layer.weight), graph.constant(layer.bias),
        kernel_shape=[size, size], pads=[before, before, after, after],
        strides=[layer.stride, layer.stride], group=layer.groups, to=f"{layer.name}.sums",
    )  # fmt: skip
    if layer.clip:
        low, high = graph.constant(np.float32(0)), graph.constant(np.float32(6))
        graph.node("Clip", value, low, high, to=layer.name)
    elif layer.skip:
        graph.node("Add", value, layer.skip, to=layer.name)
    else:
        graph.node("Identity", value, to=layer.name)


def _block(
    weights: Weights, prefix: str, *, name: str, source: str, stride: int, expansion: int
) -> list[Layer]:
    """Fold one inverted residual block (arXiv:1801.04381)."""
    out: list[Layer] = []
    last = source
    if expansion != 1:
        weight, bias = _fold(weights, prefix + "_expand_conv", prefix + "_bn0")
        last = f"{name}.expand"
        out.append(Layer(name=last, source=source, weight=weight, bias=bias, clip=True))
    weight, bias = _fold(weights, prefix + "_depthwise_conv", prefix + "_bn1")
    depthwise = f"{name}.depthwise"
    out.append(Layer(name=depthwise, source=last, weight=weight, bias=bias, clip=True,
                     stride=stride, groups=weight.shape[0]))  # fmt: skip
    entering = out[0].weight.shape[1 if expansion != 1 else 0]
    weight, bias = _fold(weights, prefix + "_project_conv", prefix + "_bn2")
    skip = source if stride == 1 and entering == weight.shape[0] else ""
    out.append(Layer(name=name, source=depthwise, weight=weight, bias=bias, skip=skip))
    return out


def _fold(weights: Weights, conv: str, norm: str) -> tuple[Array, Array]:
    """Fold a batch normalisation into the convolution before it."""
    gain = weights[f"{norm}.weight"] / np.sqrt(weights[f"{norm}.running_var"] + _EPSILON)
    weight = weights[f"{conv}.weight"] * gain[:, None, None, None]
    bias = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * gain
    return weight.astype(np.float32), bias.astype(np.float32)
