"""From a bundle to a model that can decide: pipeline, thresholds and light watch together."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from edge_agent.decision.verdict import Thresholds
from edge_agent.errors import BundleError, EngineError
from edge_agent.inspection.chain import EngineChain
from edge_agent.inspection.engines import Choice, Engine, EngineSettings
from edge_agent.inspection.pipeline import Pipeline
from edge_agent.inspection.spec import Stage
from edge_agent.lighting import Baseline, LightWatch
from edge_agent.rollout.bundle import Bundle
from edge_agent.rollout.loading import (
    choices_of,
    load_choice,
    load_first,
    make_inspector,
    read_baseline,
)
from edge_agent.rollout.selftest import run_samples, what_fails

__all__ = ["LiveModel", "make_live"]

log = logging.getLogger(__name__)


class LiveModel(msgspec.Struct, frozen=True):
    """A model that decides, with what a record says of it.

    Attributes:
        pipeline: Runs its stages.
        thresholds: What their scores are held against, by stage; those that decide.
        bundle: Name and version.
        digest: First 12 digits of the bundle's digest.
        watch: The light that its verdicts need; None when it is not watched.
        baseline: What the watch was made of; a told changeover gives the watch another.
        engines: What runs each stage, and what takes over when that fails; may be empty.
    """

    pipeline: Pipeline
    thresholds: dict[str, Thresholds]
    bundle: str
    digest: str
    watch: LightWatch | None
    engines: dict[str, EngineChain] = {}
    baseline: Baseline | None = None

    @property
    def runs_on(self) -> str:
        """How it is run, for people."""
        if len(self.engines) == 1:
            return str(next(iter(self.engines.values())).choice)
        choices = [f"{name}: {chain.choice}" for name, chain in self.engines.items()]
        return "; ".join(choices) or self.pipeline.engine

    @property
    def trouble(self) -> str:
        """What is wrong with how it runs, though it runs; empty for nothing."""
        troubles = {name: chain.trouble for name, chain in self.engines.items() if chain.trouble}
        if len(self.engines) == 1:
            return "".join(troubles.values())
        return "; ".join(f"stage {name}: {text}" for name, text in troubles.items())


def make_live(
    bundle: Bundle,
    engine: str,
    settings: EngineSettings,
    *,
    first: Mapping[str, Sequence[Choice]] | None = None,
    watch: bool = True,
    baseline: Path | None = None,
) -> LiveModel:
    """Load a bundle so that it can decide; the choices that are not taken are kept to fall back on.

    Args:
        bundle: The bundle.
        engine: An engine's name, or `auto`.
        settings: How to run it.
        first: What is tried before that, by stage, the best first; one that cannot be loaded is a
            warning.
        watch: Whether the light is watched.
        baseline: The station's own baseline file, in place of the bundle's.

    Raises:
        BundleError: It cannot be run, or light is to be watched and there is no baseline.
        UsageError: The baseline file cannot be used.
    """
    frozen = _baseline(bundle, baseline) if watch else None
    light = LightWatch(frozen) if frozen else None
    chains: dict[str, EngineChain] = {}
    for stage in bundle.manifest.stages:
        tuned = tuple((first or {}).get(stage.name, ()))
        choices = (*tuned, *choices_of(engine, settings))
        chains[stage.name] = _load_chain(bundle, stage, choices, len(tuned), chains)
    return LiveModel(
        _pipeline(bundle, chains),
        bundle.manifest.thresholds,
        f"{bundle.manifest.name} {bundle.manifest.version}",
        bundle.digest[:12],
        light,
        chains,
        frozen,
    )


def _load_chain(
    bundle: Bundle,
    stage: Stage,
    choices: Sequence[Choice],
    special: int,
    chains: Mapping[str, EngineChain],
) -> EngineChain:
    """Load the first choice that loads; warn of each of the first `special` that does not."""

    def succeed(choice: Choice) -> Engine:
        return _successor(bundle, stage, choice, chains)

    for place, choice in enumerate(choices[:special]):
        try:
            engine = load_choice(bundle, stage, choice)
            make_inspector(stage, engine)
        except EngineError as error:
            log.warning(
                "bundle %s: the tuned choice (%s) cannot be used: %s", bundle.label, choice, error
            )
        else:
            return EngineChain(choice, engine, rest=choices[place + 1 :], succeed=succeed)
    place, engine = load_first(bundle, stage, choices[special:])
    place += special
    return EngineChain(choices[place], engine, rest=choices[place + 1 :], succeed=succeed)


def _pipeline(bundle: Bundle, engines: Mapping[str, Engine]) -> Pipeline:
    stages = bundle.manifest.stages
    return Pipeline([(stage, make_inspector(stage, engines[stage.name])) for stage in stages])


def _successor(
    bundle: Bundle, stage: Stage, choice: Choice, chains: Mapping[str, EngineChain]
) -> Engine:
    """Load an engine that is to take over while parts go by: only one that holds the samples may.

    The other stages look at the samples with what runs them now.

    Raises:
        EngineError: It cannot be loaded, or its scores of the bundle's samples do not agree.
    """
    engine = load_choice(bundle, stage, choice)
    try:
        failed = what_fails(run_samples(bundle, _pipeline(bundle, {**chains, stage.name: engine})))
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
