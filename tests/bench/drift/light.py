"""Lamps: how their light falls, and how it wavers.

Two lamps, left and right, each with its own field, and ambient light from everywhere. A lamp wavers
with the other (they hang on one supply) and a little by itself: an AR(1) process each,
x[t] = phi x[t-1] + e[t], in shares of its light.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from tests.bench.drift.images import Linear

Series = npt.NDArray[np.float64]

PHI = 0.97
_PHI_OWN = 0.9
_SD_OWN = 0.001
LED_LOSS_PER_FRAME = 0.006 / 1000 / 3600
"""A real LED: 0.6 % in 1,000 hours, at a part a second. No chart over frames can see it."""


@dataclass(frozen=True)
class Fields:
    """Irradiance of the scene: HxW each; left and right together 1 - ambient on average."""

    left: Linear
    right: Linear
    ambient: Linear


def make_fields(size: tuple[int, int], rng: np.random.Generator) -> Fields:
    """Hang two lamps beside the scene, by chance a little higher, nearer or turned."""
    ambient = float(rng.uniform(0.04, 0.14))
    return Fields(
        _lamp(size, -1.0, rng) * np.float32((1.0 - ambient) / 2),
        _lamp(size, 1.0, rng) * np.float32((1.0 - ambient) / 2),
        np.full((size[1], size[0]), ambient, np.float32),
    )


def _lamp(size: tuple[int, int], side: float, rng: np.random.Generator) -> Linear:
    """Return a lamp's light on a plane: h^2 / (h^2 + r^2), cosine law and distance in one."""
    x, y = _grid(size)
    at_x, at_y = side * rng.uniform(0.6, 1.1), rng.uniform(-0.4, 0.4)
    reach = rng.uniform(1.1, 1.9)
    light: Linear = 1.0 / (1.0 + ((x - at_x) ** 2 + (y - at_y) ** 2) / reach**2)
    mean = float(light.mean())
    return np.asarray(light / mean, np.float32)


def patch(size: tuple[int, int], centre: tuple[float, float], radius: float) -> Linear:
    """Return a patch of sun through a window: 1.0 inside, with a soft edge.

    Args:
        size: Width and height.
        centre: As shares of half the width, from the middle.
        radius: The same.
    """
    x, y = _grid(size)
    away = np.sqrt((x - centre[0]) ** 2 + 1.4 * (y - centre[1]) ** 2) / radius
    return np.clip((1.15 - away) / 0.3, 0.0, 1.0).astype(np.float32)


def from_top(size: tuple[int, int], share: float) -> Linear:
    """Return a factor that falls by `share` from the lower edge to the upper, 1 on average."""
    _, y = _grid(size)
    low, high = float(y.min()), float(y.max())
    return (1.0 + share * ((y - low) / (high - low) - 0.5)).astype(np.float32)


def _grid(size: tuple[int, int]) -> tuple[Linear, Linear]:
    """Return x and y in half widths from the middle, each as a plane (coarse and smooth)."""
    width, height = size
    x = np.linspace(-1.0, 1.0, width, dtype=np.float32)[np.newaxis, :]
    y = np.linspace(-1.0, 1.0, height, dtype=np.float32)[:, np.newaxis] * np.float32(height / width)
    ones = np.ones((height, width), np.float32)
    return x * ones, y * ones


def waver(count: int, sd: float, rng: np.random.Generator) -> tuple[Series, Series]:
    """Draw what each lamp gives in each frame, 1.0 on average.

    Args:
        count: How many frames.
        sd: Of what the lamps have in common, as a share of their light.
        rng: Draws.
    """
    common = ar1(count, PHI, sd, rng)
    age = LED_LOSS_PER_FRAME * np.arange(count)
    lamps = [1.0 + common + ar1(count, _PHI_OWN, _SD_OWN, rng) - age for _ in range(2)]
    return lamps[0], lamps[1]


def ar1(count: int, phi: float, sd: float, rng: np.random.Generator) -> Series:
    """Draw an AR(1) process of standard deviation `sd`, from its stationary distribution."""
    steps = rng.standard_normal(count) * sd * np.sqrt(1.0 - phi**2)
    value = float(rng.standard_normal() * sd)
    series = np.empty(count)
    for index, step in enumerate(steps.tolist()):
        value = phi * value + step
        series[index] = value
    return series


def resized(field: Linear, size: tuple[int, int]) -> Linear:
    """Return a smooth field at another size."""
    return cv2.resize(field, size, interpolation=cv2.INTER_AREA)
