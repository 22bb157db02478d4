"""Make a new database of what a damaged one still says, and put it in its place.

The damaged one is kept under a name with the time. Each function returns what a person must know:
which file, under which name it is kept, how much was saved, and which records are gone at most.
"""

from __future__ import annotations

import secrets
from contextlib import closing
from itertools import chain
from typing import TYPE_CHECKING

import msgspec

from edge_agent.errors import WireError
from edge_agent.spool import batch as layout
from edge_agent.spool import rows, salvage
from edge_agent.spool.database import Database

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from edge_agent.spool.lanes import Lane
    from edge_agent.spool.recovery import Logged
    from edge_agent.spool.rows import BatchRow, LaneRow

_CHUNK = 64


def begin_new_streams(path: Path, damage: str, lanes: Sequence[Lane], logged: Logged) -> str:
    """Save what can be saved under the streams that it had; each lane begins a new stream.

    Args:
        path: The damaged database.
        damage: What is wrong with it.
        lanes: That are configured.
        logged: What the sync log has, that the database may not have been given.

    Raises:
        OSError: The disk fails; nothing was changed.
        sqlite3.Error: The disk fails; nothing was changed.
    """
    with salvage.Salvage(path) as old, closing(_new_database(path)) as new:
        begun = {
            lane.name: new.add_lane(lane.name, lane.kind, stream=secrets.token_hex(8))
            for lane in lanes
        }
        former: dict[str, LaneRow] = {}
        for row in old.lanes.values():
            mine = new.add_lane(former_name(row), row.kind, stream=row.stream)
            former[row.stream] = msgspec.structs.replace(row, slot=mine.slot, name=mine.name)
            new.keep_lane(former[row.stream])
        known = set(former)
        kept = _copy(new, chain(old.batches(), logged.waiting()), former)
        for row in former.values():  # nothing that is in a batch is open
            saved = [*kept.get(row.stream, []), *logged.batches.get(row.stream, [])]
            row.sealed = max([row.sealed, *(each.last for each in saved)])
            row.batches = max([row.batches, *(each.batch for each in saved)])
            new.keep_lane(row)
        losses = [
            (
                carrier.stream,
                layout.Loss(loss.first, loss.last, loss.reason, loss.of or loss.carrier),
            )
            for loss in old.losses()
            if (carrier := _successor(loss.carrier, old.lanes, begun)) is not None
        ]
        told: list[str] = []
        for stream, row in former.items():
            found = kept.get(stream, [])
            if stream in known:
                spans = salvage.holes(row.floor, row.sealed, found)
            else:
                spans = salvage.holes(found[0].first - 1, found[-1].last, found)
            carrier = _successor(stream, old.lanes, begun) or begun[lanes[0].name]
            losses += [
                (carrier.stream, layout.Loss(first, last, "damaged", stream))
                for first, last in spans
            ]
            told += [f"{row.name} {first} to {last}" for first, last in spans]
        new.note_losses(losses)
    unknown = [lane.name for lane in lanes if lane.name not in old.lanes]
    return _exchange(path, damage, sum(map(len, kept.values())), told, unknown)


def go_on(path: Path, damage: str, known: Sequence[LaneRow], fresh: Sequence[BatchRow] = ()) -> str:
    """Save what can be saved while the lanes are known: what is gone is told in each stream.

    Args:
        path: The damaged database.
        damage: What is wrong with it.
        known: The lanes as they are.
        fresh: Batches that it was not given yet.

    Raises:
        OSError: The disk fails; nothing was changed.
        sqlite3.Error: The disk fails; nothing was changed.
    """
    told: list[str] = []
    after: list[LaneRow] = []
    with salvage.Salvage(path) as old, closing(_new_database(path)) as new:
        streams = {row.stream: row for row in known}
        ours = (row for row in old.batches() if row.stream in streams)
        kept = _copy(new, chain(ours, fresh), streams)
        losses = [
            (loss.carrier, layout.Loss(loss.first, loss.last, loss.reason, loss.of))
            for loss in old.losses()
            if loss.carrier in streams
        ]
        for row in known:
            spans = salvage.holes(row.floor, row.sealed, kept.get(row.stream, []))
            losses += [(row.stream, layout.Loss(first, last, "damaged")) for first, last in spans]
            gone = sum(last - first + 1 for first, last in spans)
            after.append(msgspec.structs.replace(row, damaged=row.damaged + gone))
            new.keep_lane(after[-1])
            told += [f"{row.name} {first} to {last}" for first, last in spans]
        new.note_losses(losses)
    text = _exchange(path, damage, sum(map(len, kept.values())), told, [])
    for row, changed in zip(known, after, strict=True):
        rows.assign(row, changed)
    return text


def former_name(row: LaneRow) -> str:
    """Name a lane that only waits for the collector."""
    return f"{row.name.partition('~')[0]}~{row.stream[:8]}"


def _successor(stream: str, old: dict[str, LaneRow], fresh: dict[str, LaneRow]) -> LaneRow | None:
    """Return the lane that goes on for a stream."""
    for name, row in old.items():
        if row.stream == stream:
            return fresh.get(name.partition("~")[0])
    return None


def _copy(
    new: Database,
    batches: Iterable[BatchRow],
    lanes: dict[str, LaneRow],
) -> dict[str, list[BatchRow]]:
    """Copy batches; a stream without a lane gets one. Return what was copied, without the data."""
    kept: dict[str, list[BatchRow]] = {}
    known: dict[str, set[int]] = {}
    chunk: list[BatchRow] = []

    def write() -> None:
        for stream in {row.stream for row in chunk}:
            new.take_over(lanes[stream], [row for row in chunk if row.stream == stream])
        chunk.clear()

    for row in batches:
        if row.stream not in lanes:
            try:
                kind = layout.decode(row.data)[0].kind
            except WireError:
                continue
            lanes[row.stream] = new.add_lane(f"{kind}~{row.stream[:8]}", kind, stream=row.stream)
        if row.batch in known.setdefault(row.stream, set()):
            continue
        known[row.stream].add(row.batch)
        chunk.append(row)
        kept.setdefault(row.stream, []).append(msgspec.structs.replace(row, data=b""))
        if len(chunk) >= _CHUNK:
            write()
    write()
    for found in kept.values():
        found.sort(key=lambda row: row.batch)
    return kept


def _new_database(path: Path) -> Database:
    for leftover in path.parent.glob(f"{path.name}.new*"):
        leftover.unlink()
    return Database(path.with_name(f"{path.name}.new"))


def _exchange(
    path: Path, damage: str, saved: int, gone: Sequence[str], unknown: Sequence[str]
) -> str:
    """Put the new database in the place of the damaged one; return the report."""
    name = salvage.set_aside(path)
    path.with_name(f"{path.name}.new").rename(path)
    salvage.sync_directory(path.parent)
    records = f"at most records {', '.join(gone)}" if gone else "none that is known of"
    text = f"{path.name} was damaged ({damage}); kept as {name}; {saved} batches saved; "
    text += f"gone: {records}"
    if unknown:
        text += f"; how much of {', '.join(unknown)} before that cannot be said"
    return text
