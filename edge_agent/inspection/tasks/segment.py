"""Segment: what is where, point by point.

A semantic model gives the probability of each class at each point: the map is that of all defects
together, the score the mean of its largest values. An instance model (`yolo`, `end2end`) gives
boxes with masks as sums of prototypes: the map holds the masks of the defects, each as strong as
its confidence, and the score is the highest confidence.
"""

from __future__ import annotations

import numpy as np

from edge_agent.camera.frame import Image
from edge_agent.errors import EngineError
from edge_agent.inspection.boxes import Boxes, best_of, findings_of, read_boxes
from edge_agent.inspection.engines import Engine, Outputs
from edge_agent.inspection.eye import Eye, Look
from edge_agent.inspection.reading import (
    Values,
    mean_of_top,
    only_output,
    probabilities,
    sigmoid,
)
from edge_agent.inspection.seen import Box, Inspection, Map
from edge_agent.inspection.spec import Input, Segment
from edge_agent.inspection.view import place_map


class SegmentInspector:
    """Run one segmentation model. Not thread-safe: one inspector, one thread.

    Raises:
        EngineError: Model and description do not fit together.
    """

    def __init__(self, engine: Engine, spec: Input, task: Segment) -> None:
        self._eye = Eye(engine, spec)
        self._spec = spec
        self._task = task
        self._defects = [task.labels.index(label) for label in task.defects]

    @property
    def engine(self) -> str:
        """Name of the engine that runs it."""
        return self._eye.engine

    def inspect(self, image: Image) -> Inspection:
        """Look at one image; see `Inspector.inspect`."""
        look = self._eye.look(image)
        if self._task.layout == "semantic":
            return self._read_points(look)
        return self._read_instances(look)

    def close(self) -> None:
        """Let go of the model."""
        self._eye.close()

    def _read_points(self, look: Look) -> Inspection:
        task = self._task
        values = _classes_first(look.outputs, len(task.labels), is_last=self.engine == "litert")
        shares = probabilities(values, task.activation, axis=0)
        defective = shares[self._defects].sum(axis=0)
        shown, region = place_map(defective, look.placement)
        best = shares.reshape(len(task.labels), -1).max(axis=1)
        score = mean_of_top(shown, task.top)
        if not np.isfinite(best).all():
            score = float("nan")
        return Inspection(
            max(score, 0.0),  # NaN stays NaN: it comes first
            shown,
            look.preprocess_ns,
            look.inference_ns,
            region,
            confidences=dict(zip(task.labels, best.tolist(), strict=True)),
        )

    def _read_instances(self, look: Look) -> Inspection:
        task = self._task
        boxes, prototypes = _instances(look.outputs, self._spec, task)
        if not boxes.is_finite:
            return Inspection(float("nan"), None, look.preprocess_ns, look.inference_ns)
        findings = findings_of(boxes, task, look.placement)
        shown, region = place_map(_draw_masks(boxes, prototypes, self._defects), look.placement)
        return Inspection(
            max((each.score for each in findings), default=0.0),
            shown,
            look.preprocess_ns,
            look.inference_ns,
            region,
            findings,
            best_of(findings),
        )


def make(engine: Engine, spec: Input, task: Segment) -> SegmentInspector:
    """Make the inspector; see `load_task`."""
    return SegmentInspector(engine, spec, task)


def _classes_first(outputs: Outputs, classes: int, *, is_last: bool) -> Values:
    """Return a semantic output as (classes, rows, columns).

    Args:
        outputs: Of the model.
        classes: How many there are.
        is_last: Whether the classes come last where the shape does not tell.

    Raises:
        EngineError: The output has another number of classes.
    """
    values = only_output(outputs, "map of classes", frozenset({4}))
    _, first, _, last = values.shape
    if values.shape[0] != 1 or classes not in {first, last}:
        raise EngineError(
            f"the model's output is {list(values.shape)}: no side of it is the number of labels "
            f"that its manifest names, {classes}"
        )
    if last == classes and (first != classes or is_last):
        turned: Values = values[0].transpose(2, 0, 1)
        return turned
    as_is: Values = values[0]
    return as_is


def _instances(outputs: Outputs, spec: Input, task: Segment) -> tuple[Boxes, Values]:
    """Return boxes, and prototypes as (masks, rows, columns), whichever way they were laid out."""
    values = only_output(outputs, "boxes", frozenset({3}))
    prototypes = only_output(outputs, "prototypes", frozenset({4}))
    sides = set(values.shape[1:])
    before = 6 if task.layout == "end2end" else 4 + len(task.labels)
    if before + prototypes.shape[1] not in sides and before + prototypes.shape[3] in sides:
        prototypes = prototypes.transpose(0, 3, 1, 2)  # TFLite exports
    boxes = read_boxes(values, spec, task, masks=prototypes.shape[1])
    return boxes, prototypes[0]


def _draw_masks(boxes: Boxes, prototypes: Values, defects: list[int]) -> Map:
    """Draw the masks of the defects, each within its box and as strong as its confidence."""
    count, rows, columns = prototypes.shape
    drawn = np.zeros((rows, columns), np.float32)
    flat = np.ascontiguousarray(prototypes, np.float32).reshape(count, -1)
    for place in np.flatnonzero(np.isin(boxes.classes, defects)).tolist():
        x0, y0, x1, y1 = boxes.corners[place].tolist()
        left, top, right, bottom = Box(x0, y0, x1 - x0, y1 - y0).pixels((rows, columns))
        mask = sigmoid((boxes.coefficients[place] @ flat).reshape(rows, columns))
        view = drawn[top:bottom, left:right]
        strong = mask[top:bottom, left:right] * boxes.confidences[place]
        np.maximum(view, strong, out=view)
    return drawn
