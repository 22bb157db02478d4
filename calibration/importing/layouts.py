"""Tell what a model does by the shapes of its outputs alone. Pure: shapes in, a layout out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from calibration.importing.facts import TaskName
from calibration.importing.tasks import MASKS
from edge_agent.errors import UsageError

Shapes = Mapping[str, tuple[int, ...]]

KNOWN = (
    "[1, classes] is a classifier, [1, 1, H, W] an anomaly map, [1, classes, H, W] a segmentation, "
    "[1, 4 + classes, N] or [1, N, 6] a detector"
)

_LONG = 4
"""How many times longer than wide a map may be; rows of boxes are longer."""


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """How the outputs of a model for one task are laid out.

    Attributes:
        task: What it does.
        main: The output that holds the classes, boxes, or anomaly map (else the score).
        also: A second output: the prototypes of masks, or the score beside a map; empty for none.
        classes: How many, where the shape says it; 0 where it does not.
        form: Of boxes: `yolo` or `end2end`; of points and classes: which dimension counts them.
    """

    task: TaskName
    main: str
    also: str = ""
    classes: int = 0
    form: Literal["yolo", "end2end", "first", "last"] = "first"


def tell(shapes: Shapes, wanted: TaskName | None, labels: int = 0) -> Layout:
    """Find the layout that fits the shapes, and the task where one is given.

    Args:
        shapes: Of the outputs that hold floating point, the batch first.
        wanted: The task, where it is known.
        labels: How many are known; 0 for none.

    Raises:
        UsageError: None does, or several do.
    """
    found = [each for each in _layouts(shapes, labels) if wanted in {None, each.task}]
    if not found:
        tried = f" as --task {wanted}" if wanted else ""
        raise UsageError(
            f"the model gives {say(shapes)}, which cannot be read{tried}: {KNOWN}{_older(shapes)}"
        )
    if len({each.task for each in found}) > 1:
        names = " or ".join(sorted({each.task for each in found}))
        raise UsageError(f"the model gives {say(shapes)}, which may be {names}: say it with --task")
    return found[0]


def say(shapes: Shapes) -> str:
    """Say shapes to people."""
    return ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())


def _older(shapes: Shapes) -> str:
    """Say what is to be done with rows of boxes that have an objectness."""
    rows = [shape for shape in shapes.values() if len(shape) == 3 and shape[1] > shape[2] > 6]
    return (
        "; rows of boxes with an objectness, as of YOLOv5 and YOLOX, are not read: train it with "
        "Ultralytics' YOLOv8 or later"
    ) * bool(rows)


def _layouts(shapes: Shapes, labels: int) -> list[Layout]:
    if len(shapes) == 1:
        ((name, shape),) = shapes.items()
        return _single(name, shape, labels)
    if len(shapes) == 2:
        return _pair(shapes, labels)
    return []


def _single(name: str, shape: tuple[int, ...], labels: int) -> list[Layout]:
    wide = [side for side in shape[1:] if side > 1]
    if not wide:
        score = Layout(task="anomaly", main=name)
        return [score, Layout(task="classify", main=name, classes=1)]
    if len(wide) == 1 and len(shape) in {2, 4}:
        return [Layout(task="classify", main=name, classes=wide[0])]
    if len(shape) == 4:
        return _points(name, shape, labels)
    if len(shape) == 3:
        boxes = _boxes("detect", name, shape, 0)
        if boxes and shape[1] != shape[2]:
            return [boxes]
        return [Layout(task="anomaly", main=name)] if max(wide) <= _LONG * min(wide) else []
    return []


def _points(name: str, shape: tuple[int, ...], labels: int) -> list[Layout]:
    """Tell a map, of one value or of some classes for each point."""
    if 1 in {shape[1], shape[3]}:
        form: Literal["first", "last"] = "first" if shape[1] == 1 else "last"
        points = Layout(task="segment", main=name, classes=1, form=form)
        # A map of one class is what anomaly models give; --task segment takes it for a class.
        return [Layout(task="anomaly", main=name)] + ([points] if labels == 1 else [])
    last = shape[3] == labels or (shape[1] != labels and shape[3] < shape[1])
    classes = shape[3] if last else shape[1]
    return [Layout(task="segment", main=name, classes=classes, form="last" if last else "first")]


def _pair(shapes: Shapes, labels: int) -> list[Layout]:
    small, large = sorted(shapes, key=lambda name: len(shapes[name]))
    if all(side == 1 for side in shapes[small][1:]):
        return [
            Layout(task="anomaly", main=each.main, also=small)
            for each in _single(large, shapes[large], labels)
            if each.task == "anomaly"
        ]
    if len(shapes[large]) == 4 and MASKS in {shapes[large][1], shapes[large][3]}:
        boxes = _boxes("segment", small, shapes[small], MASKS)
        return [msgspec.structs.replace(boxes, also=large)] if boxes else []
    return []


def _boxes(task: TaskName, name: str, shape: tuple[int, ...], extra: int) -> Layout | None:
    if len(shape) != 3:
        return None
    if shape[2] == 6 + extra:
        return Layout(task=task, main=name, form="end2end")
    classes = shape[1] - 4 - extra
    if classes >= 1 and shape[1] < shape[2]:
        return Layout(task=task, main=name, classes=classes, form="yolo")
    return None
