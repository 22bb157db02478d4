"""Commissioning through the command line: from a folder of images to a bundle that decides."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_agent.inspection.engines import EngineSettings
from edge_agent.rollout.bundle import read_bundle
from edge_agent.rollout.selftest import self_test


def _commission(*arguments: str | Path | int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "calibration", "fit", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def _draw(folder: Path, parts: int, *, seed: int, spot_px: int = 0) -> Path:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for number in range(parts):
        image = np.full((120, 160, 3), 40, np.uint8)
        x, y = (np.array([80, 60]) + rng.integers(-1, 2, 2)).tolist()
        cv2.circle(image, (x, y), 45, [float(150 + rng.integers(-4, 5))] * 3, -1, cv2.LINE_AA)
        if spot_px:
            cv2.circle(image, (x - 28, y + 8), spot_px // 2, (60, 70, 90), -1, cv2.LINE_AA)
        image = np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), image)
    return folder


@pytest.mark.processes
def test_good_parts_become_a_bundle_with_a_report(tmp_path: Path) -> None:
    good = _draw(tmp_path / "gasket" / "good", 24, seed=1)
    (good / "torn.jpg").write_bytes(b"\xff\xd8\xff")
    bad = _draw(tmp_path / "gasket" / "bad", 10, seed=2, spot_px=16)
    out, report = tmp_path / "gasket.bundle", tmp_path / "report"
    options = ("--good", good, "--ng", bad, "--out", out, "--report", report, "--input", 96)
    done = _commission(*options, "--false-rejects", "5%")
    assert done.returncode == 0, done.stderr
    assert "torn.jpg" in done.stderr
    assert "gasket 1" in done.stdout
    caught = re.search(r"Of 10 bad parts (\d+)% come out ng", done.stdout)
    assert caught is not None
    assert int(caught[1]) >= 80
    assert "24 good parts, each by a fit without it" in done.stdout
    bundle = read_bundle(out)
    assert all(result.holds for result in self_test(bundle, "onnx", EngineSettings()))
    assert (report / "card.md").read_bytes() == bundle.files["card.md"]
    assert "data:image/jpeg" in (report / "report.html").read_text()


@pytest.mark.processes
def test_one_image_is_refused_in_one_line(tmp_path: Path) -> None:
    good = _draw(tmp_path / "good", 1, seed=1)
    done = _commission("--good", good, "--out", tmp_path / "x.bundle", "--name", "x")
    assert done.returncode == 2
    assert "1 good part: fitting needs at least 5" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "x.bundle").exists()


@pytest.mark.processes
@pytest.mark.images
@pytest.mark.slow
def test_castings_become_a_bundle_that_catches_bad_ones(tmp_path: Path, images_dir: Path) -> None:
    folder, out = images_dir / "casting", tmp_path / "casting.bundle"
    options = ("--good", folder / "train" / "good", "--test", folder / "test", "--out", out)
    done = _commission(*options, "--false-rejects", "1%")
    assert done.returncode == 0, done.stderr
    told = re.search(
        r"Of 160 bad parts (\d+)% come out ng .* AUROC (0\.\d+); of those (\d+) come out ng",
        done.stdout,
    )
    assert told is not None, done.stdout
    caught, area, rejected = int(told[1]), float(told[2]), int(told[3])
    assert caught >= 40
    assert area >= 0.96
    assert rejected <= 0.02 * 120
