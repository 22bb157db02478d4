"""Sets: the layouts that are read, what they are sliced by, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from calibration.evaluation.sets import NONE, labels_of, read_set
from edge_agent.errors import UsageError


def _touch(folder: Path, *names: str) -> None:
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"not read here")


def test_a_set_with_test_and_masks(tmp_path: Path) -> None:
    _touch(tmp_path, "test/good/1.png", "test/crack/2.png", "test/crack/3.png", "train/good/9.png")
    _touch(tmp_path, "masks/crack/2.png", "test/.hidden/4.png", "test/notes.txt")
    found = read_set(tmp_path)
    assert [(item.kind, item.path.name) for item in found.items] == [
        ("good", "1.png"),
        ("crack", "2.png"),
        ("crack", "3.png"),
    ]
    assert [item.mask for item in found.items] == [None, tmp_path / "masks/crack/2.png", None]


def test_the_folder_may_be_the_test_folder_itself(tmp_path: Path) -> None:
    _touch(tmp_path, "test/good/1.png", "test/crack/2.jpg", "ground_truth/crack/2_mask.png")
    found = read_set(tmp_path / "test")
    assert len(found.items) == 2
    assert found.items[1].mask == tmp_path / "ground_truth/crack/2_mask.png"


def test_slices_by_folder_field_and_name(tmp_path: Path) -> None:
    _touch(tmp_path, "good/exp1_a.png", "crack/exp2_b.png", "crack/c.png")
    (tmp_path / "meta.json").write_text('{"exp1_a.png": {"tile": 7}, "exp2_b.png": {"tile": 0}}')
    cuts = {by: [item.slice for item in read_set(tmp_path, by).items] for by in ("folder", "tile")}
    assert cuts["folder"] == ["good", "crack", "crack"]
    assert cuts["tile"] == ["7", NONE, "0"]
    assert [item.slice for item in read_set(tmp_path, "exp([0-9])").items] == ["1", NONE, "2"]


@pytest.mark.parametrize(
    ("by", "words"),
    [("shift", "--by shift"), ("(", "regular expression"), ("x([0-9])", "fits none")],
)
def test_a_slicing_that_fits_nothing_is_refused(tmp_path: Path, by: str, words: str) -> None:
    _touch(tmp_path, "good/a.png", "crack/b.png")
    (tmp_path / "meta.json").write_text('{"a.png": {"tile": 7}}')
    with pytest.raises(UsageError, match=words.replace("(", r"\(")):
        read_set(tmp_path, by)


def test_meta_that_is_no_object_of_objects_is_refused(tmp_path: Path) -> None:
    _touch(tmp_path, "good/a.png", "crack/b.png")
    (tmp_path / "meta.json").write_text('["a.png"]')
    with pytest.raises(UsageError, match="fields by file name"):
        read_set(tmp_path, "tile")


def test_what_is_no_set_is_refused_with_the_layout(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        read_set(tmp_path / "absent")
    with pytest.raises(UsageError, match="folder is empty"):
        read_set(tmp_path)
    _touch(tmp_path, "photos/1.png")
    with pytest.raises(UsageError, match="is no set"):
        read_set(tmp_path)


def test_good_and_defective_images_are_both_needed(tmp_path: Path) -> None:
    _touch(tmp_path, "crack/1.png")
    (tmp_path / "good").mkdir()
    with pytest.raises(UsageError, match="no images of good parts"):
        read_set(tmp_path)
    _touch(tmp_path, "good/1.png")
    (tmp_path / "crack/1.png").unlink()
    with pytest.raises(UsageError, match="no images of defective parts"):
        read_set(tmp_path)
    _touch(tmp_path, "dent/1.png")
    assert read_set(tmp_path).empty == ("crack",)


# --- what belongs together -----------------------------------------------------------------------


def _parts(tmp_path: Path) -> list[Path]:
    _touch(tmp_path, "train/good/a_1.png", "train/good/a_2.png", "train/good/late/b_1.png")
    (tmp_path / "meta.json").write_text('{"a_1.png": {"tile": 7}, "a_2.png": {"tile": 7}}')
    return sorted((tmp_path / "train/good").rglob("*.png"))


def test_images_are_labelled_by_field_and_by_name(tmp_path: Path) -> None:
    files, folder = _parts(tmp_path), tmp_path / "train/good"
    assert labels_of(files, folder, "") == ["", "", ""]
    assert labels_of(files, folder, "^([a-z])_") == ["a", "a", "b"]
    one, two, alone = labels_of(files, folder, "tile")
    assert one == two == "7"
    assert alone not in {"", "7"}


def test_images_that_a_label_does_not_fit_are_parts_of_their_own(tmp_path: Path) -> None:
    labels = labels_of(_parts(tmp_path), tmp_path / "train/good", "b_([0-9])")
    assert len(set(labels)) == 3


def test_labels_are_the_same_by_a_relative_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = _parts(tmp_path)
    monkeypatch.chdir(tmp_path)
    relative = [file.relative_to(tmp_path) for file in files]
    labels = labels_of(relative, Path("train/good"), "tile")
    assert labels[:2] == ["7", "7"]
    assert len(set(labels)) == 2


def test_a_sub_folder_is_a_label(tmp_path: Path) -> None:
    labels = labels_of(_parts(tmp_path), tmp_path / "train/good", "folder")
    assert labels == ["good", "good", "late"]


@pytest.mark.parametrize(
    ("by", "words"),
    [("shift", "--group-by shift"), ("(", "--group-by"), ("x([0-9])", "--group-by .* fits none")],
)
def test_a_label_that_fits_nothing_is_refused(tmp_path: Path, by: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        labels_of(_parts(tmp_path), tmp_path / "train/good", by)
