"""Classify: which of some kinds a part is.

The score is one minus the probability that the part is good: the sum over its good labels, or,
where each label has a probability of its own (sigmoid), the largest of them.
"""

from __future__ import annotations

import numpy as np

from edge_agent.camera.frame import Image
from edge_agent.errors import EngineError
from edge_agent.inspection.engines import Engine, Outputs
from edge_agent.inspection.eye import Eye
from edge_agent.inspection.reading import Values, complement, only_output, probabilities
from edge_agent.inspection.seen import Finding, Inspection
from edge_agent.inspection.spec import Classify, Input


class ClassifyInspector:
    """Run one classifier. Not thread-safe: one inspector, one thread.

    Raises:
        EngineError: Model and description do not fit together.
    """

    def __init__(self, engine: Engine, spec: Input, task: Classify) -> None:
        self._eye = Eye(engine, spec)
        self._task = task
        self._good = [task.labels.index(label) for label in task.good]

    @property
    def engine(self) -> str:
        """Name of the engine that runs it."""
        return self._eye.engine

    def inspect(self, image: Image) -> Inspection:
        """Look at one image; see `Inspector.inspect`."""
        look = self._eye.look(image)
        shares = _read(look.outputs, self._task)
        score = self._score(shares)
        best = int(shares.argmax())
        label, confidence = self._task.labels[best], float(shares[best])
        return Inspection(
            score,
            None,
            look.preprocess_ns,
            look.inference_ns,
            findings=(Finding(label=label, score=score, confidence=confidence),),
            confidences=dict(zip(self._task.labels, shares.tolist(), strict=True)),
        )

    def close(self) -> None:
        """Let go of the model."""
        self._eye.close()

    def _score(self, shares: Values) -> float:
        if not np.isfinite(shares).all():
            return float("nan")
        if not self._good:
            return 0.0
        good = shares[self._good]
        return complement(float(good.max() if self._task.activation == "sigmoid" else good.sum()))


def make(engine: Engine, spec: Input, task: Classify) -> ClassifyInspector:
    """Make the inspector; see `load_task`."""
    return ClassifyInspector(engine, spec, task)


def _read(outputs: Outputs, task: Classify) -> Values:
    """Return the probability of each label.

    A single number of a model with two labels is the probability of the second.

    Raises:
        EngineError: The model has another number of classes than there are labels.
    """
    if len(outputs) == 1:
        values = next(iter(outputs.values()))
    else:
        values = only_output(outputs, "probabilities", frozenset({1, 2}))
    flat = values.reshape(-1)
    if flat.size == 1 and len(task.labels) == 2:
        second = probabilities(flat, "none" if task.activation == "none" else "sigmoid", axis=0)
        return np.concatenate([1.0 - second, second]).astype(np.float32)
    if flat.size != len(task.labels):
        raise EngineError(
            f"the model's output is {list(values.shape)}: it has {flat.size} classes, and its "
            f"manifest names {len(task.labels)} labels"
        )
    return probabilities(flat, task.activation, axis=0)
