"""Pictures of what a bundle finds are what the next stage looks at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from calibration.joining.cutting import cut, locator_of
from edge_agent.camera.frame import Image
from edge_agent.errors import UsageError
from edge_agent.inspection.engines import EngineSettings
from edge_agent.inspection.pipeline import Pipeline
from edge_agent.inspection.seen import Inspection
from edge_agent.inspection.spec import Source
from edge_agent.inspection.tasks import Inspector
from edge_agent.rollout.bundle import Bundle, write_bundle
from edge_agent.rollout.loading import load_pipeline
from tests.tiny_tasks import locate_then_inspect, spot, two_stage_files, two_stage_manifest
from tests.unit.calibration.joining.pieces import locator, looker, scene


class Camera:
    """An inspector that keeps what it was shown."""

    engine = "none"

    def __init__(self) -> None:
        self.shown: list[Image] = []

    def inspect(self, image: Image) -> Inspection:
        self.shown.append(image.copy())
        return Inspection(0.0, None, 0, 0)

    def close(self) -> None:
        pass


def test_what_is_cut_is_what_the_next_stage_looks_at(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "pair.bundle", two_stage_manifest(), two_stage_files())
    pipeline = load_pipeline(bundle, "onnx", EngineSettings())
    image = scene(x=0.2)
    spot(image, "green", 0.8, 0.2)
    spot(image, "red", 0.8, 0.8)
    locate, inspect = locate_then_inspect(
        source=Source(stage="locate", labels=("green",), margin=0.3)
    )
    assert inspect.source is not None
    pieces = list(cut(pipeline, inspect.source, image))
    camera = Camera()
    first: Inspector = pipeline._stages[0][1]
    Pipeline([(locate, first), (inspect, camera)]).inspect(image)
    assert len(pieces) == len(camera.shown) > 1
    assert all(np.array_equal(one, other) for one, other in zip(pieces, camera.shown, strict=True))
    assert list(cut(pipeline, inspect.source, image * 0)) == []


def test_the_stage_that_finds_is_found(tmp_path: Path) -> None:
    assert locator_of(locator(), "", ()) == "detect"
    assert locator_of(locator(), "detect", ("green",)) == "detect"
    pair = Bundle(two_stage_manifest(), "", two_stage_files())
    assert locator_of(pair, "", ()) == "locate"
    with pytest.raises(UsageError, match="finds no boxes: give one with a detector"):
        locator_of(looker(), "", ())
    with pytest.raises(
        UsageError, match="--stage look: no stage of this name finds boxes: --stage"
    ):
        locator_of(locator(), "look", ())
    with pytest.raises(UsageError, match="--label screw: stage detect finds blue, green, red"):
        locator_of(locator(), "", ("screw",))
