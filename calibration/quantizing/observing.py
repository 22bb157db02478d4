"""See what a float network does with its inputs: ranges, means, and what filters see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from calibration.quantizing.prepare import Runner
from calibration.quantizing.rounding import columns, second_moment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from calibration.quantizing.network import Layer, Network
    from calibration.quantizing.rounding import Floats, Form

Pixels = npt.NDArray[Any]

_PLACES = 1024
"""Places of a layer's output that are looked at in each input; more change nothing."""

_WIDEST = 4096
"""Weights of a filter up to which what it sees is kept as second moments (128 MB of them)."""


class Seen(msgspec.Struct, frozen=True):
    """What was seen.

    Attributes:
        low: Least value of each tensor.
        high: Largest value of each tensor.
        moments: Of what a layer's filters see, (groups, K, K), by the layer's name.
        inputs: Mean of what a layer's filters see, (groups, K), by the layer's name.
        means: Of a layer's sums, (O,), by the layer's name.
        macs: Products of a layer for one input, by the layer's name.
    """

    low: dict[str, float]
    high: dict[str, float]
    moments: dict[str, Floats]
    inputs: dict[str, Floats]
    means: dict[str, Floats]
    macs: dict[str, float]


def observe(network: Network, inputs: Iterable[Pixels], *, seed: int = 0) -> Seen:
    """Run the float network and note what it does.

    Args:
        network: What to run.
        inputs: Some of its inputs.
        seed: Of the places that are looked at.
    """
    names = _names(network)
    run = Runner(network.model, names)
    seen = Seen({}, {}, {}, {}, {}, {})
    rng = np.random.default_rng(seed)
    count = 0
    first: Pixels | None = None
    for pixels in inputs:
        count += 1
        first = pixels if first is None else first
        values = run(pixels)
        for name, value in values.items():
            seen.low[name] = min(seen.low.get(name, 0.0), float(value.min()))
            seen.high[name] = max(seen.high.get(name, 0.0), float(value.max()))
        for layer in network.layers.values():
            _look(layer, values[layer.source], values[layer.sums], seen, rng)
    for name in seen.means:
        seen.means[name] /= count
        seen.inputs[name] /= count
    if first is not None and first.dtype == np.uint8:
        _widen(network, run, first, seen)
    return seen


def channel_means(value: npt.NDArray[np.float32]) -> Floats:
    """Return the mean of each channel of a layer's sums, (O,)."""
    if value.ndim == 4:
        return np.asarray(value.mean(axis=(0, 2, 3)), np.float64)
    return np.asarray(value.reshape(-1, value.shape[-1]).mean(axis=0), np.float64)


def _names(network: Network) -> list[str]:
    """Return the tensors to look at."""
    found = dict.fromkeys(
        name for layer in network.layers.values() for name in (layer.source, layer.sums)
    )
    for node in network.between():
        found |= dict.fromkeys([*network.floats(node), *(name for name in node.output if name)])
    return [name for name in found if name not in network.constants]


def _widen(network: Network, run: Runner, like: Pixels, seen: Seen) -> None:
    """Let the ranges before the first layer hold black and white: no picture may be clipped."""
    for level in (0, 255):
        for name, value in run(np.full_like(like, level)).items():
            node = network.producer.get(name)
            if node is None or node.name not in network.owner:
                seen.low[name] = min(seen.low[name], float(value.min()))
                seen.high[name] = max(seen.high[name], float(value.max()))


def _look(
    layer: Layer,
    value: npt.NDArray[np.float32],
    sums: npt.NDArray[np.float32],
    seen: Seen,
    rng: np.random.Generator,
) -> None:
    """Add one input to what is known of a layer."""
    name, size = layer.name, layer.weight[0].size
    rows = int(np.prod(sums.shape[2:])) if layer.form else sums.size // sums.shape[-1]
    seen.macs[name] = float(rows * layer.weight.size)
    places = None if rows <= _PLACES else np.sort(rng.choice(rows, _PLACES, replace=False))
    if layer.form is None:
        flat = value.reshape(-1, value.shape[-1])
        flat = flat if places is None else flat[places]
        mean = flat.mean(axis=0, dtype=np.float64)[None]
        if size <= _WIDEST:
            _plus(seen.moments, name, (flat.T @ flat).astype(np.float64)[None])
    else:
        form = _padded(layer, value.shape, sums.shape)
        mean = columns(value[0], form, places=places).mean(axis=1, dtype=np.float64)
        if size <= _WIDEST:
            _plus(seen.moments, name, second_moment(value[0], form, places=places))
    _plus(seen.inputs, name, mean)
    _plus(seen.means, name, channel_means(sums))


def _plus(found: dict[str, Floats], name: str, value: Floats) -> None:
    found[name] = found[name] + value if name in found else value


def _padded(layer: Layer, source: tuple[int, ...], sums: tuple[int, ...]) -> Form:
    """Return how filters lie, with the padding that `SAME_UPPER` and `SAME_LOWER` stand for."""
    form = layer.form
    assert form is not None
    if layer.auto_pad not in {"SAME_UPPER", "SAME_LOWER"}:
        return form
    totals = [
        max((sums[axis + 2] - 1) * form.strides[axis]
            + (form.kernel[axis] - 1) * form.dilations[axis] + 1 - source[axis + 2], 0)
        for axis in (0, 1)
    ]  # fmt: skip
    less = [total // 2 for total in totals]
    more = [total - total // 2 for total in totals]
    before, after = (less, more) if layer.auto_pad == "SAME_UPPER" else (more, less)
    return msgspec.structs.replace(form, pads=(before[0], before[1], after[0], after[1]))
