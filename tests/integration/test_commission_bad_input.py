"""What commissioning is given wrong is answered in one line, and nothing half written is left."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from calibration import lot
from calibration.__main__ import app
from calibration.commission import Plan
from edge_agent.camera.frame import Image
from edge_agent.cli.errors import EXIT_FAILURE, run_app
from edge_agent.inspection.spec import Input
from edge_agent.rollout.bundle import read_bundle

Refused = Callable[..., str]


def _part(seed: int, *, wide: int = 96, high: int = 64) -> Image:
    rng = np.random.default_rng([3, seed])
    image = np.full((high, wide, 3), 40, np.uint8)
    shade = [float(150 + rng.integers(-4, 5))] * 3
    cv2.circle(image, (wide // 2, high // 2), high // 3, shade, -1, cv2.LINE_AA)
    return np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)


def _write(folder: Path, images: list[Image]) -> Path:
    folder.mkdir(parents=True)
    for number, image in enumerate(images):
        cv2.imwrite(str(folder / f"{number}.png"), image)
    return folder


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return _write(tmp_path / "good", [_part(seed) for seed in range(6)])


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out" / "x.bundle"


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path | int) -> int:
    monkeypatch.setattr(sys, "argv", ["edge-agent", "fit", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        run_app(app)
    return int(ended.value.code or 0)


@pytest.fixture
def refused(
    tmp_path: Path,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Refused:
    """Give what commissions with options, and returns the one line with which that is refused."""

    def run(*options: str | Path | int) -> str:
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
        given = options if "--out" in options else (*options, "--out", out)
        assert _run(monkeypatch, *given) == EXIT_FAILURE
        said = capsys.readouterr()
        lines = [line for line in said.err.splitlines() if "Good parts" not in line]
        assert len(lines) == 1, said.err
        assert said.out == ""
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
        return lines[0].removeprefix("edge-agent: ")

    return run


# --- where good parts come from ------------------------------------------------------------------


def test_one_of_good_and_live_is_asked_for(refused: Refused, good: Path) -> None:
    rule = "give --good DIR or --live STATION, one of the two"
    assert refused() == f"{rule}: neither is given"
    assert refused("--good", good, "--live", "line1") == f"{rule}: both are given"
    assert refused("--good", good, "--keep", "x") == "--keep goes with --live, not with --good"


def test_no_such_folder_and_one_without_images(refused: Refused, tmp_path: Path) -> None:
    nowhere, empty = tmp_path / "nowhere", tmp_path / "empty"
    empty.mkdir()
    (empty / "notes.txt").touch()
    assert refused("--good", nowhere) == f"{nowhere}: no such folder"
    assert refused("--good", empty) == f"{empty}: holds no images of good parts"
    file = empty / "notes.txt"
    assert refused("--good", file) == f"{file}: no such folder"


def test_one_image(refused: Refused, tmp_path: Path) -> None:
    folder = _write(tmp_path / "one", [_part(1)])
    needed = "fitting needs at least 5, better 50 to 300"
    assert refused("--good", folder) == f"{folder}: 1 good part: {needed}"


def test_only_unreadable_files(refused: Refused, tmp_path: Path) -> None:
    folder = tmp_path / "torn"
    folder.mkdir()
    for number in range(6):
        (folder / f"{number}.png").write_bytes(b"\x89PNG\r\n")
    said = refused("--good", folder)
    assert said.startswith(f"{folder}: 0 good parts: fitting needs at least 5")
    assert "left out:" in said
    assert f"{folder / '0.png'}" in said


def test_the_same_image_again_and_again(refused: Refused, tmp_path: Path) -> None:
    same = tmp_path / "same"
    _write(same, [_part(1)])
    for number in range(1, 7):
        shutil.copy(same / "0.png", same / f"{number}.png")
    rule = "only 1 of them differ, the others are all the same image: take one picture each"
    assert f"7 images of good parts, but {rule}" in refused("--good", same)
    repacked = tmp_path / "repacked"
    repacked.mkdir()
    for number in range(6):
        flags = [cv2.IMWRITE_PNG_COMPRESSION, number]
        cv2.imwrite(str(repacked / f"{number}.png"), _part(1), flags)
    cv2.imwrite(str(repacked / "6.bmp"), _part(1))
    assert len({file.read_bytes() for file in repacked.iterdir()}) == 7
    assert f"7 images of good parts, but {rule}" in refused("--good", repacked)


def test_unreadable_files_mixed_sizes_and_mixed_colours_are_told_and_fitted(
    good: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (good / "torn.png").write_bytes(b"\x89PNG\r\n")
    cv2.imwrite(str(good / "large.png"), _part(11, wide=192, high=128))
    cv2.imwrite(str(good / "grey.png"), _part(12)[:, :, 0])
    report = out.parent / "report"
    report.mkdir(parents=True)
    (report / "mine.txt").write_text("mine")
    (report / "report.html").write_text("of last week")
    options = ("--good", good, "--out", out, "--input", 64, "--report", report, "--name", "x")
    assert _run(monkeypatch, *options) == 0
    told = capsys.readouterr().err
    assert "left out, cannot be read" in told
    assert "torn.png" in told
    assert "the images have 2 sizes (96x64: 7, 192x128: 1)" in told
    assert "1 of 8 images are grey, the others in colour" in told
    assert read_bundle(out).manifest.name == "x"
    assert sorted(file.name for file in report.iterdir()) == ["card.md", "mine.txt", "report.html"]
    assert (report / "mine.txt").read_text() == "mine"
    assert "of last week" not in (report / "report.html").read_text()


def test_a_name_or_a_version_that_no_bundle_can_have(refused: Refused, good: Path) -> None:
    assert refused("--good", good, "--name", "a b").startswith("--name a b: use letters, digits")
    assert refused("--good", good, "--version", "1/2").startswith("--version 1/2: use letters")


# --- a lot of which many are not good ------------------------------------------------------------


def _lot(tmp_path: Path, images: Path, *, bad: int) -> str:
    folder = tmp_path / f"lot-{bad}"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for source, count in (("train/good", 60 - bad), ("test/defect", bad)):
        files = sorted((images / "casting" / source).iterdir())
        for place in rng.permutation(len(files))[:count]:
            (folder / files[place].name).symlink_to(files[place])
    plan = Plan(name="lot", input=Input(height=256, width=256))
    return "\n".join(lot.read_lot(folder, plan, iter).notes)


@pytest.mark.images
def test_a_lot_half_of_defects_is_told_from_one_of_good_parts(
    tmp_path: Path, images_dir: Path
) -> None:
    warning = "as if a good share of them were not good"
    assert warning in _lot(tmp_path, images_dir, bad=30)
    assert warning not in _lot(tmp_path, images_dir, bad=0)


# --- bad parts, and what is looked at ------------------------------------------------------------


def test_bad_parts_that_are_not_there(refused: Refused, good: Path, tmp_path: Path) -> None:
    empty = tmp_path / "ng"
    empty.mkdir()
    assert refused("--good", good, "--ng", empty) == f"{empty}: holds no images of bad parts"
    nowhere = tmp_path / "nowhere"
    assert refused("--good", good, "--ng", nowhere) == f"{nowhere}: no such folder"
    said = refused("--good", good, "--test", empty)
    assert said == f"{empty}: a test folder holds good/ and one folder of images for each defect"
    (empty / "a.png").write_bytes(b"no image")
    said = refused("--good", good, "--ng", empty)
    assert said.startswith(f"--ng {empty}: none of 1 images can be read; the first: {empty}")
    shutil.copytree(good, tmp_path / "test" / "good")
    shutil.copytree(empty, tmp_path / "test" / "dent")
    said = refused("--good", good, "--test", tmp_path / "test")
    assert said.startswith(f"--test {tmp_path / 'test'}: none of 1 images can be read; the first")


@pytest.mark.parametrize(
    ("roi", "says"),
    [
        ("0.5,0,0.6,1", "reaches beyond the frame"),
        ("0,0,0,1", "must be above 0"),
        ("-0.1,0,0.5,1", "x or y below 0"),
        ("nan,0,0.5,1", "reaches beyond the frame"),
        ("10,10,200,100", "in shares of the frame"),
        ("middle", "give x,y,width,height"),
    ],
)
def test_a_region_outside_the_frame(refused: Refused, good: Path, roi: str, says: str) -> None:
    said = refused("--good", good, f"--roi={roi}")
    assert said.startswith(f"--roi {roi}: give x,y,width,height in shares of the frame")
    assert says in said


def test_a_mask_that_does_not_fit(refused: Refused, good: Path, tmp_path: Path) -> None:
    mask = tmp_path / "mask.png"
    cv2.imwrite(str(mask), np.full((64, 64), 255, np.uint8))
    said = refused("--good", good, "--mask", mask)
    wanted = "64x64 is not the shape of the images, 96x64: draw it over one of them"
    assert said == f"--mask {mask}: {wanted}"
    cv2.imwrite(str(mask), np.zeros((64, 96), np.uint8))
    said = refused("--good", good, "--mask", mask)
    assert said == f"--mask {mask}: nothing in it is white: there is nothing to look at"
    mask.write_bytes(b"no image")
    assert refused("--good", good, "--mask", mask).startswith(f"{mask}: not an image")
    assert "no such file" in refused("--good", good, "--mask", tmp_path / "none.png").lower()


@pytest.mark.parametrize("size", ["100", "32x4096", "0", "-256", "256x256x3", "2048", "big"])
def test_an_input_that_no_model_has(refused: Refused, good: Path, size: str) -> None:
    said = refused("--good", good, f"--input={size}")
    assert said.startswith(f"--input {size}: give ")


# --- where things are written --------------------------------------------------------------------


def test_a_place_that_cannot_be_written_to(refused: Refused, good: Path, tmp_path: Path) -> None:
    said = refused("--good", good, "--out", "/proc/x.bundle")  # of which even root is refused
    assert said.startswith("--out /proc/x.bundle: /proc cannot be written to: ")
    assert said.endswith("choose another place")
    said = refused("--good", good, "--out", good)
    assert said == f"--out {good}: is a folder: give the name of a file"
    file = good / "0.png"
    said = refused("--good", good, "--out", file / "x.bundle")
    assert (
        said == f"--out {file / 'x.bundle'}: {file} is a file, not a folder: choose another place"
    )
    said = refused("--good", good, "--report", file)
    assert said == f"--report {file}: {file} is a file, not a folder: choose another place"
    assert refused("--good", good, "--report", "/proc/r").startswith("--report /proc/r: /proc ")


def test_the_bundle_of_before_stays_when_nothing_can_be_fitted(
    refused: Refused, tmp_path: Path
) -> None:
    out = tmp_path / "old.bundle"
    out.write_bytes(b"the bundle of before")
    folder = _write(tmp_path / "one", [_part(1)])
    assert "1 good part" in refused("--good", folder, "--out", out)
    assert out.read_bytes() == b"the bundle of before"
