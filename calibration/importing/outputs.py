"""Choose the outputs of an ONNX graph: some of its tensors, float32, under names of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from calibration.importing import surgery

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnx


def keep_outputs(model: onnx.ModelProto, outputs: Mapping[str, str], *, repeated: int = 1) -> None:
    """Make some tensors the only outputs, float32 and for one image, and drop what they need not.

    Args:
        model: Changed in place.
        outputs: New name by tensor.
        repeated: How many times the graph looks at the image; the first is kept.
    """
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415 - heavy

    _make_room(model, set(outputs.values()) - set(outputs))
    del model.graph.output[:]
    for tensor in outputs:
        model.graph.output.add().name = tensor
    types = {value.name: value.type for value in surgery.open_session(model).get_outputs()}
    del model.graph.output[:]
    for place, tensor in enumerate(outputs):  # all of them first: names may change places
        _rename(model, tensor, f"edge.output.{place}")
    for place, (tensor, name) in enumerate(outputs.items()):
        source = f"edge.output.{place}"
        if repeated > 1:
            bounds = [f"{name}.edge.{number}" for number in (0, 1)]
            for number, bound in enumerate(bounds):
                value = numpy_helper.from_array(np.array([number], np.int64), bound)
                model.graph.initializer.append(value)
            read = [source, *bounds, bounds[0]]
            source = f"{name}.edge.first"
            model.graph.node.append(helper.make_node("Slice", read, [source], name=f"{name}.first"))
        if types[tensor] == "tensor(float)":
            _rename(model, source, name)
        else:
            cast = helper.make_node(
                "Cast", [source], [name], name=f"{name}.Cast", to=TensorProto.FLOAT
            )
            model.graph.node.append(cast)
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    _drop_unread(model)


def _make_room(model: onnx.ModelProto, names: set[str]) -> None:
    """Rename tensors that have the names that outputs are to have."""
    taken = {tensor.name for tensor in model.graph.initializer}
    taken |= {name for node in model.graph.node for name in node.output}
    for name in names & taken:
        _rename(model, name, f"{name}.inner")


def _rename(model: onnx.ModelProto, old: str, new: str) -> None:
    for node in surgery.nodes_of(model.graph):
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name == old:
                    names[place] = new
    for tensor in model.graph.initializer:
        if tensor.name == old:
            tensor.name = new


def _drop_unread(model: onnx.ModelProto) -> None:
    """Leave out nodes and constants that no output needs."""
    needed = {value.name for value in model.graph.output}
    kept = []
    for node in reversed(model.graph.node):  # they are in the order in which they run
        if needed & set(node.output):
            kept.append(node)
            needed |= _read_by(node)
    del model.graph.node[:]
    model.graph.node.extend(reversed(kept))
    tensors = [tensor for tensor in model.graph.initializer if tensor.name in needed]
    del model.graph.initializer[:]
    model.graph.initializer.extend(tensors)
    del model.graph.value_info[:]


def _read_by(node: onnx.NodeProto) -> set[str]:
    names = set(node.input)
    for attribute in node.attribute:
        for inner in (attribute.g, *attribute.graphs):
            for each in inner.node:
                names |= _read_by(each)
            names |= {value.name for value in inner.output}
    return names
