from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.uplink.backoff import pause_s


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_a_pause_lies_between_its_bounds(attempt: int, draw: float) -> None:
    pause = pause_s(attempt, minimum_s=0.5, maximum_s=20, draw=draw)
    assert 0.05 <= pause <= 20


def test_the_ceiling_doubles() -> None:
    pauses = [pause_s(n, minimum_s=1, maximum_s=10, draw=0.5) for n in range(6)]
    assert pauses == [0.5, 1, 2, 4, 5, 5]
