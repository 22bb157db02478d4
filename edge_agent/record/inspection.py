"""The record of one inspected part."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite

import msgspec

from edge_agent.camera.frame import Truth
from edge_agent.decision.automation import Automation
from edge_agent.decision.verdict import Cause, Thresholds, Verdict
from edge_agent.inspection.seen import Box, Finding


class LightingCause(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that is wrong with light or camera, as the watch named it.

    Attributes:
        kind: `brightness`, `gradient`, `ambient`, `color`, `exposure`, `flicker`, `defocus`,
            `dirt`, `camera_moved`, `frozen`, `product`.
        text: All of it in plain words.
        size: How much, signed, in `unit`.
        unit: Of `size`.
        where: In the image, in words; empty if everywhere.
        confidence: From 0 to 1.
        since: Wall time of the first frame that showed it, ISO 8601; empty where it is not known.
    """

    kind: str
    text: str
    size: float = 0.0
    unit: str = ""
    where: str = ""
    confidence: float = 0.0
    since: str = ""


class Lighting(msgspec.Struct, frozen=True, omit_defaults=True):
    """The light as the watch saw it; units as in `edge_agent.lighting.meter`.

    Attributes:
        state: `normal`, `warning`, `drifted`, `invalid`, or `unwatched` without a baseline.
        excess: Largest distance from the baseline, in limits.
        baseline: First 12 digits of the baseline's digest.
        statistics: The frame's figures by name, three decimals; what this scene cannot show is left
            out. Of most `ok` parts in normal light only `level` (`lighting.figures_every`).
        causes: What is wrong. Only those of `invalid` make the verdict `invalid`.
        corrected: What the model did not see, since it was undone before it looked: `level`,
            `slope_x`, `slope_y`, `red`, `blue`, in per cent against the baseline. All the other
            figures are of the frame as it was.
    """

    state: str
    excess: float = 0.0
    baseline: str = ""
    level: float = 0.0
    contrast: float = 0.0
    clipped_dark: float = 0.0
    clipped_bright: float = 0.0
    warmth: float = 0.0
    sharpness: float = 0.0
    causes: tuple[LightingCause, ...] = ()
    statistics: dict[str, float] = {}
    corrected: dict[str, float] = {}


class Latency(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where the time of one part went, in microseconds.

    Attributes:
        queue: From capture until the inspection began.
        lighting: The light and camera watch.
        preprocess: Crop and resize.
        inference: The engine.
        total: From capture to the decision.
        stages: Each stage, by its name; where there is more than one.
    """

    queue: int = 0
    lighting: int = 0
    preprocess: int = 0
    inference: int = 0
    total: int = 0
    stages: dict[str, int] = {}


class InspectionRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything needed to know later why a part got its verdict.

    Attributes:
        station: Where.
        sequence: The camera's frame number; a hole is a frame that the camera lost.
        part: Which part.
        time: Wall time of capture, ISO 8601, UTC.
        wall_ns: The same, in nanoseconds, cut to whole microseconds; may jump.
        mono_ns: Monotonic time of capture, cut likewise; comparable within one boot.
        boot: The boot it belongs to.
        verdict: What was said.
        automation: The degree of automation in force.
        proposed: What the model alone would have said, where that differs.
        causes: Why, where the scores do not say it.
        scores: By stage; higher is worse.
        thresholds: What they were held against, by stage.
        findings: What was found, the worst first; `MAX_FINDINGS` at most.
        skipped: Why a stage did not look, by its name.
        bundle: Name and version of the bundle.
        model: First 12 digits of the bundle's digest.
        engine: What ran it.
        part_number: What is made; as it was told last, empty where it never was.
        recipe: Name of its recipe; empty where there is none of this part number.
        lighting: The light.
        latency_us: By stage.
        source: The file the frame came from, if any.
        truth: What the part really is, where known.
    """

    station: str
    sequence: int
    part: str
    time: str
    wall_ns: int
    mono_ns: int
    boot: str
    verdict: Verdict
    automation: Automation = Automation.FULL
    proposed: Verdict | None = None
    causes: tuple[Cause, ...] = ()
    scores: dict[str, float] = {}
    thresholds: dict[str, Thresholds] = {}
    findings: tuple[Finding, ...] = ()
    skipped: dict[str, str] = {}
    bundle: str = ""
    model: str = ""
    engine: str = ""
    part_number: str = ""
    recipe: str = ""
    lighting: Lighting
    latency_us: Latency
    source: str = ""
    truth: Truth | None = None


MAX_FINDINGS = 32
"""Findings that a record keeps: a model that finds a thousand things must not fill the spool."""


def keep_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings that a record keeps: the worst first, then the surest; rounded."""
    known = (each for each in findings if isfinite(each.score) and isfinite(each.confidence))
    ordered = sorted(known, key=lambda each: (each.score, each.confidence), reverse=True)
    return tuple(_rounded(each) for each in ordered[:MAX_FINDINGS])


def _rounded(finding: Finding) -> Finding:
    box = finding.box
    return Finding(
        stage=finding.stage,
        label=finding.label,
        score=round(finding.score, 4),
        confidence=round(finding.confidence, 4),
        box=box and Box(*(round(side, 5) for side in msgspec.structs.astuple(box))),
    )


_ENCODER = msgspec.json.Encoder()


def encode(record: InspectionRecord) -> bytes:
    """Write a record as one line of JSON."""
    return _ENCODER.encode(record)
