"""Anomaly: how far a part is from good parts, and where.

The model gives a map, a score, or both. Where it gives no score, it is the mean of the map's
largest values (`Anomaly.top` of them), so that a small defect counts in full and a single noisy
cell does not.
"""

from __future__ import annotations

from edge_agent.camera.frame import Image
from edge_agent.errors import EngineError
from edge_agent.inspection.engines import Engine, Outputs
from edge_agent.inspection.eye import Eye
from edge_agent.inspection.reading import mean_of_top
from edge_agent.inspection.seen import Inspection, Map
from edge_agent.inspection.spec import Anomaly, Input
from edge_agent.inspection.view import place_map

ANOMALY_MAP = "map"
"""Name of the model's output that holds the map, where it has more than one."""

SCORE = "score"
"""Name of the model's output that holds the score."""


class AnomalyInspector:
    """Run one anomaly model. Not thread-safe: one inspector, one thread.

    Raises:
        EngineError: Model and description do not fit together.
    """

    def __init__(self, engine: Engine, spec: Input, anomaly: Anomaly) -> None:
        self._eye = Eye(engine, spec)
        self._top = anomaly.top

    @property
    def engine(self) -> str:
        """Name of the engine that runs it; it changes where one takes over from another."""
        return self._eye.engine

    def inspect(self, image: Image) -> Inspection:
        """Look at one image; see `Inspector.inspect`."""
        look = self._eye.look(image)
        score, values = _score_of(look.outputs), _map_of(look.outputs)
        if values is None:
            return Inspection(score or 0.0, None, look.preprocess_ns, look.inference_ns)
        shown, region = place_map(values, look.placement)
        if score is None:
            raw = values if look.placement.turn is not None else shown
            score = mean_of_top(raw, self._top)
        return Inspection(score, shown, look.preprocess_ns, look.inference_ns, region)

    def close(self) -> None:
        """Let go of the model."""
        self._eye.close()


def make(engine: Engine, spec: Input, task: Anomaly) -> AnomalyInspector:
    """Make the inspector; see `load_task`."""
    return AnomalyInspector(engine, spec, task)


def _score_of(outputs: Outputs) -> float | None:
    """Return the model's own score; None where it gives none."""
    values = outputs.get(SCORE)
    if values is None:
        return None
    if values.size != 1:
        raise EngineError(f"the model's output {SCORE} is {list(values.shape)}, not one number")
    score = float(values.reshape(()))
    return max(score, 0.0)  # NaN stays NaN: it comes first


def _map_of(outputs: Outputs) -> Map | None:
    """Return the map, without the dimensions of size 1 that engines put around it."""
    if ANOMALY_MAP in outputs:
        values = outputs[ANOMALY_MAP]
    elif SCORE in outputs:
        return None
    elif len(outputs) == 1:
        values = next(iter(outputs.values()))
    else:
        names = ", ".join(sorted(outputs))
        raise EngineError(
            f"which of the model's outputs is the map? Name it {ANOMALY_MAP}: {names}"
        )
    anomaly_map = values.squeeze()
    if anomaly_map.ndim != 2:
        raise EngineError(f"the model's output {list(values.shape)} is not an anomaly map")
    return anomaly_map
