"""Look at images through an imported model, as a station would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np

from edge_agent.errors import BundleError, UsageError
from edge_agent.inspection.engines import Engine, EngineSettings, load_engine
from edge_agent.rollout.bundle import Bundle, Manifest
from edge_agent.rollout.loading import load_pipeline, make_inspector

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from edge_agent.camera.frame import Image
    from edge_agent.inspection.engines import Outputs, Pixels
    from edge_agent.inspection.pipeline import Pipeline
    from edge_agent.inspection.spec import Stage
    from edge_agent.inspection.tasks import Inspector

NAMES: dict[Literal["onnx", "litert"], str] = {"onnx": "model.onnx", "litert": "model.tflite"}
"""Member of the bundle by format."""


class Recorder:
    """An engine that keeps what it was given, so that others are given the same."""

    name = "recorder"

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.input_shape = engine.input_shape
        self.pixels: Pixels | None = None

    def run(self, pixels: Pixels) -> Outputs:
        """Keep the pixels and run the model."""
        self.pixels = pixels.copy()
        return self._engine.run(pixels)

    def close(self) -> None:
        """Let go of the model."""
        self._engine.close()


def pixels_of(stage: Stage, model: bytes, images: Iterable[Image]) -> Iterator[Pixels]:
    """Give what the model of a stage is given for each image."""
    engine = Recorder(load_engine("onnx", model, EngineSettings()))
    inspector = make_inspector(stage, engine)
    for image in images:
        inspector.inspect(image)
        assert engine.pixels is not None, "the inspector runs its engine"
        yield engine.pixels
    engine.close()


def inspector_of(stage: Stage, model: bytes) -> Inspector:
    """Load a stage's model, whichever it has."""
    return make_inspector(stage, load_engine(_format(stage), model, EngineSettings()))


def scores(stage: Stage, model: bytes, images: Iterable[Image]) -> list[float]:
    """Return the score of each image.

    Raises:
        UsageError: One is not a number.
    """
    judge = inspector_of(stage, model)
    found = [judge.inspect(image).score for image in images]
    judge.close()
    if not np.isfinite(found).all():
        raise UsageError(
            "the model's score of an image is not a number: are --scale, --mean and --std those of "
            "its training?"
        )
    return found


def pipeline_of(stage: Stage, model: bytes) -> Pipeline:
    """Load a stage as a bundle of its own would be.

    Raises:
        UsageError: The runtime cannot run it.
    """
    form = _format(stage)
    manifest = Manifest(name="imported", version="1", stages=(stage,))
    bundle = Bundle(manifest, "", {NAMES[form]: model})
    try:
        return load_pipeline(bundle, form, EngineSettings())
    except BundleError as error:
        raise UsageError(str(error).partition("cannot be run: ")[2] or str(error)) from error


def _format(stage: Stage) -> Literal["onnx", "litert"]:
    return next(iter(stage.models))


def with_limits(stage: Stage, review: float, ng: float) -> Stage:
    """Return a stage with thresholds.

    Raises:
        UsageError: They are out of order.
    """
    from edge_agent.inspection.spec import Thresholds  # noqa: PLC0415 - the only use

    try:
        return msgspec.structs.replace(stage, thresholds=Thresholds(review=review, ng=ng))
    except ValueError as error:
        raise UsageError(
            f"--review {review:g} --threshold {ng:g}: 0 < review <= threshold must hold"
        ) from error
