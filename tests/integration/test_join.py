"""Locate, then inspect: two bundles become one, all by the command line, on photos of real screws.

The locator is the matched filter of test_screws.py, imported as any model; the second stage is
commissioned from pictures that the first one cut out.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import pytest

from edge_agent.camera.images import read_image
from edge_agent.inspection.engines import EngineSettings
from edge_agent.rollout.bundle import read_bundle, write_bundle
from edge_agent.rollout.loading import load_pipeline
from tests.integration.test_screws import _detector
from tests.tiny import png, tiny_files, tiny_manifest
from tests.tiny_tasks import dark, two_stage_files, two_stage_manifest

pytestmark = pytest.mark.processes


def verb(*arguments: object, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "edge_agent.cli.agent", *map(str, arguments)],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    return done


def _copy(files: list[Path], folder: Path) -> Path:
    folder.mkdir(parents=True)
    for file in files:
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def _scratch(files: list[Path], locator: Path, folder: Path) -> Path:
    """Paint over a screw's head in each frame."""
    pipeline = load_pipeline(read_bundle(locator), "auto", EngineSettings())
    folder.mkdir(parents=True)
    for file in files:
        image = read_image(file)
        box = pipeline.inspect(image).findings[0].box
        assert box is not None
        x0, y0, x1, y1 = box.pixels(image.shape)
        third = (x1 - x0) // 3
        cv2.line(image, (x0 + third, y0 + third), (x1 - third, y1 - third), (40, 40, 40), 18)
        cv2.imwrite(str(folder / f"{file.stem}.png"), image)
    pipeline.close()
    return folder


@pytest.mark.images
@pytest.mark.slow
def test_screws_are_located_and_each_is_inspected(images_dir: Path, tmp_path: Path) -> None:
    files = sorted((images_dir / "four_screws").glob("*.jpg"))
    whole = [file for file in files if file.stem.endswith("_1111")]
    lacking = [file for file in files if not file.stem.endswith("_1111")]
    known, fresh = whole[:18], whole[18:]
    good = _copy(known, tmp_path / "good")
    screws, heads, line = (tmp_path / f"{name}.bundle" for name in ("screws", "heads", "line"))
    (tmp_path / "screws.onnx").write_bytes(_detector())
    verb(
        "bundle", "import", tmp_path / "screws.onnx", "--out", screws, "--order", "BGR",
        "--labels", "screw", "--expect", "screw=4", "--confidence", 0.5, "--overlap", 0.05,
        "--fit", "letterbox", "--golden", good,
        "--challenge", _copy(lacking[:20], tmp_path / "lacking"),
    )  # fmt: skip
    cut = verb("bundle", "cut", screws, good, "--out", tmp_path / "heads", "--limit", 4)
    assert f"{len(list((tmp_path / 'heads').iterdir()))} pictures of 18 frames" in cut.stdout
    verb("commission", "--good", tmp_path / "heads", "--out", heads)
    scratched = _scratch(known[:6], screws, tmp_path / "bad" / "scratch")
    arguments = (
        "bundle", "join", f"locate={screws}", f"inspect={heads}", "--name", "line",
        "--source", "inspect=locate:screw", "--limit", "inspect=4", "--budget-ms", "inspect=400",
        "--good", good, "--ng", scratched.parent,
    )  # fmt: skip
    joined = verb(*arguments, "--out", line)
    assert "inspect: looks at screw that locate found, at most 4" in joined.stdout
    assert "4 golden and " in joined.stdout
    assert "challenge samples; light: the baseline of locate" in joined.stdout
    verb(*arguments, "--out", tmp_path / "again.bundle")
    assert (tmp_path / "again.bundle").read_bytes() == line.read_bytes()
    assert "self-test held on " in verb("bundle", "test", line).stdout
    shown = json.loads(verb("bundle", "show", line, "--json").stdout)
    caught = [each["scores"]["inspect"] for each in shown["samples"] if "scratch" in each["truth"]]
    assert len(caught) >= 2
    assert min(caught) >= shown["stages"][1]["thresholds"]["review"]
    assert shown["stages"][1]["budget_ms"] == 400.0
    assert "## inspect: heads 1" in shown["card"]
    results = _judge(line, [*fresh, *lacking[20:]], tmp_path)
    right = [(each["verdict"] == "ok") == Path(each["path"]).stem.endswith("_1111")
             for each in results]  # fmt: skip
    assert sum(right) >= 0.9 * len(right), (sum(right), len(right))


def _judge(bundle: Path, files: list[Path], folder: Path) -> list[dict[str, Any]]:
    verb("inspect", *files, "-b", bundle, "--light", "off", "--json", folder / "results.jsonl")
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def test_what_cannot_be_joined_is_one_line(tmp_path: Path) -> None:
    pair, tiny, out = (tmp_path / f"{name}.bundle" for name in ("pair", "tiny", "out"))
    write_bundle(pair, two_stage_manifest(), two_stage_files())
    write_bundle(tiny, tiny_manifest(), tiny_files())
    for arguments, text in (
        ((tiny,), "give two bundles or more to join"),
        ((pair, tiny, "--source", "tiny=lokate"), "there is no stage lokate: the stages are"),
        ((tiny, pair, "--source", "locate=tiny"), "tiny finds no boxes (anomaly)"),
        ((pair, tiny, "--when", "tiny=locate"), "give a bound, in quotes"),
        ((pair, tiny, "--name", "a b"), "--name a b: give letters"),
        ((pair, tiny, "--good", tmp_path / "none"), "none: no such folder"),
        ((pair, tmp_path / "no.bundle"), "no.bundle: cannot be read"),
        ((pair, f"x={tmp_path / 'no.bundle'}"), "no.bundle: cannot be read"),
        ((pair, tmp_path), "cannot be read"),
    ):
        done = verb("bundle", "join", *arguments, "--out", out, status=2)
        assert text in done.stderr
        assert "Traceback" not in done.stderr
        assert not out.exists()


def test_what_is_found_is_cut_out_and_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    pair, frames = tmp_path / "pair.bundle", tmp_path / "frames"
    files = two_stage_files()
    write_bundle(pair, two_stage_manifest(), files)
    (frames / "monday").mkdir(parents=True)
    (frames / "monday" / "one.png").write_bytes(files["golden.png"])
    (frames / "none.png").write_bytes(png(dark()))
    (frames / "torn.png").write_bytes(files["golden.png"][:60])
    done = verb("bundle", "cut", pair, frames, "--out", tmp_path / "out", "--margin", 0, status=1)
    pictures = sorted(file.name for file in (tmp_path / "out").iterdir())
    assert pictures[0] == "monday_one_1.png"
    count = len(pictures)
    assert f"{count} pictures of 2 frames; in 1 frames nothing was found" in done.stdout
    assert "torn.png" in done.stderr
    wrong = verb("bundle", "cut", pair, frames, "--out", tmp_path / "x", "--label", "nut", status=2)
    assert "--label nut: stage locate finds blue, green, red" in wrong.stderr
