"""Ultralytics: YOLO exports say in their metadata what they are (`task`, `names`, `imgsz`).

Heads without NMS give [1, 4 + classes, N] in input pixels (YOLOv8, 11, and 26 where its own head
without NMS was not asked for); those with it, built in or of YOLO26's own kind, [1, N, 6].
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any, Literal

from calibration.importing import labels as naming
from calibration.importing import tasks
from calibration.importing.facts import UNIT, Given, Reading, check_count
from edge_agent.errors import UsageError
from edge_agent.inspection.spec import Thresholds

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    Shapes = Mapping[str, tuple[int, ...]]

_FACTS = ("description", "version", "task", "head", "stride", "imgsz", "end2end", "date", "license")
_NG = 0.5

_LARGEST_SHARE = 2.0
"""What a box in shares of the input reaches at most, with room for those that jut out."""


def made(meta: Mapping[str, str]) -> bool:
    """Tell whether the metadata is theirs."""
    return meta.get("author") == "Ultralytics" or {"task", "names", "stride"} <= set(meta)


def usual_size(meta: Mapping[str, str]) -> tuple[int, int] | None:
    """Return height and width that the model was exported for; None where it is not said."""
    sides = _value(meta.get("imgsz", ""))
    sides = [sides, sides] if isinstance(sides, int) else sides
    if isinstance(sides, list | tuple) and len(sides) == 2:
        return int(sides[0]), int(sides[1])
    return None


def read(meta: Mapping[str, str], seen: Mapping[str, npt.NDArray[Any]], given: Given) -> Reading:
    """Read what an export is.

    Args:
        meta: Its metadata.
        seen: What it gave for some image, by output.
        given: What a person says.

    Raises:
        UsageError: It is for a task that we have not, or its outputs are not as they should be.
    """
    kind = meta.get("task", "detect")
    if given.task and given.task != kind:
        raise UsageError(f"--task {given.task}: the model says of itself that its task is {kind}")
    own = naming.of(meta)
    shapes = {name: value.shape for name, value in seen.items()}
    task: Any
    if kind == "classify":
        name, shape = _only(shapes)
        labels, notes = tasks.label_all(given, own, shape[-1])
        task, more = tasks.classify(given, labels, "none")
        outputs, limits = {name: name}, None
    elif kind in {"detect", "segment"}:
        extra = tasks.MASKS if kind == "segment" else 0
        boxes, layout, classes = _boxes(shapes, len(given.labels or own), extra)
        labels, notes = tasks.label_all(given, own, classes)
        make = tasks.segment_boxes if kind == "segment" else tasks.detect
        task, more = make(given, labels, layout, _unit(seen[boxes], layout))
        outputs = {name: name for name in (boxes, *_prototypes(shapes, kind))}
        limits = Thresholds(review=min(max(task.confidence, 0.01), _NG), ng=_NG)
    else:
        raise UsageError(
            f"an Ultralytics model for {kind!r}: a station has anomaly, classify, detect and "
            "segment: train one of these"
        )
    return Reading(
        source=f"Ultralytics {meta.get('version', '')}".strip(),
        task=task,
        order=given.order or "RGB",
        fit=given.fit or ("crop" if kind == "classify" else "letterbox"),
        normalisation=given.normalisation(UNIT),
        outputs=outputs,
        thresholds=limits,
        notes=(*notes, *more),
        facts={key: meta[key] for key in _FACTS if meta.get(key)},
    )


def _only(shapes: Shapes) -> tuple[str, tuple[int, ...]]:
    if len(shapes) != 1:
        raise UsageError(f"the model gives {_say(shapes)}: a classifier gives one row of numbers")
    return next(iter(shapes.items()))


def _boxes(shapes: Shapes, classes: int, extra: int) -> tuple[str, Literal["yolo", "end2end"], int]:
    """Find the output that holds the boxes; return its name, layout and number of classes."""
    for name, shape in shapes.items():
        if len(shape) != 3:
            continue
        if shape[2] == 6 + extra:
            return name, "end2end", classes
        if shape[1] > 4 + extra and (classes == 0 or shape[1] == 4 + classes + extra):
            return name, "yolo", shape[1] - 4 - extra
        check_count(range(classes), shape[1] - 4 - extra)  # type: ignore[arg-type]  # as many
    raise UsageError(
        f"the model gives {_say(shapes)}, which is not what a YOLO of {classes} classes gives: "
        f"[1, {4 + classes + extra}, N] or [1, N, {6 + extra}]: export it anew with an Ultralytics "
        "of 8.3 or later"
    )


def _unit(values: npt.NDArray[Any], layout: str) -> Literal["pixels", "shares"]:
    """Tell whether boxes are in pixels or, as TFLite exports have them, in shares of the input."""
    sides = values[:, :4] if layout == "yolo" else values[:, :, :4]
    return "shares" if 0.0 < float(sides.max()) <= _LARGEST_SHARE else "pixels"


def _prototypes(shapes: Shapes, kind: str) -> list[str]:
    if kind != "segment":
        return []
    found = [name for name, shape in shapes.items() if len(shape) == 4 and shape[1] == tasks.MASKS]
    if len(found) != 1:
        raise UsageError(f"the model gives {_say(shapes)}: its mask prototypes are missing")
    return found


def _say(shapes: Shapes) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())


def _value(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None
