"""From a bundle to a model that can decide: inspector, thresholds and light watch together."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edge_agent.decision.verdict import Thresholds
from edge_agent.errors import BundleError, EngineError, UsageError
from edge_agent.inspection.engines import ENGINES, EngineSettings, load_engine
from edge_agent.inspection.tasks.anomaly import AnomalyInspector, Inspector
from edge_agent.lighting import Baseline, LightWatch
from edge_agent.rollout.bundle import Bundle


class LiveModel(msgspec.Struct, frozen=True):
    """A model that decides, with what a record says of it.

    Attributes:
        inspector: Runs it.
        thresholds: What its scores are held against.
        bundle: Name and version.
        digest: First 12 digits of the bundle's digest.
        watch: The light that its verdicts need; None when it is not watched.
    """

    inspector: Inspector
    thresholds: Thresholds
    bundle: str
    digest: str
    watch: LightWatch | None


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


def read_baseline(bundle: Bundle) -> Baseline | None:
    """Return the lighting baseline that a bundle brings; None where it brings none.

    Raises:
        BundleError: It is not a baseline.
    """
    name = bundle.manifest.baseline
    if not name:
        return None
    try:
        return Baseline.decode(bundle.files[name], f"{name} of bundle {bundle.label}")
    except UsageError as error:
        raise BundleError(str(error)) from error


def make_live(
    bundle: Bundle,
    engine: str,
    settings: EngineSettings,
    *,
    watch: bool = True,
    baseline: Path | None = None,
) -> LiveModel:
    """Load a bundle so that it can decide.

    Args:
        bundle: The bundle.
        engine: An engine's name, or `auto`.
        settings: How to run it.
        watch: Whether the light is watched.
        baseline: The station's own baseline file, in place of the bundle's.

    Raises:
        BundleError: It cannot be run, or light is to be watched and there is no baseline.
        UsageError: The baseline file cannot be used.
    """
    return LiveModel(
        load_model(bundle, engine, settings),
        bundle.manifest.thresholds,
        f"{bundle.manifest.name} {bundle.manifest.version}",
        bundle.digest[:12],
        LightWatch(_baseline(bundle, baseline)) if watch else None,
    )


def _baseline(bundle: Bundle, own: Path | None) -> Baseline:
    if own is not None:
        return Baseline.read(own)
    baseline = read_baseline(bundle)
    if baseline is None:
        raise BundleError(
            f"bundle {bundle.label}: holds no lighting baseline: learn one at the station with "
            f'`edge-agent baseline learn`, or set lighting.watch = "off" and judge in any light'
        )
    return baseline
