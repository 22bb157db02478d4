"""The quick part of the fuzzing, and that it would see what it looks for."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.errors import WireError
from edge_agent.spool import batch
from tests.fuzz import targets
from tests.fuzz.__main__ import fuzz
from tests.fuzz.mutating import LONGEST, mutate


def test_damage_does_no_harm() -> None:
    fed = fuzz(8_000, seed=20)
    assert sum(fed.values()) == 8_000
    assert set(fed) == set(targets.TARGETS)


def test_a_fault_is_seen_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(_draw: random.Random) -> None:
        raise ValueError("odd")

    monkeypatch.setitem(targets.TARGETS, "columns", faulty)
    with pytest.raises(AssertionError, match=r"columns: ValueError: odd; --seed 3 --from \d+"):
        fuzz(1000, seed=3)


def test_the_same_seed_makes_the_same_input() -> None:
    seeds = [b"abc" * 50, b"def"]
    made = [mutate(seeds[0], seeds, random.Random(5)) for _ in range(2)]
    assert made[0] == made[1] != seeds[0]
    assert len(mutate(bytes(2 * LONGEST), seeds, random.Random(1))) <= LONGEST


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_refused_by_name(data: bytes) -> None:
    for decode in (batch.decode, *targets.DECODERS):
        with pytest.raises(WireError):
            decode(data)
