"""Write a network as a QDQ graph: which nodes run in eight bits, and what stands around them.

A trap that shapes it: ONNX Runtime takes any convolution between codes and codes for one that
should run in eight bits, and quantizes its weights by itself, with one step for all filters
(`WeightBiasQuantization`, on by default). EfficientNet's stem, left in float, then gives 11 dB
instead of 28. It looks through Relu and Clip, but not through `Min`: a layer that is to stay in
float gets a `Min` behind it with the end of the range, which changes no code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from calibration.quantizing.network import CLIPS, SAME_STEP, Network, attributes

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import onnx

    from calibration.quantizing.network import Layer

_LIMIT = 2**31 - 1
_TAKEN = frozenset({"Conv", "ConvTranspose", "Gemm"})
"""Operators whose weights ONNX Runtime quantizes unasked."""


class Step(msgspec.Struct, frozen=True):
    """How a tensor is held in eight bits: value = scale * (code - zero)."""

    scale: float
    zero: int

    @classmethod
    def over(cls, low: float, high: float) -> Step:
        """Spread 256 codes over a range that holds 0."""
        low, high = min(low, 0.0), max(high, 0.0)
        scale = np.float32(max(high - low, 1e-6) / 255)
        return cls(float(scale), int(np.clip(np.rint(-low / scale), 0, 255)))


class Codes(msgspec.Struct, frozen=True):
    """A layer's weights in eight bits.

    Attributes:
        weight: int8, in the layer's shape.
        scale: float32 (O,).
        bias: float32 (O,), corrected for what rounding does to the mean.
    """

    weight: npt.NDArray[np.int8]
    scale: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]


class Scheme:
    """Which nodes run in eight bits when some layers stay in float.

    Attributes:
        chosen: Names of those nodes.
        clips: Those among them that the range of a step replaces, by the tensor that they clip.
        tensors: Names of the tensors that are held in eight bits.
    """

    def __init__(self, network: Network, floats: Collection[str] = ()) -> None:
        self._network = network
        self.chosen: set[str] = {name for name in network.layers if name not in floats}
        self.clips: dict[str, onnx.NodeProto] = {}
        for node in network.between():
            if self._can(node):
                self.chosen.add(node.name)
                if node.op_type in CLIPS:
                    self.clips[node.input[0]] = node
        self._trim()
        self.tensors = self._tensors()

    def groups(self) -> dict[str, str]:
        """Return for each tensor the one whose step it shares."""
        root = {tensor: tensor for tensor in self.tensors}

        def find(tensor: str) -> str:
            while root[tensor] != tensor:
                tensor = root[tensor]
            return tensor

        for name in sorted(self.chosen):
            node = self._network.nodes[name]
            if node.op_type in SAME_STEP or node.op_type == "Resize":
                for output in node.output:
                    if output in root and node.input[0] in root:
                        root[find(output)] = find(node.input[0])
        return {tensor: find(tensor) for tensor in self.tensors}

    def _can(self, node: onnx.NodeProto) -> bool:
        """Say whether a node between layers runs in eight bits: all that it reads does."""
        network = self._network
        sources = [network.producer.get(name) for name in network.floats(node)]
        read = [each for each in sources if each is not None and each.name in self.chosen]
        if len(read) < len(sources):
            return False
        if node.op_type in CLIPS:
            source = node.input[0]
            plain = all(name in network.constants for name in node.input[1:] if name)
            once = len(network.readers[source]) == 1 and source not in network.outputs
            return plain and once and read[0].op_type not in CLIPS
        mode = attributes(node).get("mode", b"nearest")
        return node.op_type != "Resize" or bool(mode == b"nearest")

    def _trim(self) -> None:
        """Leave nodes out whose results only float nodes read: codes would gain nothing there."""
        network = self._network
        for node in reversed(list(network.nodes.values())):
            if node.name in self.chosen and node.name not in network.layers:
                readers = [each for name in node.output for each in network.readers.get(name, ())]
                clip = node.op_type in CLIPS
                if not clip and not any(each.name in self.chosen for each in readers):
                    self.chosen.discard(node.name)
        self.clips = {
            name: node for name, node in self.clips.items()
            if network.producer[name].name in self.chosen
        }  # fmt: skip
        clips = {node.name for node in self.clips.values()}
        for name in list(self.chosen):
            if network.nodes[name].op_type in CLIPS and name not in clips:
                self.chosen.discard(name)

    def _tensors(self) -> set[str]:
        network = self._network
        found: set[str] = set()
        for name in self.chosen:
            node = network.nodes[name]
            layer = network.layers.get(name)
            found.update([layer.source] if layer else network.floats(node))
            for output in node.output:
                readers = network.readers.get(output, ())
                needed = layer is None or layer.op == "Conv"
                if output and (needed or any(each.name in self.chosen for each in readers)):
                    found.add(output)
        return {name for name in found if name not in self.clips and not network.coded(name)}


class Written(msgspec.Struct, frozen=True):
    """A QDQ model.

    Attributes:
        model: The model.
        sums: The tensor that holds a layer's sums before they are rounded, by the layer's name.
    """

    model: onnx.ModelProto
    sums: dict[str, str]


def write(
    network: Network, scheme: Scheme, steps: Mapping[str, Step], codes: Mapping[str, Codes]
) -> Written:
    """Write a network in eight bits.

    Args:
        network: What to write.
        scheme: Which of its nodes run in eight bits.
        steps: Of tensors, by their names; those of the scheme are in it.
        codes: Of layers, by their names; those of the scheme are in it.
    """
    groups = scheme.groups()
    return _Writer(network, scheme, {each: steps[groups[each]] for each in groups}, codes).run()


class _Writer:
    def __init__(
        self,
        network: Network,
        scheme: Scheme,
        steps: dict[str, Step],
        codes: Mapping[str, Codes],
    ) -> None:
        self._network, self._scheme = network, scheme
        self._steps, self._codes = steps, codes
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, npt.NDArray[Any]] = {}
        self._sums: dict[str, str] = {}
        self._renamed: dict[str, str] = {}

    def run(self) -> Written:
        """Walk over the nodes in their order."""
        from onnx import numpy_helper  # noqa: PLC0415 - heavy

        network = self._network
        if network.input in self._steps:
            self._renamed[network.input] = f"{network.input}.seen"
            self._through(network.input, network.input, f"{network.input}.seen")
        for node in network.model.graph.node:
            self._node(node)
        model = type(network.model)()
        model.CopyFrom(network.model)
        del model.graph.node[:]
        model.graph.node.extend(self._nodes)
        used = {name for node in self._nodes for name in node.input} | set(network.outputs)
        kept = [each for each in model.graph.initializer if each.name in used]
        made = [numpy_helper.from_array(value, name) for name, value in self._constants.items()]
        del model.graph.initializer[:]
        model.graph.initializer.extend(kept + made)
        model.producer_name = "edge-inspection"
        return Written(model, self._sums)

    def _node(self, node: onnx.NodeProto) -> None:
        """Write a node, with codes around it where it is chosen."""
        made = type(node)()
        made.CopyFrom(node)
        del made.input[:]
        made.input.extend(self._renamed.get(name, name) for name in node.input)
        chosen = node.name in self._scheme.chosen
        layer = self._network.layers.get(node.name)
        if chosen and layer is not None:
            self._layer(made, layer)
        tensor = node.output[0]
        clip = self._scheme.clips.get(tensor) if chosen else None
        if clip is not None and self._implied(clip):
            tensor = clip.output[0]
        elif node.output[0] in self._renamed:  # a clip that a range stands for
            return
        raws = [self._raw(name) for name in node.output]
        raws[0] = self._raw(tensor)
        del made.output[:]
        made.output.extend(raws)
        if layer is not None:
            self._sums[layer.name] = raws[0]
        self._nodes.append(made)
        names = [tensor, *node.output[1:]]
        for name, raw in zip(names, raws, strict=True):
            if name in self._steps:
                self._through(name, raw, name)
        if tensor != node.output[0]:
            self._renamed[tensor] = tensor

    def _raw(self, tensor: str) -> str:
        return f"{tensor}.raw" if tensor in self._steps else tensor

    def _implied(self, clip: onnx.NodeProto) -> bool:
        """Say whether the range of its step clips as a node does."""
        step = self._steps.get(clip.output[0])
        if step is None:
            return False
        low, high = _limits(clip, self._network)
        least, most = -step.scale * step.zero, step.scale * (255 - step.zero)
        near = step.scale / 2
        return abs(low - least) <= near and most <= high + near

    def _through(self, tensor: str, raw: str, to: str) -> None:
        """Bring a tensor to eight bits and back."""
        step = self._steps[tensor]
        if self._is_float(tensor):
            end = np.float32(step.scale * (255 - step.zero))
            high = self._constant(f"{tensor}.end", end)
            self._add("Min", [raw, high], f"{tensor}.held")
            raw = f"{tensor}.held"
        scale = self._constant(f"{tensor}.scale", np.float32(step.scale))
        zero = self._constant(f"{tensor}.zero", np.uint8(step.zero))
        self._add("QuantizeLinear", [raw, scale, zero], f"{tensor}.codes")
        self._add("DequantizeLinear", [f"{tensor}.codes", scale, zero], to)

    def _is_float(self, tensor: str) -> bool:
        """Say whether a tensor comes from a layer that is left in float."""
        node = self._network.producer.get(tensor)
        while node is not None and node.op_type in CLIPS and node.name not in self._scheme.chosen:
            node = self._network.producer.get(node.input[0])
        return node is not None and node.op_type in _TAKEN and node.name not in self._scheme.chosen

    def _layer(self, node: onnx.NodeProto, layer: Layer) -> None:
        """Give a layer weights and a bias in codes."""
        codes = self._codes[layer.name]
        across = layer.op != "Conv" and not attributes(node).get("transB")
        values = np.ascontiguousarray(codes.weight.T) if across else codes.weight
        weight = self._dequantized(f"{layer.name}.weight", values, codes.scale, int(across))
        node.input[1] = weight
        if layer.op == "MatMul":
            return
        fine = codes.scale * np.float32(self._scale_of(layer.source))
        rounded = np.clip(np.rint(codes.bias.astype(np.float64) / fine), -_LIMIT, _LIMIT)
        bias = self._dequantized(f"{layer.name}.bias", rounded.astype(np.int32), fine, 0)
        del node.input[2:]
        node.input.append(bias)

    def _scale_of(self, tensor: str) -> float:
        if tensor in self._steps:
            return self._steps[tensor].scale
        return float(self._network.constants[self._network.producer[tensor].input[1]])

    def _dequantized(
        self, name: str, codes: npt.NDArray[Any], scale: npt.NDArray[np.float32], axis: int
    ) -> str:
        inputs = [
            self._constant(f"{name}.codes", codes),
            self._constant(f"{name}.scale", scale),
            self._constant(f"{name}.zero", np.zeros(scale.shape, codes.dtype)),
        ]
        self._add("DequantizeLinear", inputs, name, axis=axis)
        return name

    def _constant(self, name: str, value: npt.ArrayLike) -> str:
        self._constants[name] = np.asarray(value)
        return name

    def _add(self, op: str, inputs: list[str], output: str, **values: int) -> None:
        from onnx import helper  # noqa: PLC0415 - heavy

        self._nodes.append(helper.make_node(op, inputs, [output], name=f"{output}.{op}", **values))


def _limits(clip: onnx.NodeProto, network: Network) -> tuple[float, float]:
    """Return the range that a Relu or Clip leaves."""
    if clip.op_type == "Relu":
        return 0.0, float("inf")
    given = [network.constants[name] if name else None for name in clip.input[1:]]
    given += [None] * (2 - len(given))
    low, high = given
    return (
        -float("inf") if low is None else float(low),
        float("inf") if high is None else float(high),
    )
