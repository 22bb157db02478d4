from __future__ import annotations

import msgspec

from edge_agent.decision.outputs import Output, VerdictMessage
from edge_agent.decision.outputs.mqtt import MqttOutput
from edge_agent.decision.verdict import Cause, Verdict


def test_a_verdict_is_published_on_the_topic_of_its_station() -> None:
    sent: list[tuple[str, bytes]] = []
    output: Output = MqttOutput(
        lambda topic, payload: sent.append((topic, payload)), "edge/v1/d/verdict/line1"
    )
    full = VerdictMessage(
        station="line1", part="1-000007", sequence=7, verdict=Verdict.INVALID,
        scores={"anomaly": 0.5}, causes=(Cause("late", "too late", 900.0, "ms"),),
        time="2024-01-01T00:00:00.000Z", record=41,
    )  # fmt: skip
    least = VerdictMessage(
        station="line1", part="p", sequence=1, verdict=Verdict.OK, time="2024-01-01T00:00:00.000Z"
    )
    output.emit(full)
    output.emit(least)
    assert [topic for topic, _ in sent] == ["edge/v1/d/verdict/line1"] * 2
    assert [msgspec.json.decode(data, type=VerdictMessage) for _, data in sent] == [full, least]
    assert msgspec.json.decode(sent[1][1]) == {
        "station": "line1", "part": "p", "sequence": 1, "verdict": "ok",
        "time": "2024-01-01T00:00:00.000Z",
    }  # fmt: skip
