"""The page: one file that needs nothing beside it, well-formed, with everything on it."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np

from calibration.evaluation.metrics import Scores, roc
from calibration.evaluation.page import write_page
from calibration.evaluation.plots import Curve, draw_curves, draw_histogram
from calibration.evaluation.report import Options, Report, make_report
from calibration.evaluation.run import evaluate_set
from calibration.evaluation.sets import read_set
from calibration.evaluation.sheet import draw_mistakes, draw_worst
from edge_agent.decision.verdict import Thresholds
from edge_agent.inspection.engines import EngineSettings
from edge_agent.rollout.bundle import read_bundle

MakeBundle = Callable[..., Path]
_VOID = {"meta", "img", "br"}


class _Reader(HTMLParser):
    """Check that every tag is closed in order, and collect what the page points at."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in {"src", "href"}]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def _report(bundles: list[Path], folder: Path, by: str = "") -> Report:
    images = read_set(folder, by)
    runs = [
        evaluate_set(
            read_bundle(path), images, "onnx", EngineSettings(), watch=True, advance=lambda: None
        )
        for path in bundles
    ]
    return make_report(runs, Options(folder=str(folder), by=by, resamples=50, seed=0))


def _page(report: Report) -> str:
    return write_page(report, [draw_worst(side.run) for side in report.sides])


def test_the_page_is_whole_and_points_at_nothing(make_bundle: MakeBundle, image_set: Path) -> None:
    page = _page(_report([make_bundle()], image_set, "^([ab])"))
    reader = _Reader()
    reader.feed(page)
    assert reader.open == []
    assert len(reader.links) == 8  # four good parts, four defective ones
    assert all(link.startswith("data:image/jpeg;base64,") for link in reader.links)
    assert "http" not in page
    first = cv2.imdecode(
        np.frombuffer(base64.b64decode(reader.links[0].partition(",")[2]), np.uint8),
        cv2.IMREAD_COLOR,
    )
    assert first is not None
    for words in ("image AUROC", "AUPRO", "spot", "scratch", "good/b2.png", "spot/b3.png"):
        assert words in page
    assert page.index("good/b2.png") < page.index("good/a1.png")  # the worst first


def test_two_bundles_stand_side_by_side(make_bundle: MakeBundle, image_set: Path) -> None:
    strict = make_bundle("2", review=40.0, ng=45.0)
    report = _report([make_bundle(), strict], image_set)
    assert report.comparison is not None
    # The strict one catches the dark spot and stops two more good parts.
    assert report.comparison.bad_verdicts.only_second == 1
    assert report.comparison.good_verdicts.only_first == 2
    page = _page(report)
    assert "tiny 1" in page
    assert "tiny 2" in page
    assert "McNemar" in page
    assert "difference (paired)" in page


def test_names_of_files_are_not_markup(make_bundle: MakeBundle, image_set: Path) -> None:
    (image_set / "test/spot").rename(image_set / "test/<b>&spot")
    page = _page(_report([make_bundle()], image_set))
    assert "<b>&spot" not in page
    assert "&lt;b&gt;&amp;spot" in page


def test_each_mistake_becomes_a_picture(make_bundle: MakeBundle, image_set: Path) -> None:
    run = _report([make_bundle()], image_set).sides[0].run
    pictures = dict(draw_mistakes(run))
    assert sorted(pictures) == ["good_150.000_b2.jpg", "spot_50.000_b3.jpg"]
    assert all(data.startswith(b"\xff\xd8") for data in pictures.values())


def test_plots_are_well_formed_and_stay_in_their_frame() -> None:
    rng = np.random.default_rng(0)
    scores = Scores(rng.lognormal(0, 0.5, 60), rng.lognormal(2, 1, 40))
    curves = draw_curves([Curve("a < b", *roc(scores))], x_name="x", y_name="y", diagonal=True)
    histogram = draw_histogram(scores, Thresholds(1.5, 2.5))
    for drawn in (curves, histogram):
        root = ElementTree.fromstring(drawn)
        width, height = (float(each) for each in root.attrib["viewBox"].split()[2:])
        for text in root.iter("text"):
            assert 0 <= float(text.attrib["x"]) <= width
            assert 0 <= float(text.attrib["y"]) <= height
    assert "logarithmic" in histogram
    assert re.search(r"ng 2\.50", histogram)


def test_scores_that_are_all_alike_can_be_drawn() -> None:
    same = Scores(np.full(5, 0.5), np.full(3, 0.5))
    assert ElementTree.fromstring(draw_histogram(same, Thresholds(0.5, 0.5))) is not None
