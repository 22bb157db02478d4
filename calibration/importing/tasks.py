"""Tasks of a model: from labels and what was given to how its outputs are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from calibration.importing import labels as naming
from calibration.importing.facts import Given, check_count
from edge_agent.errors import UsageError
from edge_agent.inspection.spec import Activation, Classify, Detect, Segment

if TYPE_CHECKING:
    from collections.abc import Sequence

MASKS = 32
"""Mask coefficients of a segmentation by boxes."""

MAP, SCORE = "map", "score"
"""Names of the outputs of an anomaly model."""

_TOP_SHARE = 1e-3
"""Share of a map whose mean is the score, where nothing else is said."""


def label_all(given: Given, own: Sequence[str], classes: int) -> tuple[tuple[str, ...], list[str]]:
    """Return a label for each class, and what a person should know of them.

    Raises:
        UsageError: Labels were given, or are in the file, but not as many as there are classes.
    """
    labels = given.labels or tuple(own)
    if labels:
        check_count(labels, classes)
        return labels, []
    note = f"The file names no labels: they are numbered 0 to {classes - 1}; give --labels."
    return tuple(str(number) for number in range(classes)), [note]


def classify(
    given: Given, labels: tuple[str, ...], activation: Activation
) -> tuple[Classify, list[str]]:
    """Describe a classifier.

    Raises:
        UsageError: It is not known which labels are those of good parts.
    """
    naming.known("--good", given.good, labels)
    good, notes = given.good, []
    if given.defects and not good:
        naming.known("--defects", given.defects, labels)
        good = tuple(label for label in labels if label not in given.defects)
    if not good:
        good = naming.good_among(labels)
        notes = [f"Taken for good by name: {', '.join(good)}; --good says it otherwise."]
    if not good or len(good) == len(labels):
        shown = ", ".join(labels[:12]) + (", ..." if len(labels) > 12 else "")
        raise UsageError(
            f"which labels are those of good parts, and which are not? Say it with --good LABEL; "
            f"the model's labels are {shown}"
        )
    return Classify(labels=labels, good=good, activation=activation), notes


def detect(
    given: Given,
    labels: tuple[str, ...],
    layout: Literal["yolo", "end2end"],
    boxes: Literal["pixels", "shares"] = "pixels",
) -> tuple[Detect, list[str]]:
    """Describe a detector."""
    defects, notes = _defects(given, labels)
    naming.known("--expect", tuple(given.expected), labels)
    task = Detect(
        labels=labels, defects=defects, expected=given.expected, layout=layout, boxes=boxes,
        confidence=0.25 if given.confidence is None else given.confidence,
        overlap=0.45 if given.overlap is None else given.overlap,
    )  # fmt: skip
    return task, notes


def segment_boxes(
    given: Given,
    labels: tuple[str, ...],
    layout: Literal["yolo", "end2end"],
    boxes: Literal["pixels", "shares"] = "pixels",
) -> tuple[Segment, list[str]]:
    """Describe a detector that gives masks."""
    defects, notes = _defects(given, labels)
    task = Segment(
        labels=labels, defects=defects, layout=layout, boxes=boxes,
        confidence=0.25 if given.confidence is None else given.confidence,
        overlap=0.45 if given.overlap is None else given.overlap,
    )  # fmt: skip
    return task, notes


def segment(
    given: Given, labels: tuple[str, ...], activation: Activation, cells: int
) -> tuple[Segment, list[str]]:
    """Describe a model that gives each point a label."""
    defects, notes = _defects(given, labels)
    if not given.defects:
        grounds = naming.grounds_among(labels) or naming.good_among(labels) or labels[:1]
        defects = tuple(label for label in labels if label not in grounds)
        notes = [
            f"Taken for what is not a defect: {', '.join(grounds)}; --defects says it otherwise."
        ]
    task = Segment(
        labels=labels, defects=defects, layout="semantic", activation=activation,
        top=top_of(cells),
    )  # fmt: skip
    return task, notes


def top_of(cells: int) -> int:
    """Return how many of a map's largest values make its score."""
    return max(1, round(_TOP_SHARE * cells))


def _defects(given: Given, labels: tuple[str, ...]) -> tuple[tuple[str, ...], list[str]]:
    naming.known("--defects", given.defects, labels)
    if given.defects or given.expected:
        return given.defects, []
    naming.known("--good", given.good, labels)
    defects = tuple(label for label in labels if label not in given.good)
    if given.good:
        return defects, []
    return defects, ["Finding anything is taken for bad: say with --defects what is."]
