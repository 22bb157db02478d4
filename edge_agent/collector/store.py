"""The interface of a store: where a collector keeps everything."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Protocol

import msgspec

from edge_agent.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_agent.collector.gaps import Gap
    from edge_agent.collector.messages import BirthSeen, Delivery, Rejected
    from edge_agent.collector.settings import StoreSettings


class Outcome(Enum):
    """What became of a batch."""

    STORED = "stored"
    REPEATED = "repeated"  # it was there already: tell the device again
    CONTRADICTED = "contradicted"  # its number is taken by other bytes: in quarantine


class Group(msgspec.Struct, frozen=True):
    """What goes into one transaction, in the order of arrival."""

    deliveries: list[Delivery]
    births: list[BirthSeen]
    rejects: list[Rejected]


class Tidied(msgspec.Struct, frozen=True):
    """What was dropped because it is older than it is kept.

    Attributes:
        records: Records dropped.
        batches: Batches of which only the numbers are left.
        is_done: Whether nothing that is old is left.
    """

    records: int = 0
    batches: int = 0
    is_done: bool = True


class Store(Protocol):
    """A database. One thread uses it; only `tidy` may be called from another."""

    def commit(self, group: Group) -> list[Outcome]:
        """Store a group in one transaction; return what became of each delivery.

        Raises:
            StoreUnavailable: Nothing was stored; the same call may work later.
            StoreError: Nothing was stored, and the same call will fail again.
        """

    def sweep(self, now_ns: int, *, grace_s: float) -> list[Gap]:
        """Look for gaps in the streams; return those that are to be asked for now.

        Args:
            now_ns: Wall time of the collector.
            grace_s: How long a hole may be there before it counts as a gap.

        Raises:
            StoreUnavailable: Nothing was noted; the same call may work later.
        """

    def gone(
        self, device: str, stream: str, batches: Sequence[tuple[int, int]], now_ns: int
    ) -> None:
        """Note that a device has batches no more.

        Args:
            device: Who said so.
            stream: The stream of its spool.
            batches: First and last number of each range.
            now_ns: Wall time of the collector.

        Raises:
            StoreUnavailable: Nothing was noted; the same call may work later.
        """

    def tidy(self, now_ns: int) -> Tidied:
        """Drop records that are older than they are kept, in steps between which others write.

        That a batch was stored is never forgotten. One call works for some seconds at most.

        Args:
            now_ns: Wall time of the collector.

        Raises:
            StoreUnavailable: Not all is done; the same call goes on later.
        """

    def close(self) -> None:
        """Close the database."""


class StoreUnavailable(StoreError):  # noqa: N818 - a state that passes, not a mistake
    """The database is locked, full or away for now."""


def open_store(settings: StoreSettings) -> Store:
    """Open the database, and make its tables if it is new.

    Raises:
        StoreError: It cannot be opened.
    """
    if settings.url.startswith("postgresql:"):
        from edge_agent.collector.stores.postgresql import (  # noqa: PLC0415 - an extra
            PostgresqlStore,
        )

        return PostgresqlStore(
            settings.url, password_file=settings.password_file, keep_days=settings.keep_days
        )
    from edge_agent.collector.stores.sqlite import SqliteStore  # noqa: PLC0415 - loads SQLAlchemy

    return SqliteStore(settings.url, keep_days=settings.keep_days)
