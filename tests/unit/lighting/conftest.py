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
from edge_agent.lighting.scene import Scene, learn_scene
from tests.unit.lighting.scenery import Scenery

Draw = Callable[..., Image]
WIDTH, HEIGHT = 320, 240


@pytest.fixture(scope="session")
def draw() -> Draw:
    """Draw frames of the simulated line, small, but with what they share drawn once."""
    renderer = Renderer(WIDTH, HEIGHT, noise=1.0)

    def draw(number: int, light: Light = NOMINAL, *, seed: int = 1, defects: float = 0.0) -> Image:
        line = Settings(seed=seed, defect_rate=defects).line
        image = np.empty((HEIGHT, WIDTH, 3), np.uint8)
        renderer.draw(make_part(line, number), light, image, time_s=number / 10)
        return image

    return draw


@pytest.fixture(scope="session")
def good_frames(draw: Draw) -> list[Image]:
    return [draw(number) for number in range(1, 301)]


@pytest.fixture(scope="session")
def baseline(good_frames: list[Image]) -> Baseline:
    return Baseline.learn(good_frames)


@pytest.fixture(scope="session")
def others(draw: Draw) -> list[Image]:
    """Good frames of other parts, some with defects: what the line goes on with."""
    return [draw(number, seed=5, defects=0.3) for number in range(100)]


@pytest.fixture(scope="session")
def scenery() -> Scenery:
    return Scenery()


@pytest.fixture(scope="session")
def scenes(scenery: Scenery) -> list[Image]:
    return scenery.frames(60)


@pytest.fixture(scope="session")
def scene(scenes: list[Image]) -> Scene:
    return learn_scene(scenes)
