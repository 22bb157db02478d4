"""From a bundle to a model that can decide: inspector, thresholds and light watch together."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edge_agent.decision.verdict import Thresholds
from edge_agent.errors import BundleError, EngineError
from edge_agent.inspection.chain import EngineChain
from edge_agent.inspection.engines import Choice, Engine, EngineSettings
from edge_agent.inspection.tasks.anomaly import Inspector
from edge_agent.lighting import Baseline, LightWatch
from edge_agent.rollout.bundle import Bundle
from edge_agent.rollout.loading import (
    choices_of,
    load_choice,
    load_first,
    load_model,
    make_inspector,
    read_baseline,
)
from edge_agent.rollout.selftest import run_samples, what_fails

__all__ = ["LiveModel", "load_model", "make_live", "read_baseline"]

log = logging.getLogger(__name__)


class LiveModel(msgspec.Struct, frozen=True):
    """A model that decides, with what a record says of it.

    Attributes:
        inspector: Runs it.
        thresholds: What its scores are held against.
        bundle: Name and version.
        digest: First 12 digits of the bundle's digest.
        watch: The light that its verdicts need; None when it is not watched.
        engines: What runs it, and what takes over when that fails; None where nothing does.
    """

    inspector: Inspector
    thresholds: Thresholds
    bundle: str
    digest: str
    watch: LightWatch | None
    engines: EngineChain | None = None

    @property
    def runs_on(self) -> str:
        """How it is run, for people."""
        return str(self.engines.choice) if self.engines else self.inspector.engine

    @property
    def trouble(self) -> str:
        """What is wrong with how it runs, though it runs; empty for nothing."""
        return self.engines.trouble if self.engines else ""


def make_live(
    bundle: Bundle,
    engine: str,
    settings: EngineSettings,
    *,
    first: Sequence[Choice] = (),
    watch: bool = True,
    baseline: Path | None = None,
) -> LiveModel:
    """Load a bundle so that it can decide; the choices that are not taken are kept to fall back on.

    Args:
        bundle: The bundle.
        engine: An engine's name, or `auto`.
        settings: How to run it.
        first: What is tried before that, the best first; one that cannot be loaded is a warning.
        watch: Whether the light is watched.
        baseline: The station's own baseline file, in place of the bundle's.

    Raises:
        BundleError: It cannot be run, or light is to be watched and there is no baseline.
        UsageError: The baseline file cannot be used.
    """
    light = LightWatch(_baseline(bundle, baseline)) if watch else None
    chain = _load_chain(bundle, (*first, *choices_of(engine, settings)), len(first))
    return LiveModel(
        make_inspector(bundle, chain),
        bundle.manifest.thresholds,
        f"{bundle.manifest.name} {bundle.manifest.version}",
        bundle.digest[:12],
        light,
        chain,
    )


def _load_chain(bundle: Bundle, choices: Sequence[Choice], special: int) -> EngineChain:
    """Load the first choice that loads; warn of each of the first `special` that does not."""
    for place, choice in enumerate(choices[:special]):
        try:
            engine = load_choice(bundle, choice)
            make_inspector(bundle, engine)
        except EngineError as error:
            log.warning(
                "bundle %s: the tuned choice (%s) cannot be used: %s", bundle.label, choice, error
            )
        else:
            return _chain(bundle, choices, place, engine)
    place, engine = load_first(bundle, choices[special:])
    return _chain(bundle, choices, special + place, engine)


def _chain(bundle: Bundle, choices: Sequence[Choice], place: int, engine: Engine) -> EngineChain:
    def succeed(choice: Choice) -> Engine:
        return _successor(bundle, choice)

    return EngineChain(choices[place], engine, rest=choices[place + 1 :], succeed=succeed)


def _successor(bundle: Bundle, choice: Choice) -> Engine:
    """Load an engine that is to take over while parts go by: only one that holds the samples may.

    Raises:
        EngineError: It cannot be loaded, or its scores of the bundle's samples do not agree.
    """
    engine = load_choice(bundle, choice)
    try:
        failed = what_fails(run_samples(bundle, make_inspector(bundle, engine)))
    except (BundleError, EngineError) as error:
        engine.close()
        raise EngineError(str(error)) from error
    if failed:
        engine.close()
        raise EngineError(f"engine {engine.name}: does not hold the bundle's samples: {failed}")
    return engine


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
