"""The task is told by the shapes of the outputs."""

from __future__ import annotations

import pytest

from calibration.importing.facts import TaskName
from calibration.importing.layouts import Layout, tell
from edge_agent.errors import UsageError

_TABLE: list[tuple[dict[str, tuple[int, ...]], TaskName | None, int, Layout]] = [
    ({"o": (1, 5)}, None, 0, Layout(task="classify", main="o", classes=5)),
    ({"o": (1, 5, 1, 1)}, None, 0, Layout(task="classify", main="o", classes=5)),
    ({"o": (1, 1)}, "classify", 0, Layout(task="classify", main="o", classes=1)),
    ({"o": (1, 1)}, "anomaly", 0, Layout(task="anomaly", main="o")),
    ({"o": (1, 1, 64, 48)}, None, 0, Layout(task="anomaly", main="o")),
    ({"o": (1, 64, 48, 1)}, None, 0, Layout(task="anomaly", main="o")),
    ({"o": (1, 64, 64)}, None, 0, Layout(task="anomaly", main="o")),
    ({"s": (1,), "m": (1, 1, 9, 9)}, None, 0, Layout(task="anomaly", main="m", also="s")),
    ({"o": (1, 4, 64, 48)}, None, 0, Layout(task="segment", main="o", classes=4)),
    ({"o": (1, 64, 48, 4)}, None, 0, Layout(task="segment", main="o", classes=4, form="last")),
    ({"o": (1, 21, 9, 9)}, None, 9, Layout(task="segment", main="o", classes=9, form="last")),
    ({"o": (1, 1, 9, 9)}, "segment", 1, Layout(task="segment", main="o", classes=1)),
    ({"o": (1, 84, 525)}, None, 0, Layout(task="detect", main="o", classes=80, form="yolo")),
    ({"o": (1, 300, 6)}, None, 0, Layout(task="detect", main="o", form="end2end")),
    (
        {"o": (1, 116, 525), "p": (1, 32, 40, 40)}, None, 0,
        Layout(task="segment", main="o", also="p", classes=80, form="yolo"),
    ),
    (
        {"o": (1, 300, 38), "p": (1, 32, 40, 40)}, None, 0,
        Layout(task="segment", main="o", also="p", form="end2end"),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("shapes", "wanted", "labels", "expected"), _TABLE)
def test_each_known_shape_has_its_task(
    shapes: dict[str, tuple[int, ...]], wanted: TaskName | None, labels: int, expected: Layout
) -> None:
    assert tell(shapes, wanted, labels) == expected


@pytest.mark.parametrize(
    ("shapes", "wanted", "text"),
    [
        ({"o": (1, 7, 8, 9, 10)}, None, "cannot be read: "),
        ({"a": (1, 2), "b": (1, 3), "c": (1, 4)}, None, "cannot be read: "),
        ({"boxes": (1, 4), "scores": (1, 5)}, None, "cannot be read: "),
        ({"o": (1, 5)}, "detect", "cannot be read as --task detect: "),
        ({"o": (1, 1)}, None, "may be anomaly or classify: say it with --task"),
        ({"yolov5": (1, 525, 85)}, None, "an objectness, as of YOLOv5.*YOLOv8 or later"),
    ],
)
def test_other_shapes_are_refused_with_what_is_known(
    shapes: dict[str, tuple[int, ...]], wanted: TaskName | None, text: str
) -> None:
    with pytest.raises(UsageError, match=text):
        tell(shapes, wanted)
