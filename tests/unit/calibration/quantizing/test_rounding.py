"""Weights are rounded so that what they compute changes least, and no pair overflows."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from calibration.quantizing.rounding import (
    Form,
    columns,
    neighbours,
    round_plainly,
    round_weights,
    second_moment,
    steps_of,
)

Array = npt.NDArray[np.float32]


def _seen(channels: int, seed: int = 3) -> Array:
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(channels, channels)) @ np.diag(np.linspace(3, 0.1, channels))
    return (mixed @ rng.normal(size=(channels, 4000))).astype(np.float32).reshape(channels, 40, 100)


def test_compensated_rounding_beats_plain_rounding() -> None:
    seen = _seen(16)
    weight = np.random.default_rng(4).normal(size=(8, 16, 1, 1)).astype(np.float32)
    scale = (np.abs(weight).max(axis=(1, 2, 3)) / 7).astype(np.float32)  # coarse, to see it
    codes = round_weights(weight, scale, second_moment(seen, Form()), [])
    flat, step = seen.reshape(16, -1), scale[:, None]
    wanted = weight.reshape(8, 16) @ flat
    compensated = np.abs(codes.reshape(8, 16) * step @ flat - wanted).mean()
    plain = np.abs(np.rint(weight.reshape(8, 16) / step) * step @ flat - wanted).mean()
    assert compensated < 0.9 * plain


@pytest.mark.parametrize(
    ("shape", "groups"), [((6, 8, 1, 1), 1), ((6, 5, 3, 3), 1), ((8, 4, 3, 3), 2), ((6, 300), 1)]
)
@pytest.mark.parametrize("compensated", [True, False])
def test_no_pair_of_neighbours_can_overflow_sixteen_bits(
    shape: tuple[int, ...], groups: int, compensated: bool
) -> None:
    weight = np.random.default_rng(1).uniform(0.5, 1.0, shape).astype(np.float32)  # all alike
    scale = np.full(shape[0], 1 / 127, np.float32)  # finer than `steps_of` would allow
    pairs = neighbours(weight, groups)
    size = weight[0].size
    moment = np.broadcast_to(np.eye(size), (groups, size, size))
    codes = (
        round_weights(weight, scale, moment, pairs)
        if compensated
        else round_plainly(weight, scale, pairs)
    ).reshape(shape[0], -1)
    for other in pairs:
        sums = codes[:, other >= 0].astype(int) + codes[:, other[other >= 0]]
        assert sums.max() * 255 <= 2**15 - 1
        assert sums.max() > 120  # and they use the room there is


def test_steps_leave_room_for_pairs() -> None:
    weight = np.array([[1.0, 1.0, 0.1, 0.1], [1.0, -1.0, 0.1, 0.1]], np.float32)
    steps = steps_of(weight, 1)
    assert steps[0] == pytest.approx(2.0 / 128)
    assert steps[1] == pytest.approx(1.0 / 127)


def test_neighbours_are_those_of_both_layouts() -> None:
    weight = np.zeros((2, 2, 1, 3), np.float32)  # places: channel 0 has 0 1 2, channel 1 has 3 4 5
    first, last = neighbours(weight, 1)
    assert first.tolist() == [1, 0, 3, 2, 5, 4]
    assert last.tolist() == [3, 4, 5, 0, 1, 2]
    assert neighbours(np.zeros((4, 1, 3, 3), np.float32), 4) == []
    assert [each.tolist() for each in neighbours(np.zeros((2, 3), np.float32), 1)] == [[1, 0, -1]]


@pytest.mark.parametrize(
    ("stride", "dilation", "groups"), list(itertools.product((1, 2), (1, 2), (1, 2)))
)
def test_columns_are_what_a_convolution_sees(stride: int, dilation: int, groups: int) -> None:
    rng = np.random.default_rng(0)
    value = rng.normal(size=(4, 12, 11)).astype(np.float32)
    weight = rng.normal(size=(2, 4 // groups, 3, 3)).astype(np.float32)
    form = Form(kernel=(3, 3), strides=(stride, stride), dilations=(dilation, dilation),
                pads=(1, 1, 2, 2), groups=groups)  # fmt: skip
    seen = columns(value, form)
    for out in range(2):
        group = out if groups == 2 else 0
        got = seen[group] @ weight[out].ravel()
        planes = value[group * (4 // groups) : (group + 1) * (4 // groups)]
        spread = np.zeros((2 * dilation + 1,) * 2, np.float32)
        wanted = np.zeros(0)
        for plane, kernel in zip(planes, weight[out], strict=True):
            spread[::dilation, ::dilation] = kernel
            padded = np.pad(plane, ((1, 2), (1, 2)))
            whole = cv2.filter2D(padded, -1, spread, anchor=(0, 0), borderType=cv2.BORDER_CONSTANT)
            valid = whole[: padded.shape[0] - 2 * dilation, : padded.shape[1] - 2 * dilation]
            term = valid[::stride, ::stride].ravel().astype(np.float64)
            wanted = term if not wanted.size else wanted + term
        np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-4)


def test_moments_of_some_places_are_those_of_their_columns() -> None:
    value = _seen(4)
    form = Form(kernel=(3, 3), pads=(1, 1, 1, 1))
    places = np.array([0, 17, 3999])
    chosen = columns(value, form)[0][places]
    np.testing.assert_allclose(
        second_moment(value, form, places=places)[0], chosen.T @ chosen, rtol=1e-4
    )
