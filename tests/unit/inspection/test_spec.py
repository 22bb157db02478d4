from __future__ import annotations

from typing import Any

import msgspec
import pytest

from edge_agent.inspection.spec import Anomaly, Input, Pose, Stage, Task
from tests.tiny import tiny_stage


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ({"height": 7, "width": 8}, ">= 8"),
        ({"height": 8, "width": 8193}, "<= 8192"),
        ({"height": 8, "width": 8, "channels": 1}, "channels"),
        ({"height": 8, "width": 8, "order": "HSV"}, "order"),
        ({"height": 8, "width": 8, "mean": 0.5}, "unknown field `mean`"),
        ({"height": 8}, "missing required field `width`"),
        ({"height": 8, "width": 8, "roi": {"x": 2}}, "roi"),
        ({"height": 8, "width": 8, "level": 0}, ">= 1"),
        ({"height": 8, "width": 8, "level": 255}, "<= 254"),
        ({"height": 8, "width": 8, "pose": {}}, "missing required field `length`"),
        ({"height": 8, "width": 8, "pose": {"length": 0.0}}, "> 0"),
        ({"height": 8, "width": 8, "pose": {"length": 4.5}}, "<= 4"),
        ({"height": 8, "width": 8, "pose": {"length": 1.0, "angle": 1}}, "unknown field `angle`"),
        ({"height": 8, "width": 8, "fit": "letterbox", "level": 90}, "neither level nor pose"),
        ({"height": 8, "width": 8, "fit": "letterbox", "pose": {"length": 1.0}},
         "neither level nor pose"),
    ],
)  # fmt: skip
def test_a_description_that_this_runtime_cannot_honour_is_refused(
    raw: dict[str, Any], why: str
) -> None:
    with pytest.raises(msgspec.ValidationError, match=why):
        msgspec.convert(raw, Input)


def test_a_score_needs_at_least_one_value() -> None:
    with pytest.raises(msgspec.ValidationError, match=">= 1"):
        msgspec.convert({"top": 0}, Anomaly)
    assert msgspec.convert({"top": 3}, Anomaly) == Anomaly(3)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ({"kind": "classify", "labels": []}, "labels must be given, each once"),
        ({"kind": "classify", "labels": ["a", "a"]}, "labels must be given, each once"),
        ({"kind": "classify", "labels": ["a"], "good": ["b"]}, "good: 'b' is none of the labels"),
        ({"kind": "detect", "labels": ["a"]}, "missing required field `layout`"),
        ({"kind": "detect", "labels": ["a"], "layout": "ssd"}, "layout"),
        ({"kind": "detect", "labels": ["a"], "layout": "yolo", "defects": ["b"]}, "defects: 'b'"),
        ({"kind": "detect", "labels": ["a"], "layout": "yolo", "expected": {"b": 1}},
         "expected: 'b'"),
        ({"kind": "detect", "labels": ["a"], "layout": "yolo", "expected": {"a": 0}}, ">= 1"),
        ({"kind": "segment", "labels": ["a"], "layout": "semantic", "defects": ["b"]},
         "defects: 'b'"),
        ({"kind": "ocr"}, "ocr"),
        ({"labels": ["a"]}, "kind"),
    ],
)  # fmt: skip
def test_a_task_that_makes_no_sense_is_refused(raw: dict[str, Any], why: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=why):
        msgspec.convert(raw, Task)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"name": "Big"}, "name"),
        ({"name": "x" * 33}, "name"),
        ({"models": {"tpu": "m"}}, "models"),
        ({"when": {"stage": "a", "at_least": 0.5, "below": 0.5}}, "below"),
        ({"source": {"stage": "a", "margin": 2.0}}, "margin"),
        ({"budget_ms": -1.0}, "budget_ms"),
        ({"colour": "red"}, "unknown field `colour`"),
    ],
)
def test_a_stage_that_makes_no_sense_is_refused(changes: dict[str, Any], why: str) -> None:
    good = msgspec.to_builtins(tiny_stage())
    assert msgspec.convert(good, Stage) == tiny_stage()
    with pytest.raises(msgspec.ValidationError, match=why):
        msgspec.convert(good | changes, Stage)


def test_grey_goes_with_one_channel() -> None:
    for channels, order in ((3, "GREY"), (1, "BGR")):
        with pytest.raises(msgspec.ValidationError, match="does not go with"):
            msgspec.convert({"height": 8, "width": 8, "channels": channels, "order": order}, Input)


def test_a_pose_goes_with_tasks_that_say_nothing_of_places() -> None:
    # Boxes and masks of a view that was turned would lie elsewhere in the frame.
    posed = msgspec.to_builtins(tiny_stage())
    posed["input"] |= {"pose": {"length": 0.8}}
    boxes = {"labels": ["a"], "layout": "yolo"}
    for task in ({"kind": "anomaly", "top": 1}, {"kind": "classify", "labels": ["a"]}):
        pose = msgspec.convert(posed | {"task": task}, Stage).input.pose
        assert pose == Pose(length=0.8)
    for task in ({"kind": "detect"} | boxes, {"kind": "segment"} | boxes):
        with pytest.raises(msgspec.ValidationError, match="anomaly and classify"):
            msgspec.convert(posed | {"task": task}, Stage)
        assert msgspec.convert(msgspec.to_builtins(tiny_stage()) | {"task": task}, Stage)


def test_what_an_input_looks_at_survives_being_written_down() -> None:
    spec = Input(height=96, width=160, level=80, pose=Pose(length=0.3))
    assert msgspec.json.decode(msgspec.json.encode(spec), type=Input) == spec
