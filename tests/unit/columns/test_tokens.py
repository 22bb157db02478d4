from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.columns import tokens


@given(
    st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=5)
    | st.lists(st.integers(-(10**15), 10**15), min_size=1, max_size=20),
    st.integers(1, 17),
)
def test_decimals_written_together_are_those_written_one_by_one(
    found: list[int], decimals: int
) -> None:
    values = np.array(found, np.int64)
    assert tokens._decimal_texts(values, decimals) == [
        tokens._decimal_text(value, decimals) for value in found
    ]


def test_the_largest_decimals_are_exact() -> None:
    edges = [0, 1, -1, 10**15 - 1, 1 - 10**15, 999_999_999_999_999, 123_456_789_012_345, 10_000]
    for decimals in range(1, 5):
        assert tokens._decimal_texts(np.array(edges), decimals) == [
            tokens._decimal_text(edge, decimals) for edge in edges
        ]
