"""Read a graph as layers: what has weights, what lies between, and what comes after the last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from calibration.quantizing.rounding import Form

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx

Array = npt.NDArray[np.float32]

SAME_STEP = frozenset(
    {"MaxPool", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Slice", "Split"}
)
"""Operators that move values and leave them as they are: codes go through, in one step."""

OWN_STEP = frozenset(
    {"Add", "Mul", "Concat", "Sigmoid", "LeakyRelu", "AveragePool", "GlobalAveragePool"}
)
"""Operators that runtimes have in eight bits, with steps of their own."""

CLIPS = frozenset({"Relu", "Clip"})
"""What the range of a step does by itself."""

_GATES = {"Sigmoid": -8.0, "HardSigmoid": -3.0, "HardSwish": -3.0}
"""Where x * gate(x) is over: x * sigmoid(x) is -0.003 at -8 and goes to 0, the hard ones are 0."""

_WIDEST_KERNEL = 15

_SHAPES = SAME_STEP - {"MaxPool"}


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """A node with weights.

    Attributes:
        name: Of the node.
        op: `Conv`, `Gemm` or `MatMul`.
        source: The tensor it reads.
        sums: The tensor it writes.
        weight: float32 (O, I / groups, KH, KW), or (O, I) of a matrix.
        bias: float32 (O,), or None.
        form: How a convolution's filters lie; None of a matrix.
        auto_pad: A convolution's own word for its padding; `NOTSET` where `form` has it.
    """

    name: str
    op: str
    source: str
    sums: str
    weight: Array
    bias: Array | None
    form: Form | None = None
    auto_pad: str = "NOTSET"

    @property
    def groups(self) -> int:
        """Return the groups of a convolution."""
        return self.form.groups if self.form else 1


class Network:
    """A prepared graph, read once.

    Attributes:
        layers: By the names of their nodes, in their order.
        nodes: All nodes by name, in their order.
        producer: The node that writes a tensor, by the tensor's name.
        readers: The nodes that read a tensor, by the tensor's name.
        constants: By name.
        outputs: Names of the graph's outputs.
        body: Names of the nodes that have a layer after them, and of the layers.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        from onnx import numpy_helper  # noqa: PLC0415 - heavy

        self.model = model
        self.constants = {
            tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer
        }
        self.nodes = {node.name: node for node in model.graph.node}
        self.producer = {name: node for node in model.graph.node for name in node.output if name}
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in model.graph.node:
            for name in _reads(node):
                self.readers.setdefault(name, []).append(node)
        self.outputs = [each.name for each in model.graph.output]
        self.input = next(
            each.name for each in model.graph.input if each.name not in self.constants
        )
        found = (self._layer(node) for node in model.graph.node)
        self.layers = {layer.name: layer for layer in found if layer is not None}
        self.body = self._upstream(list(self.layers))
        self.owner = self._owners()

    def coded(self, tensor: str) -> bool:
        """Say whether a tensor comes from codes already, as pixels do."""
        node = self.producer.get(tensor)
        return node is not None and node.op_type == "DequantizeLinear"

    def between(self) -> Iterator[onnx.NodeProto]:
        """Give the nodes of the body that can run in eight bits beside the layers."""
        for name, node in self.nodes.items():
            kinds = OWN_STEP | SAME_STEP | CLIPS | {"Resize"}
            if name in self.body and name in self.owner and node.op_type in kinds:
                yield node

    def floats(self, node: onnx.NodeProto) -> list[str]:
        """Return the tensors that a node of the body reads as numbers, not as shapes."""
        several = node.op_type in {"Add", "Mul", "Concat"}
        return [name for name in (node.input if several else node.input[:1]) if name]

    def gates(self) -> dict[str, float]:
        """Return below which value a tensor does not matter, where only its own gate reads it.

        SiLU and its kin: half of the range of what they read is as good as 0, and a step that does
        not reach there is half as wide (12 instead of 9 dB on a detector of YOLOv8's kind).
        """
        found = {}
        for node in self.nodes.values():
            if node.op_type in _GATES:
                name, readers = node.input[0], self.readers[node.input[0]]
                others = [each for each in readers if each.name != node.name]
                alone = node.op_type == "HardSwish" and not others
                own = [
                    each.op_type == "Mul" and set(each.input) == {name, node.output[0]}
                    for each in others
                ]
                if (alone or own == [True]) and name not in self.outputs:
                    found[name] = _GATES[node.op_type]
        return found

    def edge(self) -> list[str]:
        """Return the tensors where the body ends: read by what comes after it, or given out."""
        found = []
        for name in self.body:
            for tensor in self.nodes[name].output:
                after = any(each.name not in self.body for each in self.readers.get(tensor, ()))
                if tensor and (after or tensor in self.outputs):
                    found.append(tensor)
        order = {name: place for place, name in enumerate(self.producer)}
        return sorted(found, key=lambda name: order[name])

    def _layer(self, node: onnx.NodeProto) -> Layer | None:
        """Read a node as a layer; None if it is none, or one that must stay as it is."""
        if node.op_type not in {"Conv", "Gemm", "MatMul"} or node.domain:
            return None
        weight = self.constants.get(node.input[1])
        if weight is None or weight.dtype != np.float32 or self._after_softmax(node.input[0]):
            return None
        bias = self.constants.get(node.input[2]) if len(node.input) > 2 else None
        if len(node.input) > 2 and node.input[2] and bias is None:
            return None
        read = _convolution if node.op_type == "Conv" else _matrix
        return read(node, weight, bias)

    def _after_softmax(self, tensor: str) -> bool:
        """Say whether a tensor is a share of one: weights on it decode, they do not see."""
        node = self.producer.get(tensor)
        while node is not None and node.op_type in _SHAPES:
            node = self.producer.get(node.input[0])
        return node is not None and node.op_type == "Softmax"

    def _upstream(self, names: list[str]) -> set[str]:
        """Return the names of all nodes before some nodes, and their own."""
        found = set(names)
        waiting = [self.nodes[name] for name in names]
        while waiting:
            for tensor in waiting.pop().input:
                node = self.producer.get(tensor)
                if node is not None and node.name not in found:
                    found.add(node.name)
                    waiting.append(node)
        return found

    def _owners(self) -> dict[str, str]:
        """Return the last layer before each node, by the node's name, where there is one."""
        order = {name: place for place, name in enumerate(self.layers)}
        found: dict[str, str] = {}
        for name, node in self.nodes.items():
            if name in order:
                found[name] = name
                continue
            before = [self.producer[each].name for each in node.input if each in self.producer]
            owners = [found[each] for each in before if each in found]
            if owners:
                found[name] = max(owners, key=lambda owner: order[owner])
        return found


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Return a node's attributes as plain values."""
    from onnx import helper  # noqa: PLC0415 - heavy

    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


def _convolution(node: onnx.NodeProto, weight: Array, bias: Array | None) -> Layer | None:
    """Read a convolution as a layer; None if it is not one of pictures, or smooths a map.

    A Gaussian of 33 x 33 over a map of one channel, as anomalib has it, takes eight times as long
    in eight bits as the whole network before it.
    """
    if weight.ndim != 4 or max(weight.shape[2:]) > _WIDEST_KERNEL or weight.shape[:2] == (1, 1):
        return None
    values = attributes(node)
    form = Form(
        kernel=(weight.shape[2], weight.shape[3]),
        strides=tuple(values.get("strides", (1, 1))),
        dilations=tuple(values.get("dilations", (1, 1))),
        pads=tuple(values.get("pads", (0, 0, 0, 0))),
        groups=values.get("group", 1),
    )
    return Layer(
        name=node.name, op=node.op_type, source=node.input[0], sums=node.output[0], weight=weight,
        bias=bias, form=form, auto_pad=values.get("auto_pad", b"NOTSET").decode(),
    )  # fmt: skip


def _matrix(node: onnx.NodeProto, weight: Array, bias: Array | None) -> Layer | None:
    """Read a matrix product as a layer; None if it does more than that."""
    values = attributes(node)
    if weight.ndim != 2 or values.get("transA") or values.get("alpha", 1.0) != 1.0:
        return None
    turned = weight if values.get("transB") else weight.T.copy()
    if bias is not None and (values.get("beta", 1.0) != 1.0 or bias.size != len(turned)):
        return None
    return Layer(
        name=node.name, op=node.op_type, source=node.input[0], sums=node.output[0], weight=turned,
        bias=None if bias is None else bias.ravel(),
    )  # fmt: skip


def _reads(node: onnx.NodeProto) -> Iterator[str]:
    """Give the tensors that a node reads, in graphs inside it too."""
    yield from node.input
    for each in node.attribute:
        for graph in [each.g, *each.graphs]:
            for inner in graph.node:
                yield from _reads(inner)
            yield from (output.name for output in graph.output)
