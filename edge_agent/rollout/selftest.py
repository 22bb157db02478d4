"""The self-test: a bundle judges its own golden and challenge samples before it may run."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from edge_agent.decision.verdict import Cause, Verdict, judge
from edge_agent.errors import BundleError, EngineError
from edge_agent.inspection.engines import EngineSettings
from edge_agent.inspection.tasks.anomaly import Inspector
from edge_agent.lighting import LightWatch
from edge_agent.rollout.bundle import Bundle
from edge_agent.rollout.loading import load_model, read_baseline


class SampleResult(msgspec.Struct, frozen=True):
    """How one sample came out; `light` says what is wrong with a golden one's light."""

    file: str
    kind: str
    expected: float
    score: float
    verdict: Verdict
    holds: bool
    light: str = ""


def run_samples(bundle: Bundle, inspector: Inspector) -> list[SampleResult]:
    """Judge every sample of a bundle.

    A sample holds if its verdict is right (golden `ok`; challenge anything but) and its score is
    within the bundle's tolerance of the score it had when the bundle was made. A golden one must
    lie within the bundle's own lighting baseline too.

    Raises:
        BundleError: A sample is no image, the engine fails on it, or the baseline is none.
    """
    manifest = bundle.manifest
    baseline = read_baseline(bundle)
    watch = LightWatch(baseline) if baseline else None
    reach = manifest.tolerance * manifest.thresholds.ng
    results = []
    for sample in manifest.samples:
        try:
            image = bundle.image(sample)
            score = inspector.inspect(image).score
        except EngineError as error:
            raise BundleError(f"bundle {bundle.label}: sample {sample.file}: {error}") from error
        causes = watch.update(image).causes if watch and sample.kind == "golden" else ()
        hindrances = [Cause(cause.kind, cause.text) for cause in causes]
        verdict = judge(score, manifest.thresholds, hindrances)
        right = (verdict.verdict is Verdict.OK) == (sample.kind == "golden")
        holds = right and abs(score - sample.score) <= reach
        results.append(
            SampleResult(
                sample.file,
                sample.kind,
                sample.score,
                score,
                verdict.verdict,
                holds,
                "; ".join(cause.text for cause in causes),
            )
        )
    return results


def what_fails(results: Sequence[SampleResult]) -> str:
    """Say in words which samples do not hold; empty when all do."""
    failed = [result for result in results if not result.holds]
    if not failed:
        return ""
    worst = failed[0]
    light = f" ({worst.light})" if worst.light else ""
    return (
        f"failed on {len(failed)} of {len(results)} samples; {worst.file} ({worst.kind}) came out "
        f"{worst.verdict} with score {worst.score:.3f}, expected about {worst.expected:.3f}{light}"
    )


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
    """Load a bundle's model and judge its samples; return how each came out, held or not.

    Raises:
        BundleError: It cannot be run, or has no golden or no challenge sample.
    """
    check_samples(bundle)
    inspector = load_model(bundle, engine, settings)
    try:
        return run_samples(bundle, inspector)
    finally:
        inspector.close()


def self_test(bundle: Bundle, engine: str, settings: EngineSettings) -> list[SampleResult]:
    """Load a bundle's model and judge its samples; return how each came out.

    Raises:
        BundleError: It cannot be run, has no golden or no challenge sample, or one does not hold.
    """
    results = judge_samples(bundle, engine, settings)
    if failed := what_fails(results):
        raise BundleError(
            f"bundle {bundle.label}: self-test {failed}: do not use it on this device"
        )
    return results
