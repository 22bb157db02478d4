"""How parts are looked at, and which belong together, is settled when they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from calibration import lot, twins
from calibration.commission import Plan
from edge_agent.camera.frame import Image
from edge_agent.errors import UsageError


def _track(files: list[Path]) -> Iterator[Path]:
    return iter(files)


def _pictured_twice(folder: Path, draw: Callable[..., Image], parts: int) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for part in range(parts):
        image = draw(part)
        for picture in "ab":
            noisy = np.clip(image + rng.normal(0, 1, image.shape), 0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / f"part{part:02}{picture}.png"), noisy)
    return folder


@pytest.mark.parametrize("group_by", ["", "^part([0-9]+)"])
def test_pictures_of_one_part_are_found_or_told(
    tmp_path: Path, plan: Plan, draw: Callable[..., Image], group_by: str
) -> None:
    folder = _pictured_twice(tmp_path / "good", draw, 12)
    parts = lot.read_lot(folder, plan, _track, group_by=group_by)
    labels = np.arange(24) // 2
    np.testing.assert_array_equal(parts.good.material.twins, labels[:, None] == labels[None])
    said = "as --group-by says" if group_by else "look like pictures of a part that others show"
    assert said in "\n".join(parts.good.notes)
    assert twins.count(parts.good.material.twins) == 12


def test_what_was_found_out_is_in_the_plan(
    tmp_path: Path, plan: Plan, draw: Callable[..., Image]
) -> None:
    folder = _pictured_twice(tmp_path / "good", draw, 6)
    parts = lot.read_lot(folder, plan, _track)
    assert plan.input.level is None
    assert parts.plan.input.level is not None
    assert parts.plan.input.pose is None  # a disk has no long axis


def test_images_that_all_show_one_part_are_refused(
    tmp_path: Path, plan: Plan, draw: Callable[..., Image]
) -> None:
    folder = _pictured_twice(tmp_path / "good", draw, 6)
    with pytest.raises(UsageError, match="pictures of only 1 part"):
        lot.read_lot(folder, plan, _track, group_by="(part)")


def test_a_folder_of_which_nothing_can_be_read_is_refused(tmp_path: Path, plan: Plan) -> None:
    (tmp_path / "good").mkdir()
    for number in range(6):
        (tmp_path / "good" / f"torn-{number}.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(UsageError, match="0 good parts"):
        lot.read_lot(tmp_path / "good", plan, _track)
