"""Detect: what is where.

The score is the worst of two: the confidence of a defect that was found, and of what is expected,
one minus the confidence of the last that must be there (1 when there are fewer).
"""

from __future__ import annotations

from collections.abc import Sequence

from edge_agent.camera.frame import Image
from edge_agent.inspection.boxes import best_of, findings_of, read_boxes
from edge_agent.inspection.engines import Engine
from edge_agent.inspection.eye import Eye
from edge_agent.inspection.reading import complement, only_output
from edge_agent.inspection.seen import Finding, Inspection
from edge_agent.inspection.spec import Detect, Input


class DetectInspector:
    """Run one detector. Not thread-safe: one inspector, one thread.

    Raises:
        EngineError: Model and description do not fit together.
    """

    def __init__(self, engine: Engine, spec: Input, task: Detect) -> None:
        self._eye = Eye(engine, spec)
        self._spec = spec
        self._task = task

    @property
    def engine(self) -> str:
        """Name of the engine that runs it."""
        return self._eye.engine

    def inspect(self, image: Image) -> Inspection:
        """Look at one image; see `Inspector.inspect`."""
        look = self._eye.look(image)
        values = only_output(look.outputs, "boxes", frozenset({3}))
        boxes = read_boxes(values, self._spec, self._task)
        if not boxes.is_finite:
            return Inspection(float("nan"), None, look.preprocess_ns, look.inference_ns)
        findings = findings_of(boxes, self._task, look.placement)
        return Inspection(
            score_of(findings, self._task),
            None,
            look.preprocess_ns,
            look.inference_ns,
            findings=findings,
            confidences=best_of(findings),
        )

    def close(self) -> None:
        """Let go of the model."""
        self._eye.close()


def make(engine: Engine, spec: Input, task: Detect) -> DetectInspector:
    """Make the inspector; see `load_task`."""
    return DetectInspector(engine, spec, task)


def score_of(findings: Sequence[Finding], task: Detect) -> float:
    """Return how bad it is what was found, and what was not.

    >>> task = Detect(labels=("screw", "chip"), defects=("chip",), expected={"screw": 2},
    ...               layout="yolo")
    >>> screws = [Finding(label="screw", confidence=each) for each in (0.75, 0.9)]
    >>> score_of(screws, task)
    0.25
    >>> score_of(screws[:1], task)
    1.0
    """
    score = max((each.score for each in findings), default=0.0)
    for label, count in task.expected.items():
        found = sorted((each.confidence for each in findings if each.label == label), reverse=True)
        score = max(score, complement(found[count - 1]) if len(found) >= count else 1.0)
    return score
