"""Judge files that lie on a disk, by the same path as live parts but without a station."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from math import isfinite
from pathlib import Path

import msgspec

from edge_agent.camera.frame import NO_IMAGE, Image
from edge_agent.camera.images import read_image
from edge_agent.decision.verdict import Cause, Verdict, judge_part, worst_stage
from edge_agent.errors import ImageError
from edge_agent.inspection.seen import Finding, PartSeen
from edge_agent.lighting import LightLevel, LightWatch
from edge_agent.record.inspection import keep_findings
from edge_agent.rollout.live import LiveModel


class FileLight(msgspec.Struct, frozen=True, omit_defaults=True):
    """The light in one file: its state against the baseline, and what is wrong with it."""

    state: str
    causes: tuple[str, ...] = ()


class FileResult(msgspec.Struct, frozen=True, kw_only=True):
    """How one file came out; a line of `edge-agent inspect --json`.

    Attributes:
        path: As given or found.
        verdict: `invalid` for a file that cannot be judged.
        score: Higher is worse; of the stage that came nearest to rejecting it, or None.
        threshold: From this score on it is `ng`.
        stage: Which stage that is.
        scores: Of every stage that looked.
        findings: What was found, the worst first.
        skipped: Why a stage did not look, by its name.
        causes: Why it is `invalid`.
        latency_ms: From the decoded image to the verdict.
        lighting: The light.
        error: Why the file cannot be judged; empty if it can.
    """

    path: str
    verdict: Verdict
    score: float | None
    threshold: float
    stage: str = ""
    scores: dict[str, float] = {}
    findings: tuple[Finding, ...] = ()
    skipped: dict[str, str] = {}
    causes: tuple[Cause, ...] = ()
    latency_ms: float
    lighting: FileLight
    error: str = ""


class Judged(msgspec.Struct, frozen=True):
    """A result with what an overlay is drawn from."""

    result: FileResult
    image: Image
    seen: PartSeen | None


def judge_files(files: Iterable[Path], model: LiveModel) -> Iterator[Judged]:
    """Judge files one after another; a bad file is a result with its `error`."""
    for file in files:
        try:
            image = read_image(file)
        except ImageError as error:
            yield Judged(_unjudged(file, model, str(error)), NO_IMAGE, None)
            continue
        yield _judge_image(file, image, model)


def _judge_image(file: Path, image: Image, model: LiveModel) -> Judged:
    begin = time.perf_counter_ns()
    # Each file for itself: what follows what in a folder is no course of time.
    light = LightWatch(model.baseline).glance(image) if model.baseline else None
    seen = model.pipeline.inspect(image)
    if seen.stop is not None:
        return Judged(_unjudged(file, model, f"{file}: {seen.stop.text}"), image, seen)
    causes = light.causes if light else ()
    out = causes if light and light.level is LightLevel.INVALID else ()
    hindrances = [Cause(cause.kind, cause.text, cause.size, cause.unit) for cause in out]
    decision = judge_part(
        seen.scores, model.thresholds, skipped=seen.skipped, hindrances=hindrances
    )
    stage = worst_stage(seen.scores, model.thresholds)
    result = FileResult(
        path=str(file),
        verdict=decision.verdict,
        score=round(seen.scores[stage], 4) if stage else None,
        threshold=model.thresholds[stage].ng if stage else _first(model),
        stage=stage,
        scores={name: round(each, 4) for name, each in seen.scores.items() if isfinite(each)},
        findings=keep_findings(seen.findings),
        skipped={name: skip.text for name, skip in seen.skipped.items()},
        causes=decision.causes,
        latency_ms=round((time.perf_counter_ns() - begin) / 1e6, 3),
        lighting=FileLight(
            light.level.value if light else "unwatched", tuple(cause.text for cause in causes)
        ),
    )
    return Judged(result, image, seen)


def _first(model: LiveModel) -> float:
    """Return the `ng` threshold of the first stage that decides."""
    return next(iter(model.thresholds.values())).ng


def _unjudged(file: Path, model: LiveModel, error: str) -> FileResult:
    return FileResult(
        path=str(file),
        verdict=Verdict.INVALID,
        score=None,
        threshold=_first(model),
        latency_ms=0.0,
        lighting=FileLight("unwatched"),
        error=error,
    )
