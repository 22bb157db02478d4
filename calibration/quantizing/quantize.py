"""Quantize a model: the one function of this package that others call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from calibration.quantizing import sensitivity
from calibration.quantizing.network import Network
from calibration.quantizing.observing import Seen, channel_means, observe
from calibration.quantizing.prepare import Runner, prepare
from calibration.quantizing.rounding import neighbours, round_plainly, round_weights, steps_of
from calibration.quantizing.writing import Codes, Scheme, Step, Written, write
from edge_agent.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    import onnx

    from calibration.quantizing.network import Layer
    from calibration.quantizing.observing import Pixels

    Track = Callable[[Iterable[str], str, int], Iterable[str]]

_HELD_OUT = 5
"""One input of so many is kept for measuring, where there are enough of them."""

_LEAST = 2
_PRODUCTS = 5e11
"""Products that measuring each layer alone may cost: half a minute of two cores."""

_SPANS = 6
"""Runs of the model in which biases are corrected, front to back."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How a model is quantized.

    Attributes:
        target_db: Signal-to-noise ratio at the end of the network that is good enough.
        most_float: Share of the products that may stay in float to reach it.
        inputs: Inputs that are looked at, at most.
        measured: Inputs that the noise is measured on, at most.
        always: Measure each layer alone even where all of them together are good enough.
        seed: Of everything random.
    """

    target_db: float = 20.0
    most_float: float = 0.25
    inputs: int = 32
    measured: int = 4
    always: bool = True
    seed: int = 0


class LayerFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a layer.

    Attributes:
        name: Of its node.
        op: `Conv`, `Gemm` or `MatMul`.
        share: Of the network's products.
        alone_db: Signal-to-noise ratio at the end when it alone runs in eight bits; None where
            it was not measured.
        is_float: It was left in float.
    """

    name: str
    op: str
    share: float
    alone_db: float | None
    is_float: bool


class Quantized(msgspec.Struct, frozen=True, kw_only=True):
    """A quantized model and how good it is.

    Attributes:
        model: QDQ, with the inputs and outputs of the float model.
        layers: In their order.
        all_int8_db: Signal-to-noise ratio at the end with every layer in eight bits.
        sqnr_db: The same of `model`. Measured on inputs that no range was taken from, where
            there are enough of them.
        float_share: Share of the products that stayed in float.
        notes: What a person should know, a sentence each.
    """

    model: onnx.ModelProto
    layers: tuple[LayerFigures, ...]
    all_int8_db: float
    sqnr_db: float
    float_share: float
    notes: tuple[str, ...]

    @property
    def kept_float(self) -> tuple[str, ...]:
        """Return the names of the layers that were left in float."""
        return tuple(layer.name for layer in self.layers if layer.is_float)


def _untracked(names: Iterable[str], _what: str, _count: int) -> Iterable[str]:
    return names


def quantize(
    model: onnx.ModelProto,
    pixels: Iterable[Pixels],
    *,
    options: Options | None = None,
    track: Track = _untracked,
) -> Quantized:
    """Quantize a float model.

    Args:
        model: float32, opset 13 or later, one input, its weights in it.
        pixels: Inputs as the model takes them, of its input's shape and type; some dozens.
        options: How.
        track: Shows progress: (what is gone through, what it is, how many).

    Raises:
        UsageError: The model is not one that can be quantized, or no input was given.
    """
    chosen = options or Options()
    network = Network(prepare(model))
    if not network.layers:
        raise UsageError("the model has no layers with weights that could be quantized")
    kept = _thinned(pixels, chosen.inputs)
    if not kept:
        raise UsageError("quantizing needs some inputs of the model: none were given")
    return _Work(network, kept, chosen, track).run()


class _Work:
    """One model being quantized."""

    def __init__(
        self, network: Network, inputs: list[Pixels], options: Options, track: Track
    ) -> None:
        self._network, self._options, self._track = network, options, track
        apart = len(inputs) >= 2 * _HELD_OUT
        self._inputs = [each for n, each in enumerate(inputs) if not apart or n % _HELD_OUT]
        fresh = inputs[::_HELD_OUT] if apart else inputs
        self._seen = observe(network, self._inputs, seed=options.seed)
        self._steps = _steps(network, self._seen)
        run = sum(self._seen.macs.values()) * len(network.layers)
        self._fresh = fresh[: max(_LEAST, min(options.measured, round(_PRODUCTS / run)))]
        layers = network.layers.values()
        names = track([layer.name for layer in layers], "Weights", len(layers))
        self._codes = {name: _codes(network.layers[name], self._seen) for name in names}
        self._judge = sensitivity.Judge(network, self._fresh)

    def run(self) -> Quantized:
        """Choose what stays in float, then correct the biases of the rest."""
        target = 10 ** (-self._options.target_db / 10)
        start = self._noise(())
        alone: dict[str, float] = {}
        floats: list[str] = []
        if start > target or self._options.always:
            alone = sensitivity.each_alone(
                self._network, self._steps, self._codes, self._judge, self._track
            )
            order = sensitivity.worst_first(alone, self._seen.macs, self._options.most_float)
            floats = sensitivity.choose_floats(order, target, self._noise)
        codes = self._corrected(floats)
        plain = self._write(floats, self._codes)
        better = self._write(floats, codes)
        noise = [self._judge.noise(each.model) for each in (plain, better)]
        best = better if noise[1] <= noise[0] else plain
        return self._result(best, floats, alone, start, min(noise))

    def _result(
        self,
        written: Written,
        floats: Collection[str],
        alone: Mapping[str, float],
        start: float,
        noise: float,
    ) -> Quantized:
        macs = self._seen.macs
        total = sum(macs.values())
        layers = tuple(
            LayerFigures(
                name=name,
                op=layer.op,
                share=macs[name] / total,
                alone_db=sensitivity.decibels(alone[name]) if name in alone else None,
                is_float=name in floats,
            )
            for name, layer in self._network.layers.items()
        )
        share = sum(layer.share for layer in layers if layer.is_float)
        reached, wanted = sensitivity.decibels(noise), self._options.target_db
        notes = []
        if floats:
            named = ", ".join(list(floats)[:5]) + (" and others" if len(floats) > 5 else "")
            notes.append(
                f"{len(floats)} of {len(layers)} layers stay in float, {share:.1%} of the "
                f"products: {named}"
            )
        if reached < wanted:
            notes.append(
                f"int8 reaches {reached:.1f} dB of signal to noise, {wanted:g} dB were wanted: "
                "compare verdicts with the float model before it decides"
            )
        return Quantized(
            model=written.model,
            layers=layers,
            all_int8_db=sensitivity.decibels(start),
            sqnr_db=reached,
            float_share=share,
            notes=tuple(notes),
        )

    def _write(self, floats: Collection[str], codes: Mapping[str, Codes]) -> Written:
        return write(self._network, Scheme(self._network, floats), self._steps, codes)

    def _noise(self, floats: Collection[str]) -> float:
        return self._judge.noise(self._write(floats, self._codes).model)

    def _corrected(self, floats: Sequence[str]) -> dict[str, Codes]:
        """Move biases so that the mean of each channel is that of the float network.

        Front to back in a few spans: each correction sees those before it.
        """
        codes = dict(self._codes)
        names = [name for name in self._network.layers if name not in floats]
        inputs = self._inputs[:: max(1, len(self._inputs) // 12)]
        wanted = _means(self._network.model, {n: self._network.layers[n].sums for n in names},
                        inputs)  # fmt: skip
        for span in np.array_split(np.array(names), min(_SPANS, max(len(names), 1))):
            written = self._write(floats, codes)
            seen = _means(written.model, {name: written.sums[name] for name in span}, inputs)
            for name in span:
                if self._network.layers[name].op != "MatMul":
                    bias = codes[name].bias + (wanted[name] - seen[name]).astype(np.float32)
                    codes[name] = msgspec.structs.replace(codes[name], bias=bias)
        return codes


def _thinned(pixels: Iterable[Pixels], most: int) -> list[Pixels]:
    """Keep at most so many inputs, spread over all of them."""
    kept: list[Pixels] = []
    stride = 1
    for number, each in enumerate(pixels):
        if number % stride == 0:
            kept.append(np.array(each))
        if len(kept) == 2 * most:
            kept, stride = kept[::2], 2 * stride
    return kept[:: -(-len(kept) // most)] if len(kept) > most else kept


def _steps(network: Network, seen: Seen) -> dict[str, Step]:
    """Choose the step of each tensor; those that share one get one over all of their ranges."""
    groups = Scheme(network).groups()
    low, high = dict(seen.low), dict(seen.high)
    for name, least in network.gates().items():
        low[name] = max(low.get(name, 0.0), least)
    for tensor, root in groups.items():
        low[root], high[root] = min(low[root], low[tensor]), max(high[root], high[tensor])
    return {name: Step.over(low[name], high[name]) for name in low}


def _codes(layer: Layer, seen: Seen) -> Codes:
    """Round a layer's weights, and move its bias by what that does to the mean."""
    scale = steps_of(layer.weight, layer.groups)
    pairs = neighbours(layer.weight, layer.groups)
    if layer.name in seen.moments:
        weight = round_weights(layer.weight, scale, seen.moments[layer.name], pairs)
    else:
        weight = round_plainly(layer.weight, scale, pairs)
    flat = (len(scale), -1)
    error = weight.reshape(flat) * scale.astype(np.float64)[:, None] - layer.weight.reshape(flat)
    mean = np.repeat(seen.inputs[layer.name], len(scale) // layer.groups, axis=0)
    shift = np.einsum("ok,ok->o", error, mean)
    bias = np.zeros(len(scale)) if layer.bias is None else layer.bias
    return Codes(weight, scale, (bias - shift).astype(np.float32))


def _means(model: Any, tensors: Mapping[str, str], inputs: Sequence[Pixels]) -> dict[str, Any]:
    """Return the mean of each channel of some layers' sums, by the layers' names."""
    if not tensors:
        return {}
    run = Runner(model, list(tensors.values()))
    found: dict[str, Any] = dict.fromkeys(tensors, 0.0)
    for pixels in inputs:
        values = run(pixels)
        for name, tensor in tensors.items():
            found[name] = found[name] + channel_means(values[tensor]) / len(inputs)
    return found
