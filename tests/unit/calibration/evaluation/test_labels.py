"""What classifiers took the images for, in the figures, on the page and on the terminal."""

from __future__ import annotations

import io
import json
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from rich.console import Console

from calibration.evaluation.bootstrap import Estimate
from calibration.evaluation.labels import LabelTable, label_tables
from calibration.evaluation.page import write_page
from calibration.evaluation.report import Options, Report, make_report, to_json
from calibration.evaluation.run import Run, evaluate_set
from calibration.evaluation.sets import read_set
from calibration.evaluation.sheet import draw_mistakes, draw_worst
from calibration.evaluation.summary import show
from calibration.evaluation.wording import label_note, limits_in_words
from calibration.figures import Share
from edge_agent.inspection.engines import EngineSettings
from edge_agent.inspection.spec import Classify, Detect, Input, Source, Stage, Thresholds, When
from edge_agent.rollout.bundle import Manifest, read_bundle, write_bundle
from tests.tiny import png, tiny_stage, tiny_tflite
from tests.tiny_tasks import CLASSIFY, LABELS, VIEW, classifier, dark, detector, spot

SORT = Stage(
    name="sort", task=CLASSIFY, models={"onnx": "sort.onnx"}, input=VIEW,
    thresholds=Thresholds(0.5, 0.6),
)  # fmt: skip
FIND = Stage(
    name="find", task=Detect(labels=LABELS, layout="yolo", confidence=0.5, overlap=0.1),
    models={"onnx": "find.onnx"}, input=VIEW,
)  # fmt: skip


LITE = tiny_stage(
    name="look", models={"litert": "look.tflite"}, input=Input(height=8, width=8), thresholds=None
)


def _run(folder: Path, *stages: Stage) -> Run:
    models = {
        "sort.onnx": classifier(), "find.onnx": detector(), "look.tflite": tiny_tflite(),
    }  # fmt: skip
    used = {file: models[file] for stage in stages for file in stage.models.values()}
    path = folder / "sort.bundle"
    write_bundle(path, Manifest(name="sort", version="1", stages=stages), used)
    return evaluate_set(
        read_bundle(path), read_set(folder / "set"), "auto", EngineSettings(),
        watch=True, advance=lambda: None,
    )  # fmt: skip


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    """Write a set: three good parts (one of them red), two red ones, and a scratch."""
    for name, label, level in (
        ("good/1", "green", 250), ("good/2", "green", 240), ("good/3", "red", 250),
        ("red/1", "red", 250), ("red/2", "red", 240), ("scratch/1", "blue", 250),
    ):  # fmt: skip
        image = dark()
        spot(image, label, 0.5, 0.5, size=0.8, level=level)
        file = tmp_path / "set" / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png(image))
    return tmp_path


def test_rows_are_folders_and_columns_are_labels(colours: Path) -> None:
    assert label_tables(_run(colours, SORT)) == (
        LabelTable(
            "sort",
            ("blue", "green", "red"),
            {"good": (0, 2, 1), "red": (0, 0, 2), "scratch": (1, 0, 0)},
            Estimate(0.8, *Share(4, 5).interval()),  # scratch is no label: it is not counted
        ),
    )


def test_labels_that_came_up_nowhere_are_left_out(colours: Path) -> None:
    (colours / "set/scratch/1.png").unlink()
    [table] = label_tables(_run(colours, SORT))
    assert table.columns == ("green", "red")
    (colours / "set/red").rename(colours / "set/dent")
    [table] = label_tables(_run(colours, SORT))
    assert table.right == Estimate(2 / 3, *Share(2, 3).interval())  # the good ones alone


def test_a_stage_that_did_not_look_says_so(colours: Path) -> None:
    # The tiny classifier scores 1 minus the share of green.
    second = msgspec.structs.replace(
        SORT, name="again", thresholds=None, when=When(stage="sort", below=0.5),
        task=Classify(labels=LABELS, activation="softmax"),
    )  # fmt: skip
    _, table = label_tables(_run(colours, SORT, second))
    assert table.columns == ("green", "red", "-")
    assert table.rows == {"good": (2, 0, 1), "red": (0, 0, 2), "scratch": (0, 0, 1)}
    assert label_note(table).endswith("; -: it did not look.")


def test_of_several_boxes_the_worst_counts(tmp_path: Path) -> None:
    for name, labels in (("good", ("green", "green")), ("red", ("green", "red"))):
        image = dark(160, 160)
        for label, x in zip(labels, (0.25, 0.75), strict=True):
            spot(image, label, x, 0.5, size=0.3)
        (tmp_path / "set" / name).mkdir(parents=True)
        (tmp_path / "set" / name / "1.png").write_bytes(png(image))
    at_boxes = msgspec.structs.replace(SORT, source=Source(stage="find", margin=0.0))
    run = _run(tmp_path, FIND, at_boxes)
    [table] = label_tables(run)
    assert table.rows == {"good": (1, 0), "red": (0, 1)}
    # Each box is drawn on the contact sheet: green where it is good, red where it is not.
    sheet = draw_worst(run)
    data = np.frombuffer(sheet.bad[0].jpeg, np.uint8)
    drawn = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert drawn is not None
    plain = cv2.resize(image, (320, 320), interpolation=cv2.INTER_AREA)
    changed = np.abs(drawn[:320].astype(int) - plain).sum(axis=2) > 120
    assert changed[:, :160].any()
    assert changed[:, 160:].any()


def _report(run: Run) -> Report:
    return make_report([run], Options(folder="set", by="", resamples=20, seed=0))


def test_it_is_told_everywhere(colours: Path) -> None:
    run = _run(colours, SORT)
    report = _report(run)
    told = json.loads(to_json(report))["labels"]
    assert told[0]["rows"]["good"] == [0, 2, 1]
    assert told[0]["right"][0] == 0.8
    page = write_page(report, [draw_worst(run)])
    assert "What sort took them for" in page
    assert "Taken for what their folder is called, percent: 80.0 (" in page
    assert "<td>scratch</td><td>1</td><td>·</td><td>·</td>" in page
    console = Console(file=io.StringIO(), width=120)
    show(report, console)
    assert isinstance(console.file, io.StringIO)
    assert "What sort took them for" in console.file.getvalue()
    assert [name.split("_")[0] for name, _ in draw_mistakes(run)] == ["good"]


def test_a_terminal_shows_some_of_many_labels(colours: Path) -> None:
    report = _report(_run(colours, SORT))
    side = report.sides[0]
    many = LabelTable("sort", tuple(map(str, range(30))), {"good": (1,) * 30}, None)
    evaluation = msgspec.structs.replace(side.evaluation, labels=(many,))
    report = msgspec.structs.replace(
        report, sides=(msgspec.structs.replace(side, evaluation=evaluation),)
    )
    console = Console(file=io.StringIO(), width=150)
    show(report, console)
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "and 18 more labels: see the page or the JSON" in shown
    assert "No folder is called like a label" in shown


def test_limits_of_several_stages_are_told_as_shares() -> None:
    one, two = Thresholds(0.4, 0.5), Thresholds(9.0, 10.0)
    assert limits_in_words({"sort": one}) == "review from 0.400, ng from 0.500"
    both = limits_in_words({"sort": one, "look": two})
    assert both.endswith("ng from 1, review from sort 0.80, look 0.90")


def test_stages_on_two_engines_are_drawn(colours: Path) -> None:
    run = _run(colours, SORT, LITE)
    assert run.engine == "onnx, litert"
    assert len(draw_worst(run).good) == 3
