from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.agent.status import Percentiles, percentiles, resident_mb


def test_no_parts_have_no_percentiles() -> None:
    assert percentiles([]) is None


@pytest.mark.parametrize(
    ("count", "expected"),
    [(1, (1.0, 1.0, 1.0)), (2, (1.0, 2.0, 2.0)), (100, (50.0, 95.0, 99.0)),
     (200, (100.0, 190.0, 198.0)), (1000, (500.0, 950.0, 990.0))],
)  # fmt: skip
def test_percentiles_are_nearest_ranks(count: int, expected: tuple[float, ...]) -> None:
    latencies = [turn * 1_000_000 for turn in range(count, 0, -1)]
    assert percentiles(latencies) == Percentiles(*expected)


@given(st.lists(st.integers(0, 10**12), min_size=1))
def test_a_percentile_is_one_of_the_values(latencies_ns: list[int]) -> None:
    found = percentiles(latencies_ns)
    assert found is not None
    values = {round(each / 1e6, 3) for each in latencies_ns}
    assert {found.p50, found.p95, found.p99} <= values
    assert found.p50 <= found.p95 <= found.p99 <= max(values)


def test_resident_memory_is_what_the_kernel_says() -> None:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    kib = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
    assert resident_mb() == pytest.approx(kib / 1024, rel=0.1)
