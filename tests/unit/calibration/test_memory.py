"""The memory keeps examples of each cell, and finds the nearest."""

from __future__ import annotations

import numpy as np
import pytest

from calibration import memory
from calibration.projection import Floats

_ROWS, _COLUMNS, _DIMS = 3, 4, 5


def _seen(parts: int, seed: int = 0, offset: float = 0.0) -> Floats:
    rng = np.random.default_rng(seed)
    return (offset + rng.normal(size=(parts, _ROWS * _COLUMNS, _DIMS))).astype(np.float32)


def _brute(examples: Floats, seen: Floats) -> Floats:
    away = seen[:, :, None].astype(np.float64) - examples[None]
    return np.asarray(np.sqrt(np.square(away).mean(axis=3)).min(axis=2), np.float32)


@pytest.mark.parametrize("offset", [0.0, 30.0])
def test_the_nearest_is_that_of_a_search_through_all(offset: float) -> None:
    seen, asked = _seen(30, offset=offset), _seen(7, seed=1, offset=offset)
    examples = memory.choose(seen, _ROWS, seed=0, size=16).of(seen)
    wanted = _brute(examples, asked)
    np.testing.assert_allclose(memory.nearest(examples, asked), wanted, rtol=2e-3, atol=1e-3)


def test_a_part_that_is_remembered_is_at_no_distance() -> None:
    seen = _seen(10)
    examples = memory.choose(seen, _ROWS, seed=0, size=32).of(seen)
    assert memory.nearest(examples, seen).max() < 2e-3


@pytest.mark.parametrize("own", [[3], [3, 4], [0, 3, 9]])
def test_what_is_the_parts_own_or_its_twins_is_passed_over(own: list[int]) -> None:
    seen = _seen(10)
    kept = memory.choose(seen, _ROWS, seed=0, size=24)
    mine = np.isin(np.arange(10), own)
    found = memory.nearest_of_others(kept, kept.of(seen), seen[3], mine)
    for cell in range(_ROWS * _COLUMNS):
        others = [
            seen[part, place]
            for part, place in zip(kept.parts[cell], kept.cells[cell], strict=True)
            if part not in own
        ]
        wanted = min(np.sqrt(np.square(seen[3, cell] - other).mean()) for other in others)
        assert found[cell] == pytest.approx(wanted, rel=1e-3)
    assert found.min() > 0.05


def test_a_cell_without_an_example_of_another_part_says_so() -> None:
    seen = _seen(4)
    kept = memory.choose(seen, _ROWS, seed=0, size=8)
    alone = memory.nearest_of_others(kept, kept.of(seen), seen[0], np.ones(4, np.bool_))
    assert np.isnan(alone).all()
    other = np.array([True, True, True, False])
    assert np.isfinite(memory.nearest_of_others(kept, kept.of(seen), seen[0], other)).all()


def test_half_of_the_examples_are_the_cells_own_and_half_of_the_cells_around() -> None:
    kept = memory.choose(_seen(40), _ROWS, seed=0, size=20)
    for cell in range(_ROWS * _COLUMNS):
        row, column = divmod(cell, _COLUMNS)
        assert (kept.cells[cell, :10] == cell).all()
        assert len(set(kept.parts[cell, :10].tolist())) == 10
        rows, columns = np.divmod(kept.cells[cell, 10:], _COLUMNS)
        assert (np.abs(rows - row) <= 1).all()
        assert (np.abs(columns - column) <= 1).all()
        assert len(set(kept.cells[cell, 10:].tolist())) > 1


def test_a_part_that_lies_a_cell_beside_is_known() -> None:
    # Each cell has a look of its own; moved by a cell, all of it lies around.
    look = 10 * np.random.default_rng(3).normal(size=(_ROWS, _COLUMNS, _DIMS))
    seen = (look.reshape(-1, _DIMS) + 0.1 * _seen(20)).astype(np.float32)
    moved = np.roll(look, 1, axis=1).reshape(-1, _DIMS).astype(np.float32)
    examples = memory.choose(seen, _ROWS, seed=0).of(seen)
    found = memory.nearest(examples, moved[None])[0].reshape(_ROWS, _COLUMNS)
    assert found[:, 1:].max() < 0.3
    assert found[:, 0].min() > 1.0  # those came from the other side


def test_the_farthest_points_are_chosen() -> None:
    rng = np.random.default_rng(0)
    crowd = rng.normal(0, 0.01, (200, _DIMS))
    far = 10 * np.eye(_DIMS)
    points = np.concatenate([crowd, far]).astype(np.float32)
    # Two cells side by side, seen once: of the cells around, what differs most is kept.
    seen = np.zeros((len(points), 1, _DIMS), np.float32)
    seen[:, 0] = points
    kept = memory.choose(seen, 1, seed=0, size=2 * (1 + _DIMS))
    spread = set(kept.parts[0, 1 + _DIMS :].tolist())
    assert set(range(200, 200 + _DIMS)) <= spread
    assert len(spread) == 1 + _DIMS  # and one of the crowd


def test_where_there_are_fewer_than_wanted_some_are_kept_twice() -> None:
    kept = memory.choose(_seen(2), _ROWS, seed=0, size=64)
    assert kept.parts.shape == kept.cells.shape == (_ROWS * _COLUMNS, 64)
    assert (kept.cells[:, :2] == np.arange(_ROWS * _COLUMNS)[:, None]).all()


def test_the_seed_chooses_the_examples() -> None:
    seen = _seen(60)
    one, two, other = (memory.choose(seen, _ROWS, seed=seed, size=16) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.parts, two.parts)
    np.testing.assert_array_equal(one.cells, two.cells)
    assert (one.parts != other.parts).any()
