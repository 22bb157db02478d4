"""Changeover: the invariants of `edge_agent.agent.changeover`, each by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edge_agent import clock
from edge_agent.agent.changeover import Changeovers
from edge_agent.agent.path import PartPath
from edge_agent.agent.products import Products
from edge_agent.camera.frame import Frame, Image
from edge_agent.config import Recipe
from edge_agent.decision.orders import Outcome, Told
from edge_agent.decision.verdict import Thresholds
from edge_agent.errors import SpoolError, UsageError
from edge_agent.inspection.pipeline import Pipeline
from edge_agent.inspection.seen import Inspection
from edge_agent.lighting import Baseline, LightWatch
from edge_agent.rollout.live import LiveModel
from tests.tiny import tiny_stage

NOISE = np.random.default_rng(0)


def frames(level: int) -> list[Image]:
    return [NOISE.integers(level, level + 20, (96, 128, 3)).astype(np.uint8) for _ in range(10)]


DARK, BRIGHT = frames(60), frames(140)
LIMITS = Thresholds(0.8, 1.0)


class Model:
    engine = "model"

    def inspect(self, image: Image) -> Inspection:
        return Inspection(0.5, np.zeros((4, 4), np.float32), 0, 0)

    def close(self) -> None:
        pass


def live(digest: str = "0" * 12) -> LiveModel:
    baseline = Baseline.learn(DARK)
    pipeline = Pipeline([(tiny_stage(thresholds=LIMITS), Model())])
    return LiveModel(
        pipeline, {"anomaly": LIMITS}, "m 1", digest, LightWatch(baseline), baseline=baseline
    )


class Line:
    """A station with a recipe for dark parts and one for bright ones."""

    def __init__(self, folder: Path) -> None:
        self.records: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.path = PartPath(
            "s", self, outputs=(), observe=lambda _kind, _text: None, deadline_ms=60_000
        )
        self.path.model = live()
        own = folder / "bright.baseline"
        own.write_bytes(Baseline.learn(BRIGHT).encode())
        recipes = (
            Recipe(part_number="dark", name="the dark one", code=1),
            Recipe(part_number="bright", code=2, baseline=str(own)),
            Recipe(part_number="broken", code=3, baseline=str(folder / "gone")),
        )
        products = Products(folder / "state", recipes)
        self.changeovers = Changeovers({"s": self.path}, {"s": products}, self.keep)

    def append(self, lane: str, record: bytes) -> int:
        self.records.append(msgspec.json.decode(record))
        return len(self.records)

    def keep(self, record: bytes) -> None:
        self.events.append(msgspec.json.decode(record)["event"])

    def judge(self, image: Image) -> dict[str, Any]:
        self.path.process(Frame(image, clock.now(), 1, "s", "p"))
        return self.records[-1]


@pytest.fixture
def line(tmp_path: Path) -> Line:
    return Line(tmp_path)


def test_it_holds_from_the_next_part_on(line: Line) -> None:
    before = line.judge(DARK[0])
    assert (before["verdict"], before["lighting"]["state"]) == ("ok", "normal")
    assert "part_number" not in before
    assert line.judge(BRIGHT[0])["verdict"] == "invalid"
    changed = line.changeovers.change("s", "bright", by="cli")
    after = line.judge(BRIGHT[1])
    assert (after["verdict"], after["lighting"]["state"]) == ("ok", "normal")
    assert (after["part_number"], after["recipe"]) == ("bright", "bright")
    assert after["lighting"]["baseline"] == changed.baseline != before["lighting"]["baseline"]
    line.changeovers.change("s", "dark", by="cli")
    again = line.judge(DARK[1])
    assert (again["verdict"], again["recipe"]) == ("ok", "the dark one")
    assert again["lighting"]["baseline"] == before["lighting"]["baseline"]


def test_an_unknown_part_number_raises_nothing_and_is_an_event(line: Line) -> None:
    changed = line.changeovers.change("s", "0815", by="mqtt")
    assert (changed.recipe, changed.baseline) == ("", "")
    assert "has no recipe here" in changed.text
    for image in BRIGHT:
        record = line.judge(image)
        assert (record["verdict"], record["part_number"]) == ("ok", "0815")
        assert "recipe" not in record
    (event,) = line.events
    assert event == {
        "kind": "changeover", "station": "s", "part_number": "0815", "by": "mqtt", "known": False,
        "text": changed.text,
    }  # fmt: skip


def test_a_model_that_comes_later_is_told_too(line: Line) -> None:
    line.changeovers.change("s", "bright", by="cli")
    assert line.judge(BRIGHT[0])["verdict"] == "ok"
    first = line.path.model
    line.path.model = live("1" * 12)
    assert line.judge(BRIGHT[1])["verdict"] == "ok"
    line.changeovers.change("s", "dark", by="cli")
    assert line.judge(DARK[0])["verdict"] == "ok"
    line.path.model = first  # rolled back: its watch was told of the bright one last
    assert line.judge(DARK[1])["verdict"] == "ok"


def test_what_cannot_be_carried_out_changes_nothing_and_is_an_event_too(line: Line) -> None:
    line.changeovers.change("s", "bright", by="cli")
    with pytest.raises(UsageError, match="gone"):
        line.changeovers.change("s", "broken", by="cli")
    assert line.judge(BRIGHT[0])["part_number"] == "bright"
    assert line.events[-1]["text"].startswith("refused: ")
    with pytest.raises(UsageError, match="station 't': unknown; there are s"):
        line.changeovers.change("t", "bright", by="cli")


def test_what_was_made_before_a_restart_is_made_still(line: Line, tmp_path: Path) -> None:
    line.changeovers.change("s", "bright", by="cli")
    again = Line(tmp_path)
    assert again.judge(BRIGHT[0])["verdict"] == "ok"


def test_a_plc_tells_by_its_code(line: Line) -> None:
    assert line.changeovers.tell_code("s", 2) == Told(Outcome.TAKEN, 2)
    assert line.changeovers.tell_code("s", 3) == Told(Outcome.REFUSED, 2)
    assert line.changeovers.tell_code("s", 77) == Told(Outcome.NO_RECIPE, 0)
    assert line.judge(BRIGHT[0])["part_number"] == "#77"


def test_an_event_that_cannot_be_kept_is_logged_and_the_change_holds(
    line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_record: bytes) -> None:
        raise SpoolError("disk full; free it")

    line.changeovers._keep = refuse
    line.changeovers.change("s", "bright", by="cli")
    assert "not on record: disk full" in caplog.text
    assert line.judge(BRIGHT[0])["part_number"] == "bright"
