"""The stages of a bundle, run in order: the invariants of `edge_agent.inspection.pipeline`."""

from __future__ import annotations

import math
import time
from typing import Any

import msgspec
import numpy as np
import pytest

from edge_agent.camera.frame import Image
from edge_agent.errors import EngineError
from edge_agent.inspection.engines import EngineSettings, load_engine
from edge_agent.inspection.pipeline import Pipeline, overran
from edge_agent.inspection.seen import WHOLE, Inspection, Skip
from edge_agent.inspection.spec import Detect, Source, Stage, When
from edge_agent.inspection.tasks import Inspector, load_task
from tests.tiny import tiny_onnx, tiny_stage
from tests.tiny_tasks import (
    CLASSIFY,
    VIEW,
    classifier,
    dark,
    detector,
    locate_then_inspect,
    spot,
)

replace = msgspec.structs.replace
LOCATE, INSPECT = locate_then_inspect()
SORT = Stage(
    name="sort",
    task=CLASSIFY,
    models={"onnx": "sort.onnx"},
    input=VIEW,
    source=Source(stage="locate", margin=0.0),
)
MODELS = {"locate": detector(), "inspect": tiny_onnx(), "sort": classifier()}


class Given:
    """An inspector that answers with what it was given, after a while, or fails."""

    engine = "given"

    def __init__(self, *scores: float, fails: str = "", wait_s: float = 0.0) -> None:
        self.scores = list(scores)
        self.fails = fails
        self.wait_s = wait_s
        self.shapes: list[tuple[int, ...]] = []

    def inspect(self, image: Image) -> Inspection:
        if self.fails:
            raise EngineError(self.fails)
        time.sleep(self.wait_s)
        self.shapes.append(image.shape)
        return Inspection(self.scores.pop(0), np.ones((2, 2), np.float32), 1000, 2000)

    def close(self) -> None:
        self.fails = "closed"


def real(stage: Stage) -> tuple[Stage, Inspector]:
    engine = load_engine("onnx", MODELS[stage.name], EngineSettings())
    return stage, load_task(engine, stage.input, stage.task)


def two_things() -> Image:
    image = dark(100, 200)
    spot(image, "green", 0.25, 0.5, size=0.2, level=220)
    spot(image, "red", 0.75, 0.5, size=0.2)
    return image


# --- where stages look ---------------------------------------------------------------------------


def test_what_one_finds_the_next_looks_at() -> None:
    seen = Pipeline([real(LOCATE), real(INSPECT)]).inspect(two_things())
    assert (seen.stop, seen.skipped) == (None, {})
    assert seen.scores == {"locate": 0.0, "inspect": 220.0}  # the red thing is 240, and not asked
    (inspected,) = [each for each in seen.findings if each.stage == "inspect"]
    assert (inspected.label, inspected.score) == ("green", 220.0)
    assert inspected.box is not None
    assert 0.0 <= inspected.box.x < 0.25 < inspected.box.x + inspected.box.width < 0.5


def test_maps_and_boxes_are_in_shares_of_the_frame() -> None:
    seen = Pipeline([real(LOCATE), real(INSPECT)]).inspect(two_things())
    (placed,) = seen.stages[1].maps
    assert placed.map.shape == (8, 8)
    centre = placed.region.x + placed.region.width / 2, placed.region.y + placed.region.height / 2
    assert centre == pytest.approx((0.25, 0.5), abs=0.1)
    alone = Pipeline([real(tiny_stage(name="inspect"))]).inspect(two_things())
    assert alone.stages[0].maps[0].region == WHOLE


def test_of_several_boxes_the_worst_counts_and_each_is_told() -> None:
    looker = Given(1.0, 7.0, 3.0, 2.0)
    source = Source(stage="locate", limit=4)
    pipeline = Pipeline([real(LOCATE), (replace(INSPECT, source=source), looker)])
    seen = pipeline.inspect(two_things())
    told = [each.score for each in seen.findings if each.stage == "inspect"]
    assert sorted(told) == sorted([1.0, 7.0, 3.0, 2.0][: len(told)])
    assert seen.scores["inspect"] == max(told) == 7.0
    assert len(looker.shapes) == len(told) >= 2
    assert seen.stages[1].preprocess_ns == len(told) * 1000
    assert seen.inference_ns > len(told) * 2000


def test_detect_then_classify_each() -> None:
    seen = Pipeline([real(LOCATE), real(SORT)]).inspect(two_things())
    sorted_things = {each.label: each for each in seen.findings if each.stage == "sort"}
    assert set(sorted_things) == {"green", "red"}
    green, red = (sorted_things[name] for name in ("green", "red"))
    assert green.box is not None
    assert red.box is not None
    assert green.box.x < 0.5 < red.box.x
    assert green.confidence > 0.5 > green.score
    assert red.score > 0.5
    assert seen.scores["sort"] == red.score
    assert seen.stages[1].confidences["red"] == red.confidence


def test_a_score_that_is_no_number_at_one_box_is_not_hidden_by_the_others() -> None:
    for scores in ([math.nan, 1.0], [1.0, math.nan]):
        pipeline = Pipeline([real(LOCATE), (replace(SORT, name="x"), Given(*scores, *[1.0] * 20))])
        assert math.isnan(pipeline.inspect(two_things()).scores["x"])


def test_a_detector_that_found_nothing_at_a_box_gives_no_box_to_the_next() -> None:
    task = Detect(labels=("nut",), expected={"nut": 1}, layout="yolo")
    second = replace(SORT, name="second", task=task)

    class Nothing(Given):
        def inspect(self, image: Image) -> Inspection:
            assert image.size
            return Inspection(1.0, None, 0, 0)

    third = tiny_stage(name="third", source=Source(stage="second"))
    pipeline = Pipeline([real(LOCATE), (second, Nothing()), (third, Given())])
    seen = pipeline.inspect(two_things())
    assert seen.skipped == {"third": Skip("no_box", "second found nothing")}
    told = [each for each in seen.findings if each.stage == "second"]
    assert len(told) == len([each for each in seen.findings if each.stage == "locate"])
    assert {(each.label, each.score) for each in told} == {("", 1.0)}


# --- what is left out ----------------------------------------------------------------------------


def test_without_a_box_a_stage_does_not_look_and_says_so() -> None:
    seen = Pipeline([real(LOCATE), real(INSPECT)]).inspect(dark())
    assert list(seen.scores) == ["locate"]
    assert seen.skipped == {"inspect": Skip("no_box", "locate found no green")}


def test_a_rule_leaves_a_stage_out_and_says_so() -> None:
    ruled = tiny_stage(name="second", when=When(stage="first", at_least=0.5))
    pipeline = Pipeline([(tiny_stage(name="first"), Given(0.2, 0.6)), (ruled, Given(3.0))])
    left_out, asked = pipeline.inspect(dark()), pipeline.inspect(dark())
    assert left_out.skipped == {"second": Skip("rule", "first is 0.2, not 0.5 or more")}
    assert left_out.scores == {"first": 0.2}
    assert (asked.skipped, asked.scores) == ({}, {"first": 0.6, "second": 3.0})


def test_a_part_ends_with_the_first_stage_that_fails_and_keeps_what_was_seen() -> None:
    last = Given(1.0)
    pipeline = Pipeline(
        [
            (tiny_stage(name="first"), Given(0.2)),
            (tiny_stage(name="second"), Given(fails="engine x: broken")),
            (tiny_stage(name="third"), last),
        ]
    )
    seen = pipeline.inspect(dark())
    assert seen.scores == {"first": 0.2}
    assert seen.stop is not None
    assert (seen.stop.kind, seen.stop.stage, seen.stop.text) == (
        "engine",
        "second",
        "stage second: engine x: broken",
    )
    assert last.shapes == []


# --- time ----------------------------------------------------------------------------------------


def test_a_stage_whose_budget_no_longer_fits_is_not_begun() -> None:
    second = Given(1.0, 1.0)
    stages: list[tuple[Stage, Any]] = [
        (tiny_stage(name="first"), Given(0.2, 0.2, 0.2)),
        (tiny_stage(name="second", budget_ms=50.0), second),
    ]
    pipeline = Pipeline(stages)
    late = pipeline.inspect(dark(), until_ns=time.monotonic_ns() + 40_000_000)
    assert late.stop is not None
    assert (late.stop.kind, late.stop.stage) == ("late", "second")
    assert late.stop.text.startswith("stage second needs 50 ms; ")
    assert late.scores == {"first": 0.2}
    in_time = pipeline.inspect(dark(), until_ns=time.monotonic_ns() + 10_000_000_000)
    assert in_time.stop is None
    assert pipeline.inspect(dark()).stop is None


def test_a_stage_that_took_longer_than_its_budget_is_told_and_its_score_stands() -> None:
    stage = tiny_stage(name="slow", budget_ms=5.0)
    pipeline = Pipeline([(stage, Given(0.3, wait_s=0.02))])
    seen = pipeline.inspect(dark())
    assert seen.scores == {"slow": 0.3}
    assert overran(pipeline.stages, seen).startswith("stage slow took 2")
    assert overran((replace(stage, budget_ms=0.0),), seen) == ""
    assert overran((replace(stage, budget_ms=5000.0),), seen) == ""


def test_engines_are_named_once_and_all_are_closed() -> None:
    first, second = Given(1.0), Given(1.0)
    pipeline = Pipeline([(tiny_stage(name="a"), first), (tiny_stage(name="b"), second)])
    assert pipeline.engine == "given"
    pipeline.close()
    assert (first.fails, second.fails) == ("closed", "closed")
