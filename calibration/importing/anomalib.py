"""Anomalib: its exports hold threshold and normalisation in the graph; they are taken out.

Since 2.0 an export ends in `clip((raw - threshold) / (max - min) + 0.5, 0, 1)` for the score and
for the map each (newer ones with a fork for max == min around it). What is kept is `raw`; the
threshold of the image becomes the manifest's. Versions 0 and 1 leave `metadata.json` beside the
model, and the graph gives raw values already.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from calibration.importing import inside, surgery, tasks
from calibration.importing.facts import IMAGENET, UNIT, Given, Reading
from edge_agent.errors import UsageError
from edge_agent.inspection.spec import Anomaly, Thresholds

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt
    import onnx

_SCORES = ("pred_score", "pred_scores")
_MAPS = ("anomaly_map", "anomaly_maps")
_PASSES = {
    "Where": (1, 2), "Clip": (0,), "Identity": (0,), "Min": (0, 1),
    "Max": (0, 1), "Squeeze": (0,), "Unsqueeze": (0,), "Reshape": (0,), "Cast": (0,),
}  # fmt: skip
"""Operators between a raw value and what is made of it, and which of their inputs lead back."""

_HALF = 0.5
"""Where the threshold lies when it is normalised."""

_REVIEW = 0.05
"""How far below the threshold a person is asked, as a share of what is normalised to one."""


class Raw(msgspec.Struct, frozen=True):
    """A value before it was normalised.

    Attributes:
        tensor: Its name.
        threshold: In its own numbers; None where the graph has none.
        span: What is normalised to one.
    """

    tensor: str
    threshold: float | None = None
    span: float = 1.0


def made(model: onnx.ModelProto, beside: Mapping[str, Any]) -> bool:
    """Tell whether a model is theirs."""
    names = {value.name for value in model.graph.output}
    return bool(names & {*_SCORES, *_MAPS}) or "image_threshold" in beside


def usual_size(model: onnx.ModelProto) -> tuple[int, int] | None:
    """Return the size of its map, which is that of the images it was trained on."""
    for value in model.graph.output:
        shape = surgery.shape_of(value)
        if value.name in _MAPS and len(shape) == 4 and shape[2] and shape[3]:
            return shape[2], shape[3]
    return None


def read(
    model: onnx.ModelProto,
    beside: Mapping[str, Any],
    seen: Mapping[str, npt.NDArray[Any]],
    given: Given,
) -> Reading:
    """Read what an export is.

    Args:
        model: Of fixed size, its constants folded; changed where scores would not be positive.
        beside: What `metadata.json` says; empty where there is none.
        seen: What it gave for some image, by output.
        given: What a person says.

    Raises:
        UsageError: It gives neither score nor map.
    """
    if given.task not in {None, "anomaly"}:
        raise UsageError(f"--task {given.task}: the model is of anomalib: its task is anomaly")
    score = next((name for name in seen if name in _SCORES), None)
    cells = next((name for name in seen if name in _MAPS), None)
    floats = {name: value for name, value in seen.items() if value.dtype.kind == "f"}
    if score is None and cells is None:
        score = next((name for name, value in floats.items() if value.size == len(value)), None)
        cells = next((name for name, value in floats.items() if value.ndim >= 3), None)
    if score is None and cells is None:
        raise UsageError("the model gives neither pred_score nor anomaly_map: export it anew")
    outputs, found = {}, None
    for name, to in ((cells, tasks.MAP), (score, tasks.SCORE)):
        if name is not None:
            raw = raw_of(model, name)
            found = raw if to == tasks.SCORE or found is None else found
            outputs[raw.tensor] = to
    assert found is not None, "one of the two is there"
    threshold, span = _threshold(found, beside)
    said = "" if threshold is None else f"{threshold:.6g}"
    outputs, threshold, notes = _positive(model, outputs, threshold, span)
    mean = inside.normalisation(model)
    return Reading(
        source="anomalib",
        task=Anomaly(1 if score is None or cells is None else _top(seen[cells])),
        order=given.order or "RGB",
        fit=given.fit or "stretch",
        normalisation=given.normalisation(UNIT if mean is not None else IMAGENET),
        outputs=outputs,
        thresholds=_limits(threshold, span),
        notes=tuple(notes),
        facts={
            "threshold": said,
            "normalised": f"over {span:.6g}" if found.threshold is not None else "",
        },
    )


def raw_of(model: onnx.ModelProto, output: str) -> Raw:
    """Find a value before it is normalised; the output itself where it is not."""
    writers, known = surgery.producers(model), surgery.constants(model)
    todo, done = [output], set()
    while todo:
        name = todo.pop()
        node = writers.get(name)
        if node is None or name in done:
            continue
        done.add(name)
        if node.op_type == "Add":
            raw = _before(node, writers, known)
            if raw is not None:
                return raw
        todo += [
            node.input[place] for place in _PASSES.get(node.op_type, ()) if place < len(node.input)
        ]
    return Raw(output)


def _before(
    node: onnx.NodeProto,
    writers: Mapping[str, onnx.NodeProto],
    known: Mapping[str, npt.NDArray[Any]],
) -> Raw | None:
    """Read `(raw - threshold) / span + 0.5`; a division by 1 was folded away."""
    numbers = {name: _number(known.get(name)) for name in node.input}
    rest = [name for name, number in numbers.items() if number is None]
    if len(rest) != 1 or _HALF not in numbers.values():
        return None
    inner, span = writers.get(rest[0]), 1.0
    if inner is not None and inner.op_type == "Div":
        span = _number(known.get(inner.input[1])) or 1.0
        inner = writers.get(inner.input[0])
    if inner is None or inner.op_type != "Sub":
        return None
    threshold = _number(known.get(inner.input[1]))
    return None if threshold is None else Raw(inner.input[0], threshold, abs(span))


def _number(value: npt.NDArray[Any] | None) -> float | None:
    """Return a constant of one finite number; None for others."""
    if value is None or value.size != 1 or not math.isfinite(float(value.item())):
        return None
    return float(value.item())


def _threshold(found: Raw, beside: Mapping[str, Any]) -> tuple[float | None, float]:
    """Return threshold and span, from the graph or else from `metadata.json`."""
    if found.threshold is not None:
        return found.threshold, found.span
    value, low, high = (
        beside.get(key, beside.get(f"pred_scores.{key}", beside.get(f"anomaly_maps.{key}")))
        for key in ("image_threshold", "min", "max")
    )
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None, 1.0
    if isinstance(low, int | float) and isinstance(high, int | float) and high > low:
        return float(value), float(high - low)
    return float(value), abs(float(value)) or 1.0


def _positive(
    model: onnx.ModelProto, outputs: dict[str, str], threshold: float | None, span: float
) -> tuple[dict[str, str], float | None, list[str]]:
    """Shift scores that lie around or below 0: thresholds are above it."""
    if threshold is None or threshold > _REVIEW * span:
        return outputs, threshold, []
    shift = span - threshold
    moved = {}
    for tensor, name in outputs.items():
        by = surgery.constant(model, np.float32(shift))
        moved[surgery.append(model, "Add", [tensor, by])] = name
    note = f"Its scores lie around {threshold:.3g}: {shift:.3g} is added to them."
    return moved, span, [note]


def _limits(threshold: float | None, span: float) -> Thresholds | None:
    if threshold is None:
        return None
    review = max(threshold - _REVIEW * span, 0.5 * threshold)
    return Thresholds(review=float(f"{review:.6g}"), ng=float(f"{threshold:.6g}"))


def _top(cells: npt.NDArray[Any]) -> int:
    return tasks.top_of(cells.shape[-1] * cells.shape[-2])
