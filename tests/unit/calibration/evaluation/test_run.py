"""A run over a small set: verdicts, scores, figures, and files that cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from calibration.evaluation.bootstrap import Estimate
from calibration.evaluation.figures import Evaluation, Verdicts, evaluate_run
from calibration.evaluation.run import Run, evaluate_set
from calibration.evaluation.sets import read_set
from calibration.figures import Share
from edge_agent.errors import UsageError
from edge_agent.inspection.engines import EngineSettings
from edge_agent.rollout.bundle import read_bundle

MakeBundle = Callable[..., Path]


def _run(bundle: Path, folder: Path, by: str = "") -> Run:
    calls: list[int] = []
    images = read_set(folder, by)
    run = evaluate_set(
        read_bundle(bundle), images, "onnx", EngineSettings(), watch=True,
        advance=lambda: calls.append(1),
    )  # fmt: skip
    assert len(calls) == len(images.items)
    return run


def _evaluate(run: Run, by: str = "") -> Evaluation:
    return evaluate_run(run, by=by, resamples=100, seed=0)


def test_scores_and_verdicts_are_those_of_a_station(
    make_bundle: MakeBundle, image_set: Path
) -> None:
    run = _run(make_bundle(), image_set)
    assert run.scores.good.tolist() == [20, 40, 60, 150]
    assert run.scores.bad.tolist() == [210, 250, 220, 50]
    assert not run.watched  # the bundle brings no baseline
    found = _evaluate(run)
    assert found.overall.good_verdicts == Verdicts(ok=3, review=1)
    assert found.overall.bad_verdicts == Verdicts(ok=1, ng=3)
    assert found.overall.escapes == Estimate(0.25, *Share(1, 4).interval())
    assert found.auroc.value == pytest.approx(14 / 16)
    assert found.recall_at_fpr["0.01"].value == 0.75
    assert found.false_rejects_at_zero_escapes.value == 0.5
    assert [(kind.name, kind.good, kind.bad) for kind in found.kinds] == [
        ("scratch", 4, 1),
        ("spot", 4, 3),
    ]


def test_a_perfect_auroc_still_has_an_interval(make_bundle: MakeBundle, image_set: Path) -> None:
    (image_set / "test/good/b2.png").unlink()
    (image_set / "test/spot/b3.png").unlink()
    found = _evaluate(_run(make_bundle(), image_set))
    assert found.auroc == Estimate(1.0, *Share(3, 3).interval())  # of three disjoint pairs


def test_the_confusion_says_how_each_kind_came_out(
    make_bundle: MakeBundle, image_set: Path
) -> None:
    found = _evaluate(_run(make_bundle(), image_set))
    assert found.confusion == {
        "good": Verdicts(ok=3, review=1),
        "scratch": Verdicts(ng=1),
        "spot": Verdicts(ok=1, ng=2),
    }
    assert found.invalid == {}


def test_pixels_count_only_images_with_a_mask(make_bundle: MakeBundle, image_set: Path) -> None:
    run = _run(make_bundle(), image_set)
    assert (len(run.good_pixels), len(run.bad_pixels)) == (4, 3)
    found = _evaluate(run)
    assert found.pixel_auroc is not None
    assert found.aupro is not None
    # Of three defects of one pixel, two are above all clean pixels; the third, 50, has the bright
    # pixels of two good parts above it: 2 of 4 x 64 + 3 x 63.
    assert found.pixel_auroc.value == pytest.approx(1 - 2 / 445 / 3)
    assert 0.99 < found.aupro.value < 1.0


def test_without_masks_the_pixel_figures_are_none(make_bundle: MakeBundle, image_set: Path) -> None:
    for file in (image_set / "masks/spot").iterdir():
        file.unlink()
    found = _evaluate(_run(make_bundle(), image_set))
    assert found.pixel_auroc is None
    assert found.aupro is None


def test_slices_stand_worst_first(make_bundle: MakeBundle, image_set: Path) -> None:
    found = _evaluate(_run(make_bundle(), image_set, "^([ab])"), "^([ab])")
    assert [(each.name, each.good, each.bad) for each in found.slices] == [("b", 2, 2), ("a", 2, 2)]
    by_folder = _evaluate(_run(make_bundle(), image_set, "folder"), "folder")
    assert [each.name for each in by_folder.slices] == ["spot", "scratch"]
    assert by_folder.slices[0].auroc is not None


def test_a_slice_without_good_images_has_no_auroc(make_bundle: MakeBundle, image_set: Path) -> None:
    found = _evaluate(_run(make_bundle(), image_set, "([0-9])"), "([0-9])")
    four = next(each for each in found.slices if each.name == "4")
    assert (four.good, four.bad, four.auroc, four.false_rejects) == (0, 2, None, None)


def test_what_cannot_be_read_is_named_and_left_out(
    make_bundle: MakeBundle, image_set: Path
) -> None:
    (image_set / "test/spot/a3.png").write_bytes(b"no image")
    (image_set / "masks/spot/a4.png").write_bytes(b"no image")
    run = _run(make_bundle(), image_set)
    assert [Path(each.path).name for each in run.left_out] == ["a3.png", "a4.png"]
    assert len(run.seen) == 7
    assert len(run.bad_pixels) == 1


def test_masks_of_another_size_are_made_to_fit_and_empty_ones_not_used(
    make_bundle: MakeBundle, image_set: Path
) -> None:
    large, empty = np.zeros((32, 32), np.uint8), np.zeros((8, 8), np.uint8)
    large[8:12, 12:16] = 1  # drawn with 1 instead of 255
    cv2.imwrite(str(image_set / "masks/spot/a3.png"), large)
    cv2.imwrite(str(image_set / "masks/spot/a4.png"), empty)
    run = _run(make_bundle(), image_set)
    assert (run.resized_masks, run.empty_masks, len(run.bad_pixels)) == (1, 1, 2)
    assert run.bad_pixels[0].positive.sum() == 1


def test_a_set_whose_good_images_cannot_be_read_is_refused(
    make_bundle: MakeBundle, image_set: Path
) -> None:
    for file in (image_set / "test/good").iterdir():
        file.write_bytes(b"no image")
    with pytest.raises(UsageError, match="no image of a good part could be scored"):
        _run(make_bundle(), image_set)


def test_the_same_seed_gives_the_same_figures(make_bundle: MakeBundle, image_set: Path) -> None:
    run = _run(make_bundle(), image_set)
    assert _evaluate(run) == _evaluate(run)
