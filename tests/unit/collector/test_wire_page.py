"""docs/wire.md is the contract: what it shows must be what the code does."""

from __future__ import annotations

import base64
import re
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge_agent.agent.changeover import Changed
from edge_agent.clock import Stamp
from edge_agent.collector import messages
from edge_agent.collector.messages import Arrival, BirthSeen, Delivery, Kind
from edge_agent.spool import batch
from edge_agent.topics import DEFAULT_ROOT, Topics
from edge_agent.uplink import wire

PAGE = (Path(__file__).parents[3] / "docs" / "wire.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def example() -> bytes:
    text, _ = blocks("base64")
    return base64.b64decode(text)


def test_the_topics_on_the_page_are_the_topics_in_the_code() -> None:
    listed = re.findall(r"^\| `([a-z]+[^`]*)` \| (?:device|collector)", PAGE, re.MULTILINE)
    topics = Topics("r", "d")
    made = [topics.birth, topics.batch("{kind}"), topics.ack, topics.want, topics.gone]
    made += [topics.alarm]
    made += [topics.alarm_state("{key}"), topics.verdict("{station}"), topics.answer]
    assert [f"r/d/{rest}" for rest in listed] == made
    assert f"root `{DEFAULT_ROOT}`" in PAGE


def test_the_example_is_a_batch_that_the_collector_takes() -> None:
    arrival = Arrival("edge/v1/press-4/batch/inspections", example(), 0)
    delivery = messages.read("edge/v1", arrival, limit_bytes=2**20)
    assert isinstance(delivery, Delivery)
    assert [row["number"] for row in delivery.rows] == [41, 42]
    header = batch.decode(example())[0]
    assert blocks("json")[0].strip().encode() == msgspec.json.encode(header)


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="the page imports backports")
def test_the_decoder_on_the_page_decodes_the_example() -> None:
    (source,) = blocks("python")
    scope: dict[str, Any] = {}
    exec(source, scope)
    found = scope["decode"](example())
    assert {number: record["sequence"] for number, record in found.items()} == {41: 7, 42: 8}


def test_the_messages_on_the_page_are_read() -> None:
    _, ack, want, gone, birth, command, answer = blocks("json")
    assert wire.decode_ack(ack.encode()).batches == [(1, 3), (7, 7)]
    assert wire.decode_want(want.encode()).batches == [(4, 6), (8, 8)]
    assert wire.decode_gone(gone.encode()).batches == [(4, 5)]
    seen = messages.read(
        "edge/v1", Arrival("edge/v1/press-4/birth", birth.encode(), 0), limit_bytes=1
    )
    assert isinstance(seen, BirthSeen)
    order = wire.decode_command(command.encode())
    assert (order.verb, order.station, order.part_number) == ("changeover", "press", "4711-B")
    told = msgspec.json.decode(answer, type=wire.Answer)
    assert told.ok
    assert set(told.result) == set(Changed.__struct_fields__)


def test_every_schema_kind_and_property_is_on_the_page() -> None:
    for word in (
        batch.SCHEMA,
        batch.CONTENT_TYPE,
        batch.SCHEMA_COLUMNS,
        batch.CONTENT_TYPE_COLUMNS,
        wire.ACK_SCHEMA,
        wire.WANT_SCHEMA,
        wire.GONE_SCHEMA,
        wire.BIRTH_SCHEMA,
        wire.COMMAND_SCHEMA,
        wire.ANSWER_SCHEMA,
        *(f"`{name}`" for name in wire.sending_properties("", Stamp(0, 0))),
        *(f"`{kind.value}`" for kind in Kind),
        *(f"`{field}`" for field in batch.Header.__struct_fields__),
    ):
        assert word in PAGE
