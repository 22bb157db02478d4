"""Odd parts, copies and mixed lots are found before a model is fitted to them."""

from __future__ import annotations

import numpy as np
import pytest

from calibration import sifting
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


def test_a_lot_with_many_odd_parts_is_mixed() -> None:
    assert sifting.is_mixed(_scores(40), 8)


def test_a_lot_whose_scores_have_their_tail_below_is_mixed() -> None:
    scores = np.exp(np.random.default_rng(2).gamma(2.0, 0.2, 60)).astype(np.float32)
    assert not sifting.is_mixed(scores, 0)
    assert sifting.is_mixed(20.0 / scores, 0)
    assert not sifting.is_mixed(20.0 / scores[:10], 0)


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
