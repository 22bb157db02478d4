"""Round weights to integers so that what they compute changes least, not the weights themselves.

Frantar et al., "GPTQ", arXiv:2210.17323: the inputs of a filter are correlated, so the error of
one rounded weight can be made good by the ones not rounded yet. It costs seconds and a few dozen
pictures, needs no gradient, and changes nothing at run time.

Invariant: the codes of inputs 2i and 2i + 1 of one filter add up to 128 at most, and to -128 at
least. x86 processors without VNNI add two products, uint8 by int8, in 16 bits with saturation
(`vpmaddubsw`): 255 * 128 fits, 255 * 129 does not. Few pairs come near it, and what holding them
costs is made good by the other weights; the usual remedy, weights of seven bits, costs 5 dB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from models.lite0 import Layer

Floats = npt.NDArray[np.float64]

_DAMPING = 0.01
_TOP = 127
_PAIR = 128


def steps_of(layer: Layer) -> npt.NDArray[np.float32]:
    """Return the step of each filter, float32 (O,): as fine as codes and pairs of codes allow."""
    flat = np.abs(layer.weight).reshape(layer.weight.shape[0], -1)
    top = flat.max(axis=1)
    if layer.groups == 1:
        one, two = layer.weight[:, ::2, 0, 0], layer.weight[:, 1::2, 0, 0]
        pairs = np.where(one * two > 0, np.abs(one + two), 0).max(axis=1)
        top = np.maximum(top, pairs * (_TOP / _PAIR))
    # A filter that is all but zero gets a step that its bias can be told in.
    return np.asarray(np.maximum(top, 1e-3 * top.max()) / _TOP, np.float32)


def second_moment(layer: Layer, value: npt.NDArray[np.float32]) -> Floats:
    """Return the second moments of what a layer's filters see in one picture.

    Args:
        layer: A 1x1 convolution, or a depthwise one.
        value: float32 (1, channels, height, width), the layer's input.

    Returns:
        (G, K, K): one matrix over the channels (G is 1), or one over the kernel for each channel.
    """
    if layer.groups == 1:
        flat = value[0].reshape(value.shape[1], -1)
        return np.asarray(flat @ flat.T, np.float64)[None]
    size = layer.weight.shape[2]
    padded = np.pad(value[0], ((0, 0), layer.padding, layer.padding))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2))
    windows = windows[:, :: layer.stride, :: layer.stride].reshape(layer.groups, -1, size * size)
    return np.asarray(np.matmul(windows.transpose(0, 2, 1), windows), np.float64)


def round_weights(
    weight: npt.NDArray[np.float32], scale: npt.NDArray[np.float32], moment: Floats
) -> npt.NDArray[np.int8]:
    """Round the weights of one layer.

    Args:
        weight: float32 (O, I, K, K).
        scale: float32 (O,): the step of each filter.
        moment: As `second_moment` gives it, summed over pictures.

    Returns:
        int8 codes, (O, I, K, K), within -127 and 127, pairs within the invariant.
    """
    groups, size, _ = moment.shape
    left = weight.astype(np.float64).reshape(groups, -1, size)
    step = scale.astype(np.float64).reshape(groups, -1)
    codes = np.zeros_like(left)
    diagonal = np.einsum("gkk->gk", moment)
    order = np.argsort(-diagonal.sum(axis=0), kind="stable")  # the ones that matter most come first
    damp = _DAMPING * diagonal.mean(axis=1) + 1e-9
    ordered = moment[:, order][:, :, order] + damp[:, None, None] * np.eye(size)
    upper = np.linalg.cholesky(np.linalg.inv(ordered)).transpose(0, 2, 1)
    left = left[:, :, order]
    for index in range(size):
        code = np.clip(np.rint(left[:, :, index] / step), -_TOP, _TOP)
        if groups == 1 and order[index] ^ 1 < size:
            partner = codes[:, :, order[index] ^ 1]
            code = np.clip(code, -_PAIR - np.minimum(partner, 0), _PAIR - np.maximum(partner, 0))
        codes[:, :, order[index]] = code
        error = (left[:, :, index] - code * step) / upper[:, None, index, index]
        left[:, :, index + 1 :] -= error[:, :, None] * upper[:, None, index, index + 1 :]
    return codes.reshape(weight.shape).astype(np.int8)
