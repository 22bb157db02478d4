"""Boxes out of a detector's output: layouts, and which of those that overlap stay."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edge_agent.errors import EngineError
from edge_agent.inspection.boxes import keep_apart, read_boxes
from edge_agent.inspection.spec import Detect, Input

TASK = Detect(labels=("a", "b", "c"), layout="yolo", confidence=0.3, overlap=0.5)
END2END = msgspec.structs.replace(TASK, layout="end2end")
VIEW = Input(height=100, width=200)


def slow_nms(corners: Any, classes: Any, overlap: float) -> list[int]:
    """Do what `keep_apart` promises, in the plainest way."""
    kept: list[int] = []
    for place, (x0, y0, x1, y1) in enumerate(corners):
        for other in kept:
            a0, b0, a1, b1 = corners[other]
            common = max(min(x1, a1) - max(x0, a0), 0) * max(min(y1, b1) - max(y0, b0), 0)
            union = (x1 - x0) * (y1 - y0) + (a1 - a0) * (b1 - b0) - common
            if classes[place] == classes[other] and common > overlap * union:
                break
        else:
            kept.append(place)
    return kept


@st.composite
def boxes(draw: st.DrawFn) -> tuple[Any, Any]:
    count = draw(st.integers(0, 30))
    # Sixteenths: exact in any arithmetic, so that equality with a threshold is decided alike.
    places = draw(arrays.arrays(np.int64, (count, 2), elements=st.integers(-2, 14)))
    sizes = draw(arrays.arrays(np.int64, (count, 2), elements=st.integers(1, 6)))
    classes = draw(arrays.arrays(np.int64, (count,), elements=st.integers(0, 2)))
    return np.concatenate([places, places + sizes], axis=1).astype(np.float32) / 16, classes


@given(boxes(), st.sampled_from([0.17, 0.31, 0.45, 0.7, 0.97]))
def test_the_surest_stay_and_none_that_overlaps_one_of_its_class(
    given_boxes: tuple[Any, Any], overlap: float
) -> None:
    corners, classes = given_boxes
    kept = keep_apart(corners, classes, overlap=overlap, limit=1000)
    assert kept.tolist() == slow_nms(corners.astype(float).tolist(), classes.tolist(), overlap)
    assert keep_apart(corners, classes, overlap=overlap, limit=3).tolist() == kept.tolist()[:3]


def yolo(*rows: tuple[float, ...]) -> Any:
    """Lay out boxes as (cx, cy, w, h, a, b, c), with some that are nothing behind."""
    table = np.zeros((len(rows) + 4, 7), np.float32)
    table[: len(rows)] = rows
    return table.T[np.newaxis]


def test_both_layouts_and_both_units_give_the_same_boxes() -> None:
    output = yolo((50, 40, 20, 10, 0.1, 0.9, 0.2), (150, 60, 40, 20, 0.7, 0.1, 0.2))
    shares = output / np.array([200, 100, 200, 100, 1, 1, 1], np.float32)[np.newaxis, :, np.newaxis]
    chosen = np.zeros((1, 5, 6), np.float32)
    chosen[0, :2] = [(130, 50, 170, 70, 0.7, 0), (40, 35, 60, 45, 0.9, 1)]
    in_shares = msgspec.structs.replace(TASK, boxes="shares")
    for values, task in (
        (output, TASK),
        (output.transpose(0, 2, 1), TASK),
        (shares, in_shares),
        (chosen, END2END),
    ):
        found = read_boxes(values, VIEW, task)
        np.testing.assert_allclose(
            found.corners, [[0.2, 0.35, 0.3, 0.45], [0.65, 0.5, 0.85, 0.7]], atol=1e-6
        )
        np.testing.assert_allclose(found.confidences, [0.9, 0.7])
        assert found.classes.tolist() == [1, 0]
        assert found.is_finite


def test_of_boxes_that_overlap_the_surest_of_each_class_stays() -> None:
    output = yolo(
        (50, 50, 20, 20, 0.5, 0, 0), (52, 50, 20, 20, 0.8, 0, 0), (51, 50, 20, 20, 0, 0.6, 0),
        (52, 50, 20, 20, 0.29, 0, 0),
    )  # fmt: skip
    found = read_boxes(output, VIEW, TASK)
    np.testing.assert_allclose(found.confidences, [0.8, 0.6])
    one = msgspec.structs.replace(TASK, limit=1)
    assert len(read_boxes(output, VIEW, one).confidences) == 1
    assert len(read_boxes(output, VIEW, msgspec.structs.replace(TASK, confidence=0.9)).classes) == 0


def test_what_was_chosen_in_the_graph_is_not_chosen_again() -> None:
    chosen = np.zeros((1, 300, 6), np.float32)
    chosen[0, :2] = [(40, 35, 60, 45, 0.9, 1), (41, 35, 61, 45, 0.8, 1)]
    assert len(read_boxes(chosen, VIEW, END2END).classes) == 2


@pytest.mark.parametrize("row", range(7))
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_told_wherever_it_counts(row: int, value: float) -> None:
    output = yolo((50, 50, 20, 20, 0.8, 0.1, 0.1))
    output[0, row, 0] = value
    assert not read_boxes(output, VIEW, TASK).is_finite


@pytest.mark.parametrize("shape", [(1, 8, 11), (7, 11), (1, 6, 11), (2, 7, 11), (1, 7, 11, 1)])
def test_an_output_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(EngineError, match=r"with 3 labels it would be \[1, 7, N\]"):
        read_boxes(np.zeros(shape, np.float32), VIEW, TASK)


def test_a_class_without_a_label_is_refused() -> None:
    chosen = np.full((1, 1, 6), 3.0, np.float32)
    with pytest.raises(EngineError, match="found class 3, and its manifest names 3 labels"):
        read_boxes(chosen, VIEW, END2END)
    with pytest.raises(EngineError, match=r"it would be \[1, N, 6\]"):
        read_boxes(np.zeros((1, 6, 300), np.float32), VIEW, END2END)
