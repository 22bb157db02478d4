"""The picture of a baseline: it shows what was learned, whatever that is."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

import cv2
import numpy as np
import pytest

from calibration.lighting import draw
from edge_agent.camera.frame import Image
from edge_agent.errors import UsageError
from edge_agent.lighting import Baseline
from tests.unit.lighting.scenery import Scenery


def read(path: Path) -> Image:
    image = cv2.imread(str(path))
    assert image is not None
    return np.asarray(image, np.uint8)


def is_green(image: Image) -> Image:
    blue, green, red = (image[:, :, channel].astype(np.int16) for channel in range(3))
    return np.asarray((green > red + 8) & (green > blue + 8), np.uint8)


def is_orange(image: Image) -> Image:
    blue, _, red = (image[:, :, channel].astype(np.int16) for channel in range(3))
    return np.asarray(red > blue + 30, np.uint8)


def test_scene_is_green_and_part_is_orange(tmp_path: Path) -> None:
    baseline = Baseline.learn(Scenery().frames(30))
    draw(baseline, tmp_path / "a.png")
    image = read(tmp_path / "a.png")
    view = image[56 : 56 + 525, 24 : 24 + 700]  # 320 x 240, drawn 700 wide
    part = view[190:340, 250:450]
    assert is_orange(part).mean() > 0.8
    assert is_green(view[10:120, 20:680]).mean() > 0.5
    assert (image[-4:] == 255).all(), "nothing is cut off below"


@pytest.mark.parametrize("kind", ["without a scene", "few", "grey", "mixed sizes", "tiny", "tall"])
def test_every_kind_of_baseline_can_be_drawn(kind: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    shapes: dict[str, list[tuple[int, ...]]] = {
        "without a scene": [(120, 160, 3)] * 20, "few": [(120, 160, 3)] * 5,
        "grey": [(120, 160)] * 20, "mixed sizes": [(120, 160, 3), (60, 80, 3)] * 5,
        "tiny": [(8, 8)] * 6, "tall": [(400, 20, 3)] * 6,
    }  # fmt: skip
    frames = [random.integers(60, 120, shape).astype(np.uint8) for shape in shapes[kind]]
    draw(Baseline.learn(frames), tmp_path / "a.png")
    image = read(tmp_path / "a.png")
    assert image.shape[1] == 1600
    assert (image[-4:] == 255).all()
    assert (image < 100).any()


def test_limits_that_differ_above_and_below_can_be_drawn(tmp_path: Path) -> None:
    baseline = Baseline.learn(Scenery().frames(20), light=(0.5, 1.3))
    draw(baseline, tmp_path / "a.png")
    plain = Baseline.learn(Scenery().frames(20))
    draw(plain, tmp_path / "b.png")
    assert not np.array_equal(read(tmp_path / "a.png"), read(tmp_path / "b.png"))


def test_a_picture_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    baseline = Baseline.learn(Scenery().frames(6))
    with pytest.raises(UsageError, match=r"gone/a\.png: cannot be written: No such file"):
        draw(baseline, tmp_path / "gone/a.png")


def test_the_verb_finds_it() -> None:
    (entry,) = entry_points(group="edge_agent.pictures", name="baseline")
    assert entry.load() is draw
