"""Good parts of a folder are read, sifted and, where wanted, left out."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console

from calibration import lights, lot, page, precision
from calibration.cli import known_truth
from calibration.cli.commission import share
from calibration.commission import Plan, fit, inspector, pack
from calibration.learning import Point
from edge_agent.camera.frame import Image, Truth
from edge_agent.camera.images import read_image
from edge_agent.errors import UsageError


def _track(files: list[Path]) -> Iterator[Path]:
    return iter(files)


def _write(folder: Path, images: list[Image]) -> Path:
    folder.mkdir(exist_ok=True)
    for number, image in enumerate(images):
        cv2.imwrite(str(folder / f"part-{number}.png"), image)
    return folder


def test_what_cannot_be_read_and_copies_are_left_out_by_name(
    tmp_path: Path, plan: Plan, draw: Callable[..., Image]
) -> None:
    folder = _write(tmp_path / "good", [draw(seed) for seed in [*range(8), 3]])
    (folder / "torn.png").write_bytes(b"\x89PNG\r\n")
    parts = lot.read_lot(folder, plan, _track)
    assert [file.name for file in parts.files] == [f"part-{number}.png" for number in range(8)]
    assert len(parts.good.material.features) == len(parts.scores) == 8
    unreadable, copy = parts.notes
    assert "torn.png" in unreadable
    assert "exact copies of other images: part-8.png" in copy


def test_an_odd_part_is_found_and_can_be_left_out(
    tmp_path: Path, plan: Plan, draw: Callable[..., Image]
) -> None:
    images = [draw(seed) for seed in range(30)]
    images[11] = draw(11, spot_px=30)
    parts = lot.read_lot(_write(tmp_path / "good", images), plan, _track)
    assert [parts.files[odd.number].name for odd in parts.odd] == ["part-11.png"]
    dropped = lot.drop_odd(parts)
    assert len(dropped.files) == len(dropped.scores) == len(dropped.good.digests) == 29
    assert "part-11.png" not in {file.name for file in dropped.files}
    assert dropped.notes[-1] == "left out as odd: part-11.png"
    assert dropped.scores.max() < parts.scores.max()
    frames = {number: frame for number, frame in dropped.good.kept}  # noqa: C416 - by its number
    np.testing.assert_array_equal(frames[11], images[12])


def test_mixed_sizes_and_colours_are_taken_with_a_note(
    tmp_path: Path, plan: Plan, draw: Callable[..., Image]
) -> None:
    images = [draw(seed) for seed in range(10)]
    images[2] = images[2][:, :, 0].copy()
    images[5] = cv2.resize(images[5], (320, 240)).astype(np.uint8)
    notes = "\n".join(lot.read_lot(_write(tmp_path / "good", images), plan, _track).notes)
    assert "2 sizes (160x120: 9, 320x240: 1)" in notes
    assert "1 of 10 images are grey" in notes


@pytest.mark.parametrize(
    ("seeds", "says"), [([1], "1 good part: fitting needs"), ([1] * 9, "only 1 of them differ")]
)
def test_a_folder_with_nothing_to_learn_from_is_refused(
    tmp_path: Path, plan: Plan, draw: Callable[..., Image], seeds: list[int], says: str
) -> None:
    folder = _write(tmp_path / "good", [draw(seed) for seed in seeds])
    with pytest.raises(UsageError, match=says):
        lot.read_lot(folder, plan, _track)


def test_the_page_holds_everything_in_it(
    tmp_path: Path, plan: Plan, draw: Callable[..., Image]
) -> None:
    images = [draw(seed) for seed in range(12)]
    parts = lot.read_lot(_write(tmp_path / "good", images), plan, _track)
    fitted = fit(plan, parts.good, unseen=parts.unseen)
    note = "a note with <angles>"
    bundle = pack(tmp_path / "x.bundle", plan, parts.good, fitted, notes=[note])
    card = bundle.files["card.md"]
    (tmp_path / "bad" / "dent").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "bad" / "dent" / "b.png"), 255 - images[0])
    told = page.Told(
        plan=parts.plan, parts=parts, fitted=fitted, trial=None,
        points=[Point(6, 2.0, 0.9), Point(12, 1.9, 0.95)], notes=[note],
        light=lights.measure(parts.plan, parts.good, parts.unseen, fitted),
        precision=precision.compare(parts.plan, parts.good, fitted),
        bad=[page.Bad(2.5, tmp_path / "bad" / "dent" / "b.png", Truth("dent"))],
    )  # fmt: skip
    page.write_report(tmp_path / "report", told, card)
    text = (tmp_path / "report" / page.PAGE).read_text()
    assert (tmp_path / "report" / page.CARD).read_bytes() == card
    assert "A note with <angles>." in card.decode()
    assert "a note with &lt;angles&gt;" in text
    assert text.count("data:image/jpeg;base64,") == 4
    assert "dent: b.png" in text
    assert text.count("<svg") == 3
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "<script" not in text


def test_bad_parts_keep_their_scores_beside_those_that_cannot_be_read(
    tmp_path: Path, plan: Plan, draw: Callable[..., Image], capsys: pytest.CaptureFixture[str]
) -> None:
    images = [draw(seed) for seed in range(8)]
    parts = lot.read_lot(_write(tmp_path / "good", images), plan, _track)
    fitted = fit(plan, parts.good, unseen=parts.unseen)
    folder = _write(tmp_path / "bad", [255 - images[0], images[1], 255 - images[2]])
    first, second, third = sorted(folder.iterdir())
    second.write_bytes(b"no image")
    found = known_truth.with_bad(plan, parts, fitted, folder, Console(file=io.StringIO()))
    assert [each.file for each in found.bad] == [first, third]
    assert [each.score for each in found.bad] == found.trial.bad.tolist()
    judge = inspector(plan, fitted, "onnx")
    assert found.bad[1].score == pytest.approx(judge.inspect(read_image(third)).score)
    judge.close()
    assert found.features is not None
    assert len(found.features) == 2
    assert "left out" in capsys.readouterr().err


def test_a_share_is_read_with_and_without_percent() -> None:
    assert share("0.5%") == pytest.approx(0.005)
    assert share("0.005") == pytest.approx(0.005)
    for wrong in ("0", "x", "50%", "-1%", "nan", "%"):
        with pytest.raises(UsageError, match=r"such as 0\.5% or 0\.005"):
            share(wrong)
