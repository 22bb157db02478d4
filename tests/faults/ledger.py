"""The account at the end of a fault test: what sources made against what the database holds.

The database is read with plain SQL, as an auditor would, and not through the collector's code. A
record is known by its source (device, life, index), which it carries, and not by its number: so a
number that was given twice shows as well as a record that came twice.

What each word of the account means stands at `Account`. Nothing here starts or stops anything.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections import Counter, defaultdict
from contextlib import closing
from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

SLACK_MS = 100
"""A commit that is under way when a sync is due, on a machine that does other things too."""

_STORED, _NOTICED = 1, 2
_NEVER_NS = 2**63 - 1
_SAMPLES = 5
_KINDS = {"inspections": "part", "alarms": "text"}


class Life:
    """What one life of a device told: a source from its start until it was ended.

    Args:
        device: Its name.
        number: Counts the lives of the device.
        sync_ms: Of its spool: what a power cut may take,
        slack_ms: and what it may take beyond that: a sync takes its time.

    Attributes:
        lanes: First letter of the lane of each record, in the order in which they were made.
        numbers: The number that `append` gave; 0 for a record that waits in memory.
        at_ns: When it was told, by the monotonic clock.
        cut_ns: When its power was cut; 0 if it was not.
        safe_ns: A power cut may have taken what was told from here on.
        left: How many records it could not deliver in the end; None if it did not get that far.
    """

    def __init__(self, device: str, number: int, *, sync_ms: int, slack_ms: int = SLACK_MS) -> None:
        self.device = device
        self.number = number
        self.lanes = bytearray()
        self.numbers = array("q")
        self.at_ns = array("q")
        self.cut_ns = 0
        self.safe_ns = _NEVER_NS
        self.left: int | None = None
        self._sync_ms = sync_ms
        self._slack_ms = slack_ms

    def hear(self, line: bytes) -> None:
        """Take a line that the device told."""
        first, *rest = line.split()
        if first == b"left":
            self.left = int(rest[0])
            return
        number, index, at_ns = map(int, rest)
        self.lanes += first
        self.numbers.append(number)
        self.at_ns.append(at_ns)
        assert index == len(self.numbers), "a line is missing"

    @property
    def window_ns(self) -> int:
        """How much a power cut may take."""
        return (self._sync_ms + self._slack_ms) * 1_000_000 if self._sync_ms else 0


def doubt(lives: Sequence[Life]) -> None:
    """Set `safe_ns` of the lives of one device, in their order.

    A cut takes what was told in its window. A life that had just begun may not have synced yet what
    the one before, that was killed, told at its end: then that end is in doubt too.
    """
    for place, last in enumerate(lives):
        if not last.cut_ns:
            continue
        safe_ns = last.cut_ns - last.window_ns
        for life in reversed(lives[: place + 1]):
            if life is not last and life.at_ns:
                safe_ns = min(safe_ns, life.at_ns[-1] - life.window_ns)
            life.safe_ns = min(life.safe_ns, safe_ns)
            if life.at_ns and life.at_ns[0] < safe_ns:
                break


class Account(msgspec.Struct, kw_only=True):
    """What became of what was made.

    Attributes:
        made: Records of which a source told.
        stored: Rows in the database.
        lost: Made, with a number, not stored, and no notice says so.
        doubled: Stored more than once.
        misplaced: Stored under another number than the source was given.
        strangers: Stored, but no source told of them: cut off between `append` and the word.
        holes: Numbers that a stream has neither as a record nor in a notice.
        noticed: Numbers that notices say are gone.
        false_notices: Noticed as `dropped`, but stored. What was damaged or evicted may have been
            stored: sent, but not yet acknowledged.
        unnumbered: Made without a number (no disk took them), and not stored, for their device was
            killed before a disk did.
        cut: Made in the last moments before a power cut and not stored.
        cut_ms: The longest such moments, of records that had a number.
        disordered: Records of an earlier monotonic time than the one before, in a stream and boot.
        quarantined: Messages in quarantine.
        rows_of_batches: Rows that there must be by the batches that the store knows.
        samples: Some of what is wrong, in words.
    """

    made: int = 0
    stored: int = 0
    lost: int = 0
    doubled: int = 0
    misplaced: int = 0
    strangers: int = 0
    holes: int = 0
    noticed: int = 0
    false_notices: int = 0
    unnumbered: int = 0
    cut: int = 0
    cut_ms: int = 0
    disordered: int = 0
    quarantined: int = 0
    rows_of_batches: int = 0
    samples: list[str] = []

    def wrong(self, text: str) -> None:
        """Keep an example of what is wrong."""
        if len(self.samples) < _SAMPLES:
            self.samples = [*self.samples, text]

    def check(self, *, lives: int, noticed: int = 0, damaged: int = 0) -> None:
        """Raise where anything is not as promised.

        Args:
            lives: How many lives the devices had: each may have kept one record that it could not
                tell of any more.
            noticed: How many records may be gone, with a notice.
            damaged: How many records may have got another number: what was still open in a spool
                that was found damaged goes into a new stream.

        Raises:
            AssertionError: With the whole account.
        """
        bad = self.lost or self.doubled or self.holes or self.false_notices or self.disordered
        bad = bad or self.quarantined or self.stored != self.rows_of_batches
        assert not bad, self
        assert self.strangers <= lives, self
        assert self.noticed <= noticed, self
        assert self.misplaced <= damaged, self


class _Stream:
    """The numbers of one stream, and what is known of each."""

    def __init__(self) -> None:
        self.seen = bytearray(1)
        self.lane = 0

    def mark(self, first: int, last: int, what: int) -> int:
        """Mark numbers; return how many were marked so before."""
        self.seen.extend(bytes(max(0, last + 1 - len(self.seen))))
        before = 0
        for number in range(first, last + 1):
            before += bool(self.seen[number] & what)
            self.seen[number] |= what
        return before


class _Books:
    """What the database holds, by source and by stream."""

    def __init__(self, lives: Iterable[Life], account: Account) -> None:
        self.lives = {(life.device, life.number): life for life in lives}
        self.found = {key: array("q", bytes(8 * len(life.numbers))) for key, life in self.items()}
        self.streams: dict[tuple[str, str], _Stream] = defaultdict(_Stream)
        self.account = account

    def items(self) -> Iterable[tuple[tuple[str, int], Life]]:
        """Return the lives by device and number."""
        return self.lives.items()

    def enter(self, device: str, stream: str, number: int, source: str) -> None:
        """Enter a row."""
        account = self.account
        account.stored += 1
        page = self.streams[device, stream]
        if page.mark(number, number, _STORED):
            account.doubled += 1
            account.wrong(f"number {number} of {device}/{stream} is there twice")
        life, _, index = source.partition("-")
        key, place = (device, int(life)), int(index) - 1
        if key not in self.found or place >= len(self.found[key]):
            account.strangers += 1
            return
        if self.found[key][place]:
            account.doubled += 1
            account.wrong(f"{source} of {device} is {self.found[key][place]} and {number}")
        self.found[key][place] = number
        page.lane = self.lives[key].lanes[place]

    def notice(self, device: str, stream: str, span: tuple[int, int], reason: str) -> None:
        """Enter a loss notice."""
        page = self.streams[device, stream]
        page.mark(*span, _NOTICED)
        stored = sum(page.seen[number] & _STORED for number in range(span[0], span[1] + 1))
        if stored and reason == "dropped":
            self.account.false_notices += stored
            self.account.wrong(f"{reason} {span} of {device}/{stream}: {stored} are stored")

    def close(self) -> None:
        """Settle streams and lives."""
        noticed: dict[tuple[str, int], set[int]] = defaultdict(set)
        for (device, stream), page in self.streams.items():
            counts = Counter(page.seen[1:])
            self.account.holes += counts[0]
            self.account.noticed += counts[_NOTICED]
            if counts[0]:
                self.account.wrong(f"{device}/{stream} has {counts[0]} holes")
            if counts[_NOTICED]:
                gone = {n for n, what in enumerate(page.seen) if what == _NOTICED}
                noticed[device, page.lane] |= gone
        for key, life in self.items():
            self._settle(life, self.found[key], noticed)

    def _settle(
        self, life: Life, found: array[int], noticed: Mapping[tuple[str, int], set[int]]
    ) -> None:
        account = self.account
        account.made += len(life.numbers)
        waiting = Counter[int]()  # by lane: no number, and not stored
        for place, (number, kept) in enumerate(zip(life.numbers, found, strict=True)):
            lane, what = life.lanes[place], f"{life.number}-{place + 1} of {life.device}"
            in_doubt = life.at_ns[place] >= life.safe_ns
            if not kept and in_doubt:
                account.cut += 1
                ago_ms = ((life.cut_ns or life.at_ns[-1]) - life.at_ns[place]) // 1_000_000
                account.cut_ms = max(account.cut_ms, ago_ms if number else 0)
            elif not kept and not number:
                waiting[lane] += 1
            elif not kept and number not in noticed.get((life.device, lane), ()):
                account.lost += 1
                account.wrong(f"{what} ({chr(lane)} {number}) is lost")
            elif kept and number not in {0, kept} and not in_doubt:
                account.misplaced += 1
                account.wrong(f"{what} has the number {kept}, not {number}")
            if number and waiting[lane]:
                account.lost += waiting.pop(lane)
                account.wrong(f"{what} has a number, and those before it got none")
        if life.left is None:
            account.unnumbered += waiting.total()
        elif waiting:
            account.lost += waiting.total()
            account.wrong(f"{waiting.total()} of {life.device} waited, and were left behind")


def settle(url: str, lives: Iterable[Life]) -> Account:
    """Hold what was made against what a database holds.

    Args:
        url: Of the store, as in collector.toml.
        lives: Of all devices.
    """
    account = Account()
    by_device: dict[str, list[Life]] = defaultdict(list)
    for life in lives:
        by_device[life.device].append(life)
    for each in by_device.values():
        doubt(each)
    books = _Books(chain.from_iterable(by_device.values()), account)
    for table, source in _KINDS.items():
        query = f"SELECT device, stream, number, {source}, boot, mono_ns FROM {table} "
        before: tuple[Any, ...] = ()
        for row in fetch(url, query + "ORDER BY device, stream, number"):
            device, stream, number, origin, boot, mono_ns = row
            books.enter(device, stream, number, origin)
            if before and before[:3] == (device, stream, boot) and before[3] > mono_ns:
                account.disordered += 1
                account.wrong(f"{origin} of {device} is out of order")
            before = (device, stream, boot, mono_ns)
    for device, stream, first, last, reason in fetch(
        url, "SELECT device, stream, first, last, reason FROM losses"
    ):
        books.notice(device, stream, (first, last), reason)
    books.close()
    for reason, times in fetch(url, "SELECT reason, count(*) FROM quarantine GROUP BY reason"):
        account.quarantined += times
        account.wrong(f"quarantine: {reason} ({times})")
    (rows,) = fetch(url, "SELECT coalesce(sum(last - first + 1), 0) FROM batches")
    account.rows_of_batches = int(rows[0])
    return account


def fetch(url: str, query: str) -> Iterator[tuple[Any, ...]]:
    """Read rows of a store, whatever database it is."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database:
            yield from database.execute(query)
        return
    import psycopg  # noqa: PLC0415 - only where there is a PostgreSQL

    with psycopg.connect(url) as server, server.cursor("account") as cursor:
        cursor.itersize = 20_000
        yield from cursor.execute(query.encode())
