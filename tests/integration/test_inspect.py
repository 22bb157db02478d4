"""`edge-agent inspect`: files and folders, good ones and bad ones."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_agent.rollout.bundle import Bundle, read_bundle
from tests.image_files import chunk, gif

INSPECT = [sys.executable, "-m", "edge_agent.cli.agent", "inspect"]


def _inspect(bundle: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*INSPECT, "--bundle", str(bundle), *arguments],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def _lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def bundle(simulated_bundle: Path) -> Bundle:
    return read_bundle(simulated_bundle)


@pytest.fixture
def parts(bundle: Bundle, tmp_path: Path) -> Path:
    """A folder with the bundle's own samples."""
    folder = tmp_path / "parts"
    folder.mkdir()
    for sample in bundle.manifest.samples:
        (folder / sample.file).write_bytes(bundle.files[sample.file])
    return folder


def test_one_json_object_a_line_and_a_summary(simulated_bundle: Path, parts: Path) -> None:
    done = _inspect(simulated_bundle, str(parts), "--json", "-")
    assert done.returncode == 0, done.stderr
    results = _lines(done.stdout)
    assert len(results) == 8
    for result in results:
        assert result.keys() >= {
            "path", "verdict", "score", "threshold", "latency_ms", "lighting",
        }  # fmt: skip
        golden = Path(result["path"]).name.startswith("golden")
        assert (result["verdict"] == "ok") == golden, result
        assert result["lighting"]["state"] in {"normal", "warning"}
        assert result["latency_ms"] > 0
    assert "8 images: 4 ok" in done.stderr.splitlines()[-1]


def test_overlays_show_where_the_defect_is(
    simulated_bundle: Path, parts: Path, tmp_path: Path
) -> None:
    out = tmp_path / "overlays"
    done = _inspect(simulated_bundle, str(parts), "--overlay", str(out))
    assert done.returncode == 0, done.stderr
    assert len(list(out.iterdir())) == 8
    for name, marked in (("parts_golden-1.png", False), ("parts_challenge-1.png", True)):
        picture = cv2.imread(str(out / name))
        assert picture is not None
        outline = np.all(picture[:470] == (50, 50, 220), axis=2)  # the colour of ng
        assert bool(outline.sum() > 20) == marked, name


def test_the_json_file_is_written(simulated_bundle: Path, parts: Path, tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    done = _inspect(simulated_bundle, str(parts / "golden-1.jpg"), "--json", str(file))
    assert done.returncode == 0, done.stderr
    assert [result["verdict"] for result in _lines(file.read_text())] == ["ok"]


def test_both_engines_agree(simulated_bundle: Path, parts: Path, bundle: Bundle) -> None:
    reach = bundle.manifest.tolerance * bundle.manifest.thresholds["anomaly"].ng
    by_engine = {
        engine: _lines(
            _inspect(simulated_bundle, str(parts), "--engine", engine, "--json", "-").stdout
        )
        for engine in ("onnx", "litert")
    }
    for one, other in zip(by_engine["onnx"], by_engine["litert"], strict=True):
        assert one["verdict"] == other["verdict"]
        assert abs(one["score"] - other["score"]) <= reach


def _huge_png(path: Path) -> None:
    """Write a PNG that says it has 100 megapixels."""

    rows = zlib.compress(b"\0" * 10_001 * 10_000, 9)
    head = struct.pack(">IIBBBBB", 10_000, 10_000, 8, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def test_each_bad_file_gives_a_verdict_or_one_line_and_the_run_goes_on(
    simulated_bundle: Path, parts: Path
) -> None:
    good = cv2.imread(str(parts / "golden-1.jpg"))
    assert good is not None
    jpeg = (parts / "golden-1.jpg").read_bytes()
    (parts / "truncated.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (parts / "empty.png").write_bytes(b"")
    (parts / "text.png").write_text("this is a text")
    _huge_png(parts / "huge.png")
    cv2.imwrite(str(parts / "deep.tiff"), good.astype(np.uint16) * 257)
    cv2.imwrite(str(parts / "grey.png"), cv2.cvtColor(good, cv2.COLOR_BGR2GRAY))
    cv2.imwrite(str(parts / "alpha.png"), cv2.cvtColor(good, cv2.COLOR_BGR2BGRA))
    (parts / "animated.gif").write_bytes(gif(2))
    done = _inspect(simulated_bundle, str(parts), "--json", "-")
    assert done.returncode == 1
    results = {Path(result["path"]).name: result for result in _lines(done.stdout)}
    assert len(results) == 16
    refused = {name for name, result in results.items() if result.get("error")}
    assert refused == {"truncated.jpg", "empty.png", "text.png", "huge.png"}
    for name in refused:
        assert results[name]["verdict"] == "invalid"
        lines = [line for line in done.stderr.splitlines() if name in line]
        assert len(lines) == 1, lines
    for name in ("deep.tiff", "alpha.png"):
        assert results[name]["verdict"] == "ok", results[name]
    for name in ("grey.png", "animated.gif"):
        assert results[name]["score"] is not None
    assert len(done.stderr.splitlines()) == len(refused) + 1  # and the summary


def test_what_cannot_work_is_said_in_one_line(simulated_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "not.bundle").write_bytes(b"PK not really")
    for bundle, path, words in (
        (simulated_bundle, tmp_path / "empty", "no image files"),
        (simulated_bundle, tmp_path / "nowhere", "nowhere"),
        (tmp_path / "not.bundle", tmp_path, "not a bundle"),
        (tmp_path / "gone.bundle", tmp_path, "gone.bundle"),
    ):
        done = _inspect(bundle, str(path))
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
        assert words in done.stderr
