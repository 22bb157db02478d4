"""What tasks share in reading a model's outputs: probabilities, scores of maps."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge_agent.errors import EngineError
from edge_agent.inspection.engines import Outputs
from edge_agent.inspection.seen import Map
from edge_agent.inspection.spec import Activation

Values = npt.NDArray[np.float32]


def only_output(outputs: Outputs, what: str, dimensions: frozenset[int]) -> Values:
    """Return the one output that has as many dimensions as what is sought.

    Raises:
        EngineError: None has, or several have.
    """
    fitting = [values for values in outputs.values() if values.ndim in dimensions]
    if len(fitting) == 1:
        return fitting[0]
    shapes = ", ".join(f"{name} {list(values.shape)}" for name, values in outputs.items())
    raise EngineError(f"which of the model's outputs is the {what}? It gives {shapes}")


def probabilities(values: Values, activation: Activation, *, axis: int) -> Values:
    """Apply what a model left out of its graph.

    Args:
        values: What the model gives.
        activation: What makes probabilities of it.
        axis: Of the classes.
    """
    if activation == "softmax":
        with np.errstate(invalid="ignore"):  # infinity becomes NaN, which makes the part invalid
            powers = np.exp(values - values.max(axis=axis, keepdims=True))
            softened: Values = powers / powers.sum(axis=axis, keepdims=True)
        return softened
    return sigmoid(values) if activation == "sigmoid" else values


def sigmoid(values: Values) -> Values:
    """Return 1 / (1 + exp(-x)), without overflow for large negative x."""
    halves: Values = np.tanh(values * np.float32(0.5))
    return halves * np.float32(0.5) + np.float32(0.5)


def mean_of_top(values: Map, top: int) -> float:
    """Return the mean of the `top` largest values of a map; NaN if any value is not a number."""
    flat = values.reshape(-1)
    top = min(top, flat.size)
    largest = np.partition(flat, flat.size - top)[flat.size - top :].tolist()
    return float(sum(largest)) / top


def complement(share: float) -> float:
    """Return one minus a probability, never below 0; NaN stays NaN."""
    return max(1.0 - share, 0.0)  # NaN stays NaN: it comes first
