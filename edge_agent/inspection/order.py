"""Which stages look at a part, and where: pure rules over what the earlier ones saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edge_agent.inspection.seen import Box, Finding, Skip, StageSeen
from edge_agent.inspection.spec import (
    MAX_STAGES,
    Anomaly,
    Classify,
    Detect,
    Segment,
    Source,
    Stage,
    Task,
    When,
)


def why_not(
    stage: Stage, seen: Mapping[str, StageSeen], skipped: Mapping[str, Skip]
) -> Skip | None:
    """Say why a stage does not look at a part; None when it does.

    Args:
        stage: Which.
        seen: What the earlier stages saw, those that looked.
        skipped: Why others did not.
    """
    if stage.when is None and stage.source is None:
        return None
    if stage.when is not None:
        if before := skipped.get(stage.when.stage):
            return Skip(before.kind, f"{stage.when.stage} was not asked")
        value = _value(stage.when, seen[stage.when.stage])
        if not _holds(stage.when, value):
            return Skip("rule", _no(stage.when, value))
    if stage.source is not None:
        if before := skipped.get(stage.source.stage):
            return Skip(before.kind, f"{stage.source.stage} was not asked")
        if not places(stage.source, seen[stage.source.stage]):
            return Skip("no_box", f"{stage.source.stage} found {_sought(stage.source)}")
    return None


def places(source: Source, seen: StageSeen) -> tuple[Finding, ...]:
    """Return the findings of an earlier stage that a stage looks at, the surest first.

    One without a label is no thing: it says that there was nothing at its box.
    """
    found = [
        finding
        for finding in seen.findings
        if finding.box is not None
        and finding.label
        and (not source.labels or finding.label in source.labels)
    ]
    found.sort(key=lambda finding: finding.confidence, reverse=True)
    return tuple(found[: source.limit])


def enlarge(box: Box, margin: float, shape: Sequence[int]) -> Box:
    """Add a margin around a box, as far as the image goes.

    Args:
        box: In shares of the image.
        margin: As a share of the box's longer side in pixels.
        shape: Of the image: height, width.
    """
    height, width = shape[:2]
    more = margin * max(box.width * width, box.height * height)
    x0, y0 = max(box.x - more / width, 0.0), max(box.y - more / height, 0.0)
    x1 = min(box.x + box.width + more / width, 1.0)
    y1 = min(box.y + box.height + more / height, 1.0)
    return Box(x0, y0, max(x1 - x0, 0.0), max(y1 - y0, 0.0))


def what_is_wrong(stages: Sequence[Stage]) -> str:
    """Say what is wrong with the order of stages; empty for nothing."""
    if not 1 <= len(stages) <= MAX_STAGES:
        return f"holds {len(stages)} stages: 1 to {MAX_STAGES} can be"
    before: dict[str, Stage] = {}
    for stage in stages:
        if stage.name in before:
            return f"stage {stage.name}: there are two of this name"
        if not stage.models:
            return f"stage {stage.name}: holds no model"
        if wrong := _wrong_links(stage, before):
            return f"stage {stage.name}: {wrong}"
        before[stage.name] = stage
    if not any(stage.thresholds for stage in stages):
        return "no stage has thresholds: nothing would decide"
    return ""


def _wrong_links(stage: Stage, before: Mapping[str, Stage]) -> str:
    """Say what is wrong with the earlier stages that a stage speaks of, and their labels."""
    for link in (stage.source, stage.when):
        if link is not None and link.stage not in before:
            return f"speaks of stage {link.stage!r}, which does not come before it"
    if stage.source is not None:
        earlier = before[stage.source.stage]
        if not finds_boxes(earlier.task) and earlier.source is None:
            return f"source {earlier.name} finds no boxes: it is no detect stage"
        known = _found_labels(before, earlier.name)
        for label in stage.source.labels:
            if label not in known:
                return f"stage {earlier.name} has no label {label!r}"
    if stage.when is not None and stage.when.label:
        earlier = before[stage.when.stage]
        if stage.when.label not in _own_labels(earlier):
            return f"stage {earlier.name} has no label {stage.when.label!r}"
    return ""


def finds_boxes(task: Task) -> bool:
    """Say whether a task finds boxes of its own."""
    return isinstance(task, Detect) or (isinstance(task, Segment) and task.layout != "semantic")


def _found_labels(before: Mapping[str, Stage], name: str) -> tuple[str, ...]:
    """Return the labels that the boxes of a stage may have: its own, or those of its source."""
    stage = before[name]
    if finds_boxes(stage.task) or isinstance(stage.task, Classify) or stage.source is None:
        return _own_labels(stage)
    return _found_labels(before, stage.source.stage)


def _own_labels(stage: Stage) -> tuple[str, ...]:
    return () if isinstance(stage.task, Anomaly) else stage.task.labels


def _value(when: When, seen: StageSeen) -> float:
    return seen.confidences.get(when.label, 0.0) if when.label else seen.score


def _holds(when: When, value: float) -> bool:
    return value >= when.at_least and (when.below is None or value < when.below)


def _no(when: When, value: float) -> str:
    what = f"{when.label} of {when.stage}" if when.label else when.stage
    if when.below is None:
        return f"{what} is {value:.3g}, not {when.at_least:g} or more"
    return f"{what} is {value:.3g}, not in [{when.at_least:g}, {when.below:g})"


def _sought(source: Source) -> str:
    return f"no {' or '.join(source.labels)}" if source.labels else "nothing"
