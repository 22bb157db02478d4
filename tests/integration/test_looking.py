"""What is found out about real parts: whether they are turned, mirrored, pictured twice."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from calibration import commission, frames, twins, viewing
from calibration.commission import Plan
from calibration.evaluation import sets
from edge_agent.camera.images import read_image
from edge_agent.inspection.pose import find_lie
from edge_agent.inspection.spec import Input
from edge_agent.inspection.view import View

pytestmark = pytest.mark.images


def _some(folder: Path, count: int) -> list[Path]:
    files = frames.good_files(folder)
    return [files[place] for place in np.random.default_rng(0).permutation(len(files))[:count]]


def test_screws_are_turned_and_lie_level_then(images_dir: Path) -> None:
    images = [read_image(file) for file in _some(images_dir / "screw/train/good", 30)]
    chosen = viewing.choose(images, Input(height=256, width=256))
    assert chosen.input.pose is not None
    assert chosen.input.width > 2 * chosen.input.height
    view, angles = View(chosen.input), []
    for image in images:
        view.fill(image)
        lie = find_lie(view.pixels[0])
        assert lie is not None
        angles.append(abs(np.degrees(np.remainder(lie.angle + np.pi, 2 * np.pi) - np.pi)))
    assert np.quantile(angles, 0.9) < 5.0


def test_castings_are_taken_as_they_lie_and_ten_are_mirrored(images_dir: Path) -> None:
    images = [read_image(file) for file in _some(images_dir / "casting/train/good", 10)]
    plan = Plan(name="casting", input=Input(height=192, width=192))
    chosen = viewing.choose(images, plan.input)
    assert chosen.input.pose is None
    plan = msgspec.structs.replace(plan, input=chosen.input)
    good = commission.make_most(plan, commission.collect(images, plan))
    assert len(good.material.extra) >= 3 * 10
    assert "good parts look as good mirrored or turned" in "\n".join(good.notes)
    assert twins.count(good.material.twins) == 10


def test_screws_are_not_mirrored(images_dir: Path) -> None:
    images = [read_image(file) for file in _some(images_dir / "screw/train/good", 12)]
    plan = Plan(name="screw", input=Input(height=128, width=128))
    plan = msgspec.structs.replace(plan, input=viewing.choose(images, plan.input).input)
    good = commission.make_most(plan, commission.collect(images, plan))
    assert len(good.material.extra) == 0


def test_twins_are_the_pictures_of_one_tile(images_dir: Path) -> None:
    # The labels join tiles of ten and more pictures of which most are not alike (median correlation
    # 0.1, of true twins 0.6), so whole groups are compared where they are small.
    folder = images_dir / "mtd/train/good"
    files = frames.good_files(folder)
    labels = sets.labels_of(files, folder, "tile")
    plan = Plan(name="mtd", input=Input(height=192, width=192))
    known = twins.grouped(labels)
    sizes = known.sum(axis=1)
    good = commission.collect((read_image(file) for file in files), plan)
    found = commission.make_most(plan, good).material.twins
    off = ~np.eye(len(files), dtype=np.bool_)
    pairs, wanted = found & off, known & off
    small = wanted & (sizes[:, None] <= 3)
    assert small.sum() > 100
    assert (pairs & small).sum() >= 0.95 * small.sum()
    twinned = wanted.any(axis=1)
    assert (pairs & wanted).any(axis=1).sum() >= 0.95 * twinned.sum()
    assert (pairs & wanted).sum() >= 0.75 * pairs.sum()
