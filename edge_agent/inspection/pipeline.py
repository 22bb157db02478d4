"""The stages of a bundle, run in order on each part.

Invariants:
    - A stage looks only if its rule holds, its source found a box, and its budget fits into the
      time that is left; why it does not look is told.
    - A part ends with the first stage that fails or has no time: what was seen until then is told.
    - Boxes and maps of every stage are in shares of the frame, wherever it looked.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec

from edge_agent.camera.frame import Image
from edge_agent.errors import EngineError
from edge_agent.inspection.order import enlarge, finds_boxes, places, why_not
from edge_agent.inspection.seen import (
    WHOLE,
    Box,
    Finding,
    Inspection,
    PartSeen,
    PlacedMap,
    Skip,
    StageSeen,
    Stop,
)
from edge_agent.inspection.spec import Stage
from edge_agent.inspection.tasks import Inspector


class Pipeline:
    """Stages, each with its model. Not thread-safe: one pipeline, one thread.

    Args:
        stages: In order; sources and rules speak of earlier ones.
    """

    def __init__(self, stages: Sequence[tuple[Stage, Inspector]]) -> None:
        self._stages = tuple(stages)

    @property
    def engine(self) -> str:
        """Names of the engines that run it, each once."""
        return ", ".join(dict.fromkeys(inspector.engine for _, inspector in self._stages))

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages, in order."""
        return tuple(stage for stage, _ in self._stages)

    def inspect(self, image: Image, *, until_ns: int | None = None) -> PartSeen:
        """Look at one part.

        Args:
            image: HxWx3 BGR or HxW grey, uint8; neither changed nor kept.
            until_ns: Monotonic time at which the part is late; None for no bound.
        """
        seen: dict[str, StageSeen] = {}
        skipped: dict[str, Skip] = {}
        stop: Stop | None = None
        for stage, inspector in self._stages:
            if skip := why_not(stage, seen, skipped):
                skipped[stage.name] = skip
                continue
            if text := _no_time(stage, until_ns):
                stop = Stop("late", stage.name, text)
                break
            try:
                seen[stage.name] = _look(stage, inspector, image, seen)
            except EngineError as error:
                which = f"stage {stage.name}: " if len(self._stages) > 1 else ""
                stop = Stop("engine", stage.name, f"{which}{error}")
                break
        return PartSeen(stages=tuple(seen.values()), skipped=skipped, stop=stop)

    def close(self) -> None:
        """Let go of the models."""
        for _, inspector in self._stages:
            inspector.close()


def overran(stages: Sequence[Stage], seen: PartSeen) -> str:
    """Say which stage took longer than its budget; empty for none."""
    budgets = {stage.name: stage.budget_ms for stage in stages if stage.budget_ms}
    for each in seen.stages:
        budget = budgets.get(each.name, 0.0)
        if budget and each.took_ns > budget * 1e6:
            return f"stage {each.name} took {each.took_ns / 1e6:.0f} ms of {budget:g} ms"
    return ""


def _no_time(stage: Stage, until_ns: int | None) -> str:
    """Say why there is no time for a stage; empty when there is."""
    if until_ns is None or not stage.budget_ms:
        return ""
    left = (until_ns - time.monotonic_ns()) / 1e6
    if left >= stage.budget_ms:
        return ""
    return f"stage {stage.name} needs {stage.budget_ms:g} ms; {max(left, 0.0):.0f} ms are left"


def _look(
    stage: Stage, inspector: Inspector, image: Image, seen: dict[str, StageSeen]
) -> StageSeen:
    """Let one stage look at all that it is to look at."""
    begin = time.monotonic_ns()
    if stage.source is None:
        return _whole(stage.name, inspector.inspect(image), begin)
    looks: list[tuple[Finding, Box, Inspection]] = []
    for place in places(stage.source, seen[stage.source.stage]):
        outer = enlarge(place.box or WHOLE, stage.source.margin, image.shape)
        x0, y0, x1, y1 = outer.pixels(image.shape)
        height, width = image.shape[:2]
        exact = Box(x0 / width, y0 / height, (x1 - x0) / width, (y1 - y0) / height)
        looks.append((place, exact, inspector.inspect(image[y0:y1, x0:x1])))
    return _gather(stage, looks, begin)


def _whole(name: str, seen: Inspection, begin: int) -> StageSeen:
    """Return what a stage saw that looked at the whole frame."""
    return StageSeen(
        name=name,
        score=seen.score,
        findings=tuple(msgspec.structs.replace(each, stage=name) for each in seen.findings)
        if seen.findings
        else (),
        confidences=seen.confidences,
        maps=() if seen.map is None else (PlacedMap(seen.map, seen.region),),
        preprocess_ns=seen.preprocess_ns,
        inference_ns=seen.inference_ns,
        took_ns=time.monotonic_ns() - begin,
    )


def _gather(
    stage: Stage, looks: Sequence[tuple[Finding, Box, Inspection]], begin: int
) -> StageSeen:
    """Put together what a stage saw at the boxes that another one found."""
    confidences: dict[str, float] = {}
    for _, _, each in looks:
        for label, confidence in each.confidences.items():
            confidences[label] = max(confidence, confidences.get(label, 0.0))
    return StageSeen(
        name=stage.name,
        score=_worst([each.score for _, _, each in looks]),
        findings=tuple(
            finding for place, outer, each in looks for finding in _found(stage, place, outer, each)
        ),
        confidences=confidences,
        maps=tuple(
            PlacedMap(each.map, each.region.within(outer))
            for _, outer, each in looks
            if each.map is not None
        ),
        preprocess_ns=sum(each.preprocess_ns for _, _, each in looks),
        inference_ns=sum(each.inference_ns for _, _, each in looks),
        took_ns=time.monotonic_ns() - begin,
    )


def _worst(scores: Sequence[float]) -> float:
    """Return the largest score, and NaN if one is not a number: `max` alone may miss it."""
    return next((score for score in scores if score != score), max(scores))  # noqa: PLR0124 - NaN


def _found(stage: Stage, place: Finding, outer: Box, seen: Inspection) -> list[Finding]:
    """Return the findings at one place, in shares of the frame; each place has at least one."""
    if not seen.findings:
        label = "" if finds_boxes(stage.task) else place.label
        return [Finding(stage=stage.name, label=label, score=seen.score, box=place.box)]
    replace = msgspec.structs.replace
    return [
        replace(
            each,
            stage=stage.name,
            box=each.box.within(outer) if each.box is not None else place.box,
        )
        for each in seen.findings
    ]
