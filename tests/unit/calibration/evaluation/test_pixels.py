"""Pixel metrics against values worked out by hand, and against a plain form with all thresholds."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from calibration.evaluation.metrics import Values
from calibration.evaluation.pixels import (
    LIMIT,
    SIDE,
    Mask,
    aupro,
    bin_edges,
    count_pixels,
    estimate_pixels,
    grid_shape,
    pixel_auroc,
    shrink_mask,
    spread_map,
)
from edge_agent.inspection.seen import Box


def _mask(rows: int, columns: int, *boxes: tuple[int, int, int, int]) -> Mask:
    mask = np.zeros((rows, columns), np.bool_)
    for top, left, bottom, right in boxes:
        mask[top:bottom, left:right] = True
    return mask


def _plain_aupro(grids: list[Values], masks: list[Mask]) -> float:
    """Return the AUPRO with a threshold at every value, on full maps."""
    regions = []
    for grid, mask in zip(grids, masks, strict=True):
        count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        regions += [grid[labels == label] for label in range(1, count)]
    clean = np.concatenate([grid[~mask] for grid, mask in zip(grids, masks, strict=True)])
    cuts = np.unique(np.concatenate([grid.reshape(-1) for grid in grids]))[::-1]
    rates = np.array([0.0, *((clean >= cut).mean() for cut in cuts)])
    shares = np.array([0.0, *(np.mean([(each >= cut).mean() for each in regions]) for cut in cuts)])
    at_limit = float(np.interp(LIMIT, rates, shares))
    inside = rates < LIMIT
    xs, ys = np.append(rates[inside], LIMIT), np.append(shares[inside], at_limit)
    return float(np.trapezoid(ys, xs)) / LIMIT


def _noisy(seed: int, mask: Mask) -> Values:
    grid = np.random.default_rng(seed).normal(0, 1, mask.shape) + 1.5 * mask
    return np.asarray(grid, np.float64)


def test_both_agree_with_a_threshold_at_every_value() -> None:
    masks = [
        _mask(40, 50, (2, 3, 12, 9), (20, 20, 24, 40)),
        _mask(40, 50, (30, 5, 38, 45)),
        _mask(40, 50, (0, 0, 3, 3)),
    ]
    good = np.random.default_rng(9).normal(0, 1, (40, 50))
    grids = [_noisy(seed, mask) for seed, mask in enumerate(masks)]
    edges = bin_edges([grid.astype(np.float32) for grid in [*grids, good]])
    bad = [count_pixels(grid, mask, edges) for grid, mask in zip(grids, masks, strict=True)]
    found = estimate_pixels([count_pixels(good, None, edges)], bad, resamples=200, seed=0)
    assert found is not None
    area, overlap = found.estimates()
    everything, empty = [*grids, good], [*masks, _mask(40, 50)]
    clean = np.concatenate([g[~m] for g, m in zip(everything, empty, strict=True)])
    defect = np.concatenate([g[m] for g, m in zip(everything, empty, strict=True)])
    wins = float((defect[:, np.newaxis] > clean).mean())
    assert area.value == pytest.approx(wins, abs=0.001)
    assert overlap.value == pytest.approx(_plain_aupro(everything, empty), abs=0.002)
    assert area.low < area.value < area.high
    assert overlap.low < overlap.value < overlap.high


def test_values_worked_out_by_hand() -> None:
    # Bins from low to high. Half of the defect lies above all that is clean, half below all.
    assert pixel_auroc(np.array([[0.0, 10, 0]]), np.array([[3.0, 0, 3]]))[0] == 0.5
    assert pixel_auroc(np.array([[0.0, 10]]), np.array([[0.0, 4]]))[0] == 0.5
    # Found whole before the first false positive: 1. Half of it: 1/2 at any rate up to the limit.
    assert aupro(np.array([[10.0, 0]]), np.array([[0.0, 1]]))[0] == pytest.approx(1.0)
    assert aupro(np.array([[0.0, 10, 0]]), np.array([[0.5, 0, 0.5]]))[0] == pytest.approx(0.5)
    # One step from (0, 0) to (1, 1): a triangle of 0.3 x 0.3 / 2, over 0.3.
    assert aupro(np.array([[10.0]]), np.array([[1.0]]))[0] == pytest.approx(0.15)


def test_a_large_and_a_small_defect_count_alike_in_aupro() -> None:
    mask = _mask(30, 30, (0, 0, 20, 20), (28, 28, 30, 30))
    grid = np.where(_mask(30, 30, (28, 28, 30, 30)), 1.0, 0.0)  # only the small one is found
    edges = bin_edges([grid.astype(np.float32)])
    found = estimate_pixels([], [count_pixels(grid, mask, edges)], resamples=10, seed=0)
    assert found is not None
    # Regions: 1 and 0 at no false positive, both 1 at all: a line from 1/2 to 1.
    assert found.values[1] == pytest.approx((0.5 + 0.65) / 2)


def test_without_masks_there_are_no_pixel_figures() -> None:
    edges = np.array([0.0, 1.0])
    good = [count_pixels(np.zeros((4, 4)), None, edges)]
    assert estimate_pixels(good, [], resamples=10, seed=0) is None


def test_the_grid_is_never_larger_than_the_image() -> None:
    assert grid_shape(100, 50) == (100, 50)
    assert grid_shape(2048, 1024) == (SIDE, SIDE // 2)
    assert grid_shape(4000, 1) == (SIDE, 1)


def test_a_tiny_region_keeps_a_cell() -> None:
    small = shrink_mask(_mask(1000, 1000, (500, 500, 502, 502), (0, 0, 200, 200)), 100, 100)
    assert small[50, 50]
    assert small.sum() == 20 * 20 + 1


def test_outside_the_roi_nothing_is_found() -> None:
    grid = spread_map(np.ones((4, 4), np.float32), Box(0.5, 0.0, 0.5, 1.0), 10, 20)
    assert np.isneginf(grid[:, :10]).all()
    assert (grid[:, 10:] == 1.0).all()
    counts = count_pixels(grid, None, bin_edges([np.ones((4, 4), np.float32)]))
    assert counts.negative[0] == 100
    assert counts.negative.sum() == 200


def test_counts_do_not_grow_with_the_number_of_regions() -> None:
    rng = np.random.default_rng(0)
    speckled = rng.random((200, 200)) < 0.05
    grid = rng.normal(0, 1, speckled.shape)
    counts = count_pixels(grid, speckled, bin_edges([grid.astype(np.float32)]))
    assert counts.regions > 500
    assert counts.overlap.shape == counts.negative.shape
    assert counts.overlap.sum() == pytest.approx(counts.regions)
    assert counts.positive.sum() == speckled.sum()
