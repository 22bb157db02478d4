"""Odd parts, copies and mixed lots are found before a model is fitted to them."""

from __future__ import annotations

import numpy as np
import pytest

from calibration import sifting
from calibration.anomaly import Unseen
from calibration.projection import Floats
from edge_agent.errors import UsageError


def _scores(parts: int, seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    return np.exp(rng.normal(0.5, 0.1, parts)).astype(np.float32)


def test_a_part_far_above_the_others_is_odd() -> None:
    scores = _scores(60)
    scores[[7, 31]] = 4.0, 6.0
    odd = sifting.odd_ones(scores)
    assert [each.number for each in odd] == [31, 7]
    assert odd[0].times == pytest.approx(6.0 / np.median(scores), rel=0.01)


def test_ordinary_parts_are_not_odd() -> None:
    assert sum(len(sifting.odd_ones(_scores(100, seed))) for seed in range(20)) <= 4


def test_parts_that_hardly_differ_are_not_odd() -> None:
    scores = np.linspace(1.0, 1.02, 30).astype(np.float32)
    scores[3] = 1.08
    assert sifting.odd_ones(scores) == []


def _unseen(parts: int, *, strange: int, seed: int = 0) -> Unseen:
    """Make two looks at parts: of the strange ones, a few cells and the whole stand out."""
    rng = np.random.default_rng(seed)
    cells = np.exp(rng.normal(0.5, 0.1, (parts, 256))).astype(np.float32)
    wholes = np.exp(rng.normal(0.0, 0.12, parts)).astype(np.float32)
    cells[:strange, :5] *= 1.6
    wholes[:strange] *= 1.4
    return Unseen(cells, wholes)


def test_a_lot_with_many_odd_parts_is_mixed() -> None:
    assert sifting.is_mixed(_unseen(40, strange=0), 8)
    assert not sifting.is_mixed(_unseen(6, strange=0), 2)


def test_a_lot_of_which_both_looks_find_the_same_parts_strange_is_mixed() -> None:
    for strange in (6, 20, 30):
        assert sifting.is_mixed(_unseen(40, strange=strange), 0)
    assert not sifting.is_mixed(_unseen(12, strange=6), 0)


def test_lots_of_good_parts_are_not_mixed() -> None:
    assert not any(sifting.is_mixed(_unseen(30, strange=0, seed=seed), 0) for seed in range(50))


def test_what_only_one_look_finds_makes_no_lot_mixed() -> None:
    unseen = _unseen(40, strange=0)
    unseen.wholes[:20] *= 1.4
    assert not sifting.is_mixed(unseen, 0)


def test_copies_are_those_that_come_again() -> None:
    assert sifting.copies(["a", "b", "a", "c", "d", "e", "b"]) == [2, 6]
    assert sifting.copies(["a", "b"]) == []


def test_images_that_are_all_copies_are_refused() -> None:
    with pytest.raises(UsageError, match="50 images of good parts, but only 1 of them differ"):
        sifting.copies(["a"] * 50)


def test_mixed_sizes_and_colours_are_named() -> None:
    size, colour = sifting.kinds_note([(480, 640), (480, 640, 3), (240, 320)])
    assert "2 sizes (640x480: 2, 320x240: 1)" in size
    assert "2 of 3 images are grey" in colour
    assert sifting.kinds_note([(480, 640, 3)] * 4) == []
