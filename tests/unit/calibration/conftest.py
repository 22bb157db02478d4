"""A drawn part, good or with a spot: enough to fit a small model in a second."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from calibration.commission import Fitted, Good, Plan, collect, fit
from edge_agent.camera.frame import Image
from edge_agent.inspection.spec import Input

SIZE = 96


def _part(seed: int, spot_px: int = 0) -> Image:
    rng = np.random.default_rng([5, seed])
    image = np.full((120, 160, 3), 40, np.uint8)
    x, y = (np.array([80, 60]) + rng.integers(-1, 2, 2)).tolist()
    cv2.circle(image, (x, y), 45, [float(150 + rng.integers(-4, 5))] * 3, -1, cv2.LINE_AA)
    cv2.circle(image, (x, y), 15, (30, 30, 30), -1, cv2.LINE_AA)
    if spot_px:
        cv2.circle(image, (x - 28, y + 8), spot_px // 2, (60, 70, 90), -1, cv2.LINE_AA)
    return np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def draw() -> Callable[..., Image]:
    return _part


@pytest.fixture(scope="session")
def plan() -> Plan:
    return Plan(name="drawn", input=Input(height=SIZE, width=SIZE), dims=16)


@pytest.fixture(scope="session")
def good(plan: Plan) -> Good:
    return collect((_part(seed) for seed in range(40)), plan)


@pytest.fixture(scope="session")
def fitted(plan: Plan, good: Good) -> Fitted:
    return fit(plan, good)
