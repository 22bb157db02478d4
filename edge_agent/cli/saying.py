"""What the collector knows, in words for people."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from edge_agent.collector.gaps import GapState

if TYPE_CHECKING:
    from edge_agent.collector.audit import Missing
    from edge_agent.collector.reading import Entry

_ODD = timedelta(minutes=1)
_SPANS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def span(length: timedelta) -> str:
    """Say a length of time in its largest unit.

    >>> span(timedelta(hours=3, minutes=20)), span(timedelta(seconds=-75)), span(timedelta(days=4))
    ('3 h', '1 min', '4 d')
    """
    seconds = abs(length.total_seconds())
    size, unit = next((each for each in _SPANS if seconds >= each[0]), _SPANS[-1])
    return f"{seconds // size:.0f} {unit}"


def lateness(device_time: str, entry: Entry) -> str:
    """Say what is odd about when a record came and about the clock that dated it.

    Where the collector knows when it happened, its own clock counts, and a device's clock that
    differs by more than a minute is told. Of an earlier boot only the device's own time is known.
    """
    said, received = _moment(device_time), _moment(entry.received)
    happened = _moment(entry.happened)
    words = []
    if entry.mark == "historical":
        words.append("historical: of an earlier boot")
    elif received and happened:
        if entry.mark == "late":
            words.append(f"late {span(received - happened)}")
        if said and abs(said - happened) > _ODD:
            way = "behind" if said < happened else "ahead"
            words.append(f"happened {entry.happened}: device clock {span(said - happened)} {way}")
    elif received and said and abs(received - said) > _ODD:
        words.append(f"late {span(received - said)}" if said < received else "device clock ahead")
    return "; ".join(words)


def gap_line(gap: Missing) -> str:
    """Say what is missing, and what was done about it.

    Like: press-4, stream 9f86, batches 12 to 14, inspections 501 to 620: asked 3 times, last ...
    """
    parts = [gap.device, f"stream {gap.stream}"]
    if gap.last_batch >= gap.first_batch:
        parts.append(_range("batch", "batches", gap.first_batch, gap.last_batch))
    kind = gap.kind or "records"
    parts.append(_range(f"{kind} number", kind, gap.first, gap.last))
    return f"{', '.join(parts)}: {_done(gap)}"


def _done(gap: Missing) -> str:
    times = "once" if gap.asked == 1 else f"{gap.asked} times"
    asked = f"asked {times}, last {gap.asked_last}"
    if gap.state is GapState.FILLED:
        return f"came after it was {asked}"
    if gap.state is GapState.GONE:
        return f"GONE, the device does not have them any more ({asked})"
    if gap.last_batch < gap.first_batch:
        return f"no batch is missing and no notice says why (found {gap.found})"
    return f"{asked}, no answer yet" if gap.asked else f"found {gap.found}, not asked yet"


def _range(one: str, many: str, first: int, last: int) -> str:
    return f"{one} {first}" if first == last else f"{many} {first} to {last}"


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None
