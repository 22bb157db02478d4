"""From the TFLite model of a library to one that a bundle holds."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from calibration.importing import inside, plain, ultralytics
from calibration.importing.convert import Converted, order_of
from calibration.importing.facts import Given, Inner, Normalisation
from calibration.importing.lite import Lite
from edge_agent.errors import UsageError
from edge_agent.inspection.spec import Activation, Input

if TYPE_CHECKING:
    import numpy.typing as npt

    from calibration.importing.reading import ModelFile

_LISTS = (".txt", ".labels")
_LARGEST_LIST = 1_000_000


def convert(file: ModelFile, given: Given) -> Converted:
    """Make a model that takes a camera's pixels of one in another form.

    Raises:
        UsageError: It is not one that can be imported; the text says why, and what to do.
    """
    lite = Lite(file.data)
    sizes = lite.input
    rows, columns = sizes.height or 0, sizes.width or 0
    if given.size not in {None, (rows, columns)}:
        raise UsageError(f"--input: the model takes {rows}x{columns} and no other: leave it out")
    meta = metadata(file.data)
    seen = _run(file.data)
    if ultralytics.made(meta):
        reading = ultralytics.read(meta, seen, given)
    else:
        reading = plain.read(_inner(lite), meta, seen, given)
    order = order_of(reading, sizes.channels)
    lite.take_pixels(reading.normalisation)
    lite.give_floats(reading.outputs)
    ready = lite.data()
    _run(ready)
    facts = {"weights": lite.weights, "input": sizes.dtype, **reading.facts}
    reading = msgspec.structs.replace(reading, order=order, facts=facts)
    spec = Input(
        height=rows, width=columns, channels=3 if sizes.channels == 3 else 1,
        order=order, fit=reading.fit, roi=given.roi,
    )  # fmt: skip
    return Converted(reading, spec, None, ready)


def metadata(data: bytes) -> dict[str, str]:
    """Return what lies in the archive behind a model: labels, or Ultralytics' own words."""
    found: dict[str, str] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for entry in archive.infolist():
                if entry.file_size > _LARGEST_LIST:
                    continue
                text = archive.read(entry).decode(errors="replace")
                if entry.filename.endswith(_LISTS) and "names" not in found:
                    found["names"] = json.dumps(text.splitlines())
                elif entry.filename == "metadata.json":
                    found |= {key: str(value) for key, value in json.loads(text).items()}
    except (zipfile.BadZipFile, ValueError, AttributeError, NotImplementedError, RuntimeError):
        return found  # most models have none
    return found


def _inner(lite: Lite) -> Inner:
    sizes, step = lite.input, lite.first_step()
    own: Normalisation | None = None
    span = lite.span()
    if step is not None:
        own = inside.starts_from(*step)
    elif span is not None:
        own = inside.by_span(*span)

    def activation(name: str, values: npt.NDArray[Any]) -> Activation:
        if lite.last_operator(name) in {"SOFTMAX", "LOGISTIC"}:
            return "none"
        return inside.by_values(values)

    return Inner(
        maker=f"TFLite: {lite.description}".rstrip(": "),
        channels=sizes.channels,
        pixels=sizes.dtype == "uint8" and (own is None or lite.direct(own)),
        own=own,
        activation=activation,
    )


def _run(data: bytes) -> dict[str, npt.NDArray[Any]]:
    """Run a model on noise; return what it gave, in numbers and not in codes.

    Raises:
        UsageError: LiteRT refuses it, or it fails.
    """
    from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415 - an extra, and heavy

    try:
        interpreter = Interpreter(model_content=data)
        interpreter.allocate_tensors()
        entry = interpreter.get_input_details()[0]
        noise = np.random.default_rng(0).random(entry["shape"])
        if entry["dtype"] is not np.float32:
            noise = noise * 255 - (128 if entry["dtype"] is np.int8 else 0)
        interpreter.set_tensor(entry["index"], noise.astype(entry["dtype"]))
        interpreter.invoke()
        return {
            str(output["name"]): _floats(interpreter.get_tensor(output["index"]), output)
            for output in interpreter.get_output_details()
        }
    except (RuntimeError, ValueError, MemoryError) as error:
        reason = " ".join(str(error).split())[:240]
        raise UsageError(f"LiteRT refuses the model: {reason}") from error


def _floats(values: npt.NDArray[Any], details: dict[str, Any]) -> npt.NDArray[Any]:
    scale, zero = details["quantization"]
    if values.dtype.kind == "f" or not scale:
        return values
    numbers: npt.NDArray[Any] = (values.astype(np.float32) - zero) * np.float32(scale)
    return numbers
