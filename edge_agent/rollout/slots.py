"""The two slots of a station: one live bundle, and the one before it to go back to.

On the disk, in one folder a station: `A.bundle`, `B.bundle`, and `slots.json`, which says what
each of them is. What a word means stands in docs/glossary.md.

Invariants:
    - `slots.json` changes by one atomic rename, after the bundle it speaks of is on the disk: at
      every moment, and after a power cut at any moment, it names whole bundles.
    - The live slot's file is never written; a new bundle goes into the idle one.
    - Only a bundle that is marked good goes live.
    - `live` returns the live bundle, or, when its file is damaged, the other one if that is good.
"""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Literal

import msgspec

from edge_agent.errors import BundleError
from edge_agent.files import write_durably
from edge_agent.rollout.bundle import Bundle, read_bundle

log = logging.getLogger(__name__)

SlotName = Literal["A", "B"]
SLOTS: tuple[SlotName, SlotName] = ("A", "B")


class Role(StrEnum):
    """What a slot does; `shadow` and `canary` join these when rollout does."""

    EMPTY = "empty"
    INSTALLED = "installed"
    LIVE = "live"


class Mark(StrEnum):
    """What is known of the bundle in a slot; `unknown` is not `bad`."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"


class Slot(msgspec.Struct, frozen=True):
    """One slot: what it does, what is known of its bundle, and which bundle that is."""

    role: Role = Role.EMPTY
    mark: Mark = Mark.UNKNOWN
    label: str = ""
    digest: str = ""
    reason: str = ""


class SlotTable(msgspec.Struct, frozen=True):
    """Both slots of a station."""

    slots: dict[SlotName, Slot]

    def live(self) -> SlotName | None:
        """Return the name of the live slot."""
        return next((name for name in SLOTS if self.slots[name].role is Role.LIVE), None)

    def idle(self) -> SlotName:
        """Return the slot that a new bundle goes into."""
        return "B" if self.live() == "A" else "A"

    def with_slot(self, name: SlotName, slot: Slot) -> SlotTable:
        """Return the table with one slot replaced."""
        return SlotTable({**self.slots, name: slot})

    def switched(self) -> SlotTable:
        """Return the table with the idle slot live, and the live one installed."""
        live, idle = self.live(), self.idle()
        slots = dict(self.slots)
        slots[idle] = msgspec.structs.replace(slots[idle], role=Role.LIVE)
        if live is not None:
            slots[live] = msgspec.structs.replace(slots[live], role=Role.INSTALLED)
        return SlotTable(slots)


EMPTY = SlotTable({"A": Slot(), "B": Slot()})


class Slots:
    """The slots of one station, in a folder. Several processes may use one folder."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._table_path = directory / "slots.json"

    def table(self) -> SlotTable:
        """Read what the slots hold.

        Raises:
            BundleError: The table is there but unreadable.
        """
        try:
            return msgspec.json.decode(self._table_path.read_bytes(), type=SlotTable)
        except FileNotFoundError:
            return EMPTY
        except (OSError, msgspec.DecodeError) as error:
            raise BundleError(
                f"slots {self._table_path}: cannot be read ({error}): remove it and install anew"
            ) from error

    def live(self) -> Bundle | None:
        """Return the live bundle; None when none was ever installed.

        Raises:
            BundleError: Neither the live bundle nor a good one beside it can be read.
        """
        table = self.table()
        name = table.live()
        if name is None:
            return None
        try:
            return self._read(name, table)
        except BundleError as error:
            other = table.slots[table.idle()]
            if other.mark is not Mark.GOOD:
                raise
            log.error("live bundle unusable (%s); going back to %s", error, other.label)  # noqa: TRY400 - the message says it all
            return self._read(table.idle(), table)

    def install(self, path: Path, self_test: Callable[[Bundle], None]) -> Bundle:
        """Put a bundle into the idle slot, test it there, and make it live if it holds.

        Args:
            path: The bundle file.
            self_test: Judges the bundle's own samples; raises BundleError if they do not hold.

        Raises:
            BundleError: It is damaged or fails its self-test; the live bundle stays as it was.
        """
        bundle = read_bundle(path)
        with self._locked():
            table = self.table()
            name = table.idle()
            fresh = Slot(Role.INSTALLED, Mark.UNKNOWN, bundle.label, bundle.digest)
            self._store(table.with_slot(name, Slot()))  # the slot is empty while it is written
            write_durably(self._file(name), path.read_bytes())
            self._store(table.with_slot(name, fresh))
            try:
                self_test(self._read(name, table.with_slot(name, fresh)))
            except BundleError as error:
                bad = msgspec.structs.replace(fresh, mark=Mark.BAD, reason=str(error))
                self._store(table.with_slot(name, bad))
                raise
            good = msgspec.structs.replace(fresh, mark=Mark.GOOD)
            self._store(table.with_slot(name, good).switched())
        return bundle

    def roll_back(self) -> Bundle:
        """Make the other slot live again.

        Raises:
            BundleError: The other slot holds no good bundle.
        """
        with self._locked():
            table = self.table()
            other = table.slots[table.idle()]
            if other.role is not Role.INSTALLED or other.mark is not Mark.GOOD:
                what = "is empty" if other.role is Role.EMPTY else f"is marked {other.mark}"
                raise BundleError(f"nothing to roll back to: slot {table.idle()} {what}")
            bundle = self._read(table.idle(), table)
            self._store(table.switched())
        return bundle

    def _file(self, name: SlotName) -> Path:
        return self._directory / f"{name}.bundle"

    def _read(self, name: SlotName, table: SlotTable) -> Bundle:
        bundle = read_bundle(self._file(name))
        if bundle.digest != table.slots[name].digest:
            raise BundleError(f"slot {name}: holds another bundle than its table says")
        return bundle

    def _store(self, table: SlotTable) -> None:
        write_durably(self._table_path, msgspec.json.encode(table))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes out while the slots change."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            with (self._directory / "lock").open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise BundleError(
                f"slots {self._directory}: cannot be changed: {error.strerror}: run this as the "
                f"user of the agent, or as root"
            ) from error
