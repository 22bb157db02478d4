"""From a bundle to a model that can decide: inspector, thresholds and light watch together."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edge_agent.decision.verdict import Thresholds
from edge_agent.errors import BundleError, UsageError
from edge_agent.inspection.engines import EngineSettings
from edge_agent.inspection.tasks.anomaly import Inspector
from edge_agent.lighting import Baseline, LightWatch
from edge_agent.rollout.bundle import Bundle
from edge_agent.rollout.selftest import load_model


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
    name = bundle.manifest.baseline
    if not name:
        raise BundleError(
            f"bundle {bundle.label}: holds no lighting baseline: learn one at the station with "
            f'`edge-agent baseline learn`, or set lighting.watch = "off" and judge in any light'
        )
    try:
        return Baseline.decode(bundle.files[name], f"{name} of bundle {bundle.label}")
    except UsageError as error:
        raise BundleError(str(error)) from error
