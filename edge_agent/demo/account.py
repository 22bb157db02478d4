"""The account at the end: what the collector's database holds, against the planted truth.

The database is read with plain SQL, as an auditor would, and not through the collector's code.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from edge_agent.agent.status import Percentiles
from edge_agent.decision.verdict import Verdict
from edge_agent.errors import StoreError

_CAUGHT = {Verdict.NG.value, Verdict.REVIEW.value}


class StoredInspection(msgspec.Struct, frozen=True):
    """What the account needs of a stored inspection."""

    number: int
    sequence: int
    verdict: str
    defect: str | None
    """Kind of the planted defect, empty for a good part, None where the truth is not known."""


class Stored(msgspec.Struct, frozen=True):
    """What the collector's database holds of one device.

    Attributes:
        inspections: All of them.
        records: Rows by kind of record (inspections, alarms, health) and stream.
        wire_bytes: Payload bytes of the stored batches of inspections.
        transitions: Alarm transitions: key, state, event.
    """

    inspections: list[StoredInspection]
    records: dict[tuple[str, str], int]
    wire_bytes: int
    transitions: list[tuple[str, str, str]]


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """The account of a run; `--json` writes it.

    Attributes:
        parts: Parts that the camera gave.
        verdicts: Stored parts by verdict.
        caught: Planted defects that did not pass: `ng`, or `review` by a person.
        missed: Planted defects that passed as `ok`.
        not_judged: Planted defects whose verdict was `invalid`.
        false_rejects: Good parts with the verdict `ng`.
        reviews: Good parts that a person must look at.
        spooled: Records that the agent spooled, of all kinds.
        delivered: Records that the database holds, of all kinds.
        lost: Records spooled and not stored, and parts of the camera without a record.
        doubled: Parts stored more than once.
        latency_ms: From capture to the verdict out, over the newest 2048 parts.
        bytes_per_inspection: Payload bytes on the wire.
        alarms: Alarms that were raised, by key.
    """

    parts: int
    verdicts: dict[str, int]
    caught: int
    missed: int
    not_judged: int
    false_rejects: int
    reviews: int
    spooled: int
    delivered: int
    lost: int
    doubled: int
    latency_ms: Percentiles | None
    bytes_per_inspection: float
    alarms: dict[str, int]

    @property
    def is_good(self) -> bool:
        """Whether every part is stored exactly once."""
        return self.lost == 0 and self.doubled == 0


def read_stored(database: Path, device: str, appended: Mapping[tuple[str, str], int]) -> Stored:
    """Read what a collector's database holds of a device.

    Args:
        database: The file.
        device: Its name in the topics.
        appended: Number of the last record that counts, by kind and stream; later ones (the agent's
            farewell) are left out.

    Raises:
        StoreError: It cannot be read.
    """
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
            rows = db.execute(
                "SELECT number, record FROM inspections WHERE device = ? ORDER BY stream, number",
                (device,),
            )
            inspections = [_inspection(number, data) for number, data in rows]
            records = {
                (kind, stream): db.execute(
                    f"SELECT count(*) FROM {kind}"  # noqa: S608 - our own names
                    " WHERE device = ? AND stream = ? AND number <= ?",
                    (device, stream, last),
                ).fetchone()[0]
                for (kind, stream), last in appended.items()
            }
            wire_bytes = db.execute(
                "SELECT coalesce(sum(bytes), 0) FROM batches WHERE device = ? AND kind = ?",
                (device, "inspections"),
            ).fetchone()[0]
            transitions = [
                (key, state, event)
                for key, state, event in db.execute(
                    "SELECT key, state, event FROM alarms WHERE device = ? ORDER BY number",
                    (device,),
                )
            ]
    except sqlite3.Error as error:
        raise StoreError(f"{database}: the collector's database cannot be read: {error}") from error
    return Stored(inspections, records, wire_bytes, transitions)


def _inspection(number: int, data: str) -> StoredInspection:
    record: dict[str, Any] = json.loads(data)
    truth = record.get("truth")
    return StoredInspection(
        number, record["sequence"], record["verdict"], truth["defect"] if truth else None
    )


def settle(
    stored: Stored,
    *,
    parts: int,
    appended: Mapping[tuple[str, str], int],
    latency: Percentiles | None,
) -> Account:
    """Settle the account.

    Args:
        stored: What the database holds.
        parts: How many parts the camera gave; their sequence numbers are 1 to `parts`.
        appended: Records that the agent spooled, by kind and stream, when nothing waited any more.
        latency: As the agent measured it.
    """
    seen = Counter(each.sequence for each in stored.inspections)
    unrecorded = sum(1 for sequence in range(1, parts + 1) if sequence not in seen)
    undelivered = sum(
        max(0, number - stored.records.get(lane, 0)) for lane, number in appended.items()
    )
    defective = [each for each in stored.inspections if each.defect]
    good = [each for each in stored.inspections if each.defect == ""]
    count = len(stored.inspections)
    raised = Counter(key for key, _state, event in stored.transitions if event == "raise")
    return Account(
        parts=parts,
        verdicts=_by_verdict(stored.inspections),
        caught=sum(each.verdict in _CAUGHT for each in defective),
        missed=_count(defective, Verdict.OK),
        not_judged=_count(defective, Verdict.INVALID),
        false_rejects=_count(good, Verdict.NG),
        reviews=_count(good, Verdict.REVIEW),
        spooled=sum(appended.values()),
        delivered=sum(stored.records.get(lane, 0) for lane in appended),
        lost=max(unrecorded, undelivered),
        doubled=count - len(seen),
        latency_ms=latency,
        bytes_per_inspection=round(stored.wire_bytes / count, 1) if count else 0.0,
        alarms=dict(raised),
    )


def _by_verdict(inspections: Iterable[StoredInspection]) -> dict[str, int]:
    counts = Counter(each.verdict for each in inspections)
    return {verdict.value: counts[verdict.value] for verdict in Verdict}


def _count(inspections: Iterable[StoredInspection], verdict: Verdict) -> int:
    return sum(each.verdict == verdict.value for each in inspections)
