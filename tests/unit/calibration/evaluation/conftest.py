"""A small set on the disk, and a tiny bundle that scores a picture by its brightest pixel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_agent.decision.verdict import Thresholds
from edge_agent.rollout.bundle import write_bundle
from tests.tiny import SIDE, picture, png, tiny_manifest, tiny_onnx

MakeBundle = Callable[..., Path]


@pytest.fixture
def make_bundle(tmp_path: Path) -> MakeBundle:
    """Write the tiny bundle: `review` from 100, `ng` from 200 unless told otherwise."""

    def make(version: str = "1", *, review: float = 100.0, ng: float = 200.0) -> Path:
        path = tmp_path / f"tiny-{version}.bundle"
        manifest = tiny_manifest(version, thresholds=Thresholds(review, ng))
        samples = {"golden.png": png(picture(20)), "challenge.png": png(picture(250))}
        write_bundle(path, manifest, {"model.onnx": tiny_onnx(), **samples})
        return path

    return make


@pytest.fixture
def image_set(tmp_path: Path) -> Path:
    """Write a set: four good parts (one too bright), three spots (one too dark), a scratch.

    Scores: good 20, 40, 60, 150; spot 250, 220, 50; scratch 210.
    """
    folder = tmp_path / "set"
    scores = {
        "good": {"a1": 20, "a2": 40, "b1": 60, "b2": 150},
        "spot": {"a3": 250, "a4": 220, "b3": 50},
        "scratch": {"b4": 210},
    }
    for kind, parts in scores.items():
        (folder / "test" / kind).mkdir(parents=True)
        for name, brightest in parts.items():
            data = png(picture(brightest))
            (folder / "test" / kind / f"{name}.png").write_bytes(data)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[2, 3] = 255
    (folder / "masks/spot").mkdir(parents=True)
    for name in ("a3", "a4", "b3"):
        (folder / f"masks/spot/{name}.png").write_bytes(png(mask))
    return folder
