"""What classifiers took the images for: a table by folder and by predicted label."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from calibration.evaluation.bootstrap import Estimate, share
from calibration.evaluation.sets import GOOD
from edge_agent.inspection.spec import Classify

if TYPE_CHECKING:
    from collections.abc import Sequence

    from calibration.evaluation.run import Run, Seen
    from edge_agent.inspection.spec import Stage

UNASKED = "-"
"""The column of images that the stage did not look at."""


class LabelTable(msgspec.Struct, frozen=True):
    """The confusion of one classifier.

    Attributes:
        stage: Which.
        columns: Predicted labels in the model's order: those that came up, and those that a folder
            is called by; at last `-`, where it did not look at some.
        rows: Counts by true folder, as in `columns`.
        right: Share of the images whose folder is a label (of good parts: any good label) that
            were taken for it; None where no folder is.
    """

    stage: str
    columns: tuple[str, ...]
    rows: dict[str, tuple[int, ...]]
    right: Estimate | None


def label_tables(run: Run) -> tuple[LabelTable, ...]:
    """Count what each classifier of a run's bundle took the images for."""
    return tuple(
        _table(stage, stage.task, run.seen)
        for stage in run.bundle.manifest.stages
        if isinstance(stage.task, Classify)
    )


def _table(stage: Stage, task: Classify, seen: Sequence[Seen]) -> LabelTable:
    kinds = sorted({each.item.kind for each in seen}, key=lambda kind: (kind != GOOD, kind))
    counts = {kind: Counter[str]() for kind in kinds}
    hits = of = 0
    for each in seen:
        label = each.labels.get(stage.name, UNASKED)
        counts[each.item.kind][label] += 1
        wanted = task.good if each.is_good and task.good else (each.item.kind,)
        if not set(wanted).isdisjoint(task.labels):
            hits += label in wanted
            of += 1
    known = {label for found in counts.values() for label in found} | set(kinds)
    columns = [label for label in task.labels if label in known]
    if any(UNASKED in found for found in counts.values()):
        columns.append(UNASKED)
    return LabelTable(
        stage.name,
        tuple(columns),
        {kind: tuple(found[label] for label in columns) for kind, found in counts.items()},
        share(hits, of),
    )
