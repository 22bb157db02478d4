"""The self-test: a bundle judges its own golden and challenge samples before it may run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec

from edge_agent.camera.frame import Image
from edge_agent.decision.verdict import Cause, Verdict, judge_part, worst_stage
from edge_agent.errors import BundleError
from edge_agent.inspection.engines import EngineSettings
from edge_agent.inspection.pipeline import Pipeline
from edge_agent.inspection.seen import PartSeen
from edge_agent.lighting import Baseline, LightLevel, LightWatch
from edge_agent.rollout.bundle import Bundle, Manifest, Sample
from edge_agent.rollout.loading import load_pipeline, read_baseline


class SampleResult(msgspec.Struct, frozen=True):
    """How one sample came out.

    Attributes:
        file: The sample.
        kind: `golden` or `challenge`.
        expected: What each stage scored when the bundle was made.
        scores: What each stage scores now.
        stage: The one whose score is furthest off, as a share of what it may be.
        verdict: What it came out as.
        holds: Whether verdict and scores are as they should be.
        light: What is wrong with a golden one's light; empty for nothing.
    """

    file: str
    kind: str
    expected: dict[str, float]
    scores: dict[str, float]
    stage: str
    verdict: Verdict
    holds: bool
    light: str = ""


def run_samples(bundle: Bundle, pipeline: Pipeline) -> list[SampleResult]:
    """Judge every sample of a bundle.

    A sample holds if its verdict is right (golden `ok`; challenge anything but) and each stage's
    score is within the bundle's tolerance of what it was when the bundle was made. A golden one
    must lie within the bundle's own lighting baseline too.

    Raises:
        BundleError: A sample is no image, an engine fails on it, or the baseline is none.
    """
    manifest = bundle.manifest
    baseline = read_baseline(bundle)
    results = []
    for sample in manifest.samples:
        image = bundle.image(sample)
        seen = pipeline.inspect(image)
        if seen.stop is not None:
            raise BundleError(f"bundle {bundle.label}: sample {sample.file}: {seen.stop.text}")
        hindrances = _light(baseline, image) if baseline and sample.kind == "golden" else []
        results.append(_result(manifest, sample, seen, hindrances))
    return results


def _light(baseline: Baseline, image: Image) -> list[Cause]:
    """Return what is wrong with the light of one sample, held against the baseline for itself."""
    light = LightWatch(baseline).glance(image)
    if light.level is not LightLevel.INVALID:
        return []
    return [Cause(cause.kind, cause.text) for cause in light.causes]


def _result(
    manifest: Manifest, sample: Sample, seen: PartSeen, hindrances: Sequence[Cause]
) -> SampleResult:
    decision = judge_part(
        seen.scores, manifest.thresholds, skipped=seen.skipped, hindrances=hindrances
    )
    right = (decision.verdict is Verdict.OK) == (sample.kind == "golden")
    off = _off(manifest, sample.scores, seen.scores)
    stage = max(off, key=off.__getitem__, default="")
    return SampleResult(
        sample.file,
        sample.kind,
        sample.scores,
        seen.scores,
        stage or worst_stage(seen.scores, manifest.thresholds),
        decision.verdict,
        right and all(each <= 1.0 for each in off.values()),
        "; ".join(cause.text for cause in hindrances),
    )


def _off(
    manifest: Manifest, expected: Mapping[str, float], scores: Mapping[str, float]
) -> dict[str, float]:
    """Return how far each stage's score is off, in what it may be off; infinite where none is."""
    off = {}
    for name in {**expected, **scores}:
        limits = manifest.thresholds.get(name)
        reach = manifest.tolerance * (limits.ng if limits else 1.0)
        differ = abs(scores.get(name, math.nan) - expected.get(name, math.nan))
        off[name] = differ / reach if math.isfinite(differ) else math.inf
    return off


def what_fails(results: Sequence[SampleResult]) -> str:
    """Say in words which samples do not hold; empty when all do."""
    failed = [result for result in results if not result.holds]
    if not failed:
        return ""
    worst = failed[0]
    light = f" ({worst.light})" if worst.light else ""
    return (
        f"failed on {len(failed)} of {len(results)} samples; {worst.file} ({worst.kind}) came out "
        f"{worst.verdict} with {_told(worst.scores, worst.stage)}, expected about "
        f"{_told(worst.expected, worst.stage).removeprefix('score ')}{light}"
    )


def _told(scores: Mapping[str, float], stage: str) -> str:
    """Say a score, and of which stage where there is more than one."""
    if stage not in scores:
        return f"no score of {stage}"
    return f"score {scores[stage]:.3f}" + (f" of {stage}" if len(scores) > 1 else "")


def check_samples(bundle: Bundle) -> None:
    """Refuse a bundle that cannot be tested.

    Raises:
        BundleError: It has no golden or no challenge sample.
    """
    kinds = {sample.kind for sample in bundle.manifest.samples}
    for kind in ("golden", "challenge"):
        if kind not in kinds:
            raise BundleError(
                f"bundle {bundle.label}: holds no {kind} sample: without one it cannot be tested"
            )


def judge_samples(bundle: Bundle, engine: str, settings: EngineSettings) -> list[SampleResult]:
    """Load a bundle's models and judge its samples; return how each came out, held or not.

    Raises:
        BundleError: It cannot be run, or has no golden or no challenge sample.
    """
    check_samples(bundle)
    pipeline = load_pipeline(bundle, engine, settings)
    try:
        return run_samples(bundle, pipeline)
    finally:
        pipeline.close()


def self_test(bundle: Bundle, engine: str, settings: EngineSettings) -> list[SampleResult]:
    """Load a bundle's models and judge its samples; return how each came out.

    Raises:
        BundleError: It cannot be run, has no golden or no challenge sample, or one does not hold.
    """
    results = judge_samples(bundle, engine, settings)
    if failed := what_fails(results):
        raise BundleError(
            f"bundle {bundle.label}: self-test {failed}: do not use it on this device"
        )
    return results
