"""Bundles to join: a locator of green things, a look at each, and one that looks at the frame."""

from __future__ import annotations

from typing import Any

import msgspec

from edge_agent.camera.frame import Image
from edge_agent.inspection.spec import Classify, Detect, Input, Stage, Thresholds
from edge_agent.lighting import Baseline
from edge_agent.rollout.bundle import Bundle, Manifest, Sample
from tests.tiny import png, tiny_onnx, tiny_sample, tiny_stage, tiny_tflite
from tests.tiny_tasks import LABELS, VIEW, classifier, dark, detector, spot


def scene(level: int = 240, label: str = "green", x: float = 0.5) -> Image:
    """Draw a frame with one thing in it; an inspection scores its level."""
    image = dark()
    spot(image, label, x, 0.5, level=level)
    return image


def light() -> Baseline:
    """Learn the light of such frames."""
    return Baseline.learn([scene(level) for level in (200, 210, 220, 230, 240)])


def bundle(manifest: Manifest, files: dict[str, bytes]) -> Bundle:
    """Make a bundle as it would be read."""
    return Bundle(msgspec.structs.replace(manifest, card="card.md"), "d" * 64, {
        **files, "card.md": f"# {manifest.name} {manifest.version}\n\n## Figures\n".encode(),
    })  # fmt: skip


def locator(**changes: Any) -> Bundle:
    """Give a bundle that finds things: ng where there is a red one; four samples and a baseline."""
    frames = {
        "golden-1.png": scene(200), "golden-2.png": scene(220),
        "challenge-1.png": scene(240, "red"), "challenge-2.png": scene(250, "red"),
    }  # fmt: skip
    stage: dict[str, Any] = {
        "name": "detect",
        "task": Detect(labels=LABELS, defects=("red",), layout="yolo", confidence=0.5, overlap=0.1),
        "models": {"onnx": "model.onnx"},
        "input": VIEW,
        "thresholds": Thresholds(0.6, 0.7),
    }
    samples = tuple(
        Sample(file=name, kind="golden" if "gold" in name else "challenge", scores={"detect": 0.0},
               truth="" if "gold" in name else "red")
        for name in frames
    )  # fmt: skip
    manifest = Manifest(
        name="Green-Things", version="3", stages=(Stage(**(stage | changes)),), samples=samples,
        baseline="baseline.json", provenance={"tool": "by hand", "seed": "7"},
    )  # fmt: skip
    files = {name: png(image) for name, image in frames.items()}
    return bundle(manifest, {**files, "model.onnx": detector(), "baseline.json": light().encode()})


def looker(**changes: Any) -> Bundle:
    """Give a bundle that was made of pictures of things: its samples are such pictures."""
    stage: dict[str, Any] = {
        "models": {"onnx": "model.onnx", "litert": "model.tflite"},
        "input": Input(height=8, width=8),
        "thresholds": Thresholds(242.0, 250.0),
    }
    manifest = Manifest(
        name="things", version="1", stages=(tiny_stage(**(stage | changes)),), tolerance=0.2,
        samples=(tiny_sample("golden.png", 205.0), tiny_sample("challenge.png", 255.0)),
    )  # fmt: skip
    files = {"golden.png": png(scene(205)), "challenge.png": png(scene(255))}
    return bundle(manifest, {**files, "model.onnx": tiny_onnx(), "model.tflite": tiny_tflite()})


def sorter() -> Bundle:
    """Give a bundle that only sorts what it looks at, and decides nothing."""
    stage = tiny_stage(
        name="sort", task=Classify(labels=LABELS, activation="softmax"),
        models={"onnx": "model.onnx"}, input=VIEW, thresholds=None,
    )  # fmt: skip
    return bundle(
        Manifest(name="sorts", version="1", stages=(stage,)), {"model.onnx": classifier()}
    )
