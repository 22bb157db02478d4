"""A bundle of two stages, as a person sees it: through the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_agent.camera.frame import Image
from edge_agent.rollout.bundle import write_bundle
from tests.tiny import png
from tests.tiny_tasks import dark, spot, two_stage_files, two_stage_manifest

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pair") / "pair.bundle"
    write_bundle(path, two_stage_manifest(), two_stage_files())
    return path


def verb(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edge_agent.cli.agent", *map(str, arguments)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def part(level: int) -> Image:
    image = dark(200, 300)
    spot(image, "green", 0.3, 0.6, level=level)
    return image


def test_inspect_tells_what_each_stage_said(bundle: Path, tmp_path: Path) -> None:
    images = {"good": part(200), "bad": part(255), "none": dark(200, 300)}
    for name, image in images.items():
        (tmp_path / f"{name}.png").write_bytes(png(image))
    out = tmp_path / "out"
    done = verb(
        "inspect", tmp_path, "-b", bundle, "--light", "off", "--json", "-", "--overlay", out
    )
    assert done.returncode == 0, done.stderr
    lines: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    results = {Path(line["path"]).stem: line for line in lines}
    assert {name: each["verdict"] for name, each in results.items()} == {
        "good": "ok", "bad": "ng", "none": "invalid",
    }  # fmt: skip
    bad, none = results["bad"], results["none"]
    assert (bad["stage"], bad["score"], bad["threshold"]) == ("inspect", 255.0, 250.0)
    assert bad["scores"] == {"locate": 0.0, "inspect": 255.0}
    assert {each["stage"] for each in bad["findings"]} == {"locate", "inspect"}
    assert (none["score"], none["skipped"]) == (None, {"inspect": "locate found no green"})
    assert none["causes"][0]["kind"] == "no_part"
    drawn = cv2.imread(str(out / f"{tmp_path.name}_bad.png"))
    assert drawn is not None
    changed = np.abs(drawn[:200].astype(int) - images["bad"]).sum(axis=2) > 60
    columns = np.nonzero(changed)[1]
    assert columns.min() > 30
    assert columns.max() < 200  # only around the thing
    plain = verb("inspect", tmp_path / "none.png", "-b", bundle, "--light", "off")
    assert "no part in sight: locate found no green" in plain.stdout


def test_show_test_and_tune_go_stage_by_stage(bundle: Path, tmp_path: Path) -> None:
    shown = verb("bundle", "show", bundle).stdout
    for word in ("locate: detect", "labels          blue, green, red", "inspect: anomaly",
                 "none: it does not decide", "green that locate found"):  # fmt: skip
        assert word in shown, shown
    tested = verb("bundle", "test", bundle)
    assert tested.returncode == 0, tested.stderr
    assert "expected locate 0.000, inspect 240.000" in tested.stdout
    config = tmp_path / "agent.toml"
    config.write_text(
        f'state_dir = "{tmp_path}"\nruntime_dir = "{tmp_path}"\n'
        '[station.press.camera]\ndriver = "simulated"\n'
    )
    tuned = verb("bundle", "tune", bundle, "-c", config, "--seconds", 0, "--threads", 1, "--json")
    assert tuned.returncode == 0, tuned.stderr
    answer = json.loads(tuned.stdout)
    assert set(answer["stages"]) == {"locate", "inspect"}
    kept = json.loads(Path(answer["file"]).read_text())["tuned"][0]["stages"]
    for name, each in answer["stages"].items():
        assert all(trial["objection"] == "" for trial in each["trials"])
        assert kept[name]["choice"] == each["choice"]
    assert "stage locate: onnx" in tuned.stderr
