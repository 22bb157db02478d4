"""How each task reads its model's outputs, number by number."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import EngineError
from edge_agent.inspection.engines import Outputs, Pixels
from edge_agent.inspection.reading import probabilities
from edge_agent.inspection.seen import Box, Inspection
from edge_agent.inspection.spec import Anomaly, Classify, Detect, Input, Segment, Task
from edge_agent.inspection.tasks import load_task

replace = msgspec.structs.replace
IMAGE = np.zeros((64, 64, 3), np.uint8)
VIEW = Input(height=64, width=64)


class Glass:
    """An engine that answers with what it was given."""

    def __init__(self, outputs: Outputs, *, name: str = "onnx", spec: Input = VIEW) -> None:
        self.outputs = outputs
        self.name = name
        self.input_shape = (1, spec.height, spec.width, spec.channels)

    def run(self, pixels: Pixels) -> Outputs:
        assert pixels.shape == self.input_shape
        return self.outputs

    def close(self) -> None: ...


def read(task: Task, *outputs: Any, engine: str = "onnx", spec: Input = VIEW) -> Inspection:
    named = {f"out{number}": np.asarray(each, np.float32) for number, each in enumerate(outputs)}
    return load_task(Glass(named, name=engine, spec=spec), spec, task).inspect(IMAGE)


# --- anomaly -------------------------------------------------------------------------------------


def test_the_models_own_score_comes_before_that_of_the_map() -> None:
    outputs = {
        "score": np.array([[0.7]], np.float32), "map": np.full((1, 1, 8, 8), 9.0, np.float32),
        "label": np.zeros(1, np.float32),
    }  # fmt: skip
    seen = load_task(Glass(outputs), VIEW, Anomaly(top=1)).inspect(IMAGE)
    assert seen.score == pytest.approx(0.7)
    assert seen.map is not None
    assert seen.map.shape == (8, 8)
    del outputs["map"]
    alone = load_task(Glass(outputs), VIEW, Anomaly(top=1)).inspect(IMAGE)
    assert (alone.score, alone.map) == (seen.score, None)
    outputs["score"] = np.zeros(2, np.float32)
    with pytest.raises(EngineError, match=r"output score is \[2\], not one number"):
        load_task(Glass(outputs), VIEW, Anomaly(top=1)).inspect(IMAGE)


# --- classify ------------------------------------------------------------------------------------

KINDS = Classify(labels=("good", "fair", "bad"), good=("good", "fair"))


def test_the_score_is_one_minus_the_probability_of_a_good_part() -> None:
    seen = read(KINDS, [[0.5, 0.2, 0.3]])
    assert seen.score == pytest.approx(0.3)
    (finding,) = seen.findings
    assert (finding.label, finding.confidence, finding.box) == ("good", 0.5, None)
    assert seen.confidences == pytest.approx({"good": 0.5, "fair": 0.2, "bad": 0.3})
    own = replace(KINDS, activation="sigmoid")
    assert read(own, [[0.0, -50.0, 3.0]]).score == pytest.approx(0.5)
    soft = replace(KINDS, activation="softmax")
    assert read(soft, [[1000.0, 0.0, -1000.0]]).score == 0.0
    assert read(soft, [[-1000.0, -1000.0, 1000.0]]).score == 1.0
    assert read(replace(KINDS, good=()), [[0.1, 0.1, 0.8]]).score == 0.0  # it only sorts


def test_a_single_number_is_the_probability_of_the_second_of_two_labels() -> None:
    two = Classify(labels=("good", "bad"), good=("good",))
    assert read(two, [[0.8]]).score == pytest.approx(0.8)
    assert read(replace(two, activation="sigmoid"), [[0.0]]).score == pytest.approx(0.5)
    with pytest.raises(EngineError, match="has 1 classes, and its manifest names 3 labels"):
        read(KINDS, [[0.8]])


@given(st.lists(st.floats(-100, 100, width=32), min_size=2, max_size=9))
def test_probabilities_are_probabilities(values: list[float]) -> None:
    given_values = np.array(values, np.float32)
    soft = probabilities(given_values, "softmax", axis=0)
    assert soft.sum() == pytest.approx(1.0, abs=1e-5)
    for shares in (soft, probabilities(given_values, "sigmoid", axis=0)):
        assert ((shares >= 0.0) & (shares <= 1.0)).all()
    assert probabilities(given_values, "none", axis=0) is given_values


# --- detect --------------------------------------------------------------------------------------

PARTS = Detect(labels=("screw", "chip"), defects=("chip",), expected={"screw": 2}, layout="end2end")


def rows(*found: tuple[float, int]) -> Any:
    """Lay out things of a confidence and a class side by side."""
    table = [(10.0 * n, 0.0, 10.0 * n + 8, 8.0, *each) for n, each in enumerate(found)]
    return [[*table, (0.0,) * 6]]


@pytest.mark.parametrize(
    ("found", "score"),
    [
        ([(0.9, 0), (0.75, 0)], 0.25),
        ([(0.9, 0), (0.75, 0), (0.6, 0)], 0.25),
        ([(0.9, 0)], 1.0),
        ([(0.9, 0), (0.1, 0)], 1.0),  # one below the floor is none
        ([], 1.0),
        ([(0.9, 0), (0.8, 0), (0.7, 1)], 0.7),
        ([(0.9, 0), (0.8, 0), (0.1, 1)], 0.2),
    ],
)
def test_the_score_is_the_worst_of_what_was_found_and_what_was_not(
    found: list[tuple[float, int]], score: float
) -> None:
    assert read(PARTS, rows(*found)).score == pytest.approx(score)


def test_boxes_are_told_in_shares_of_the_image_and_cut_at_its_edge() -> None:
    spec = Input(height=64, width=64, fit="letterbox")
    tall = np.zeros((128, 64, 3), np.uint8)
    table = [[(0.0, -10.0, 32.0, 32.0, 0.9, 1)]]
    engine = Glass({"x": np.array(table, np.float32)}, spec=spec)
    seen = load_task(engine, spec, PARTS).inspect(tall)
    assert seen.findings[0].box == Box(0.0, 0.0, 0.5, 0.5)  # the border is 16 px on each side
    assert seen.findings[0].label == "chip"
    assert seen.findings[0].score == pytest.approx(0.9)


# --- segment -------------------------------------------------------------------------------------

POINTS = Segment(
    labels=("ground", "crack", "dent"), defects=("crack", "dent"), layout="semantic", top=2
)


def test_the_map_is_all_defects_together_and_the_score_its_top() -> None:
    classes = np.zeros((1, 3, 8, 8), np.float32)
    classes[0, 1, 2, 3], classes[0, 2, 2, 3], classes[0, 2, 5, 5] = 0.5, 0.3, 0.4
    for output in (classes, classes.transpose(0, 2, 3, 1)):
        seen = read(POINTS, output)
        assert seen.score == pytest.approx((0.8 + 0.4) / 2)
        assert seen.map is not None
        assert seen.map[2, 3] == pytest.approx(0.8)
        assert seen.confidences == pytest.approx({"ground": 0.0, "crack": 0.5, "dent": 0.4})


def test_where_the_shape_does_not_tell_the_engine_does() -> None:
    square = np.zeros((1, 3, 5, 3), np.float32)
    square[0, 1] = 0.9  # a whole class, or a row
    first, last = read(POINTS, square), read(POINTS, square, engine="litert")
    assert first.map is not None
    assert last.map is not None
    assert first.map.shape == (5, 3)
    assert last.map.shape == (3, 5)


THINGS = Segment(labels=("screw", "chip"), defects=("chip",), layout="end2end")


def test_masks_are_drawn_within_their_boxes_as_strong_as_their_confidence() -> None:
    prototypes = np.full((1, 4, 16, 16), 10.0, np.float32)
    prototypes[:, :, :, 6:] = -10.0
    table = np.zeros((1, 3, 10), np.float32)
    table[0, 0] = (8, 8, 40, 40, 0.9, 1, 1, 0, 0, 0)
    table[0, 1] = (40, 40, 64, 64, 0.8, 0, 1, 0, 0, 0)
    seen = read(THINGS, table, prototypes)
    turned = read(THINGS, table, prototypes.transpose(0, 2, 3, 1))
    assert seen.score == turned.score == pytest.approx(0.9)
    for each in (seen, turned):
        assert each.map is not None
        assert each.map[2:10, 2:6] == pytest.approx(0.9, abs=1e-3)
        assert each.map.sum() == pytest.approx(8 * 4 * 0.9, abs=0.05)  # no screw, nothing outside
    assert {finding.label for finding in seen.findings} == {"screw", "chip"}


def test_without_a_defect_the_map_is_empty() -> None:
    seen = read(THINGS, np.zeros((1, 3, 10), np.float32), np.ones((1, 4, 16, 16), np.float32))
    assert seen.score == 0.0
    assert seen.map is not None
    assert not seen.map.any()


def test_boxes_and_prototypes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(EngineError, match=r"it would be \[1, N, 9\]"):
        read(THINGS, np.zeros((1, 3, 10), np.float32), np.ones((1, 3, 16, 16), np.float32))
    with pytest.raises(EngineError, match="which of the model's outputs is the prototypes"):
        read(THINGS, np.zeros((1, 3, 10), np.float32))
