"""Tasks: what a model does with a part, and how its outputs are read. One file each.

The contract, held by tests/contract/test_tasks.py: a score is never below 0, higher is worse, and
NaN when the model gives what is no number; boxes, and the region of the map, are in shares of the
image and lie in it; outputs that do not fit the task are refused with an `EngineError` that says
why; the image is neither changed nor kept.

Each file has `make(engine, spec, task)`.
"""

from __future__ import annotations

import importlib
from typing import Protocol

from edge_agent.camera.frame import Image
from edge_agent.inspection.engines import Engine
from edge_agent.inspection.seen import Inspection
from edge_agent.inspection.spec import Anomaly, Classify, Detect, Input, Segment, Task

TASKS: dict[type[Task], str] = {
    Anomaly: "edge_agent.inspection.tasks.anomaly",
    Classify: "edge_agent.inspection.tasks.classify",
    Detect: "edge_agent.inspection.tasks.detect",
    Segment: "edge_agent.inspection.tasks.segment",
}
"""Module by the type of the task's description."""


class Inspector(Protocol):
    """What every task is to the rest: an image in, an inspection out."""

    @property
    def engine(self) -> str:
        """Name of the engine that runs it."""

    def inspect(self, image: Image) -> Inspection:
        """Look at one image.

        Args:
            image: HxWx3 BGR or HxW grey, uint8; neither changed nor kept; a view is fine.

        Raises:
            EngineError: The engine failed, or the image cannot be looked at.
        """

    def close(self) -> None:
        """Let go of the model."""


def load_task(engine: Engine, spec: Input, task: Task) -> Inspector:
    """Make the inspector of a task.

    Raises:
        EngineError: Model and description do not fit together.
    """
    inspector: Inspector = importlib.import_module(TASKS[type(task)]).make(engine, spec, task)
    return inspector
