"""What a bundle holds, made ready for use: its models in engines, its lighting baseline."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_agent.errors import BundleError, EngineError, UsageError
from edge_agent.inspection.engines import (
    ENGINES,
    FORMATS,
    Choice,
    Engine,
    EngineSettings,
    load_engine,
)
from edge_agent.inspection.pipeline import Pipeline
from edge_agent.inspection.spec import Stage
from edge_agent.inspection.tasks import Inspector, load_task
from edge_agent.lighting import Baseline
from edge_agent.rollout.bundle import Bundle


def choices_of(engine: str, settings: EngineSettings) -> tuple[Choice, ...]:
    """Return the choices that a configuration stands for, the best first.

    Args:
        engine: An engine's name, or `auto` for each that there is, in its usual way.
        settings: How to run it.
    """
    wanted = ENGINES if engine == "auto" else (engine,)
    return tuple(Choice(name, settings.threads) for name in wanted)


def load_choice(bundle: Bundle, stage: Stage, choice: Choice) -> Engine:
    """Load the model of a stage in one way.

    Raises:
        EngineError: The stage has no model for the engine, or it cannot be loaded.
    """
    file = stage.models.get(FORMATS[choice.engine]) if choice.engine in FORMATS else None
    if file is None:
        raise EngineError(f"no model for engine {choice.engine}")
    settings = EngineSettings(threads=choice.threads)
    return load_engine(choice.engine, bundle.files[file], settings, option=choice.option)


def make_inspector(stage: Stage, engine: Engine) -> Inspector:
    """Make the inspector of a stage, and let it look at a grey image.

    What it sees there is of no account: but outputs that do not fit the task are found out now,
    and not on the first part; and the first run, which takes longest, is over.

    Raises:
        EngineError: Model and manifest do not fit together, or the engine fails.
    """
    inspector = load_task(engine, stage.input, stage.task)
    inspector.inspect(np.full((stage.input.height, stage.input.width), _GREY, np.uint8))
    return inspector


_GREY = 114


def load_first(bundle: Bundle, stage: Stage, choices: Sequence[Choice]) -> tuple[int, Engine]:
    """Load the first choice that can be loaded; return its place and the engine.

    Raises:
        BundleError: None can; the text says why each could not.
    """
    refusals = []
    for place, choice in enumerate(choices):
        try:
            engine = load_choice(bundle, stage, choice)
            make_inspector(stage, engine)  # refuses a model that does not fit its manifest
        except EngineError as error:
            refusals.append(str(error))
        else:
            return place, engine
    which = f"stage {stage.name} " if len(bundle.manifest.stages) > 1 else ""
    raise BundleError(f"bundle {bundle.label}: {which}cannot be run: {'; '.join(refusals)}")


def load_pipeline(bundle: Bundle, engine: str, settings: EngineSettings) -> Pipeline:
    """Load the models of a bundle.

    Args:
        bundle: The bundle.
        engine: An engine's name, or `auto` for the first that a stage has a model for and that
            loads it here.
        settings: How to run it.

    Raises:
        BundleError: No engine can run it; the text says why each could not.
    """
    choices = choices_of(engine, settings)
    return Pipeline(
        [
            (stage, make_inspector(stage, load_first(bundle, stage, choices)[1]))
            for stage in bundle.manifest.stages
        ]
    )


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
