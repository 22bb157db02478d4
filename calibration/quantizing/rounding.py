"""Round weights to integers so that what they compute changes least, not the weights themselves.

Frantar et al., "GPTQ", arXiv:2210.17323: the inputs of a filter are correlated, so the error of
one rounded weight can be made good by the ones not rounded yet. It costs seconds and a few dozen
pictures, needs no gradient, and changes nothing at run time.

Invariant: the codes of two weights of one filter that lie side by side add up to 128 at most, and
to -128 at least. x86 processors without VNNI add two products, uint8 by int8, in 16 bits with
saturation (`vpmaddubsw`): 255 * 128 fits, 255 * 129 does not. Few pairs come near it, and what
holding them costs is made good by the other weights; the usual remedy, weights of seven bits,
costs 5 dB. Kernels that lay channels last and such that lay them first have other neighbours
(`neighbours`): both are held. Depthwise kernels add in 32 bits: they have none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

Array = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

_DAMPING = 0.01
_TOP = 127
_PAIR = 128
_BLOCK = 128
"""Weights of a filter whose errors are carried to the ones behind them in one product."""


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """How a convolution's filters lie on its input; the axes are rows and columns.

    Attributes:
        kernel: Taps.
        strides: Steps between places.
        dilations: Steps between taps.
        pads: Zeros before rows and columns, then behind them (as ONNX has them).
        groups: 1, or the number of channels (depthwise), or between.
    """

    kernel: tuple[int, int] = (1, 1)
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1


def neighbours(weight: Array, groups: int) -> list[Places]:
    """Say which weight of a filter is added to which in 16 bits.

    Args:
        weight: (O, I / groups, KH, KW) of a convolution, or (O, I) of a matrix.
        groups: Of the convolution.

    Returns:
        For each way to lay a filter out, each weight's neighbour in the flattened filter; -1 where
        it has none. Empty for depthwise filters.
    """
    channels = weight.shape[1]
    if groups > 1 and channels == 1 and weight.shape[0] == groups:
        return []
    places = np.arange(weight[0].size).reshape(channels, -1)
    found: list[Places] = []
    for line in (places.ravel(), places.T.ravel()):  # channels first, channels last
        other = np.full(line.size, -1)
        even = line.size - line.size % 2
        other[line[:even:2]], other[line[1:even:2]] = line[1:even:2], line[:even:2]
        if not any(np.array_equal(other, known) for known in found):
            found.append(other)
    return found


def steps_of(weight: Array, groups: int) -> Array:
    """Return the step of each filter, float32 (O,): as fine as codes and pairs of codes allow."""
    flat = weight.reshape(weight.shape[0], -1)
    top = np.abs(flat).max(axis=1)
    for other in neighbours(weight, groups):
        one, two = flat[:, other >= 0], flat[:, other[other >= 0]]
        pairs = np.where(one * two > 0, np.abs(one + two), 0).max(axis=1, initial=0)
        top = np.maximum(top, pairs * (_TOP / _PAIR))
    # A filter that is all but zero gets a step that its bias can be told in.
    return np.asarray(np.maximum(np.maximum(top, 1e-3 * top.max()), 1e-12) / _TOP, np.float32)


def columns(value: Array, form: Form, *, places: Places | None = None) -> Array:
    """Return what the filters of a convolution see.

    Args:
        value: float32 (channels, height, width): its input.
        form: How the filters lie on it.
        places: Of its output, counted row by row; all of them by default.

    Returns:
        (groups, places, weights of a filter).
    """
    top, left, bottom, right = form.pads
    padded = np.pad(value, ((0, 0), (top, bottom), (left, right)))
    reach = [(k - 1) * d + 1 for k, d in zip(form.kernel, form.dilations, strict=True)]
    view = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(1, 2))
    (down, across), (deep, wide) = form.strides, form.dilations
    view = view[:, ::down, ::across, ::deep, ::wide]
    taps = form.kernel[0] * form.kernel[1]
    if places is not None:
        rows, cols = np.divmod(places, view.shape[2])
        view = view[:, rows, cols]
    taken = view.reshape(form.groups, value.shape[0] // form.groups, -1, taps)
    return taken.transpose(0, 2, 1, 3).reshape(form.groups, taken.shape[2], -1)


def second_moment(value: Array, form: Form, *, places: Places | None = None) -> Floats:
    """Return the second moments of what a convolution's filters see in one picture.

    Args:
        value: float32 (channels, height, width): its input.
        form: How the filters lie on it.
        places: Of its output; all of them by default.

    Returns:
        (groups, K, K) for filters of K weights.
    """
    if form.groups == 1 and form.kernel == (1, 1) and form.strides == (1, 1):
        flat = value.reshape(value.shape[0], -1)
        flat = flat if places is None else flat[:, places]
        return np.asarray(flat @ flat.T, np.float64)[None]
    seen = columns(value, form, places=places)
    return np.asarray(np.matmul(seen.transpose(0, 2, 1), seen), np.float64)


def round_weights(
    weight: Array, scale: Array, moment: Floats, pairs: Sequence[Places]
) -> npt.NDArray[np.int8]:
    """Round the weights of one layer so that their errors make each other good.

    Args:
        weight: float32 (O, ...).
        scale: float32 (O,): the step of each filter.
        moment: (groups, K, K): as `second_moment` gives it, summed over pictures.
        pairs: As `neighbours` gives them.

    Returns:
        int8 codes in the shape of the weights, within -127 and 127, pairs within the invariant.
    """
    groups, size, _ = moment.shape
    step = scale.astype(np.float64).reshape(groups, -1)
    codes = np.zeros((groups, step.shape[1], size))
    diagonal = np.einsum("gkk->gk", moment)
    order = np.argsort(-diagonal.sum(axis=0), kind="stable")  # the ones that matter most come first
    damp = _DAMPING * diagonal.mean(axis=1) + 1e-9
    ordered = moment[:, order][:, :, order] + damp[:, None, None] * np.eye(size)
    upper = np.linalg.cholesky(np.linalg.inv(ordered)).transpose(0, 2, 1)
    left = weight.astype(np.float64).reshape(groups, -1, size)[:, :, order]
    for start in range(0, size, _BLOCK):
        stop = min(start + _BLOCK, size)
        errors = np.zeros((groups, step.shape[1], stop - start))
        for index in range(start, stop):
            code = _code(left[:, :, index] / step, codes, int(order[index]), pairs)
            error = (left[:, :, index] - code * step) / upper[:, None, index, index]
            errors[:, :, index - start] = error
            carried = error[:, :, None] * upper[:, None, index, index + 1 : stop]
            left[:, :, index + 1 : stop] -= carried
        left[:, :, stop:] -= errors @ upper[:, start:stop, stop:]
    return codes.reshape(weight.shape).astype(np.int8)


def round_plainly(weight: Array, scale: Array, pairs: Sequence[Places]) -> npt.NDArray[np.int8]:
    """Round each weight for itself: for filters too long for second moments.

    Args:
        weight: float32 (O, ...).
        scale: float32 (O,): the step of each filter.
        pairs: As `neighbours` gives them.
    """
    wanted = weight.astype(np.float64).reshape(1, len(scale), -1)
    step = scale.astype(np.float64)[None]
    codes = np.zeros_like(wanted)
    for place in range(wanted.shape[2]):
        _code(wanted[:, :, place] / step, codes, place, pairs)
    return codes.reshape(weight.shape).astype(np.int8)


def _code(wanted: Floats, codes: Floats, place: int, pairs: Sequence[Places]) -> Floats:
    """Round one weight of all filters as far as the neighbours decided before allow; note it."""
    code = np.clip(np.rint(wanted), -_TOP, _TOP)
    for other in pairs:
        if other[place] >= 0:
            partner = codes[:, :, other[place]]
            most, least = _PAIR - np.maximum(partner, 0), -_PAIR - np.minimum(partner, 0)
            code = np.clip(code, least, most)
    codes[:, :, place] = code
    return code
