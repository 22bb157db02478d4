"""The record: fields are only ever added, and what was measured is kept as it was measured."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.camera.frame import Truth
from edge_agent.decision.automation import Automation
from edge_agent.decision.verdict import Cause, Thresholds, Verdict
from edge_agent.inspection.seen import Box, Finding
from edge_agent.record.inspection import (
    MAX_FINDINGS,
    InspectionRecord,
    Latency,
    Lighting,
    LightingCause,
    encode,
    keep_findings,
)


def record(**changes: Any) -> InspectionRecord:
    given: dict[str, Any] = {
        "station": "line1", "sequence": 7, "part": "1-000007",
        "time": "2024-01-01T00:00:00.000Z", "wall_ns": 1_704_067_200_000_000_000, "mono_ns": 5,
        "boot": "b" * 32, "verdict": Verdict.OK, "lighting": Lighting("unwatched"),
        "latency_us": Latency(),
    }  # fmt: skip
    return InspectionRecord(**(given | changes))


FULL = record(
    verdict=Verdict.INVALID,
    causes=(Cause("brightness", "light 50% below the baseline", -50.0, "%"),),
    scores={"anomaly": 1.2345},
    thresholds={"anomaly": Thresholds(0.8, 1.0)},
    findings=(
        Finding(stage="a", label="b", score=0.5, confidence=0.6, box=Box(0.1, 0.2, 0.3, 0.4)),
    ),
    skipped={"second": "first is 0.2"},
    bundle="bracket 7",
    model="0123456789ab",
    engine="onnx",
    lighting=Lighting(
        "invalid",
        4.2,
        "ab" * 6,
        0.1,
        0.2,
        0.3,
        0.4,
        0.5,
        -0.6,
        causes=(LightingCause("dirt", "a spot: clean it", 3.0, "px", "left", 0.9),),
        statistics={"level": -18.0},
    ),
    automation=Automation.ASSIST,
    proposed=Verdict.NG,
    part_number="4711-B",
    recipe="bracket B",
    latency_us=Latency(1, 2, 3, 4, 5, {"anomaly": 6}),
    source="/x/1.png",
    truth=Truth("scratch", 12.0, 1.0, 2.0),
)
# As they stand in docs/wire.md: a field that disappears or changes its name breaks every reader.
FIELDS = {
    "station", "sequence", "part", "time", "wall_ns", "mono_ns", "boot", "verdict", "causes",
    "scores", "thresholds", "bundle", "model", "engine", "lighting", "latency_us", "source",
    "truth", "findings", "skipped", "automation", "proposed", "part_number", "recipe",
}  # fmt: skip
LIGHTING = {
    "state", "excess", "baseline", "level", "contrast", "clipped_dark", "clipped_bright", "warmth",
    "sharpness", "causes", "statistics",
}  # fmt: skip


def test_no_field_was_ever_taken_away() -> None:
    written = msgspec.json.decode(encode(FULL))
    assert set(written) >= FIELDS
    assert set(written["lighting"]) >= LIGHTING
    assert set(written["latency_us"]) >= {
        "queue", "lighting", "preprocess", "inference", "total", "stages",
    }  # fmt: skip
    assert set(written["findings"][0]) >= {"stage", "label", "score", "confidence", "box"}
    assert set(written["findings"][0]["box"]) >= {"x", "y", "width", "height"}
    assert set(written["lighting"]["causes"][0]) >= {
        "kind", "text", "size", "unit", "where", "confidence",
    }  # fmt: skip
    assert set(written["causes"][0]) >= {"kind", "text", "size", "unit"}
    assert set(written["thresholds"]["anomaly"]) >= {"review", "ng"}
    assert set(written["truth"]) >= {"defect", "size_px", "x", "y"}


def test_what_has_nothing_to_say_is_left_out() -> None:
    assert msgspec.json.decode(encode(record())) == {
        "station": "line1", "sequence": 7, "part": "1-000007", "time": "2024-01-01T00:00:00.000Z",
        "wall_ns": 1_704_067_200_000_000_000, "mono_ns": 5, "boot": "b" * 32, "verdict": "ok",
        "lighting": {"state": "unwatched"}, "latency_us": {},
    }  # fmt: skip


def test_the_worst_findings_are_kept_and_not_too_many() -> None:
    findings = [
        Finding(label=str(each), score=each % 50 / 100, confidence=0.123456) for each in range(99)
    ]
    findings.append(Finding(label="odd", score=float("nan")))
    findings.append(Finding(label="sure", confidence=0.9, box=Box(1 / 3, 0.5, 0.25, 0.125)))
    kept = keep_findings(findings)
    assert len(kept) == MAX_FINDINGS
    assert [each.score for each in kept] == sorted((each.score for each in kept), reverse=True)
    assert kept[0].score == 0.49
    assert kept[0].confidence == 0.1235
    (sure,) = keep_findings(findings[-1:])
    assert sure.box == Box(0.33333, 0.5, 0.25, 0.125)
    written = msgspec.json.decode(encode(record(findings=(Finding(stage="a", label="b"),))))
    assert written["findings"] == [{"stage": "a", "label": "b"}]


def test_a_record_is_one_line() -> None:
    awkward = record(part="a\nb", source="c\u2028d", bundle='"\\')
    assert b"\n" not in encode(awkward)
    assert msgspec.json.decode(encode(awkward), type=InspectionRecord) == awkward


@given(
    st.builds(
        record,
        verdict=st.sampled_from(Verdict),
        part=st.text(st.characters(exclude_categories=["Cs"])),
        scores=st.dictionaries(st.text("abc"), st.floats(allow_nan=False, allow_infinity=False)),
        wall_ns=st.integers(0, 2**62),
        truth=st.none() | st.builds(Truth, st.just("dent"), st.floats(0, 100)),
        causes=st.lists(st.builds(Cause, st.just("late"), st.just("x")), max_size=2).map(tuple),
    )
)
def test_what_was_measured_is_read_back_as_it_was(each: InspectionRecord) -> None:
    assert msgspec.json.decode(encode(each), type=InspectionRecord) == each
