"""Everything that reads what others wrote, and what it may answer to damage."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

from edge_agent import topics
from edge_agent.agent.control import _Server
from edge_agent.collector import messages
from edge_agent.collector.messages import Arrival, BirthSeen, Delivery, Rejected
from edge_agent.columns import shredding
from edge_agent.errors import EdgeError, WireError
from edge_agent.spool import batch
from edge_agent.uplink import wire
from tests.fuzz.mutating import mutate

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LIMIT_BYTES = 2**20
SAMPLES = Path(__file__).parents[1] / "samples"
_ROOT = "edge/v1"
_BATCHES = [path.read_bytes() for path in sorted(SAMPLES.glob("*/*.batch"))]
_UNPACKED = [zstd.decompress(payload) for payload in _BATCHES]
_SMALL = [text for text in _UNPACKED if len(text) < 8192]
_BODIES = [
    (text.partition(b"\n")[2], batch.decode(payload)[0].count)
    for text, payload in zip(_UNPACKED, _BATCHES, strict=True)
    if batch.SCHEMA_COLUMNS.encode() in text[:64] and len(text) < 8192
]
_RECORDS = [line for path in SAMPLES.glob("*/*.jsonl") for line in path.read_bytes().split(b"\n")]
_TEXTS = [
    b'{"device":"press-4","online":true,"stations":["press"],"boot":"3f","schema":"edge/birth/1"}',
    b'{"stream":"9f86d081884c7d65","batches":[[1,3],[7,7]],"schema":"edge/ack/1"}',
    b'{"stream":"9f86d081884c7d65","batches":[[1,3],[7,1000000000]],"schema":"edge/want/1"}',
    b'{"stream":"9f86d081884c7d65","batches":[[2,2]],"schema":"edge/gone/1"}',
    b'{"verb":"changeover","station":"press","part_number":"4711-B","schema":"edge/command/1"}',
    b'{"verb":"status","station":"line1","numbers":[1,2.5e3,-0],"deep":{"a":[null,true]}}',
]
DECODERS = (
    wire.decode_birth,
    wire.decode_ack,
    wire.decode_want,
    wire.decode_gone,
    wire.decode_command,
)
Target = Callable[[Random], None]
"""Makes one damaged input, and has it read; raises if what reads it did what it must not."""


def batch_as_it_comes(draw: Random) -> None:
    """A payload that was damaged on its way."""
    _decode(mutate(draw.choice(_BATCHES), _BATCHES, draw))


def batch_unpacked(draw: Random) -> None:
    """A payload whose sender damaged it before it was compressed."""
    _decode(zstd.compress(mutate(draw.choice(_SMALL), _UNPACKED, draw), 1))


def columns(draw: Random) -> None:
    """The columns alone: no digest keeps damage from being read to its end."""
    body, count = draw.choice(_BODIES)
    data = mutate(body, _UNPACKED, draw)
    try:
        records = shredding.read(data, 0, count=count, limit_bytes=LIMIT_BYTES)
    except WireError:
        return
    assert len(records) == count
    assert sum(map(len, records)) <= LIMIT_BYTES


def records_both_ways(draw: Random) -> None:
    """Damaged records: our own encoder must take them, and give them back."""
    start = draw.randrange(len(_RECORDS))
    lines = [
        mutate(line, _RECORDS, draw).replace(b"\n", b" ") if draw.random() < 0.3 else line
        for line in _RECORDS[start : start + draw.randint(1, 12)]
    ]
    header = batch.Header(
        schema="", stream="s", batch=1, kind="health", first=1, last=len(lines), count=len(lines)
    )
    assert batch.decode(batch.encode(header, lines, level=1))[1] == lines


def message(draw: Random) -> None:
    """What a collector takes from the broker."""
    parts = ["press-4", draw.choice(["batch/inspections", "batch/health", "birth", "batch/alarms"])]
    topic = "/".join([_ROOT, *parts])
    if draw.random() < 0.2:
        topic = mutate(topic.encode(), _TEXTS, draw).decode("utf-8", "replace")
    payload = (
        mutate(draw.choice(_TEXTS), _TEXTS, draw)
        if topic.endswith("birth")
        else zstd.compress(mutate(draw.choice(_SMALL), _RECORDS, draw), 1)
    )
    item = messages.read(_ROOT, Arrival(topic, payload, 1), limit_bytes=LIMIT_BYTES)
    assert isinstance(item, Delivery | BirthSeen | Rejected)
    if isinstance(item, Rejected):
        assert item.reason
        assert "\n" not in item.reason


def small_messages(draw: Random) -> None:
    """Births, acknowledgements, what is missed and what is gone, commands."""
    data = mutate(draw.choice(_TEXTS), _TEXTS, draw)
    for decode in DECODERS:
        with contextlib.suppress(WireError):
            decode(data)


def control_socket(draw: Random) -> None:
    """A request to the control socket, of which a damaged one must be answered too."""
    line = mutate(draw.choice(_TEXTS), _TEXTS, draw)
    answer = json.loads(_SERVER.answer(line))
    assert isinstance(answer["ok"], bool)


def topic(draw: Random) -> None:
    """The name of a topic."""
    name = mutate(b"edge/v1/press-4/batch/inspections", _TEXTS, draw).decode("utf-8", "replace")
    try:
        device, _ = topics.parse(_ROOT, name)
    except WireError:
        return
    assert 0 < len(device) <= 64


def _decode(payload: bytes) -> None:
    try:
        header, records = batch.decode(payload, limit_bytes=LIMIT_BYTES)
    except WireError:
        return
    assert len(records) == header.count


def _refuse(_request: dict[str, object]) -> object:
    raise EdgeError("refused")


def _status(_request: dict[str, object]) -> object:
    return {"parts": 1}


def _make_server() -> _Server:
    server = _Server.__new__(_Server)  # without a socket: only what it answers is looked at
    server.handlers = {"status": _status, "changeover": _refuse}
    return server


_SERVER = _make_server()
TARGETS: dict[str, Target] = {
    target.__name__: target
    for target in (
        batch_as_it_comes,
        batch_unpacked,
        columns,
        records_both_ways,
        message,
        small_messages,
        control_socket,
        topic,
    )
}
SHARES = {"records_both_ways": 1, "message": 5, "topic": 4, "small_messages": 20}
"""How often each comes up; others ten times."""
