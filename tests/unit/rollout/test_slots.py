"""The slots: at every moment a whole bundle is live, or the good one beside it is."""

from __future__ import annotations

import errno
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from edge_agent.errors import BundleError
from edge_agent.files import write_durably
from edge_agent.rollout import slots as module
from edge_agent.rollout.bundle import Bundle, write_bundle
from edge_agent.rollout.slots import Mark, Role, Slot, Slots, SlotTable
from tests.tiny import tiny_manifest

FILES = {"model.onnx": b"model" * 1000, "golden.png": b"g", "challenge.png": b"c"}


def holds(_bundle: Bundle) -> None:
    """Pass the self-test."""


def fails(bundle: Bundle) -> None:
    """Fail the self-test."""
    raise BundleError(f"bundle {bundle.label}: self-test failed")


@pytest.fixture
def make(tmp_path: Path) -> Callable[[str], Path]:
    def make(version: str) -> Path:
        path = tmp_path / f"{version}.bundle"
        write_bundle(path, tiny_manifest(version), FILES)
        return path

    return make


def live_version(slots: Slots) -> str | None:
    bundle = slots.live()
    return None if bundle is None else bundle.manifest.version


# --- every sequence of orders, against a model that fits on a page -------------------------------


class Expected(msgspec.Struct):
    """What a person would expect: which version decides, and which one the way back leads to."""

    live: str | None = None
    back: str | None = None


def expect(state: Expected, order: str, version: str) -> bool:
    """Change what is expected; return whether the order is obeyed."""
    if order == "good":
        state.live, state.back = version, state.live
    elif order == "failing":
        return False  # and the way back stays
    elif order == "roll_back":
        if state.back is None:
            return False
        state.live, state.back = state.back, state.live
    return order != "damaged"


ORDERS = ("good", "failing", "damaged", "roll_back")


@pytest.mark.parametrize("first", ORDERS)
def test_every_sequence_of_orders_leaves_what_a_person_expects(
    tmp_path: Path, make: Callable[[str], Path], first: str
) -> None:
    paths = [make(str(turn)) for turn in range(4)]
    damaged = tmp_path / "damaged.bundle"
    damaged.write_bytes(paths[0].read_bytes()[:-40])
    for number, rest in enumerate(itertools.product(ORDERS, repeat=3)):
        slots, state = Slots(tmp_path / f"slots-{number}"), Expected()
        for turn, order in enumerate((first, *rest)):
            try:
                if order == "roll_back":
                    slots.roll_back()
                else:
                    path = damaged if order == "damaged" else paths[turn]
                    slots.install(path, fails if order == "failing" else holds)
                obeyed = True
            except BundleError:
                obeyed = False
            assert obeyed == expect(state, order, str(turn)), (first, *rest)
            assert live_version(slots) == state.live
            _check_invariants(slots)


def _check_invariants(slots: Slots) -> None:
    table = slots.table()
    live = table.live()
    assert live is None or table.slots[live].mark is Mark.GOOD  # only a good one goes live
    for slot in table.slots.values():
        assert (slot.role is Role.EMPTY) == (slot.digest == "")


# --- invariants ----------------------------------------------------------------------------------


def test_the_file_of_the_bundle_that_decides_is_never_written(
    tmp_path: Path, make: Callable[[str], Path]
) -> None:
    slots = Slots(tmp_path / "slots")
    slots.install(make("1"), holds)
    before = (tmp_path / "slots/A.bundle").stat()

    def check(_bundle: Bundle) -> None:
        now = (tmp_path / "slots/A.bundle").stat()
        assert (now.st_ino, now.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
        assert live_version(slots) == "1"

    slots.install(make("2"), check)
    assert live_version(slots) == "2"


def test_only_a_bundle_that_is_marked_good_goes_live(
    tmp_path: Path, make: Callable[[str], Path]
) -> None:
    slots = Slots(tmp_path / "slots")
    slots.install(make("0"), holds)
    slots.install(make("1"), holds)
    before = slots.table()

    def crashes(_bundle: Bundle) -> None:
        raise ZeroDivisionError

    with pytest.raises(BundleError, match="self-test failed"):
        slots.install(make("2"), fails)
    with pytest.raises(ZeroDivisionError):
        slots.install(make("3"), crashes)
    assert slots.table() == before
    assert live_version(slots) == "1"
    assert slots.roll_back().manifest.version == "0"


def test_a_slot_that_is_not_good_is_nothing_to_roll_back_to(
    tmp_path: Path, make: Callable[[str], Path]
) -> None:
    slots = Slots(tmp_path / "slots")
    slots.install(make("1"), holds)
    slots.install(make("2"), holds)
    path = tmp_path / "slots/slots.json"
    table = json.loads(path.read_text())
    for mark in ("bad", "unknown"):
        table["slots"]["A"]["mark"] = mark
        path.write_text(json.dumps(table))
        with pytest.raises(BundleError, match=f"slot A is marked {mark}"):
            slots.roll_back()
    assert live_version(slots) == "2"


def test_a_bundle_that_is_live_already_keeps_the_way_back(
    tmp_path: Path, make: Callable[[str], Path]
) -> None:
    slots = Slots(tmp_path / "slots")
    slots.install(make("1"), holds)
    slots.install(make("2"), holds)
    table = slots.table()
    assert slots.install(make("2"), holds).manifest.version == "2"  # an order that came twice
    assert slots.table() == table
    with pytest.raises(BundleError, match="self-test failed"):
        slots.install(make("2"), fails)
    assert slots.table() == table
    assert slots.roll_back().manifest.version == "1"


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "gone", "other"])
def test_live_returns_the_good_one_beside_a_damaged_file(
    tmp_path: Path, make: Callable[[str], Path], damage: str
) -> None:
    slots = Slots(tmp_path / "slots")
    slots.install(make("1"), holds)
    slots.install(make("2"), holds)
    _damage(tmp_path / "slots/B.bundle", damage, make("9"))
    assert live_version(slots) == "1"
    assert live_version(Slots(tmp_path / "slots")) == "1"
    _damage(tmp_path / "slots/A.bundle", damage, make("9"))
    with pytest.raises(BundleError):
        slots.live()
    slots.install(make("3"), holds)  # and an installation mends all
    assert live_version(slots) == "3"


def _damage(path: Path, how: str, other: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    if how == "gone":
        path.unlink()
    else:
        changed: dict[str, bytes] = {
            "cut": bytes(data[:-9]),
            "flip": bytes(data),
            "empty": b"",
            "other": other.read_bytes(),
        }
        path.write_bytes(changed[how])


def test_a_bad_one_never_takes_the_place_of_a_damaged_live_one(
    tmp_path: Path, make: Callable[[str], Path]
) -> None:
    slots = Slots(tmp_path / "slots")
    slots.install(make("1"), holds)
    with pytest.raises(BundleError, match="self-test failed"):
        slots.install(make("2"), fails)
    (tmp_path / "slots/A.bundle").write_bytes(b"")
    with pytest.raises(BundleError, match="not a bundle"):
        slots.live()


def test_an_installation_never_writes_over_the_one_that_stands_in_for_a_damaged_live_one(
    tmp_path: Path, make: Callable[[str], Path]
) -> None:
    slots = Slots(tmp_path / "slots")
    slots.install(make("1"), holds)
    slots.install(make("2"), holds)
    (tmp_path / "slots/B.bundle").write_bytes(b"")  # live, and damaged: 1 stands in
    with pytest.raises(BundleError, match="self-test failed"):
        slots.install(make("3"), fails)
    assert live_version(slots) == "1"
    table = slots.table()
    assert (table.live(), table.slots["B"].mark) == ("A", Mark.BAD)


def test_rolling_back_to_a_damaged_file_changes_nothing(
    tmp_path: Path, make: Callable[[str], Path]
) -> None:
    slots = Slots(tmp_path / "slots")
    with pytest.raises(BundleError, match="nothing to roll back to: slot A is empty"):
        slots.roll_back()
    slots.install(make("1"), holds)
    slots.install(make("2"), holds)
    (tmp_path / "slots/A.bundle").write_bytes(b"")
    with pytest.raises(BundleError, match="not a bundle"):
        slots.roll_back()
    assert live_version(slots) == "2"


def test_nothing_installed_is_none(tmp_path: Path) -> None:
    assert Slots(tmp_path / "gone").live() is None
    assert not (tmp_path / "gone").exists()  # looking writes nothing


# --- the table -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", b'{"slots": {}}', b'{"slots": {"A": {}}}', b'{"slots": {"C": {}}}',
     b'{"slots": {"A": {"role": "live"}, "B": {"role": "live"}}}',
     b'{"slots": {"A": {"role": "idle"}, "B": {}}}', b'{"slots": {"A": {"label": "\xff"}}}'],
)  # fmt: skip
def test_a_damaged_table_is_refused_with_its_name(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "slots.json").write_bytes(data)
    with pytest.raises(BundleError, match=r"slots\.json: cannot be read .*: remove both"):
        Slots(tmp_path).live()


def test_the_copy_of_a_damaged_table_holds(tmp_path: Path, make: Callable[[str], Path]) -> None:
    slots = Slots(tmp_path / "slots")
    slots.install(make("1"), holds)
    slots.install(make("2"), holds)
    (tmp_path / "slots/slots.json").write_bytes(b"\0" * 100)
    assert live_version(slots) == "2"
    assert slots.roll_back().manifest.version == "1"
    assert json.loads((tmp_path / "slots/slots.json").read_text())  # and the table is whole again


def test_a_table_says_which_slot_is_idle() -> None:
    a, b = Slot(Role.LIVE, Mark.GOOD), Slot(Role.INSTALLED, Mark.GOOD)
    assert SlotTable({"A": Slot(), "B": Slot()}).idle() == "A"
    assert SlotTable({"A": a, "B": b}).idle() == "B"
    assert SlotTable({"A": b, "B": a}).idle() == "A"
    switched = SlotTable({"A": a, "B": b}).switched()
    assert (switched.live(), switched.slots["A"].role) == ("B", Role.INSTALLED)


def test_a_full_disk_leaves_the_live_one_and_says_so(
    tmp_path: Path, make: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    slots = Slots(tmp_path / "slots")
    slots.install(make("1"), holds)

    def full(path: Path, data: bytes) -> None:
        if path.suffix == ".bundle":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_durably(path, data)

    monkeypatch.setattr(module, "write_durably", full)
    with pytest.raises(BundleError, match="No space left on device: check the disk"):
        slots.install(make("2"), holds)
    monkeypatch.undo()
    assert live_version(slots) == "1"
    assert slots.table().slots["B"].role is Role.EMPTY
    slots.install(make("2"), holds)
    assert live_version(slots) == "2"


def test_a_folder_that_we_may_not_write_says_who_may(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BundleError, match="cannot be changed: "):
        Slots(tmp_path / "file/slots").roll_back()


# --- kill -9, and two at once --------------------------------------------------------------------

INSTALLER = """
import sys
from pathlib import Path
from edge_agent.rollout.slots import Slots
slots, paths = Slots(Path(sys.argv[1])), [Path(each) for each in sys.argv[2:]]
print("ready", flush=True)
while True:
    for path in paths:
        slots.install(path, lambda bundle: None)
"""


def installer(folder: Path, *paths: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", INSTALLER, str(folder), *map(str, paths)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.processes
def test_killed_at_any_moment_a_whole_bundle_is_live(
    tmp_path: Path, make: Callable[[str], Path]
) -> None:
    folder = tmp_path / "slots"
    Slots(folder).install(make("0"), holds)
    chance, seen = random.Random(7), set[str | None]()
    for number in range(60):  # on a busy machine the installer may not come to run for a while
        if number >= 12 and len(seen) >= 2:
            break
        process = installer(folder, make("1"), make("2"))
        time.sleep(chance.uniform(0.0, 0.06 + 0.005 * number))
        kill(process)
        seen.add(live_version(Slots(folder)))
        _check_invariants(Slots(folder))
    assert None not in seen
    assert len(seen) >= 2
    Slots(folder).install(make("3"), holds)
    assert live_version(Slots(folder)) == "3"


@pytest.mark.processes
def test_who_reads_while_two_processes_install_gets_one_whole_bundle(
    tmp_path: Path, make: Callable[[str], Path]
) -> None:
    folder = tmp_path / "slots"
    slots = Slots(folder)
    slots.install(make("0"), holds)
    processes = [installer(folder, make("1"), make("2")), installer(folder, make("3"), make("4"))]
    seen: set[str | None] = set()
    end = time.monotonic() + 0.8
    while time.monotonic() < end:
        seen.add(live_version(slots))
    for process in processes:
        kill(process)
    assert None not in seen
    assert {"1", "2"} & seen
    assert {"3", "4"} & seen
    _check_invariants(slots)
    assert live_version(slots) is not None
