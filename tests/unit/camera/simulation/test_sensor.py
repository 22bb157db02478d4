from __future__ import annotations

import numpy as np
import pytest

from edge_agent.camera.simulation.sensor import FULL_WELL, READ_NOISE, Sensor, to_linear


@pytest.mark.parametrize("level", [0.02, 0.18, 0.5])
def test_noise_is_that_of_the_sensor_described(level: float) -> None:
    light = np.full((200, 300, 3), level, np.float32)
    out = np.zeros((200, 300, 3), np.uint8)
    Sensor(300, noise=1.0).expose(light, out, gain=1.0, start=17)
    seen = to_linear(out)
    expected = np.sqrt((level + READ_NOISE**2 / FULL_WELL) / FULL_WELL)
    step = level - ((level ** (1 / 2.2) * 255 - 1) / 255) ** 2.2
    rounding = step / np.sqrt(12)
    assert seen.mean() == pytest.approx(level, rel=0.01)
    assert seen.std() == pytest.approx(np.hypot(expected, rounding), rel=0.1)


def test_without_noise_the_curve_is_exact_and_saturates() -> None:
    light = np.linspace(0, 1.4, 3000, dtype=np.float32).reshape(10, 100, 3)
    out = np.zeros(light.shape, np.uint8)
    Sensor(100, noise=0.0).expose(light, out, gain=0.9, start=0)
    expected = np.clip((0.9 * light.astype(np.float64)) ** (1 / 2.2), 0, 1) * 255
    assert np.abs(out - expected).max() <= 0.51
    assert out.max() == 255


def test_noise_differs_by_start_and_repeats() -> None:
    light = np.full((64, 64, 3), 0.3, np.float32)
    sensor = Sensor(64, noise=1.0)
    shots = []
    for start in (1, 2000, 1):
        out = np.zeros(light.shape, np.uint8)
        sensor.expose(light, out, gain=1.0, start=start)
        shots.append(out)
    assert np.array_equal(shots[0], shots[2])
    assert not np.array_equal(shots[0], shots[1])
