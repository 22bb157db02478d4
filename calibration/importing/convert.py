"""From the ONNX model of a library to one that a bundle holds: find out what it is, change it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from calibration.importing import anomalib, inside, outputs, plain, sizing, surgery, ultralytics
from calibration.importing.facts import Given, Reading, Sizes
from edge_agent.errors import UsageError
from edge_agent.inspection.spec import Input

if TYPE_CHECKING:
    import numpy.typing as npt
    import onnx

    from calibration.importing.reading import ModelFile


class Converted(msgspec.Struct, frozen=True):
    """A model as a bundle holds it.

    Attributes:
        reading: What it is.
        input: What it looks at.
        onnx: The ONNX model; None for TFLite.
        litert: The TFLite model; empty for ONNX.
    """

    reading: Reading
    input: Input
    onnx: onnx.ModelProto | None
    litert: bytes = b""


def convert(file: ModelFile, given: Given) -> Converted:
    """Make a model that takes a camera's pixels of one in another form.

    Raises:
        UsageError: It is not one that can be imported; the text says why, and what to do.
    """
    model = file.model
    assert model is not None, "an ONNX file was read"
    surgery.check_operators(model)
    meta = surgery.metadata(model)
    sizes = surgery.input_of(model)
    rows, columns = _size(model, meta, sizes, given)
    fixed = sizing.fix(model, sizes, (rows, columns))
    seen = _outputs(fixed)
    if ultralytics.made(meta):
        reading = ultralytics.read(meta, seen, given)
    elif anomalib.made(model, file.beside):
        reading = anomalib.read(fixed, file.beside, seen, given)
    else:
        reading = plain.read(inside.inner(fixed), meta, seen, given)
    order = order_of(reading, sizes.channels)
    repeated = surgery.take_pixels(fixed, reading.normalisation)
    outputs.keep_outputs(fixed, reading.outputs, repeated=repeated)
    ready = surgery.simplify(fixed)
    _outputs(ready)
    notes = list(reading.notes)
    if repeated > 1:
        notes.append(
            f"It was exported for {repeated} images at once, and looks at each part {repeated} "
            "times: export it for one to make it as many times faster."
        )
    reading = msgspec.structs.replace(reading, order=order, notes=tuple(notes))
    spec = Input(
        height=rows, width=columns, channels=3 if sizes.channels == 3 else 1, order=order,
        fit=reading.fit, roi=given.roi,
    )  # fmt: skip
    return Converted(reading, spec, ready)


def _size(
    model: onnx.ModelProto, meta: dict[str, str], sizes: Sizes, given: Given
) -> tuple[int, int]:
    """Choose the size of the input: that in the file, what was given, what is usual.

    Raises:
        UsageError: None is known, or the file has another one than was given.
    """
    fixed = (sizes.height, sizes.width)
    usual = ultralytics.usual_size(meta) if ultralytics.made(meta) else anomalib.usual_size(model)
    chosen = [
        side or (given.size[place] if given.size else usual[place] if usual else None)
        for place, side in enumerate(fixed)
    ]
    rows, columns = chosen
    if rows is None or columns is None:
        raise UsageError(
            "the model takes images of any size: say the one it was trained with: --input HxW, "
            "e.g. --input 224x224"
        )
    if given.size and given.size != (rows, columns):
        raise UsageError(
            f"--input {given.size[0]}x{given.size[1]}: the model takes {rows}x{columns} and no "
            "other: leave --input out, or export it for that size"
        )
    return rows, columns


def _outputs(model: onnx.ModelProto) -> dict[str, npt.NDArray[Any]]:
    """Run a model on two images of noise; return what it gave.

    Raises:
        UsageError: The shapes change from image to image.
    """
    session = surgery.open_session(model)
    first, second = (surgery.run(session, surgery.noise(session, seed)) for seed in (0, 1))
    for name, value in first.items():
        if value.shape != second[name].shape:
            raise UsageError(
                f"the model's output {name!r} changes its shape from image to image "
                f"({list(value.shape)}, {list(second[name].shape)}): export it with a fixed number "
                "of rows, or without its own suppression of overlaps (nms=False)"
            )
    return first


def order_of(reading: Reading, channels: int) -> Any:
    """Return the order of the channels; a model of one channel is grey, whatever was said."""
    if (reading.order == "GREY") != (channels == 1):
        if channels == 1:
            return "GREY"
        raise UsageError(f"--order GREY: the model takes {channels} channels: give RGB or BGR")
    return reading.order
