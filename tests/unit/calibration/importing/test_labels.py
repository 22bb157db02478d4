"""Labels come from the command line, a file, or the metadata, each there once."""

from __future__ import annotations

from pathlib import Path

import pytest

from calibration.importing import labels
from edge_agent.errors import UsageError


def test_labels_are_read_from_text_and_from_files(tmp_path: Path) -> None:
    assert labels.given("") == ()
    assert labels.given("good, bad ,a/b") == ("good", "bad", "a/b")
    for name, text in {
        "a.txt": "good\nbad\n",
        "b.json": '["good", "bad"]',
        "c.json": '{"0": "good", "1": "bad"}',
        "d.txt": "{0: 'good', 1: 'bad'}",
        "e.json": '{"bad": 1, "good": 0}',
    }.items():
        (tmp_path / name).write_text(text)
        assert labels.given(str(tmp_path / name)) == ("good", "bad")
    with pytest.raises(UsageError, match=r"none.txt: cannot be read: give a text file"):
        labels.given(str(tmp_path / "none.txt"))


@pytest.mark.parametrize(
    ("meta", "expected"),
    [
        ({"names": "{0: 'chip', 1: 'dent'}"}, ("chip", "dent")),
        ({"names": "{10: 'b', 9: 'a'}"}, ("a", "b")),
        ({"labels": '["x", "y"]'}, ("x", "y")),
        ({"classes": "x,y"}, ("x", "y")),
        ({"names": "{0: 'same', 1: 'same'}"}, ("same", "same-1")),
        ({"names": "__import__('os')"}, ()),
        ({}, ()),
    ],
)
def test_labels_are_read_from_metadata(meta: dict[str, str], expected: tuple[str, ...]) -> None:
    assert labels.of(meta) == expected


def test_labels_are_cleaned() -> None:
    assert labels.clean(["a", "", "a", "x" * 100, ""]) == ("a", "1", "a-2", "x" * 64)


def test_unknown_labels_are_refused_with_those_there_are() -> None:
    labels.known("--good", ("a",), ("a", "b"))
    with pytest.raises(UsageError, match="--good c: none of the model's labels, which are a, b"):
        labels.known("--good", ("c",), ("a", "b"))


def test_labels_that_speak_for_themselves_are_found() -> None:
    assert labels.good_among(("Defect-free", "dent", "OK")) == ("Defect-free", "OK")
    assert labels.grounds_among(("Background", "dent")) == ("Background",)
