"""The path of one part: the invariants of `edge_agent.agent.path`, each by its name."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edge_agent import clock
from edge_agent.agent.ageing import Ageing
from edge_agent.agent.path import PartPath
from edge_agent.agent.products import Product
from edge_agent.agent.scores import ScoreWatches
from edge_agent.alarms.catalogue import AlarmKind
from edge_agent.camera.frame import NO_IMAGE, Frame, Image, Truth
from edge_agent.decision.automation import Automation, Degrees
from edge_agent.decision.outputs import VerdictMessage
from edge_agent.decision.verdict import Thresholds, Verdict
from edge_agent.errors import EngineError, SpoolError
from edge_agent.inspection.engines import EngineSettings
from edge_agent.inspection.pipeline import Pipeline
from edge_agent.inspection.seen import Inspection
from edge_agent.inspection.tasks import Inspector
from edge_agent.lighting import Baseline, LightCause, LightLevel, LightState, LightWatch
from edge_agent.lighting.correction import Correct
from edge_agent.lighting.history import History
from edge_agent.rollout.bundle import write_bundle
from edge_agent.rollout.live import LiveModel, make_live
from tests.tiny import (
    fragile_onnx,
    picture,
    tiny_files,
    tiny_manifest,
    tiny_sample,
    tiny_stage,
    tiny_tflite,
)
from tests.tiny_tasks import (
    dark,
    locate_then_inspect,
    spot,
    two_stage_files,
    two_stage_manifest,
)

NOISE = np.random.default_rng(0)
GOOD = [NOISE.integers(100, 120, (96, 128, 3), np.uint8) for _ in range(10)]


class Steps:
    """Takes records and verdicts, and remembers in which order they came."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.records: list[dict[str, Any]] = []
        self.messages: list[VerdictMessage] = []
        self.conditions: dict[str, str] = {}
        self.full = False

    def append(self, lane: str, record: bytes) -> int:
        if self.full:
            raise SpoolError("disk full; free it")
        self.steps.append(f"record in {lane}")
        self.records.append(msgspec.json.decode(record))
        return len(self.records)

    def emit(self, message: VerdictMessage) -> None:
        self.steps.append("verdict")
        self.messages.append(message)

    def observe(self, kind: AlarmKind, text: str) -> None:
        self.conditions[kind.name] = text


class Reader:
    """A model whose score is the mean of the image, in hundredths."""

    engine = "reader"

    def inspect(self, image: Image) -> Inspection:
        if image.shape[0] < 10:
            raise EngineError("engine reader: the image is too small")
        return Inspection(float(image.mean()) / 100, np.zeros((4, 4), np.float32), 1000, 2000)

    def close(self) -> None:
        pass


def model_of(
    inspector: Inspector,
    limits: Thresholds,
    *,
    name: str = "bracket 7",
    light: LightWatch | None = None,
    budget_ms: float = 0.0,
) -> LiveModel:
    stage = tiny_stage(thresholds=limits, budget_ms=budget_ms)
    return LiveModel(
        Pipeline([(stage, inspector)]), {"anomaly": limits}, name, "0123456789ab", light
    )


def make_path(
    steps: Steps, *, watch: bool = False, deadline_ms: int = 1000, **more: Any
) -> PartPath:
    path = PartPath(
        "press-4", steps, outputs=(steps,), observe=steps.observe, deadline_ms=deadline_ms, **more
    )
    light = LightWatch(Baseline.learn(GOOD)) if watch else None
    path.model = model_of(Reader(), Thresholds(1.3, 1.6), light=light)
    return path


def frame_of(image: Image, *, sequence: int = 1, **fields: Any) -> Frame:
    return Frame(image, clock.now(), sequence, "press-4", "p-1", **fields)


def flat(value: int) -> Image:
    return np.full((96, 128, 3), value, np.uint8)


@pytest.mark.parametrize(
    ("value", "verdict"), [(100, "ok"), (130, "review"), (159, "review"), (160, "ng")]
)
def test_the_verdict_follows_the_thresholds(value: int, verdict: str) -> None:
    steps = Steps()
    make_path(steps).process(frame_of(flat(value)))
    assert steps.records[0]["verdict"] == verdict
    assert steps.messages[0].verdict == verdict


def test_the_verdict_leaves_after_the_record() -> None:
    steps = Steps()
    make_path(steps).process(frame_of(flat(100)))
    assert steps.steps == ["record in ok", "verdict"]
    assert steps.messages[0].record == 1


def test_a_part_whose_record_cannot_be_kept_goes_out_as_invalid() -> None:
    steps = Steps()
    steps.full = True
    judgement = make_path(steps).process(frame_of(flat(100)))
    assert judgement.number == 0
    assert steps.messages[0].verdict is Verdict.INVALID
    assert [cause.kind for cause in steps.messages[0].causes] == ["spool"]
    assert steps.conditions["spool"] == "disk full; free it"
    steps.full = False
    make_path(steps).process(frame_of(flat(100)))
    assert steps.conditions["spool"] == ""


@pytest.mark.parametrize(
    ("image", "fault", "cause"),
    [
        (NO_IMAGE, "a.png: truncated", "no_image"),
        (np.zeros((4, 4, 3), np.uint8), "", "engine"),
    ],
)
def test_every_frame_gives_one_record_whatever_fails(image: Image, fault: str, cause: str) -> None:
    steps = Steps()
    make_path(steps).process(frame_of(image, fault=fault, source="a.png"))
    assert [record["verdict"] for record in steps.records] == ["invalid"]
    assert [each["kind"] for each in steps.records[0]["causes"]] == [cause]
    assert steps.steps == ["record in ng", "verdict"]


def test_a_score_that_is_no_number_is_invalid_and_not_written() -> None:
    steps = Steps()
    path = make_path(steps)

    class Broken(Reader):
        def inspect(self, image: Image) -> Inspection:
            return Inspection(float("nan"), np.zeros((4, 4), np.float32), 0, 0)

    path.model = model_of(Broken(), Thresholds(1.3, 1.6))
    path.process(frame_of(flat(100)))
    assert steps.records[0]["verdict"] == "invalid"
    assert "scores" not in steps.records[0]


def test_without_a_model_parts_are_invalid_and_an_alarm_says_what_to_do() -> None:
    steps = Steps()
    path = make_path(steps)
    path.model = None
    path.process(frame_of(flat(100)))
    assert steps.records[0]["causes"][0]["kind"] == "no_model"
    assert steps.conditions["model"]


def test_a_missed_part_is_recorded_as_late_without_being_looked_at() -> None:
    steps = Steps()
    make_path(steps, watch=True).process(frame_of(NO_IMAGE, fault="frame 7 lost"), overrun=True)
    assert steps.records[0]["verdict"] == "invalid"
    assert steps.records[0]["causes"] == [{"kind": "late", "text": "frame 7 lost"}]
    assert "scores" not in steps.records[0]
    assert steps.conditions["late"]


def test_a_verdict_after_the_deadline_is_invalid_and_keeps_its_score() -> None:
    steps = Steps()
    old = clock.Stamp(0, clock.now().mono_ns - 50_000_000)
    frame = Frame(flat(100), old, 1, "press-4", "p-1")
    make_path(steps, deadline_ms=20).process(frame)
    record = steps.records[0]
    assert (record["verdict"], record["causes"][0]["kind"]) == ("invalid", "late")
    assert record["scores"] == {"anomaly": 1.0}


def test_bad_light_is_invalid_with_its_cause_whatever_the_score() -> None:
    steps = Steps()
    path = make_path(steps, watch=True)
    path.process(frame_of(GOOD[0]))
    path.process(frame_of(GOOD[0] // 2))
    first, second = steps.records
    assert (first["verdict"], first["lighting"]["state"]) == ("ok", "normal")
    assert (second["verdict"], second["lighting"]["state"]) == ("invalid", "invalid")
    assert second["causes"][0]["kind"] == "brightness"
    assert second["scores"]["anomaly"] < 1.3  # the model alone would have said ok


def test_bad_light_on_three_of_ten_parts_is_an_alarm_even_where_it_flickers() -> None:
    steps = Steps()
    path = make_path(steps, watch=True)
    raised = []
    for is_dark in (False, True, False, True, False, True, *[False] * 10):
        path.process(frame_of(GOOD[0] // 2 if is_dark else GOOD[0]))
        raised.append(bool(steps.conditions["light/brightness"]))
    assert raised == [False] * 5 + [True] * 6 + [False] * 5


def test_the_record_says_everything_that_the_verdict_rests_on() -> None:
    steps = Steps()
    frame = frame_of(flat(110), truth=Truth("scratch", 12.0, 3.0, 4.0))
    make_path(steps, watch=True).process(frame)
    record = steps.records[0]
    for key in (
        "station", "sequence", "part", "time", "wall_ns", "mono_ns", "boot", "verdict", "scores",
        "thresholds", "bundle", "model", "engine", "lighting", "latency_us", "truth",
    ):  # fmt: skip
        assert key in record, key
    assert record["thresholds"] == {"anomaly": {"review": 1.3, "ng": 1.6}}
    assert record["truth"]["defect"] == "scratch"
    assert record["latency_us"]["inference"] == 2
    assert record["latency_us"]["total"] >= record["latency_us"]["lighting"] > 0
    assert record["lighting"]["statistics"]["level"] is not None


def test_most_ok_parts_in_normal_light_keep_the_level_only() -> None:
    steps = Steps()
    path = make_path(steps, watch=True, figures_every=3)
    for sequence in range(1, 7):
        path.process(frame_of(GOOD[sequence], sequence=sequence))
    path.process(frame_of(flat(30), sequence=7))
    kept = [set(record["lighting"]["statistics"]) for record in steps.records]
    assert [names == {"level"} for names in kept] == [True, True, False, True, True, False, False]
    assert steps.records[-1]["verdict"] == "invalid"
    assert len(kept[2]) > 10


def test_times_are_whole_microseconds() -> None:
    steps = Steps()
    make_path(steps).process(frame_of(flat(140)))
    record = steps.records[0]
    assert record["wall_ns"] % 1000 == record["mono_ns"] % 1000 == 0


def test_the_model_can_be_exchanged_between_two_parts() -> None:
    steps = Steps()
    path = make_path(steps)
    path.process(frame_of(flat(140)))
    path.model = model_of(Reader(), Thresholds(1.5, 1.8), name="bracket 8")
    path.process(frame_of(flat(140)))
    assert [record["verdict"] for record in steps.records] == ["review", "ok"]
    assert [record["bundle"] for record in steps.records] == ["bracket 7", "bracket 8"]


def test_an_engine_that_fails_on_part_after_part_is_replaced_and_alarmed(tmp_path: Path) -> None:
    samples = (
        tiny_sample("golden.png", 20.0),
        tiny_sample("challenge.png", 250.0),
    )
    manifest = tiny_manifest(
        models={"onnx": "model.onnx", "litert": "model.tflite"}, samples=samples
    )
    files = tiny_files() | {"model.onnx": fragile_onnx(), "model.tflite": tiny_tflite()}
    bundle = write_bundle(tmp_path / "x.bundle", manifest, files)
    steps = Steps()
    path = make_path(steps)
    path.model = make_live(bundle, "auto", EngineSettings(), watch=False)
    for brightness in (20, 250, 250, 250, 250, 20):
        path.process(frame_of(picture(brightness)))
    assert [record["verdict"] for record in steps.records] == [
        "ok", "invalid", "invalid", "ng", "ng", "ok",
    ]  # fmt: skip
    assert [record["engine"] for record in steps.records] == [*3 * ["onnx"], *3 * ["litert"]]
    assert steps.conditions["model"].startswith("onnx, 1 thread failed on 3 parts")  # it stands
    path.model = make_live(bundle, "litert", EngineSettings(), watch=False)
    path.process(frame_of(picture(20)))
    assert steps.conditions["model"] == ""


# --- light that drifted, and who decides ---------------------------------------------------------


class Drifting(LightWatch):
    """The real watch, but for what it says of the level: so that each level can be had at will."""

    level = LightLevel.NORMAL
    causes: tuple[LightCause, ...] = ()

    def update(self, *args: Any, **more: Any) -> LightState:
        state = super().update(*args, **more)
        return msgspec.structs.replace(state, level=self.level, causes=self.causes)


def cause(kind: str) -> LightCause:
    return LightCause(
        kind=kind, size=-18.0, unit="%", where="left", confidence=0.93, text=f"{kind}: clean it"
    )


def drifting_path(steps: Steps, **more: Any) -> tuple[PartPath, Drifting]:
    path, watch = make_path(steps, **more), Drifting(Baseline.learn(GOOD))
    path.model = model_of(Reader(), Thresholds(1.3, 1.6), light=watch)
    return path, watch


@pytest.mark.parametrize("level", [LightLevel.WARNING, LightLevel.DRIFTED])
def test_light_that_drifted_stands_in_the_record_and_the_verdict_stands(level: LightLevel) -> None:
    steps = Steps()
    path, watch = drifting_path(steps)
    watch.level, watch.causes = level, (cause("gradient"), cause("dirt"))
    path.process(frame_of(GOOD[0]))
    record = steps.records[0]
    assert (record["verdict"], record["lighting"]["state"]) == ("ok", level.value)
    assert "causes" not in record
    assert record["lighting"]["causes"] == [
        {"kind": kind, "text": f"{kind}: clean it", "size": -18.0, "unit": "%", "where": "left",
         "confidence": 0.93}
        for kind in ("gradient", "dirt")
    ]  # fmt: skip


def test_two_causes_are_two_alarms_and_one_is_one() -> None:
    steps = Steps()
    path, watch = drifting_path(steps)
    watch.level, watch.causes = LightLevel.DRIFTED, (cause("gradient"), cause("dirt"))
    path.process(frame_of(GOOD[0]))
    said = {kind: text for kind, text in steps.conditions.items() if text}
    assert said == {"light/gradient": "gradient: clean it", "light/dirt": "dirt: clean it"}
    watch.level, watch.causes = LightLevel.NORMAL, ()
    path.process(frame_of(GOOD[0]))
    assert not any(steps.conditions.values())


def test_the_station_steps_down_while_the_light_is_drifted() -> None:
    steps = Steps()
    degrees = Degrees(Automation.FULL, Automation.ASSIST)
    path, watch = drifting_path(steps, degrees=degrees)
    for level in (LightLevel.NORMAL, LightLevel.DRIFTED, LightLevel.NORMAL):
        watch.level = level
        watch.causes = (cause("dirt"),) if level is LightLevel.DRIFTED else ()
        path.process(frame_of(GOOD[0]))
    assert [record["verdict"] for record in steps.records] == ["ok", "review", "ok"]
    assert [record.get("automation") for record in steps.records] == [None, "assist", None]
    assert [record.get("proposed") for record in steps.records] == [None, "ok", None]
    assert [message.proposed for message in steps.messages] == [None, Verdict.OK, None]


@pytest.mark.parametrize(
    ("degree", "value", "verdict", "proposed", "said", "scores"),
    [
        (Automation.HUMAN, 200, "review", "ng", None, False),
        (Automation.SHADOW, 200, "review", "ng", None, True),
        (Automation.ASSIST, 200, "review", "ng", "ng", True),
        (Automation.PARTIAL, 200, "ng", None, None, True),
        (Automation.PARTIAL, 162, "review", "ng", "ng", True),
        (Automation.PARTIAL, 120, "review", "ok", "ok", True),
        (Automation.PARTIAL, 100, "ok", None, None, True),
        (Automation.FULL, 162, "ng", None, None, True),
    ],
)
def test_the_degree_says_what_leaves_and_the_record_keeps_both(
    degree: Automation, value: int, verdict: str, proposed: str, said: str, scores: bool
) -> None:
    steps = Steps()
    make_path(steps, degrees=Degrees(degree)).process(frame_of(flat(value)))
    record, message = steps.records[0], steps.messages[0]
    assert (record["verdict"], record.get("proposed")) == (verdict, proposed)
    assert record.get("automation", "full") == degree.value
    assert record["scores"] == {"anomaly": value / 100}
    assert (message.verdict, message.proposed) == (verdict, said)
    assert bool(message.scores) is scores


def test_what_cannot_be_judged_is_invalid_in_every_degree() -> None:
    for degree in Automation:
        steps = Steps()
        make_path(steps, degrees=Degrees(degree)).process(frame_of(NO_IMAGE, fault="torn"))
        assert steps.records[0]["verdict"] == "invalid"
        assert "proposed" not in steps.records[0]


# --- scores that moved ---------------------------------------------------------------------------


def shades(seed: int, parts: int, middle: int) -> list[Image]:
    return [flat(int(v)) for v in np.random.default_rng(seed).normal(middle, 6, parts)]


def watched(tmp_path: Path) -> ScoreWatches:
    return ScoreWatches(tmp_path, parts=200, quiet_days=30.0)


def test_scores_that_moved_in_the_same_light_are_an_alarm_of_their_own(tmp_path: Path) -> None:
    steps = Steps()
    path, _ = drifting_path(steps, scores=watched(tmp_path))
    for image in shades(0, 300, 90):
        path.process(frame_of(image))
    assert steps.conditions["scores"] == ""
    for image in shades(1, 300, 110):
        path.process(frame_of(image))
    assert steps.conditions["scores"].startswith("the light is as before but the scores moved: ")
    assert {record["verdict"] for record in steps.records} == {"ok"}


def test_while_a_lighting_alarm_stands_the_scores_are_silent(tmp_path: Path) -> None:
    steps = Steps()
    path, watch = drifting_path(steps, scores=watched(tmp_path))
    for image in shades(0, 200, 90):
        path.process(frame_of(image))
    watch.level, watch.causes = LightLevel.DRIFTED, (cause("brightness"),)
    for image in shades(1, 300, 110):
        path.process(frame_of(image))
        assert steps.conditions.get("scores", "") == ""
    assert steps.conditions["light/brightness"]


def test_each_product_has_its_own_reference(tmp_path: Path) -> None:
    steps = Steps()
    path = make_path(steps, scores=watched(tmp_path))
    for number, middle in (("a", 90), ("b", 110), ("a", 90), ("b", 110)):
        path.product = Product(number, number)
        for image in shades(0, 250, middle):
            path.process(frame_of(image))
            assert steps.conditions.get("scores", "") == ""
    for image in shades(1, 300, 90):
        path.process(frame_of(image))
    assert steps.conditions["scores"].startswith("the scores moved: ")  # nobody watches the light


# --- stages --------------------------------------------------------------------------------------


def two_stages(tmp_path: Path, **changes: Any) -> LiveModel:
    stages = locate_then_inspect(**changes)
    bundle = write_bundle(
        tmp_path / "two.bundle", two_stage_manifest(stages=stages), two_stage_files()
    )
    return make_live(bundle, "auto", EngineSettings(), watch=False)


def thing(level: int = 200) -> Image:
    image = dark()
    spot(image, "green", 0.5, 0.5, level=level)
    return image


def test_the_record_keeps_what_each_stage_said(tmp_path: Path) -> None:
    steps = Steps()
    path = make_path(steps)
    path.model = two_stages(tmp_path)
    for image in (thing(), thing(245), thing(255), dark()):
        path.process(frame_of(image))
    assert [record["verdict"] for record in steps.records] == ["ok", "review", "ng", "invalid"]
    first, last = steps.records[0], steps.records[3]
    assert first["scores"] == {"locate": 0.0, "inspect": 200.0}
    assert first["thresholds"] == {"inspect": {"review": 242.0, "ng": 250.0}}
    assert set(first["latency_us"]["stages"]) == {"locate", "inspect"}
    assert first["findings"][0]["stage"] == "inspect"
    assert first["findings"][0]["box"]["x"] == pytest.approx(0.4, abs=0.15)
    assert first["findings"][1]["confidence"] == pytest.approx(200 / 255, abs=1e-3)
    assert last["skipped"] == {"inspect": "locate found no green"}
    assert [cause["kind"] for cause in last["causes"]] == ["no_part"]
    assert steps.messages[0].scores == first["scores"]


def test_a_stage_without_time_makes_the_part_late(tmp_path: Path) -> None:
    steps = Steps()
    path = make_path(steps)
    path.model = two_stages(tmp_path, budget_ms=5000.0)
    path.process(frame_of(thing()))
    record = steps.records[0]
    assert (record["verdict"], record["scores"]) == ("invalid", {"locate": 0.0})
    assert [cause["kind"] for cause in record["causes"]] == ["late"]
    assert record["causes"][0]["text"].startswith("stage inspect needs 5000 ms; ")
    assert steps.conditions["late"]


def test_a_stage_over_its_budget_on_three_of_ten_parts_is_trouble_and_the_verdicts_stand() -> None:
    steps = Steps()
    path = make_path(steps)

    class Slow(Reader):
        wait_s = 0.0

        def inspect(self, image: Image) -> Inspection:
            time.sleep(self.wait_s)
            return super().inspect(image)

    slow = Slow()
    path.model = model_of(slow, Thresholds(1.3, 1.6), budget_ms=15.0)
    raised = []
    for is_slow in (False, True, True, False, True, *[False] * 9):
        slow.wait_s = 0.03 if is_slow else 0.0
        path.process(frame_of(flat(100)))
        raised.append("stage anomaly took 3" in steps.conditions["model"])
    assert {record["verdict"] for record in steps.records} == {"ok"}
    assert raised == [False] * 4 + [True] * 7 + [False] * 3
    path.model = model_of(slow, Thresholds(1.3, 1.6), budget_ms=15.0)
    path.process(frame_of(flat(100)))
    assert steps.conditions["model"] == ""


# --- light that is brought back before the model looks, and light over months --------------------


def still(light: float, count: int) -> list[Image]:
    """Take pictures of a scene that stays put, in some light."""
    rng = np.random.default_rng(3)
    scene = rng.integers(60, 180, (120, 160, 3)) * light ** (1 / 2.2)
    noise = np.random.default_rng(int(light * 1000))
    return [(scene + noise.normal(0, 1, scene.shape)).astype(np.uint8) for _ in range(count)]


@pytest.mark.parametrize("correct", list(Correct))
def test_the_model_sees_corrected_light_and_the_record_says_so(correct: Correct) -> None:
    steps = Steps()
    path = make_path(steps, correct=correct)
    watch = LightWatch(Baseline.learn(still(1.0, 60)))
    path.model = model_of(Reader(), Thresholds(1.3, 1.6), light=watch)
    usual = path.process(frame_of(still(1.0, 1)[0])).record.scores["anomaly"]
    for image in still(0.93, 40):
        kept = image.copy()
        record = path.process(frame_of(image)).record
        np.testing.assert_array_equal(image, kept)
    lighting = record.lighting
    assert [each.kind for each in lighting.causes] == ["brightness"]
    assert lighting.statistics["level"] == pytest.approx(-7.0, abs=1.0)
    if correct is Correct.OFF:
        assert lighting.corrected == {}
        assert record.scores["anomaly"] < usual - 0.02
    else:
        assert lighting.corrected == {"level": pytest.approx(-7.0, abs=0.5)}
        assert record.scores["anomaly"] == pytest.approx(usual, abs=0.01)


def test_the_light_is_noted_down_for_months(tmp_path: Path) -> None:
    ageing = Ageing(tmp_path / "light", forecast_days=7.0)
    path = make_path(Steps(), watch=True, ageing=ageing)
    for image in GOOD:
        path.process(frame_of(image))
    ageing.save()
    (file,) = (tmp_path / "light").iterdir()
    assert path.model is not None
    assert path.model.watch is not None
    digest = path.model.watch.baseline.digest
    (bucket,) = History.decode(file.read_bytes(), digest, "file").buckets
    assert bucket.frames == len(GOOD)
