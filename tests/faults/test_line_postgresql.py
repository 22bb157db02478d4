"""The whole path into PostgreSQL: servers that stop, crash and hang, and collectors that share."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.faults import storm
from tests.faults.device import Setup
from tests.faults.line import Line
from tests.faults.storm import Storm
from tests.rigs import postgresql
from tests.rigs.postgresql import Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.broker, pytest.mark.processes]

SETUP = Setup(name="", directory="", port=0, life=0, rate=1000)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    if postgresql.PG_CTL is None:
        pytest.skip(postgresql.ABSENT)
    made = Cluster(settings="log_min_messages = warning")
    made.start()
    yield made
    made.remove()


@pytest.mark.slow
def test_a_postgresql_that_stops_and_crashes_costs_nothing(
    tmp_path: Path, cluster: Cluster
) -> None:
    with Line(tmp_path, setup=SETUP, url=cluster.database()) as line:
        for mode in ("fast", "immediate"):
            line.load(1000)
            cluster.stop(mode)
            line.load(2000)
            cluster.start()
        line.load(1000)
        line.settle()
        account = line.account()
    account.check(lives=1)
    assert account.stored == account.made


@pytest.mark.slow
def test_a_postgresql_that_is_gone_for_minutes_costs_nothing(
    tmp_path: Path, cluster: Cluster
) -> None:
    with Line(tmp_path, setup=SETUP, url=cluster.database()) as line:
        line.load(1000)
        cluster.stop("immediate")
        time.sleep(120)
        cluster.start()
        line.load(1000)
        cluster.pause()
        time.sleep(60)
        cluster.resume()
        line.settle()
        account = line.account()
    account.check(lives=1)
    assert account.stored == account.made


def shared(folder: Path, cluster: Cluster, kills: int, *, seed: int) -> None:
    """Kill everything while two collectors share the work of two devices."""
    with Line(folder, devices=2, collectors=2, setup=SETUP, url=cluster.database()) as line:
        line.load(1000)
        faults = storm.kills(line, device=2, collector=3, broker=2)
        faults += [storm.forget(line), storm.locked(line), storm.crash(cluster)]
        raging = Storm(faults, seed=seed, pause_s=0.4)
        raging.rage(lambda: raging.done.total() >= kills)
        line.load(1000)
        line.settle()
        account = line.account()
    account.check(lives=len(line.lives()))
    assert account.unnumbered == account.cut == 0


def test_two_collectors_that_are_killed_lose_and_double_nothing(
    tmp_path: Path, cluster: Cluster
) -> None:
    shared(tmp_path, cluster, 10, seed=1)


@pytest.mark.slow
def test_two_collectors_on_one_postgresql_in_a_storm(tmp_path: Path, cluster: Cluster) -> None:
    shared(tmp_path, cluster, 200, seed=2)
