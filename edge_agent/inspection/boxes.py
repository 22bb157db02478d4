"""Boxes out of a detector's output: layouts, and which of those that overlap stay.

Layouts as Ultralytics exports them: `yolo` (YOLOv8 and 11) gives every anchor's box and the
confidence of each class; `end2end` (YOLOv10 and 26, and exports with NMS built in) gives boxes
that were chosen in the graph.
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from edge_agent.errors import EngineError
from edge_agent.inspection.reading import Values
from edge_agent.inspection.seen import Box, Finding
from edge_agent.inspection.spec import Detect, Input, Segment
from edge_agent.inspection.view import Placement, clip

_CANDIDATES = 1000
"""Boxes that are compared with each other at most, the surest first."""


class Boxes(msgspec.Struct, frozen=True):
    """What a detector found, the surest first.

    Attributes:
        corners: float32 (n, 4): x0, y0, x1, y1 in shares of the model's input.
        confidences: float32 (n,).
        classes: int64 (n,).
        coefficients: float32 (n, masks): of the prototypes; no columns where there are none.
        is_finite: Whether the model gave numbers; where not, nothing here means anything.
    """

    corners: Values
    confidences: Values
    classes: npt.NDArray[np.int64]
    coefficients: Values
    is_finite: bool = True


NO_NUMBERS = Boxes(
    np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64),
    np.zeros((0, 0), np.float32), is_finite=False,
)  # fmt: skip


def read_boxes(values: Values, spec: Input, task: Detect | Segment, *, masks: int = 0) -> Boxes:
    """Read a detector's output.

    Args:
        values: The output; the two sides after the batch may stand either way in `yolo`.
        spec: Of the model's input.
        task: Of the model.
        masks: Coefficients behind each box.

    Raises:
        EngineError: The output does not fit the task.
    """
    table = _table(values, task, masks)
    is_chosen = task.layout == "end2end"
    of_classes = table[4 : 4 + (1 if is_chosen else len(task.labels))]
    confidences: Values = of_classes.max(axis=0)
    with np.errstate(invalid="ignore"):
        if not np.isfinite(of_classes.sum()):  # one that is no number makes the sum none
            return NO_NUMBERS
    order = _surest(confidences, task.confidence)
    rows = table[:, order]
    if not np.isfinite(rows).all():
        return NO_NUMBERS
    classes = rows[5].astype(np.int64) if is_chosen else of_classes[:, order].argmax(axis=0)
    if classes.size and not 0 <= classes.min() <= classes.max() < len(task.labels):
        raise EngineError(
            f"the model found class {classes.max()}, and its manifest names {len(task.labels)} "
            f"labels"
        )
    found = Boxes(
        _corners(rows, spec, task),
        confidences[order],
        classes,
        rows[-masks:].T if masks else np.zeros((len(order), 0), np.float32),
    )
    if is_chosen:
        return _take(found, np.arange(min(len(order), task.limit)))
    kept = keep_apart(found.corners, classes, overlap=task.overlap, limit=task.limit)
    return _take(found, kept)


def keep_apart(
    corners: Values, classes: npt.NDArray[np.int64], *, overlap: float, limit: int
) -> npt.NDArray[np.int64]:
    """Choose boxes, the surest first, that overlap no surer one of their class (greedy NMS).

    Args:
        corners: (n, 4): x0, y0, x1, y1, the surest first.
        classes: (n,).
        overlap: A box goes if its intersection over union with one that stays is above this.
        limit: Boxes at most.

    Returns:
        Their places, ascending.
    """
    import cv2  # noqa: PLC0415 - heavy: loaded with the first model, not with the program

    # OpenCV's takes a tenth of the time that one in numpy takes for as many boxes as a part has. It
    # keeps classes apart by moving them, by more than the largest coordinate, and so none may lie
    # far below zero.
    clipped = np.clip(corners.astype(np.float64), -1.0, 2.0)
    clipped[:, 2:] -= clipped[:, :2]
    falling = -np.arange(len(corners), dtype=np.float32)
    places = cv2.dnn.NMSBoxesBatched(clipped, falling, classes, -np.inf, overlap)  # type: ignore[arg-type]  # its stubs know no arrays
    return np.sort(np.asarray(places, np.int64))[:limit]


def findings_of(boxes: Boxes, task: Detect | Segment, placement: Placement) -> tuple[Finding, ...]:
    """Return what was found, the surest first; boxes in shares of the image, within it."""
    defects = set(task.defects)
    found = []
    for (x0, y0, x1, y1), confidence, number in zip(
        boxes.corners.tolist(), boxes.confidences.tolist(), boxes.classes.tolist(), strict=True
    ):
        label = task.labels[number]
        box = clip(Box(x0, y0, max(x1 - x0, 0.0), max(y1 - y0, 0.0)), placement.content)
        found.append(
            Finding(
                label=label,
                score=confidence if label in defects else 0.0,
                confidence=confidence,
                box=box.within(placement.region),
            )
        )
    return tuple(found)


def best_of(findings: tuple[Finding, ...]) -> dict[str, float]:
    """Return the best confidence of each label that was found."""
    best: dict[str, float] = {}
    for finding in findings:
        best[finding.label] = max(finding.confidence, best.get(finding.label, 0.0))
    return best


def _table(values: Values, task: Detect | Segment, masks: int) -> Values:
    """Return the output as (what of a box, boxes)."""
    wanted = (6 if task.layout == "end2end" else 4 + len(task.labels)) + masks
    if values.ndim == 3 and values.shape[0] == 1:
        table: Values = values[0]
        turned: Values = table.T
        if task.layout == "end2end" and table.shape[1] == wanted:
            return turned
        if task.layout == "yolo" and wanted in table.shape:
            return table if table.shape[0] == wanted else turned
    shape = f"[1, N, {wanted}]" if task.layout == "end2end" else f"[1, {wanted}, N]"
    raise EngineError(
        f"the model's output is {list(values.shape)}; in layout {task.layout} with "
        f"{len(task.labels)} labels it would be {shape}: labels or layout are not the model's"
    )


def _corners(rows: Values, spec: Input, task: Detect | Segment) -> Values:
    """Return the corners of boxes in shares of the input: (n, 4)."""
    corners = rows[:4]
    if task.layout == "yolo":
        half = corners[2:] * 0.5
        corners = np.concatenate([corners[:2] - half, corners[:2] + half])
    sides = (spec.width, spec.height) * 2 if task.boxes == "pixels" else (1,) * 4
    return np.ascontiguousarray(corners.T / np.array(sides, np.float32))


def _surest(confidences: Values, floor: float) -> npt.NDArray[np.int64]:
    """Return the places of those above a floor, the surest first, equal ones in their order."""
    above = np.flatnonzero(confidences >= floor)
    return above[np.argsort(-confidences[above], kind="stable")[:_CANDIDATES]]


def _take(found: Boxes, places: npt.NDArray[np.int64]) -> Boxes:
    return Boxes(
        found.corners[places],
        found.confidences[places],
        found.classes[places],
        found.coefficients[places],
    )
