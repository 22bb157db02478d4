"""The self-test: a bundle judges its own golden and challenge samples before it may run."""

from __future__ import annotations

import msgspec

from edge_agent.decision.verdict import Verdict, judge
from edge_agent.errors import BundleError, EngineError
from edge_agent.inspection.engines import ENGINES, EngineSettings, load_engine
from edge_agent.inspection.tasks.anomaly import AnomalyInspector, Inspector
from edge_agent.rollout.bundle import Bundle


class SampleResult(msgspec.Struct, frozen=True):
    """How one sample came out."""

    file: str
    kind: str
    expected: float
    score: float
    verdict: Verdict
    holds: bool


def load_model(bundle: Bundle, engine: str, settings: EngineSettings) -> Inspector:
    """Load the model of a bundle.

    Args:
        bundle: The bundle.
        engine: An engine's name, or `auto` for the first that the bundle has a model for and
            that loads it here.
        settings: How to run it.

    Raises:
        BundleError: No engine can run it; the text says why each could not.
    """
    wanted = list(ENGINES) if engine == "auto" else [engine]
    refusals = []
    for name in wanted:
        file = bundle.manifest.models.get(name)  # type: ignore[call-overload]  # any text may be asked for
        if file is None:
            refusals.append(f"no model for engine {name}")
            continue
        try:
            loaded = load_engine(name, bundle.files[file], settings)
            return AnomalyInspector(loaded, bundle.manifest.input, bundle.manifest.anomaly)
        except EngineError as error:
            refusals.append(str(error))
    raise BundleError(f"bundle {bundle.label}: cannot be run: {'; '.join(refusals)}")


def run_samples(bundle: Bundle, inspector: Inspector) -> list[SampleResult]:
    """Judge every sample of a bundle.

    A sample holds if its verdict is right (golden `ok`; challenge anything but) and its score is
    within the bundle's tolerance of the score it had when the bundle was made.

    Raises:
        BundleError: A sample is no image, or the engine fails on it.
    """
    manifest = bundle.manifest
    reach = manifest.tolerance * manifest.thresholds.ng
    results = []
    for sample in manifest.samples:
        try:
            score = inspector.inspect(bundle.image(sample)).score
        except EngineError as error:
            raise BundleError(f"bundle {bundle.label}: sample {sample.file}: {error}") from error
        verdict = judge(score, manifest.thresholds, ())
        right = (verdict.verdict is Verdict.OK) == (sample.kind == "golden")
        holds = right and abs(score - sample.score) <= reach
        results.append(
            SampleResult(sample.file, sample.kind, sample.score, score, verdict.verdict, holds)
        )
    return results


def self_test(bundle: Bundle, engine: str, settings: EngineSettings) -> list[SampleResult]:
    """Load a bundle's model and judge its samples; return how each came out.

    Raises:
        BundleError: It cannot be run, has no golden or no challenge sample, or one does not hold.
    """
    kinds = {sample.kind for sample in bundle.manifest.samples}
    for kind in ("golden", "challenge"):
        if kind not in kinds:
            raise BundleError(
                f"bundle {bundle.label}: holds no {kind} sample: without one it cannot be tested"
            )
    inspector = load_model(bundle, engine, settings)
    try:
        results = run_samples(bundle, inspector)
    finally:
        inspector.close()
    failed = [result for result in results if not result.holds]
    if failed:
        worst = failed[0]
        raise BundleError(
            f"bundle {bundle.label}: self-test failed on {len(failed)} of {len(results)} samples; "
            f"{worst.file} ({worst.kind}) came out {worst.verdict} with score {worst.score:.3f}, "
            f"expected about {worst.expected:.3f}: do not use it on this device"
        )
    return results
