"""How much each layer suffers from eight bits, and which to leave in float."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from calibration.quantizing.prepare import Runner
from calibration.quantizing.writing import Scheme, write

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    import onnx

    from calibration.quantizing.network import Network
    from calibration.quantizing.observing import Pixels
    from calibration.quantizing.prepare import Outputs
    from calibration.quantizing.writing import Codes, Step

_SORTS = {"TopK", "NonMaxSuppression", "ArgMax", "ArgMin", "Unique", "NonZero"}
"""Operators after which two nearly equal results may stand in another order."""

_TRIED = 12
"""Layers that were left in float and are tried in eight bits again, at most."""

_SMALL = 0.01
"""Share of the products below which a layer's cost in float does not count."""


class Judge:
    """Compares models with the float network, at the end of its body and at its outputs."""

    def __init__(self, network: Network, inputs: Sequence[Pixels]) -> None:
        self._inputs = list(inputs)
        sorts = any(node.op_type in _SORTS for node in network.nodes.values())
        finals = [] if sorts else network.outputs
        self._edge = network.edge()
        names = list(dict.fromkeys([*self._edge, *finals]))
        run = Runner(network.model, names)
        self._wanted = [run(pixels) for pixels in self._inputs]
        plain = {name for name in names if self._wanted[0][name].dtype == np.float32}
        self._finals = [name for name in finals if name in plain]
        self._edge = [name for name in self._edge if name in plain]
        self._names = [name for name in names if name in plain]

    def noise(self, model: onnx.ModelProto) -> float:
        """Return the power of a model's error against that of what varies in the float results.

        The larger one of two means: over the tensors where the body ends, and over the outputs.
        """
        run = Runner(model, self._names)
        error = dict.fromkeys(self._names, 0.0)
        signal = dict.fromkeys(self._names, 1e-20)
        for pixels, wanted in zip(self._inputs, self._wanted, strict=True):
            got = run(pixels)
            for name in self._names:
                _add(wanted, got, name, error, signal)
        parts = [
            float(np.mean([min(error[name] / signal[name], 1e3) for name in names]))
            for names in (self._edge, self._finals)
            if names
        ]
        return max(parts)


def decibels(noise: float) -> float:
    """Return a share of noise as a signal-to-noise ratio."""
    return float(-10 * np.log10(max(noise, 1e-12)))


def each_alone(
    network: Network,
    steps: Mapping[str, Step],
    codes: Mapping[str, Codes],
    judge: Judge,
    track: Callable[[Iterable[str], str, int], Iterable[str]],
) -> dict[str, float]:
    """Measure the noise that each layer makes when it alone runs in eight bits."""
    found = {}
    for name in track(list(network.layers), "Layers", len(network.layers)):
        others = [each for each in network.layers if each != name]
        found[name] = judge.noise(write(network, Scheme(network, others), steps, codes).model)
    return found


def worst_first(noise: Mapping[str, float], macs: Mapping[str, float], most: float) -> list[str]:
    """Order layers by the noise that they make for what they cost in float.

    Args:
        noise: Of each layer alone.
        macs: Products of each layer.
        most: Share of all products that may be left in float.
    """
    total = sum(macs.values())
    order = sorted(noise, key=lambda name: (-noise[name] / (macs[name] / total + _SMALL), name))
    found: list[str] = []
    spent = 0.0
    for name in order:
        if spent + macs[name] / total <= most:
            spent += macs[name] / total
            found.append(name)
    return found


def choose_floats(
    order: Sequence[str], target: float, noise_with: Callable[[Collection[str]], float]
) -> list[str]:
    """Return as few layers as make the noise small enough when they are left in float.

    What layers do alone does not add up to what they do together, so each choice is measured: more
    and more of the worst until it is enough, then half-way back, then without each of them.

    Args:
        order: Layers, worst first.
        target: Noise that is small enough.
        noise_with: Measures the noise with some layers in float.
    """
    enough, too_few = 0, 0
    best, least = 0, noise_with(())
    while least > target and enough < len(order):
        too_few, enough = enough, min(len(order), enough + 1 + enough // 2)
        noise = noise_with(order[:enough])
        if noise < least:
            best, least = enough, noise
    if least > target:
        return list(order[:best])
    while enough - too_few > 1:
        middle = (enough + too_few) // 2
        if noise_with(order[:middle]) <= target:
            enough = middle
        else:
            too_few = middle
    kept = list(order[:enough])
    for name in order[:enough][:_TRIED]:
        without = [each for each in kept if each != name]
        if noise_with(without) <= target:
            kept = without
    return kept


def _add(
    wanted: Outputs, got: Outputs, name: str, error: dict[str, float], signal: dict[str, float]
) -> None:
    """Add one tensor's error, and how much it varies over places (or over all, if it has none)."""
    one, two = wanted[name].astype(np.float64), got[name].astype(np.float64)
    axes = tuple(range(2, one.ndim)) if one.ndim > 2 else None
    varies = one - one.mean(axis=axes, keepdims=True)
    error[name] += float(np.square(one - two).sum())
    signal[name] += float(np.square(varies).sum())
