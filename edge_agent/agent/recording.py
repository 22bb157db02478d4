"""What the path saw of a part, written as its record.

Most records are of an `ok` part in normal light, and all figures of that light would take more room
on the wire than everything else. So of these only every so manyth keeps them all, the others the
level.
"""

from __future__ import annotations

from math import isfinite

import msgspec

from edge_agent import clock
from edge_agent.agent.products import Product
from edge_agent.camera.frame import Frame
from edge_agent.decision.automation import Settled
from edge_agent.decision.verdict import Decision, Verdict
from edge_agent.inspection.seen import PartSeen
from edge_agent.lighting import LightLevel, LightState
from edge_agent.lighting.correction import Correction
from edge_agent.record.inspection import (
    InspectionRecord,
    Latency,
    Lighting,
    LightingCause,
    keep_findings,
)
from edge_agent.rollout.live import LiveModel

_UNWATCHED = Lighting("unwatched")


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """What the stages of the path said of a part, and how long they took.

    Attributes:
        station: Where.
        model: That was live.
        product: What is made.
        light: None where it was not looked at.
        seen: By the model; None where it did not look.
        begin_ns: Monotonic time when the path began.
        light_ns: What the light took.
        total_ns: From capture to the decision.
        corrected: What was corrected of the light before the model looked, if anything.
        figures_every: Every so manyth record of an `ok` part in normal light keeps all figures of
            the light.
    """

    station: str
    model: LiveModel | None
    product: Product | None
    light: LightState | None
    seen: PartSeen | None
    begin_ns: int
    light_ns: int
    total_ns: int
    corrected: Correction | None = None
    figures_every: int = 1


def record_of(
    frame: Frame, looked: Looked, decision: Decision, settled: Settled
) -> InspectionRecord:
    """Write down everything that the verdict rests on."""
    model, seen, product = looked.model, looked.seen, looked.product
    plain = settled.verdict is Verdict.OK and frame.sequence % looked.figures_every
    return InspectionRecord(
        station=looked.station,
        sequence=frame.sequence,
        part=frame.part,
        time=clock.iso(frame.captured.wall_ns),
        wall_ns=_to_us(frame.captured.wall_ns),
        mono_ns=_to_us(frame.captured.mono_ns),
        boot=clock.boot_id(),
        verdict=settled.verdict,
        automation=settled.automation,
        proposed=settled.proposed,
        causes=decision.causes,
        scores=_finite(seen.scores) if seen else {},
        thresholds=model.thresholds if model else {},
        findings=keep_findings(seen.findings) if seen else (),
        skipped={name: skip.text for name, skip in seen.skipped.items()} if seen else {},
        bundle=model.bundle if model else "",
        model=model.digest if model else "",
        engine=model.pipeline.engine if model else "",
        part_number=product.part_number if product else "",
        recipe=product.recipe if product else "",
        lighting=_lighting(looked, looked.light, model, level_only=bool(plain))
        if looked.light and model
        else _UNWATCHED,
        latency_us=_latency(frame, looked),
        source=frame.source,
        truth=frame.truth,
    )


def _to_us(ns: int) -> int:
    """Cut to whole microseconds: no camera is dated better, and what is below is noise."""
    return ns - ns % 1000


def _finite(scores: dict[str, float]) -> dict[str, float]:
    """Return scores as they are written: JSON knows no NaN."""
    return {name: round(score, 4) for name, score in scores.items() if isfinite(score)}


def _latency(frame: Frame, looked: Looked) -> Latency:
    seen, model = looked.seen, looked.model
    has_stages = seen is not None and model is not None and len(model.pipeline.stages) > 1
    return Latency(
        queue=(looked.begin_ns - frame.captured.mono_ns) // 1000,
        lighting=looked.light_ns // 1000,
        preprocess=seen.preprocess_ns // 1000 if seen else 0,
        inference=seen.inference_ns // 1000 if seen else 0,
        total=looked.total_ns // 1000,
        stages={stage.name: stage.took_ns // 1000 for stage in seen.stages}
        if seen and has_stages
        else {},
    )


def _lighting(looked: Looked, light: LightState, model: LiveModel, *, level_only: bool) -> Lighting:
    watch, figures = model.watch, light.statistics
    if level_only and light.level is LightLevel.NORMAL:
        figures = {"level": figures["level"]}
    return Lighting(
        state=light.level.value,
        excess=round(light.excess, 3),
        baseline=watch.baseline.digest[:12] if watch else "",
        statistics=_figures(figures),
        causes=tuple(
            LightingCause(
                cause.kind,
                cause.text,
                cause.size,
                cause.unit,
                cause.where,
                round(cause.confidence, 3),
                clock.iso(cause.since_ns) if cause.since_ns else "",
            )
            for cause in light.causes
        ),
        corrected=_undone(looked.corrected) if looked.corrected else {},
    )


def _undone(corrected: Correction) -> dict[str, float]:
    """Return what was undone, as it is written."""
    figures = msgspec.structs.asdict(corrected)
    return {name: round(value, 2) for name, value in figures.items() if value}


def _figures(statistics: dict[str, float]) -> dict[str, float]:
    """Return the figures that are numbers, as they are written."""
    return {name: round(value, 3) for name, value in statistics.items() if isfinite(value)}
