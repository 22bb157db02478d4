from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edge_agent.camera.drivers.simulated import Settings
from edge_agent.camera.frame import Image
from edge_agent.camera.simulation.light import NOMINAL, Light
from edge_agent.camera.simulation.parts import make_part
from edge_agent.camera.simulation.render import Renderer
from edge_agent.lighting import Baseline

Draw = Callable[..., Image]


@pytest.fixture(scope="session")
def draw() -> Draw:
    """Draw frames of the simulated line as its camera does, but with what they share drawn once."""
    renderer = Renderer(640, 480, noise=1.0)

    def draw(number: int, light: Light = NOMINAL, *, seed: int = 1, defects: float = 0.0) -> Image:
        line = Settings(seed=seed, defect_rate=defects).line
        image = np.empty((480, 640, 3), np.uint8)
        renderer.draw(make_part(line, number), light, image, time_s=number / 10)
        return image

    return draw


@pytest.fixture(scope="session")
def good_frames(draw: Draw) -> list[Image]:
    return [draw(number) for number in range(1, 61)]


@pytest.fixture(scope="session")
def baseline(good_frames: list[Image]) -> Baseline:
    return Baseline.learn(good_frames)
