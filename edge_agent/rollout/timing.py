"""Time the ways in which the model of a bundle's stage can be run on this device.

All of them stay loaded and run in turns, so that what else happens on the device meanwhile is
shared by all. Each turn begins with a run that is not timed: the others have used the caches.
Each was tried in a process of its own before: see `edge_agent.rollout.footprint`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from edge_agent.camera.frame import Image
from edge_agent.errors import BundleError, EngineError
from edge_agent.inspection.engines import (
    ENGINES,
    FORMATS,
    Choice,
    EngineSettings,
    options_of,
    version_of,
)
from edge_agent.inspection.pipeline import Pipeline
from edge_agent.inspection.spec import Stage
from edge_agent.inspection.tasks import Inspector
from edge_agent.rollout.bundle import Bundle, read_bundle
from edge_agent.rollout.footprint import footprint_mb
from edge_agent.rollout.loading import choices_of, load_choice, load_first, make_inspector
from edge_agent.rollout.selftest import check_samples, run_samples, what_fails
from edge_agent.rollout.tuning import Trial, thread_counts

_TURN = 4
"""Timed runs in one turn."""

_ROUNDS = 3, 200
"""Rounds at least, whatever the time; and at most."""

_TRYING = 0.4
"""The share of the whole time that trying takes, about; for the progress bar."""

_SLOW = 3.0
"""A choice this much slower than the best is timed no further after the first rounds."""


_Placed = tuple[Stage, Inspector]


class _Runner(msgspec.Struct, frozen=True):
    choice: Choice
    inspector: Inspector
    memory_mb: float
    times_ms: list[float]


def candidates(stage: Stage, threads: int) -> Iterator[Choice]:
    """List what can be tried: in the order in which `auto` would prefer it, engines as installed.

    Args:
        stage: Whose model it is.
        threads: Processor threads at most.
    """
    for engine in ENGINES:
        if FORMATS[engine] not in stage.models:
            continue
        try:
            version_of(engine)
            options = options_of(engine)
        except EngineError:
            continue
        for option in options:
            for count in thread_counts(threads):
                yield Choice(engine, count, option)


def measure(
    path: Path,
    name: str,
    *,
    threads: int,
    seconds: float,
    advance: Callable[[float], None] = lambda _share: None,
) -> list[Trial]:
    """Time every way to run a stage's model, and hold its scores against the bundle's own.

    The other stages run as `auto` would have them: what they find decides where this one looks.

    Args:
        path: The bundle's file.
        name: Of the stage.
        threads: Processor threads at most.
        seconds: How long the timing may take; trying and loading come on top.
        advance: Called with the share that is done, 0 to 1.

    Returns:
        One trial a candidate, in the order of `candidates`.

    Raises:
        BundleError: It is damaged, has no golden or no challenge sample, or another stage cannot
            be run.
    """
    bundle = read_bundle(path)
    check_samples(bundle)
    golden = next(each for each in bundle.manifest.samples if each.kind == "golden")
    image = bundle.image(golden)
    stage = next(each for each in bundle.manifest.stages if each.name == name)
    wanted = list(candidates(stage, threads))
    others = _load_others(bundle, stage)
    loaded = []
    for number, choice in enumerate(wanted):
        advance(_TRYING * number / len(wanted))
        loaded.append(_load(bundle, path, stage, choice, others))
    runners = [each for each in loaded if isinstance(each, _Runner)]
    try:
        _time(runners, image, seconds, advance)
        return [_trial(each) if isinstance(each, _Runner) else each for each in loaded]
    finally:
        for runner in runners:
            runner.inspector.close()
        for _, inspector in others:
            inspector.close()


def _load_others(bundle: Bundle, stage: Stage) -> list[_Placed]:
    """Load the stages beside one."""
    choices = choices_of("auto", EngineSettings())
    return [
        (each, make_inspector(each, load_first(bundle, each, choices)[1]))
        for each in bundle.manifest.stages
        if each.name != stage.name
    ]


def _load(
    bundle: Bundle, path: Path, stage: Stage, choice: Choice, others: Sequence[_Placed]
) -> _Runner | Trial:
    """Load one candidate and let it judge the samples; a trial with its objection if it may not."""
    try:
        memory_mb = footprint_mb(path, stage.name, choice)
        inspector = make_inspector(stage, load_choice(bundle, stage, choice))
    except EngineError as error:
        return Trial(choice=choice, objection=str(error))
    try:
        placed = {each.name: (each, one) for each, one in [*others, (stage, inspector)]}
        pipeline = Pipeline([placed[each.name] for each in bundle.manifest.stages])
        objection = what_fails(run_samples(bundle, pipeline))
    except (BundleError, EngineError) as error:
        objection = str(error)
    if objection:
        inspector.close()
        return Trial(choice=choice, objection=objection)
    return _Runner(choice, inspector, memory_mb, [])


def _time(
    runners: list[_Runner], image: Image, seconds: float, advance: Callable[[float], None]
) -> None:
    """Run all in turns until the time is over; those far behind drop out early."""
    begin = time.monotonic()
    least, most = _ROUNDS
    racing = runners
    for number in range(most):
        spent = time.monotonic() - begin
        if not racing or (number >= least and spent >= seconds):
            break
        advance(_TRYING + (1 - _TRYING) * min(1.0, spent / max(seconds, 1e-9)))
        for runner in racing:
            runner.inspector.inspect(image)
            runner.times_ms.extend(
                runner.inspector.inspect(image).inference_ns / 1e6 for _ in range(_TURN)
            )
        if number + 1 == least:
            best = min(min(runner.times_ms) for runner in racing)
            racing = [runner for runner in racing if min(runner.times_ms) <= _SLOW * best]
    advance(1.0)


def _trial(runner: _Runner) -> Trial:
    ordered = sorted(runner.times_ms)
    p50, p99 = (ordered[-(-len(ordered) * share // 100) - 1] for share in (50, 99))
    return Trial(
        choice=runner.choice,
        runs=len(ordered),
        min_ms=round(ordered[0], 3),
        p50_ms=round(p50, 3),
        p99_ms=round(p99, 3),
        memory_mb=round(runner.memory_mb, 1),
    )
