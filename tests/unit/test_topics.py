from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import WireError
from edge_agent.topics import DEFAULT_ROOT, Topics, is_name, parse

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True)
TOPICS = Topics(DEFAULT_ROOT, "press-4")


@pytest.mark.parametrize("name", ["a", "0", "press-4", "A.b_c-1", "x" * 64])
def test_what_may_be_a_name(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize(
    "name", ["", "-a", ".a", "_a", "a/b", "a b", "a\n", "+", "#", "a+", "é", "x" * 65, "a\x00"]
)
def test_what_may_not_be_a_name(name: str) -> None:
    assert not is_name(name)


def test_the_tree_is_that_of_the_wire_contract() -> None:
    assert TOPICS.birth == "edge/v1/press-4/birth"
    assert TOPICS.ack == "edge/v1/press-4/ack"
    assert TOPICS.alarm == "edge/v1/press-4/alarm"
    assert TOPICS.batch("lighting") == "edge/v1/press-4/batch/lighting"
    assert TOPICS.alarm_state("light/line1") == "edge/v1/press-4/alarms/light/line1"
    assert TOPICS.verdict("line1") == "edge/v1/press-4/verdict/line1"


@given(st.sampled_from(["edge/v1", "a", "plant/7/edge"]), NAMES, NAMES)
def test_parse_takes_apart_what_topics_puts_together(root: str, device: str, kind: str) -> None:
    topics = Topics(root, device)
    assert parse(root, topics.batch(kind)) == (device, f"batch/{kind}")
    assert parse(root, topics.alarm_state(f"light/{kind}")) == (device, f"alarms/light/{kind}")
    assert parse(root, topics.birth) == (device, "birth")


@pytest.mark.parametrize(
    "topic",
    ["", "edge/v1", "edge/v1/", "edge/v1/a", "edge/v1/a/", "edge/v2/a/ack", "edge/v1//ack",
     "edge/v1/a b/ack", "xedge/v1/a/ack", "edge/v1x/a/ack", "$SYS/broker"],
)  # fmt: skip
def test_a_topic_that_is_not_ours_is_refused(topic: str) -> None:
    with pytest.raises(WireError, match="not of the form edge/v1/DEVICE/"):
        parse("edge/v1", topic)
