"""Where a frame is looked at, and in what measure."""

from __future__ import annotations

import numpy as np
import pytest

from edge_agent.camera.frame import Image
from edge_agent.lighting.sampling import LINEAR, green, lattice, lattice_size, take


def flat(value: int, *shape: int) -> Image:
    return np.full(shape, value, np.uint8)


def test_pixel_values_become_linear_light() -> None:
    assert LINEAR[0] == 0.0
    assert LINEAR[255] == pytest.approx(1.0)
    assert LINEAR[128] == pytest.approx((128 / 255) ** 2.2, rel=1e-5)
    assert np.all(np.diff(LINEAR) > 0)
    half = round(255 * 0.5 ** (1 / 2.2))  # what a camera gives for half the light
    assert LINEAR[half] == pytest.approx(0.5, rel=0.01)


@pytest.mark.parametrize("size", [(480, 640), (1080, 1920), (8, 8), (8, 4000), (4000, 8), (37, 53)])
def test_points_lie_in_the_frame_row_by_row_each_in_its_square(size: tuple[int, int]) -> None:
    rows, columns = lattice_size(*size)
    places = lattice(*size, rows, columns)
    assert places.shape == (rows * columns,)
    y, x = np.divmod(places, size[1])
    assert (y >= 0).all()
    assert (y < size[0]).all()
    square = np.repeat(np.arange(rows), columns)
    assert np.abs(y - (square + 0.5) * size[0] / rows).max() <= 0.5 * size[0] / rows + 1
    assert np.abs(x - (np.tile(np.arange(columns), rows) + 0.5) * size[1] / columns).max() <= (
        0.5 * size[1] / columns + 1
    )


def test_a_thin_line_that_moves_does_not_look_like_light() -> None:
    rows, columns = lattice_size(480, 640)
    places = lattice(480, 640, rows, columns)
    seen = []
    for y in range(20, 60):
        image = flat(60, 480, 640, 3)
        image[y : y + 3] = 250
        seen.append((take(image, places)[:, 1] > 200).sum())
    # On a regular grid a row of points would see the line, or none would.
    assert min(seen) > 0.5 * np.mean(seen)
    assert max(seen) < 1.5 * np.mean(seen)


def test_a_part_of_a_larger_image_is_sampled_as_its_copy() -> None:
    image = np.random.default_rng(2).integers(0, 256, (100, 120, 3)).astype(np.uint8)
    places = lattice(50, 70, *lattice_size(50, 70))
    view = image[10:60, 20:90]
    np.testing.assert_array_equal(take(view, places), take(np.ascontiguousarray(view), places))
    grey = image[10:60, 20:90, 1]
    np.testing.assert_array_equal(take(grey, places), take(np.ascontiguousarray(grey), places))
    assert take(grey, places).shape == (len(places), 1)


def test_green_is_the_middle_channel_or_the_only_one() -> None:
    image = np.random.default_rng(2).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    np.testing.assert_array_equal(green(image), image[:, :, 1])
    np.testing.assert_array_equal(green(image[:, :, 0]), image[:, :, 0])
