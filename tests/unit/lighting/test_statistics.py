"""The figures of one frame, against formulas worked out here."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from edge_agent.camera.frame import Image
from edge_agent.lighting.statistics import (
    COLUMNS,
    PATCH,
    ROWS,
    SCALARS,
    Spot,
    measure,
    patch_at,
)

SPOTS: tuple[Spot, ...] = ((0.0, 0.0), (0.5, 0.5))


def flat(value: int, *shape: int) -> Image:
    return np.full(shape or (480, 640, 3), value, np.uint8)


def test_level_is_mean_linear_light() -> None:
    assert measure(flat(255), SPOTS).level == pytest.approx(1.0, abs=1e-5)
    assert measure(flat(0), SPOTS).level == pytest.approx(0.0, abs=1e-5)
    assert measure(flat(128), SPOTS).level == pytest.approx((128 / 255) ** 2.2, rel=1e-4)
    half = flat(0)
    half[:, 320:] = 255
    assert measure(half, SPOTS).level == pytest.approx(0.5, abs=0.01)


def test_half_the_light_is_half_the_level() -> None:
    linear = np.random.default_rng(0).uniform(0.1, 0.9, (480, 640, 3))
    bright = np.round(255 * linear ** (1 / 2.2)).astype(np.uint8)
    dim = np.round(255 * (linear / 2) ** (1 / 2.2)).astype(np.uint8)
    assert measure(dim, SPOTS).level / measure(bright, SPOTS).level == pytest.approx(0.5, rel=0.01)
    assert measure(dim, SPOTS).contrast == pytest.approx(measure(bright, SPOTS).contrast, rel=0.02)


def test_contrast_is_deviation_over_mean() -> None:
    image = flat(0)
    image[::2] = 255
    assert measure(image, SPOTS).contrast == pytest.approx(1.0, abs=0.05)
    assert measure(flat(90), SPOTS).contrast == pytest.approx(0.0, abs=1e-3)


def test_clipping_is_the_share_of_black_and_of_saturated_pixels() -> None:
    image = flat(100)
    image[:120] = 255
    image[120:168] = 2
    seen = measure(image, SPOTS)
    assert seen.clipped_bright == pytest.approx(0.25, abs=0.02)
    assert seen.clipped_dark == pytest.approx(0.1, abs=0.02)


def test_warmth_is_the_log_ratio_of_red_to_blue() -> None:
    image = flat(100)
    image[:, :, 2] = 150
    assert measure(image, SPOTS).warmth == pytest.approx(2.2 * math.log(150 / 100), rel=1e-3)
    assert measure(flat(100, 480, 640), SPOTS).warmth == 0.0  # grey has no colour


def test_the_grid_holds_each_cell_against_the_level() -> None:
    image = flat(100)
    image[:120, 533:] = 200
    seen = measure(image, SPOTS)
    cells = seen.grid.reshape(ROWS, COLUMNS)
    bright, dark = (200 / 255) ** 2.2, (100 / 255) ** 2.2
    assert cells[0, 5] == pytest.approx(bright / seen.level, rel=0.02)
    assert cells[3, 0] == pytest.approx(dark / seen.level, rel=0.02)
    assert np.mean(cells) == pytest.approx(1.0, abs=0.02)


def test_sharpness_falls_with_blur_and_not_with_light() -> None:
    image = np.random.default_rng(0).integers(40, 200, (480, 640, 3)).astype(np.uint8)
    blurred = np.asarray(cv2.GaussianBlur(image, (0, 0), 1.5), np.uint8)
    dimmed = np.asarray(image * 0.7, np.uint8)
    sharp = measure(image, SPOTS).sharpness
    assert measure(blurred, SPOTS).sharpness < sharp - 1.0
    assert measure(dimmed, SPOTS).sharpness == pytest.approx(sharp, abs=0.05)


def test_a_thin_line_that_moves_does_not_look_like_light() -> None:
    cells = []
    for y in range(20, 40):
        image = flat(60)
        image[y : y + 3] = 250
        cells.append(measure(image, SPOTS).grid[:COLUMNS])
    # 3 of 120 rows: on a regular grid of samples a whole row would see the line, or none, and
    # the cell would more than double.
    assert np.ptp(np.array(cells), axis=0).max() < 0.12 * np.mean(cells)


@pytest.mark.parametrize("shape", [(480, 640), (480, 640, 3), (8, 8, 3), (8, 8), (8, 4000, 3),
                                   (4000, 8), (1, 1, 3), (37, 53, 3), (49, 47)])  # fmt: skip
def test_frames_of_any_shape_have_finite_figures(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    before = image.copy()
    seen = measure(image, SPOTS)
    assert seen.grid.shape == (ROWS * COLUMNS,)
    assert seen.grid.dtype == np.float32
    assert all(math.isfinite(getattr(seen, name)) for name in SCALARS)
    assert np.isfinite(seen.grid).all()
    np.testing.assert_array_equal(image, before)


def test_a_part_of_a_larger_image_is_measured_as_itself() -> None:
    image = np.random.default_rng(2).integers(0, 256, (100, 120, 3)).astype(np.uint8)
    view = image[10:60, 20:90]
    assert measure(view, SPOTS).level == measure(np.ascontiguousarray(view), SPOTS).level


@pytest.mark.parametrize("spot", [(0.0, 0.0), (1.0, 1.0), (0.99, 0.0)])
@pytest.mark.parametrize("size", [(480, 640), (PATCH, PATCH), (20, 30)])
def test_a_patch_lies_inside_the_frame(spot: Spot, size: tuple[int, int]) -> None:
    patch = patch_at(flat(1, *size, 3), spot)
    assert patch.shape == (min(PATCH, size[0]), min(PATCH, size[1]))
