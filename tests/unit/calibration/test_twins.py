"""Pictures of one part are found, and parts that merely resemble each other are not."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from calibration import twins
from calibration.projection import Floats

_CELLS, _DIMS = 20, 6


def _parts(count: int, seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    return (3 + rng.normal(size=(count, _CELLS, _DIMS))).astype(np.float32)


def _pictures(parts: Floats, each: int, noise: float) -> Floats:
    rng = np.random.default_rng(1)
    again = np.repeat(parts, each, axis=0)
    return (again + rng.normal(0, noise, again.shape)).astype(np.float32)


def _pairs(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    same: npt.NDArray[np.bool_] = labels[:, None] == labels[None]
    return same


@pytest.mark.parametrize(("parts", "each"), [(20, 2), (30, 3), (12, 5)])
@pytest.mark.parametrize("noise", [0.01, 0.5])
def test_pictures_that_differ_by_noise_are_twins(parts: int, each: int, noise: float) -> None:
    same = twins.find(_pictures(_parts(parts), each, noise))
    np.testing.assert_array_equal(same, _pairs(np.arange(parts * each) // each))
    assert twins.count(same) == parts


def test_one_pair_among_many_is_found() -> None:
    seen = _parts(40)
    seen[[31]] = _pictures(seen[[8]], 1, 0.3)
    same = twins.find(seen)
    assert np.argwhere(np.triu(same, 1)).tolist() == [[8, 31]]


@pytest.mark.parametrize("count", [5, 8, 20, 60, 200])
def test_parts_that_merely_differ_are_no_twins(count: int) -> None:
    assert twins.count(twins.find(_parts(count))) == count


@pytest.mark.parametrize("count", [30, 60, 200])
def test_parts_that_lie_in_a_continuum_are_no_twins(count: int) -> None:
    # A line whose light, or whose parts' place, drifts: each is much like the ones beside it.
    turns = np.linspace(0, 2 * np.pi, count, endpoint=False)
    basis = np.random.default_rng(2).normal(size=(2, _CELLS * _DIMS))
    drift = np.stack([np.cos(turns), np.sin(turns)], axis=1) @ basis
    seen = _parts(count) + 2 * drift.reshape(count, _CELLS, _DIMS).astype(np.float32)
    assert twins.count(twins.find(seen)) == count


def test_the_twin_of_a_twin_is_a_twin() -> None:
    # The first and the last of three have little in common; both are like the one between.
    one, two, *_ = parts = _parts(40)
    seen = np.concatenate([parts[2:], [one, (one + two) / 2, two]]).astype(np.float32)
    same = twins.find(seen)
    assert same[38, 39]
    assert same[39, 40]
    assert same[38, 40]
    assert twins.count(same) == 39


def test_being_twins_goes_both_ways() -> None:
    for noise in (0.8, 1.0, 1.2):
        same = twins.find(_pictures(_parts(25, seed=4), 2, noise))
        np.testing.assert_array_equal(same, same.T)
        assert same.diagonal().all()


def test_labels_group_parts() -> None:
    same = twins.grouped(["a", "b", "a", "c"])
    np.testing.assert_array_equal(same, _pairs(np.array([0, 1, 0, 2])))
    assert twins.count(same) == 3


def test_the_note_says_how_many_parts_there_really_are() -> None:
    assert twins.note(np.eye(7, dtype=np.bool_)) == ""
    note = twins.note(twins.grouped(["a", "b", "a", "c", "a", "d", "d"]))
    assert note.startswith("5 of 7 images look like pictures of a part that others show too")
    assert "count as 4 parts" in note
    assert "--group-by" in note
