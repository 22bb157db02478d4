"""The invariants of the folder camera, and its truths."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from edge_agent.camera.drivers.folder import Driver, Order, Settings, TruthSource
from edge_agent.camera.frame import EndOfFrames, Frame, Truth
from edge_agent.camera.playback import Playback
from edge_agent.camera.triggers import Trigger
from edge_agent.errors import CameraError

if TYPE_CHECKING:
    from edge_agent.camera.frame import Image


def save(path: Path, value: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image: Image = np.full((20, 30), value, np.uint8)
    assert cv2.imwrite(str(path), image)
    return path


def play(settings: Settings, *, limit: int = 1000) -> list[Frame]:
    camera = Driver(settings, station="s1", trigger=Trigger.FREE_RUN)
    camera.open()
    frames: list[Frame] = []
    try:
        while len(frames) < limit:
            frame = camera.read(5.0)
            assert frame is not None
            frames.append(frame)
    except EndOfFrames:
        pass
    finally:
        camera.close()
    return frames


def test_invariant_1_every_file_gives_a_frame_and_a_bad_one_a_fault(tmp_path: Path) -> None:
    save(tmp_path / "1.png", 1)
    (tmp_path / "2.png").write_text("not an image")
    (tmp_path / "3.jpg").write_bytes(b"")
    save(tmp_path / "10.png", 10)
    frames = play(Settings(path=str(tmp_path), takt_ms=0))
    assert [frame.part for frame in frames] == ["1.png", "2.png", "3.jpg", "10.png"]
    assert [bool(frame.fault) for frame in frames] == [False, True, True, False]
    assert frames[1].image.size == 0
    assert "2.png: not an image" in frames[1].fault
    assert "3.jpg: the file is empty" in frames[2].fault
    assert frames[3].image[0, 0] == 10
    assert frames[3].source == str(tmp_path / "10.png")


def test_invariant_1_a_file_that_vanishes_gives_a_fault(tmp_path: Path) -> None:
    save(tmp_path / "1.png", 1)
    gone = save(tmp_path / "2.png", 2)
    camera = Driver(Settings(path=str(tmp_path), takt_ms=0), station="s", trigger=Trigger.FREE_RUN)
    camera.open()
    assert camera.read(1.0) is not None
    gone.unlink()
    frame = camera.read(1.0)
    assert frame is not None
    assert "No such file" in frame.fault
    camera.close()


def test_invariant_1_an_image_beyond_the_limit_gives_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "1.png"
    cv2.imwrite(str(path), np.zeros((200, 200), np.uint8))
    frame = play(Settings(path=str(tmp_path), takt_ms=0, max_megapixels=0.03))[0]
    assert "raise the limit" in frame.fault


def test_invariant_4_a_second_round_has_its_own_part_ids(tmp_path: Path) -> None:
    for number in (1, 2):
        save(tmp_path / f"{number}.png", number)
    settings = Settings(path=str(tmp_path), takt_ms=0, loop=Playback.LOOPED)
    frames = play(settings, limit=5)
    assert [frame.part for frame in frames] == ["1.png", "2.png", "1.png#2", "2.png#2", "1.png#3"]
    assert [frame.sequence for frame in frames] == [1, 2, 3, 4, 5]


def test_truth_is_the_name_of_the_folder(tmp_path: Path) -> None:
    for name in ("test/good/1.png", "test/crack/2.png", "3.png", "masks/crack/2.png"):
        save(tmp_path / name, 9)
    frames = play(Settings(path=str(tmp_path), takt_ms=0))
    truths = {frame.part: frame.truth for frame in frames}
    assert truths == {
        "3.png": None,
        "test/crack/2.png": Truth("crack"),
        "test/good/1.png": Truth(""),
    }


def test_without_truth_all_folders_are_played(tmp_path: Path) -> None:
    for name in ("good/1.png", "masks/2.png"):
        save(tmp_path / name, 9)
    frames = play(Settings(path=str(tmp_path), takt_ms=0, truth=TruthSource.NONE))
    assert [(frame.part, frame.truth) for frame in frames] == [
        ("good/1.png", None),
        ("masks/2.png", None),
    ]


def test_a_missing_empty_or_wrong_folder_is_refused(tmp_path: Path) -> None:
    file = save(tmp_path / "a.png", 1)
    (tmp_path / "empty").mkdir()
    for path, text in (
        (tmp_path / "gone", "gone does not exist; expected a folder with .bmp"),
        (tmp_path / "empty", "empty holds no images; expected a folder"),
        (file, "a.png is not a folder"),
    ):
        camera = Driver(Settings(path=str(path)), station="s1", trigger=Trigger.FREE_RUN)
        with pytest.raises(CameraError, match=text):
            camera.open()
        camera.close()


def _image_sets() -> Path | None:
    named = os.environ.get("EDGE_IMAGES")
    root = Path(named) if named else Path(__file__).parents[5] / "shared" / "data"
    return root if root.is_dir() else None


@pytest.mark.images
@pytest.mark.parametrize(
    ("folder", "shape", "defects"),
    [
        ("casting/test", (300, 300, 3), {"", "defect"}),
        ("screw/test", (512, 512), {"", "defect"}),
        ("aliens/test", (380, 550, 3), {"", "anomaly"}),
    ],
)
def test_real_image_sets_are_played_with_their_truth(
    folder: str, shape: tuple[int, ...], defects: set[str]
) -> None:
    root = _image_sets()
    if root is None or not (root / folder).is_dir():
        pytest.skip(f"no real images: {folder} is not under EDGE_IMAGES or ../shared/data")
    frames = play(Settings(path=str(root / folder), takt_ms=0))
    assert len(frames) > 50
    assert {frame.fault for frame in frames} == {""}
    assert {frame.image.shape for frame in frames} == {shape}
    assert {frame.truth.defect for frame in frames if frame.truth is not None} == defects


def test_shuffled_images_are_all_played_in_the_same_order_every_time(tmp_path: Path) -> None:
    for number in range(12):
        save(tmp_path / f"{number}.png", number)

    def names(order: Order) -> list[str]:
        settings = Settings(path=str(tmp_path), takt_ms=0, order=order)
        return [frame.part for frame in play(settings)]

    in_order = [f"{number}.png" for number in range(12)]
    assert names(Order.SORTED) == in_order
    shuffled = names(Order.SHUFFLED)
    assert shuffled == names(Order.SHUFFLED)
    assert shuffled != in_order
    assert sorted(shuffled) == sorted(in_order)
