"""Fix the sizes of an ONNX graph: height, width, and one image at a time.

Invariant:
    - A graph that was exported for several images is brought to one only where it then gives for
      an image what it gave for the first of several; otherwise it keeps its batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from calibration.importing import surgery
from calibration.importing.facts import Sizes
from edge_agent.errors import UsageError

if TYPE_CHECKING:
    import onnx

_SAME = 1e-3
"""What the outputs of one image and of several may differ by, as a share of the largest."""


def fix(model: onnx.ModelProto, sizes: Sizes, size: tuple[int, int]) -> onnx.ModelProto:
    """Return the model for images of one size, its constants folded.

    The batch becomes 1, where the graph lets it; otherwise it stays, and `surgery.take_pixels`
    fills it.

    Raises:
        UsageError: It cannot be run at that size.
    """
    try:
        whole = surgery.simplify(_with_input(model, sizes, sizes.batch or 1, size))
    except UsageError as error:
        if sizes.height and sizes.width and sizes.batch:
            raise UsageError(f"{error}: export it anew, with an opset from 13 to 21") from error
        raise UsageError(
            f"the model cannot be brought to images of {size[1]} x {size[0]} ({error}): give the "
            "size it was trained with (--input HxW), or export it with fixed sizes"
        ) from error
    if (sizes.batch or 1) == 1:
        return whole
    for source in (model, _with_shapes(whole, sizes.batch or 1)):
        try:
            single = surgery.simplify(_with_input(source, sizes, 1, size))
            same = _agree(whole, single)
        except UsageError:  # its batch is in the graph in a way that we do not know
            continue
        if same:
            return single
    return whole


def _agree(whole: onnx.ModelProto, single: onnx.ModelProto) -> bool:
    """Tell whether one image gives what the first of several equal ones gives."""
    one, several = surgery.open_session(single), surgery.open_session(whole)
    image = surgery.noise(one, 0)
    count = several.get_inputs()[0].shape[0]
    found = surgery.run(one, image)
    expected = surgery.run(several, np.repeat(image, count, axis=0))
    for name, value in found.items():
        first = expected[name][:1]
        reach = _SAME * (float(np.abs(first).max()) if first.size else 1.0)
        if value.shape != first.shape or not np.allclose(value, first, rtol=_SAME, atol=reach):
            return False
    return True


def _with_shapes(model: onnx.ModelProto, batch: int) -> onnx.ModelProto:
    """Return a copy in which constant shapes that begin with the batch begin with 1."""
    from onnx import numpy_helper  # noqa: PLC0415 - heavy

    changed = type(model)()
    changed.CopyFrom(model)
    shapes = {node.input[1] for node in changed.graph.node if node.op_type in {"Reshape", "Expand"}}
    for tensor in changed.graph.initializer:
        if tensor.name in shapes:
            value: Any = numpy_helper.to_array(tensor).copy()
            if value.size and value[0] == batch:
                value[0] = 1
                tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    return changed


def _with_input(
    model: onnx.ModelProto, sizes: Sizes, batch: int, size: tuple[int, int]
) -> onnx.ModelProto:
    """Return a copy whose input is fixed, and whose other shapes are to be worked out anew."""
    fixed = type(model)()
    fixed.CopyFrom(model)
    rows, columns = size
    sides = (batch, rows, columns, sizes.channels)
    sides = sides if sizes.last else (batch, sizes.channels, rows, columns)
    value = next(each for each in fixed.graph.input if each.name == sizes.name)
    for dim, side in zip(value.type.tensor_type.shape.dim, sides, strict=True):
        dim.Clear()
        dim.dim_value = side
    for output in fixed.graph.output:
        output.type.tensor_type.ClearField("shape")
    del fixed.graph.value_info[:]
    return fixed
