"""Anomaly: how far a part is from good parts, and where.

The model gives a map; the score is the mean of its largest values (`Anomaly.top` of them), so that
a small defect counts in full and a single noisy cell does not.
"""

from __future__ import annotations

import time

import numpy as np

from edge_agent.camera.frame import Image
from edge_agent.errors import EngineError
from edge_agent.inspection.engines import Engine, Outputs, Pixels
from edge_agent.inspection.seen import Box, Inspection, Map
from edge_agent.inspection.spec import Anomaly, Input

ANOMALY_MAP = "map"
"""Name of the model's output that holds the map, where it has more than one."""


class AnomalyInspector:
    """Run one anomaly model. Not thread-safe: one inspector, one thread.

    Raises:
        EngineError: Model and description do not fit together.
    """

    def __init__(self, engine: Engine, spec: Input, anomaly: Anomaly) -> None:
        wanted = (1, spec.height, spec.width, spec.channels)
        if engine.input_shape != wanted:
            raise EngineError(
                f"engine {engine.name}: the model takes {list(engine.input_shape)}, its manifest "
                f"says {list(wanted)}: the bundle was put together wrongly"
            )
        self._engine = engine
        self._spec = spec
        self._top = anomaly.top
        self._region = Box.of(spec.roi)
        self._pixels: Pixels = np.zeros(wanted, np.uint8)
        self._grey: Pixels = np.zeros(wanted[1:3], np.uint8)

    @property
    def engine(self) -> str:
        """Name of the engine that runs it; it changes where one takes over from another."""
        return self._engine.name

    def inspect(self, image: Image) -> Inspection:
        """Look at one part; see `Inspector.inspect`.

        Args:
            image: HxWx3 BGR or HxW grey, uint8; neither changed nor kept.
        """
        begin = time.perf_counter_ns()
        self._fill(image)
        ready = time.perf_counter_ns()
        outputs = self._engine.run(self._pixels)
        done = time.perf_counter_ns()
        anomaly_map = _map_of(outputs)
        return Inspection(
            _score(anomaly_map, self._top), anomaly_map, ready - begin, done - ready, self._region
        )

    def close(self) -> None:
        """Let go of the model."""
        self._engine.close()

    def _fill(self, image: Image) -> None:
        """Crop and resize into the reused buffer: INTER_AREA when shrinking by 2 or more."""
        import cv2  # noqa: PLC0415 - heavy: loaded with the first model, not with the program

        if image.dtype != np.uint8 or image.size == 0 or image.shape[2:] not in {(), (3,)}:
            raise EngineError(  # else the buffer would keep the part before, and that be judged
                f"an image of {list(image.shape)} {image.dtype} cannot be looked at: it takes "
                f"uint8, height x width x 3 or height x width"
            )
        view = self._spec.roi.crop(image)
        height, width = self._spec.height, self._spec.width
        shrink = min(view.shape[0] / height, view.shape[1] / width)
        how = cv2.INTER_AREA if shrink >= 2.0 else cv2.INTER_LINEAR
        if view.ndim == 2:
            cv2.resize(view, (width, height), dst=self._grey, interpolation=how)
            cv2.cvtColor(self._grey, cv2.COLOR_GRAY2BGR, dst=self._pixels[0])
        else:
            cv2.resize(view, (width, height), dst=self._pixels[0], interpolation=how)


def _map_of(outputs: Outputs) -> Map:
    """Return the map, without the dimensions of size 1 that engines put around it."""
    if ANOMALY_MAP not in outputs and len(outputs) != 1:
        names = ", ".join(sorted(outputs))
        raise EngineError(
            f"which of the model's outputs is the map? Name it {ANOMALY_MAP}: {names}"
        )
    values = outputs[ANOMALY_MAP] if ANOMALY_MAP in outputs else next(iter(outputs.values()))
    anomaly_map = values.squeeze()
    if anomaly_map.ndim != 2:
        raise EngineError(f"the model's output {list(values.shape)} is not an anomaly map")
    return anomaly_map


def _score(anomaly_map: Map, top: int) -> float:
    """Return the mean of the `top` largest values of a map; NaN if any value is not a number."""
    values = anomaly_map.reshape(-1)
    top = min(top, values.size)
    largest = np.partition(values, values.size - top)[values.size - top :].tolist()
    return float(sum(largest)) / top
