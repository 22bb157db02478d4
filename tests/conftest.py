"""What all tests share: the reference bundle, the real image sets, a broker."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests.broker import MOSQUITTO, Broker, Memory
from tests.rigs import postgresql as pg

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]

# Whoever starts the tests in the background may have Ctrl-C ignored, and children inherit that; the
# processes that the tests start are sent a Ctrl-C and must hear it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A time limit for each example would answer to the load of the machine.
hypothesis.settings.register_profile("edge", deadline=None)
hypothesis.settings.load_profile("edge")


@pytest.fixture(scope="session")
def simulated_bundle() -> Path:
    """Return the reference bundle of the simulated line, which the repository ships."""
    path = ROOT / "models/simulated_line.bundle"
    assert path.is_file(), f"{path} is missing: make models"
    return path


@pytest.fixture(scope="session")
def images_dir() -> Path:
    """Return the folder of the real image sets."""
    path = Path(os.environ.get("EDGE_IMAGES") or ROOT.parent / "shared/data")
    if not path.is_dir():
        pytest.skip("real image sets absent: set EDGE_IMAGES")
    return path


@pytest.fixture(scope="session")
def postgresql() -> Iterator[pg.Cluster]:
    """Run a PostgreSQL whose data nobody wants to keep; each test makes a database of its own."""
    if pg.PG_CTL is None:
        pytest.skip(pg.ABSENT)
    cluster = pg.Cluster(settings="fsync = off\nmax_connections = 40")
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.remove()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """Run a broker that forgets everything when it is killed."""
    yield from _running(Broker(tmp_path / "broker"))


@pytest.fixture
def lasting_broker(tmp_path: Path) -> Iterator[Broker]:
    """Run a broker that keeps sessions and retained messages when it is killed."""
    yield from _running(Broker(tmp_path / "broker", memory=Memory.DISK))


def _running(broker: Broker) -> Iterator[Broker]:
    if MOSQUITTO is None:
        pytest.skip("Mosquitto absent: install the package 'mosquitto'")
    broker.start()
    yield broker
    broker.stop()


_ORDER = ("unit", "contract", "integration", "faults")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the fast tests first: what is wrong in a room is said before processes are started."""

    def rank(item: pytest.Item) -> int:
        tests = ROOT / "tests"
        room = item.path.relative_to(tests).parts[0] if item.path.is_relative_to(tests) else ""
        return _ORDER.index(room) if room in _ORDER else len(_ORDER)

    items.sort(key=rank)
