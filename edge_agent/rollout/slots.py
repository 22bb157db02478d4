"""The two slots of a station: one live bundle, and the one before it to go back to.

On the disk, in one folder a station: `A.bundle`, `B.bundle`, and `slots.json`, which says what
each of them is, with a copy of it in `slots.copy.json`. What a word means stands in
docs/glossary.md.

Invariants:
    - `slots.json` changes by one atomic rename, after the bundle it speaks of is on the disk: at
      every moment, and after a power cut at any moment, it names whole bundles.
    - The file of the bundle that decides is never written; a new bundle goes into the other slot.
      Where the live file is damaged, the bundle that decides is the good one beside it.
    - Who reads while another process installs gets one whole bundle, of before or of after.
    - Installing the bundle that is live already changes nothing: the way back stays.
    - Only a bundle that is marked good goes live.
    - `live` returns the live bundle, or, when its file is damaged, the other one if that is good.
"""

from __future__ import annotations

import errno
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
from edge_agent.rollout.bundle import Bundle, decode_bundle, read_bundle, read_bytes

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

    def __post_init__(self) -> None:
        """Refuse a table that lacks a slot, or has two that are live."""
        roles = [self.slots[name].role for name in SLOTS if name in self.slots]
        if len(roles) != len(SLOTS) or roles.count(Role.LIVE) > 1:
            raise ValueError("a table has the slots A and B, and at most one of them is live")

    def live(self) -> SlotName | None:
        """Return the name of the live slot."""
        return next((name for name in SLOTS if self.slots[name].role is Role.LIVE), None)

    def idle(self) -> SlotName:
        """Return the slot that a new bundle goes into."""
        return _other(self.live() or "B")

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


def _other(name: SlotName) -> SlotName:
    return "B" if name == "A" else "A"


def _read_table(path: Path) -> SlotTable:
    return msgspec.json.decode(path.read_bytes(), type=SlotTable)


class Slots:
    """The slots of one station, in a folder. Several processes may use one folder."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._table_path = directory / "slots.json"
        self._copy_path = directory / "slots.copy.json"

    def table(self) -> SlotTable:
        """Read what the slots hold.

        Raises:
            BundleError: The table is there but unreadable.
        """
        try:
            return _read_table(self._table_path)
        except FileNotFoundError:
            return EMPTY
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            try:
                table = _read_table(self._copy_path)
            except (OSError, msgspec.DecodeError, UnicodeDecodeError):
                raise BundleError(
                    f"slots {self._table_path}: cannot be read ({error}), nor its copy: remove "
                    f"both and install anew"
                ) from error
            log.error("slots %s: cannot be read (%s); its copy holds", self._table_path, error)  # noqa: TRY400 - one line says it
            return table

    def live(self) -> Bundle | None:
        """Return the live bundle; None when none was ever installed.

        Raises:
            BundleError: Neither the live bundle nor a good one beside it can be read.
        """
        seen: SlotTable | None = None
        while True:
            table = self.table()
            last_word = table == seen  # else it may be the table that was old, not the file bad
            seen = table
            try:
                found = self._deciding(table)
            except BundleError:
                if last_word:
                    raise
                continue
            if found is None:
                return None
            name, bundle = found
            if name != table.live():
                if not last_word:
                    continue
                log.error("the live bundle's file is damaged; going back to %s", bundle.label)
            return bundle

    def install(self, path: Path, self_test: Callable[[Bundle], None]) -> Bundle:
        """Test a bundle, put it into the idle slot, and make it live if it holds.

        Args:
            path: The bundle file.
            self_test: Judges the bundle's own samples; raises BundleError if they do not hold.

        Raises:
            BundleError: It is damaged or fails its self-test; both slots stay as they were.
        """
        data = read_bytes(path)
        bundle = decode_bundle(data, str(path))
        with self._locked():
            table = self._mended(self.table())
            live = table.live()
            if live is not None and table.slots[live].digest == bundle.digest:
                self_test(bundle)
                return bundle
            self_test(bundle)  # before anything is written: a bad one costs not even the way back
            name = table.idle()
            slot = Slot(Role.INSTALLED, Mark.UNKNOWN, bundle.label, bundle.digest)
            self._store(table.with_slot(name, Slot()))  # the slot is empty while it is written
            write_durably(self._file(name), data)
            self._read(name, table.with_slot(name, slot))  # what is on the disk is what was tested
            good = msgspec.structs.replace(slot, mark=Mark.GOOD)
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

    def _deciding(self, table: SlotTable) -> tuple[SlotName, Bundle] | None:
        """Return the slot whose bundle decides, and that bundle; None when none ever did.

        It is the live one, or the good one beside it where the live file is damaged.
        """
        live, idle = table.live(), table.idle()
        if live is None:
            return None
        try:
            return live, self._read(live, table)
        except BundleError:
            if table.slots[idle].mark is not Mark.GOOD:
                raise
            return idle, self._read(idle, table)

    def _mended(self, table: SlotTable) -> SlotTable:
        """Return the table as it is to be changed: its live slot is the one that decides.

        A damaged live file that was left in its role would send the next bundle into the other
        slot: over the one that decides in its place.
        """
        try:
            found = self._deciding(table)
        except BundleError:  # neither can be read: any bundle is better than none
            return table
        if found is None or found[0] == table.live():
            return table
        damaged = _other(found[0])
        slot = msgspec.structs.replace(
            table.slots[damaged], mark=Mark.BAD, reason="its file is damaged"
        )
        mended = table.with_slot(damaged, slot).switched()
        self._store(mended)
        return mended

    def _file(self, name: SlotName) -> Path:
        return self._directory / f"{name}.bundle"

    def _read(self, name: SlotName, table: SlotTable) -> Bundle:
        bundle = read_bundle(self._file(name))
        if bundle.digest != table.slots[name].digest:
            raise BundleError(f"slot {name}: holds another bundle than its table says")
        return bundle

    def _store(self, table: SlotTable) -> None:
        data = msgspec.json.encode(table)
        write_durably(self._table_path, data)
        write_durably(self._copy_path, data)  # for a disk that forgets: see `table`

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes out while the slots change."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            with (self._directory / "lock").open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:
            refused = error.errno in {errno.EACCES, errno.EPERM}
            remedy = (
                "run this as the user of the agent, or as root" if refused else "check the disk"
            )
            raise BundleError(
                f"slots {self._directory}: cannot be changed: {error.strerror}: {remedy}"
            ) from error
