from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.columns import numbers
from edge_agent.columns.numbers import LARGEST, Relation
from edge_agent.columns.octets import Octets

_whole = st.integers(-LARGEST, LARGEST)


def size(chunks: list[bytes]) -> int:
    return sum(map(len, chunks))


@given(st.lists(st.tuples(_whole, _whole, st.integers(0, 9)), min_size=1, max_size=200))
def test_what_is_written_is_read(rows: list[tuple[int, int, int]]) -> None:
    values, *others = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    relations = [Relation((0,)), Relation((0, 1)), Relation((1,), 1000)]
    data = b"".join(numbers.write(values, others, relations))
    octets = Octets(data, 0)
    assert numbers.read(octets, len(values), others).tolist() == values.tolist()
    assert octets.is_empty


@pytest.mark.parametrize(
    "values",
    [np.full(1000, 7), np.arange(1000), np.arange(1000) * 10**8 + 10**18],
    ids=["constant", "counter", "clock"],
)
def test_what_is_predictable_takes_no_room(values: numbers.Numbers) -> None:
    assert size(numbers.write(values.astype(np.int64))) < 24


def test_what_others_tell_takes_no_room() -> None:
    draw = np.random.default_rng(1)
    parts = [draw.integers(0, 10_000, 500) for _ in range(3)]
    total = parts[0] + parts[1] + parts[2]
    assert size(numbers.write(total, parts, [Relation((0, 1, 2))])) < 24
    assert size(numbers.write(parts[0] // 1000, parts, [Relation((0,), 1000)])) < 24


def test_noise_takes_little_more_than_its_bits() -> None:
    noise = np.random.default_rng(1).integers(0, 2**13, 500)
    assert size(numbers.write(noise)) <= 500 * 13 / 8 + 16
