"""`edge-agent evaluate`, through its command line: the simulated line, and real images."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import pytest

from calibration import commission, frames
from edge_agent.camera.drivers.simulated import Settings
from edge_agent.inspection.spec import Input

_EVALUATE = [sys.executable, "-m", "edge_agent.cli.agent", "evaluate"]
_SHARES = (
    "auroc", "average_precision", "false_rejects_at_zero_escapes",
)  # fmt: skip


def _evaluate(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*_EVALUATE, *arguments],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def simulated_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write parts of the simulated line as a set, with a disc around each defect as its mask."""
    folder = tmp_path_factory.mktemp("simulated")
    settings = Settings(takt_ms=0, seed=91, parts=60, defect_rate=0.5, defect_size_px_min=16.0)
    for number, frame in enumerate(frames.simulated_parts(settings)):
        assert frame.truth is not None
        kind = frame.truth.defect or "good"
        file = folder / "test" / kind / f"{number:03}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), frame.image)
        if frame.truth.defect:
            mask = frame.image[:, :, 0] * 0
            centre = (round(frame.truth.x), round(frame.truth.y))
            cv2.circle(mask, centre, max(2, round(frame.truth.size_px / 2)), 255, -1)
            (folder / "masks" / kind).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / "masks" / kind / file.name), mask)
    return folder


def _check_estimates(found: dict[str, Any]) -> None:
    estimates = [found[name] for name in _SHARES] + list(found["recall_at_fpr"].values())
    estimates += [found[name] for name in ("pixel_auroc", "aupro") if found[name]]
    for value, low, high in estimates:
        assert 0.0 <= low <= value <= high <= 1.0


def test_the_reference_bundle_on_the_simulated_line(
    simulated_bundle: Path, simulated_set: Path, tmp_path: Path
) -> None:
    page, figures = tmp_path / "page.html", tmp_path / "figures.json"
    done = _evaluate(
        str(simulated_bundle), str(simulated_set), "--by", "folder", "--json", str(figures),
        "--page", str(page), "--overlays", str(tmp_path / "overlays"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "image AUROC" in done.stdout
    assert "60 images in" in done.stderr
    found = json.loads(figures.read_text())
    _check_estimates(found)
    assert found["auroc"][0] > 0.97
    assert found["pixel_auroc"][0] > 0.9
    assert found["recall_at_fpr"].keys() == {"0.005", "0.01", "0.05"}
    assert found["images"]["light_watched"]
    assert len(found["slices"]) == len(found["kinds"]) > 1
    assert page.read_text().startswith("<!doctype html>")


def test_json_on_standard_output_stands_alone_and_repeats(
    simulated_bundle: Path, simulated_set: Path
) -> None:
    arguments = (str(simulated_bundle), str(simulated_set), "--json", "-", "--seed", "3")
    first, second = (_evaluate(*arguments) for _ in range(2))
    assert first.returncode == 0, first.stderr
    one, two = (json.loads(done.stdout) for done in (first, second))
    for found in (one, two):
        assert found["bundle"].pop("per_part_ms") > 0
    assert one == two
    assert one["settings"]["seed"] == 3
    assert "image AUROC" in first.stderr


def test_a_bundle_against_itself(simulated_bundle: Path, simulated_set: Path) -> None:
    bundle = str(simulated_bundle)
    done = _evaluate(bundle, str(simulated_set), "--compare", bundle, "--json", "-")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["comparison"]["differences"]["auroc"] == [0.0, 0.0, 0.0]
    assert found["comparison"]["differences"]["aupro"] == [0.0, 0.0, 0.0]
    assert found["comparison"]["verdicts"]["p"] == 1.0
    assert found["second"]["auroc"] == found["auroc"]


def test_an_unreadable_file_is_named_and_the_status_says_so(
    simulated_bundle: Path, simulated_set: Path, tmp_path: Path
) -> None:
    for kind in ("good", "bad"):
        (tmp_path / kind).mkdir()
    sources = sorted((simulated_set / "test").glob("*/*.png"))
    good = next(file for file in sources if file.parent.name == "good")
    bad = next(file for file in sources if file.parent.name != "good")
    (tmp_path / "good/1.png").write_bytes(good.read_bytes())
    (tmp_path / "bad/2.png").write_bytes(bad.read_bytes())
    (tmp_path / "bad/3.png").write_bytes(bad.read_bytes()[:500])
    (tmp_path / "empty").mkdir()
    done = _evaluate(str(simulated_bundle), str(tmp_path), "--json", "-")
    assert done.returncode == 1, done.stderr
    assert "3.png" in done.stderr
    assert "empty: holds no images" in done.stderr
    found = json.loads(done.stdout)
    assert [Path(each["path"]).name for each in found["images"]["left_out"]] == ["3.png"]
    assert found["pixel_auroc"] is None


def test_parts_in_bad_light_are_invalid_and_told_apart(
    simulated_bundle: Path, simulated_set: Path, tmp_path: Path
) -> None:
    for file in sorted((simulated_set / "test").glob("*/*.png"))[:30]:
        kind = "good" if file.parent.name == "good" else "bad"
        (tmp_path / kind).mkdir(exist_ok=True)
        image = cv2.imread(str(file))
        assert image is not None
        cv2.imwrite(str(tmp_path / kind / file.name), image // 2)
    arguments = (str(simulated_bundle), str(tmp_path), "--json", "-")
    watched, unwatched = (
        json.loads(_evaluate(*arguments, *more).stdout) for more in ((), ("--light", "off"))
    )
    assert watched["invalid"] == {"brightness": 30}
    assert watched["overall"]["escapes"][0] == 0.0  # invalid is never counted ok
    assert unwatched["invalid"] == {}
    assert watched["auroc"] == unwatched["auroc"]


def test_what_is_no_set_is_one_line(simulated_bundle: Path, tmp_path: Path) -> None:
    done = _evaluate(str(simulated_bundle), str(tmp_path))
    assert done.returncode == 2
    assert "the folder is empty" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.images
def test_real_tiles_by_their_light(images_dir: Path, tmp_path: Path) -> None:
    plan = commission.Plan(name="tiles", input=Input(height=192, width=192))
    files = frames.good_files(images_dir / "mtd/train/good", limit=80)
    lot = commission.collect(frames.read_good(files), plan)
    bundle = tmp_path / "tiles.bundle"
    commission.pack(bundle, plan, lot, commission.fit(plan, lot))
    done = _evaluate(str(bundle), str(images_dir / "mtd"), "--by", "exposure", "--json", "-")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    _check_estimates(found)
    assert found["auroc"][0] > 0.7
    assert found["aupro"][0] > 0.5
    assert found["images"]["with_masks"] > 150
    assert {each["name"] for each in found["slices"]} >= {"1", "2", "3", "4", "5", "6"}
