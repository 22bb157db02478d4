"""One suite over all tasks: what `edge_agent.inspection.tasks` promises."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import numpy as np
import pytest

from edge_agent.camera.frame import Image
from edge_agent.camera.roi import Roi
from edge_agent.errors import EngineError
from edge_agent.inspection.engines import Engine, EngineSettings, Outputs, Pixels, load_engine
from edge_agent.inspection.seen import Box
from edge_agent.inspection.spec import Anomaly, Detect, Input, Segment, Task
from edge_agent.inspection.tasks import TASKS, Inspector, load_task
from tests.tiny import tiny_onnx
from tests.tiny_tasks import (
    CLASSIFY,
    DETECT,
    LABELS,
    SEGMENT,
    SHAPE,
    SIDE,
    VIEW,
    chooser,
    classifier,
    dark,
    detector,
    painter,
    scorer,
    spot,
)

replace = msgspec.structs.replace
CASES: dict[str, tuple[Task, Callable[[], bytes]]] = {
    "anomaly, map": (Anomaly(top=3), lambda: tiny_onnx(SHAPE)),
    "anomaly, score": (Anomaly(top=3), scorer),
    "classify": (CLASSIFY, classifier),
    "detect, yolo": (DETECT, detector),
    "detect, end2end": (replace(DETECT, layout="end2end"), chooser),
    "segment, semantic": (SEGMENT, painter),
    "segment, classes last": (SEGMENT, lambda: painter(classes_last=True)),
    "segment, yolo": (
        Segment(labels=LABELS, defects=("red",), layout="yolo"),
        lambda: detector(masks=True),
    ),
}
pytestmark = pytest.mark.parametrize("case", CASES)


class Spoiled:
    """An engine whose outputs are spoiled on the way."""

    def __init__(self, engine: Engine, spoil: Callable[[Any], Any]) -> None:
        self._engine = engine
        self._spoil = spoil
        self.name = engine.name
        self.input_shape = engine.input_shape

    def run(self, pixels: Pixels) -> Outputs:
        return {name: self._spoil(values) for name, values in self._engine.run(pixels).items()}

    def close(self) -> None:
        self._engine.close()


def _instead(other: Any, _values: Any) -> Any:
    return other


def engine_of(case: str) -> Engine:
    return load_engine("onnx", CASES[case][1](), EngineSettings())


def make(case: str, spec: Input = VIEW) -> Inspector:
    return load_task(engine_of(case), spec, CASES[case][0])


def good(height: int = 64, width: int = 64) -> Image:
    image = dark(height, width)
    spot(image, "green", 0.5, 0.5, level=120)
    return image


def bad(height: int = 64, width: int = 64, x: float = 0.5, y: float = 0.5) -> Image:
    image = dark(height, width)
    spot(image, "red", x, y, size=0.4)
    return image


def test_every_task_is_held_to_this(case: str) -> None:
    assert type(CASES[case][0]) in TASKS
    assert {type(task) for task, _ in CASES.values()} == set(TASKS)


def test_higher_is_worse_and_never_below_0(case: str) -> None:
    inspector = make(case)
    assert 0.0 <= inspector.inspect(good()).score < inspector.inspect(bad()).score


@pytest.mark.parametrize("fit", ["stretch", "letterbox", "crop"])
@pytest.mark.parametrize(("height", "width"), [(64, 64), (40, 90), (90, 40), (5, 3)])
def test_boxes_and_regions_lie_in_the_image_and_where_the_thing_is(
    case: str, fit: Any, height: int, width: int
) -> None:
    spec = Input(height=SIDE, width=SIDE, fit=fit, roi=Roi(0.1, 0.1, 0.8, 0.8))
    seen = make(case, spec).inspect(bad(height, width))
    boxes = [each.box for each in seen.findings if each.box is not None]
    for box in (*boxes, seen.region):
        assert min(box.x, box.y, box.width, box.height) >= -1e-9
        assert max(box.x + box.width, box.y + box.height) <= 1.0 + 1e-9
    if seen.map is not None:
        row, column = np.unravel_index(seen.map.argmax(), seen.map.shape)
        rows, columns = seen.map.shape
        x = seen.region.x + (column + 0.5) / columns * seen.region.width
        y = seen.region.y + (row + 0.5) / rows * seen.region.height
        slack = 0.1 + 1.0 / min(height, width)
        assert 0.3 - slack < x < 0.7 + slack
        assert 0.3 - slack < y < 0.7 + slack
    if isinstance(CASES[case][0], Detect | Segment) and boxes:
        assert any(box.x < 0.5 < box.x + box.width for box in boxes)


@pytest.mark.parametrize("spoiled", [math.nan, math.inf])
def test_what_is_no_number_makes_the_score_none(case: str, spoiled: float) -> None:
    task = CASES[case][0]

    def spoil(values: Any) -> Any:
        changed = values.copy()
        changed[...] = spoiled
        return changed

    inspector = load_task(Spoiled(engine_of(case), spoil), VIEW, task)
    assert not math.isfinite(inspector.inspect(bad()).score)


def test_outputs_that_do_not_fit_are_refused_with_the_reason(case: str) -> None:
    task = CASES[case][0]
    for shape in ((1, 5, 5, 5, 5), (0,)):
        other = np.zeros(shape, np.float32)
        inspector = load_task(Spoiled(engine_of(case), partial(_instead, other)), VIEW, task)
        with pytest.raises(EngineError, match="output"):
            inspector.inspect(bad())


def test_labels_of_another_number_are_refused(case: str) -> None:
    task = CASES[case][0]
    if isinstance(task, Anomaly):
        assert not hasattr(task, "labels")
        return
    if getattr(task, "layout", "") == "end2end":
        more = replace(task, labels=("green", "red"))
        with pytest.raises(EngineError, match="found class 2, and its manifest names 2 labels"):
            load_task(engine_of(case), VIEW, more).inspect(bad())
        return
    more = replace(task, labels=(*LABELS, "white"))
    with pytest.raises(EngineError, match="label"):
        load_task(engine_of(case), VIEW, more).inspect(bad())


def test_the_image_is_neither_changed_nor_kept(case: str) -> None:
    inspector = make(case)
    image = bad()
    before = image.copy()
    first = inspector.inspect(image)
    np.testing.assert_array_equal(image, before)
    kept = None if first.map is None else first.map.copy()
    image[:] = 0
    inspector.inspect(good())
    assert first.score == make(case).inspect(before).score
    if kept is not None:
        np.testing.assert_array_equal(first.map, kept)


def test_a_view_and_a_grey_image_are_fine(case: str) -> None:
    inspector = make(case)
    large = np.zeros((200, 200, 3), np.uint8)
    large[50:114, 30:94] = bad()
    view = large[50:114, 30:94]
    assert not view.flags.c_contiguous
    assert inspector.inspect(view).score == inspector.inspect(bad()).score
    grey = np.full((64, 64), 200, np.uint8)
    assert inspector.inspect(grey).score == inspector.inspect(np.dstack([grey] * 3)).score


def test_times_are_measured_and_close_reaches_the_engine(case: str) -> None:
    inspector = make(case)
    seen = inspector.inspect(bad())
    assert seen.preprocess_ns > 0
    assert seen.inference_ns > 0
    assert inspector.engine == "onnx"
    inspector.close()
    with pytest.raises((EngineError, AttributeError)):
        inspector.inspect(bad())


def test_a_model_of_another_size_is_refused(case: str) -> None:
    with pytest.raises(EngineError, match="the bundle was put together wrongly"):
        make(case, Input(height=SIDE, width=2 * SIDE))


def test_findings_and_confidences_agree(case: str) -> None:
    seen = make(case).inspect(bad())
    for finding in seen.findings:
        assert finding.confidence <= seen.confidences[finding.label]
        assert 0.0 < finding.confidence <= 1.0
    ordered = [finding.confidence for finding in seen.findings]
    assert ordered == sorted(ordered, reverse=True)
    assert all(isinstance(finding.box, Box | None) for finding in seen.findings)
