"""Output watches of a station: the invariants of `edge_agent.agent.scores`, each by its name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_agent.agent.scores import ScoreWatches
from edge_agent.clock import Stamp
from edge_agent.decision.drift import Light, OutputWatch
from edge_agent.decision.verdict import Verdict

MODEL = "0123456789ab"


def watches(folder: Path) -> ScoreWatches:
    return ScoreWatches(folder / "scores", parts=200, quiet_days=30.0)


def feed(watch: OutputWatch, parts: int, shift: float = 0.0) -> str:
    said = ""
    for number, score in enumerate(np.random.default_rng(0).normal(1.0 + shift, 0.1, parts)):
        at = Stamp(number * 10**9, number * 10**9)
        said = watch.update(float(score), Verdict.OK, light=Light.AS_BEFORE, at=at)
    return said


def test_a_reference_is_written_once_and_read_after_a_restart(tmp_path: Path) -> None:
    first = watches(tmp_path)
    watch = first.watch(MODEL, "")
    first.save()
    assert not (tmp_path / "scores").exists()  # there is nothing yet
    feed(watch, 200)
    first.save()
    (file,) = (tmp_path / "scores").iterdir()
    written = file.stat().st_mtime_ns
    feed(watch, 50)
    first.save()
    assert file.stat().st_mtime_ns == written
    again = watches(tmp_path).watch(MODEL, "")
    assert again.reference == watch.reference
    assert feed(again, 100, shift=0.3).startswith("the scores moved")


def test_each_model_and_product_has_its_own(tmp_path: Path) -> None:
    made = watches(tmp_path)
    keys = [(MODEL, ""), (MODEL, "4711-A"), (MODEL, "4711/B ü"), ("ba9876543210", "")]
    found = [made.watch(*key) for key in keys]
    assert len({id(watch) for watch in found}) == 4
    assert [made.watch(*key) for key in keys] == found
    for watch in found:
        feed(watch, 200)
    made.save()
    assert len(list((tmp_path / "scores").iterdir())) == 4


def test_a_damaged_reference_is_told_and_learned_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = watches(tmp_path)
    feed(first.watch(MODEL, ""), 200)
    first.save()
    (file,) = (tmp_path / "scores").iterdir()
    file.write_bytes(b"{}")
    second = watches(tmp_path)
    watch = second.watch(MODEL, "")
    assert watch.reference is None
    assert "no reference of scores" in caplog.text
    feed(watch, 200)
    second.save()
    assert watches(tmp_path).watch(MODEL, "").reference is not None


def test_a_disk_that_refuses_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "scores").write_text("a file where the folder should be")
    made = watches(tmp_path)
    watch = made.watch(MODEL, "")
    feed(watch, 200)
    made.save()
    assert "cannot be written" in caplog.text
    assert feed(watch, 100, shift=0.3)  # it is watched all the same


def test_the_number_of_watches_is_bounded(tmp_path: Path) -> None:
    made = watches(tmp_path)
    first = made.watch(MODEL, "0")
    for number in range(100):
        made.watch(MODEL, str(number))
    assert made.watch(MODEL, "0") is not first
