from __future__ import annotations

import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.collector import messages
from edge_agent.collector.messages import BirthSeen, Delivery, Kind, Rejected
from tests.unit.collector import arrivals
from tests.unit.collector.arrivals import LIMIT_BYTES, ROOT, arrival, inspection, sealed

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def read(payload: bytes, **where: str) -> Delivery | BirthSeen | Rejected:
    return messages.read(ROOT, arrival(payload, **where), limit_bytes=LIMIT_BYTES)


def test_a_batch_becomes_rows_and_keeps_what_it_does_not_know() -> None:
    record = inspection(7, verdict="ng", scores={"anomaly": 0.2, "classify": 0.9})
    delivery = read(sealed(3, [record], first=41))
    assert isinstance(delivery, Delivery)
    assert (delivery.device, delivery.kind, delivery.header.batch) == ("dev1", Kind.INSPECTIONS, 3)
    (row,) = delivery.rows
    assert row["record"] == record
    assert (row["number"], row["sequence"], row["verdict"], row["score"]) == (41, 7, "ng", 0.9)


def test_the_score_of_a_row_is_that_of_the_stage_nearest_to_rejecting() -> None:
    limits = {"gap": {"review": 0.8, "ng": 1.0}, "print": {"review": 0.4, "ng": 0.5}}
    record = inspection(7, scores={"gap": 0.7, "print": 0.45, "where": 3.0}, thresholds=limits)
    found = read(sealed(1, [record]))
    assert isinstance(found, Delivery)
    (row,) = found.rows
    assert row["score"] == 0.45
    assert "thresholds" not in row


def test_alarms_and_health_have_their_columns() -> None:
    alarm = b'{"key":"light/press","priority":2,"state":"normal"}'
    delivery = read(sealed(1, [alarm], kind="alarms"), topic="batch/alarms")
    assert isinstance(delivery, Delivery)
    assert delivery.rows[0]["key"] == "light/press"
    assert delivery.rows[0]["priority"] == "2"
    health = read(sealed(1, [b'{"wall_ns":5}'], kind="health"), topic="batch/health")
    assert isinstance(health, Delivery)
    assert health.rows[0]["wall_ns"] == 5


@pytest.mark.parametrize(
    "record",
    [
        inspection(1, sequence="seven"),
        inspection(1, wall_ns=2**63),
        inspection(1, scores={"anomaly": "high"}),
        inspection(1, part="x" * 5000),
    ],
)
def test_a_value_that_does_not_fit_leaves_its_columns_empty(record: bytes) -> None:
    delivery = read(sealed(1, [record]))
    assert isinstance(delivery, Delivery)
    assert delivery.rows[0]["record"] == record
    assert delivery.rows[0]["sequence"] is None


@pytest.mark.parametrize(
    ("payload", "where", "reason"),
    [
        (b"garbage", {}, "not a zstd frame"),
        (sealed(1, [inspection(1)])[:-5], {}, "cut short"),
        (sealed(1, [b"[1]"]), {}, "record 1 is not JSON: Expected `object`"),
        (sealed(1, [b"{"]), {}, "record 1 is not JSON"),
        (sealed(1, [b'{"part":"\xff"}']), {}, "record 1 is not JSON"),
        (sealed(1, [b'{"a":' + b"[" * 9999 + b"]" * 9999 + b"}"]), {}, "record 1 is not JSON"),
        (sealed(1, [inspection(1)]), {"topic": "batch/alarms"}, "of kind 'inspections' on topic"),
        (sealed(1, [inspection(1)]), {"topic": "batch/inspections/x"}, "on topic"),
        (sealed(1, [inspection(1)], kind="maps"), {"topic": "batch/maps"}, "not known here"),
        (sealed(1, [inspection(1)]), {"device": "no device"}, "not of the form"),
        (zstd.compress(b"0" * 50_000_000), {}, "more than 1048576 bytes"),
        (arrivals.birth(device="other"), {"topic": "birth"}, "of device 'other' on the topic"),
        (b"{}", {"topic": "birth"}, "birth: cannot be read"),
    ],
)
def test_what_breaks_the_contract_is_rejected(
    payload: bytes, where: dict[str, str], reason: str
) -> None:
    rejected = read(payload, **where)
    assert isinstance(rejected, Rejected)
    assert reason in rejected.reason
    assert "\n" not in rejected.reason
    assert len(rejected.reason) < 400


def test_a_birth_is_seen() -> None:
    seen = read(arrivals.birth(), topic="birth")
    assert isinstance(seen, BirthSeen)
    assert seen.birth.online


@given(st.binary(max_size=200), st.sampled_from(["batch/inspections", "birth", "batch/alarms"]))
def test_no_bytes_raise(data: bytes, topic: str) -> None:
    for payload in (data, zstd.compress(data), sealed(1, [data.replace(b"\n", b"")])):
        assert read(payload, topic=topic) is not None


_AT_NS = 1_700_000_000_000_000_000


def dated(record: bytes, **sent: Any) -> tuple[int | None, str | None]:
    came = msgspec.structs.replace(arrival(sealed(1, [record])), **sent)
    found = messages.read(ROOT, came, limit_bytes=LIMIT_BYTES, late_s=60)
    assert isinstance(found, Delivery)
    (row,) = found.rows
    return row["happened_ns"], row["mark"]


@pytest.mark.parametrize("wall_ns", [0, 1, 2_500_000_000_000_000_000])
def test_a_record_is_dated_by_the_collectors_clock(wall_ns: int) -> None:
    record = inspection(1, boot="b", mono_ns=5_000_000_000, wall_ns=wall_ns)
    sent = {"boot": "b", "sent_mono_ns": 12_000_000_000, "sent_wall_ns": wall_ns}
    assert dated(record, **sent) == (_AT_NS - 7_000_000_000, None)
    assert dated(record, **sent, waited_s=53) == (_AT_NS - 60_000_000_000, None)
    assert dated(record, **sent, waited_s=54) == (_AT_NS - 61_000_000_000, "late")


def test_of_another_boot_nothing_is_known_but_that() -> None:
    record = inspection(1, boot="a", mono_ns=5)
    assert dated(record, boot="b", sent_mono_ns=10) == (None, "historical")
    assert dated(record) == (None, None)


@pytest.mark.parametrize(
    ("record", "sent"),
    [
        (inspection(1, boot="b", mono_ns=11), {"sent_mono_ns": 10}),
        (inspection(1, boot="b", mono_ns=-1), {"sent_mono_ns": 10}),
        (inspection(1, boot="b", mono_ns=None), {"sent_mono_ns": 10}),
        (inspection(1, boot="b", mono_ns=1), {"sent_mono_ns": 2**63 - 1}),
        (inspection(1, boot="b", mono_ns=1), {"sent_mono_ns": 10, "waited_s": 2**32}),
        (inspection(1, boot=7), {"sent_mono_ns": 10}),
    ],
)
def test_what_cannot_be_is_not_dated(record: bytes, sent: dict[str, Any]) -> None:
    assert dated(record, boot="b", **sent) == (None, None)


_PIECES = st.sampled_from(
    [b"{", b"}", b'{"part":"a"}', b'"', b",", b'{"part":', b"1", b"[", b"]", b" ", b'\\"', b"\xff"]
)


@given(st.lists(st.lists(_PIECES, max_size=4).map(b"".join), min_size=1, max_size=4))
def test_what_is_read_together_is_what_is_read_one_by_one(records: list[bytes]) -> None:
    """Records that are no JSON each must not pass because they are JSON together."""
    together = messages._parse_together(Kind.INSPECTIONS, records)
    if together is not None:
        assert together == messages._parse_each(Kind.INSPECTIONS, records, 1)


@pytest.mark.parametrize(
    "records",
    [
        [b'{"a":1}{"b":{"c":1}', b"}"],
        [b'{"a":1},{"b":"x}', b'{y"}'],
        [b'{"a":1}{"a":1}', b"{}", b"{"],
        [b'{"a":[{}', b'{}]}{"b":1}'],
        [b'{"a":1} ', b"{}{}"],
    ],
)
def test_records_that_are_json_only_together_are_refused(records: list[bytes]) -> None:
    found = read(sealed(1, records))
    assert isinstance(found, Rejected)
    assert "is not JSON" in found.reason
