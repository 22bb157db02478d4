"""A model with its view: an image in, the model's outputs out, and the times of both."""

from __future__ import annotations

import time

import msgspec

from edge_agent.camera.frame import Image
from edge_agent.errors import EngineError
from edge_agent.inspection.engines import Engine, Outputs
from edge_agent.inspection.spec import Input
from edge_agent.inspection.view import Placement, View


class Look(msgspec.Struct, frozen=True):
    """What came of one look.

    Attributes:
        outputs: Of the model.
        placement: Where its input lies in the image.
        preprocess_ns: Time of crop and resize.
        inference_ns: Time in the engine.
    """

    outputs: Outputs
    placement: Placement
    preprocess_ns: int
    inference_ns: int


class Eye:
    """What every task looks through. Not thread-safe: one eye, one thread.

    Raises:
        EngineError: Model and description do not fit together.
    """

    def __init__(self, engine: Engine, spec: Input) -> None:
        wanted = (1, spec.height, spec.width, spec.channels)
        if engine.input_shape != wanted:
            raise EngineError(
                f"engine {engine.name}: the model takes {list(engine.input_shape)}, its manifest "
                f"says {list(wanted)}: the bundle was put together wrongly"
            )
        self._engine = engine
        self._view = View(spec)

    @property
    def engine(self) -> str:
        """Name of the engine that runs it; it changes where one takes over from another."""
        return self._engine.name

    def look(self, image: Image) -> Look:
        """Look at one image, HxWx3 BGR or HxW grey, uint8; it is neither changed nor kept.

        Raises:
            EngineError: The engine failed, or the image cannot be looked at.
        """
        begin = time.perf_counter_ns()
        placement = self._view.fill(image)
        ready = time.perf_counter_ns()
        outputs = self._engine.run(self._view.pixels)
        return Look(outputs, placement, ready - begin, time.perf_counter_ns() - ready)

    def close(self) -> None:
        """Let go of the model."""
        self._engine.close()
