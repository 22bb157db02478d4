"""Kill -9 at random moments, on the whole path: nothing lost, nothing doubled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.broker import Memory
from tests.faults import storm
from tests.faults.device import Setup
from tests.faults.line import Line
from tests.faults.storm import Storm

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.broker, pytest.mark.processes]

SETUP = Setup(name="", directory="", port=0, life=0, rate=3000)


def killed(folder: Path, wanted: dict[str, int], *, seed: int) -> None:
    with Line(folder, setup=SETUP) as line:
        line.load(500)
        faults = storm.kills(
            line,
            device=wanted["kill device"],
            collector=wanted["kill collector"],
            broker=wanted["kill broker"],
        )
        raging = Storm(faults, seed=seed, pause_s=0.4)
        raging.rage(lambda: all(raging.done[name] >= times for name, times in wanted.items()))
        line.load(500)
        line.settle()
    account = line.account()
    account.check(lives=len(line.lives()))
    assert account.made > 100 * sum(wanted.values())
    assert account.unnumbered == account.cut == 0


def test_killed_at_random_moments_the_path_loses_and_doubles_nothing(tmp_path: Path) -> None:
    killed(tmp_path, {"kill device": 3, "kill collector": 3, "kill broker": 3}, seed=1)


@pytest.mark.slow
def test_killed_three_hundred_times_the_path_loses_and_doubles_nothing(tmp_path: Path) -> None:
    killed(tmp_path, {"kill device": 120, "kill collector": 90, "kill broker": 90}, seed=2)


def forgotten(folder: Path, times: int, memory: Memory) -> None:
    with Line(folder, setup=SETUP, memory=memory) as line:
        for _ in range(times):
            line.load(500)
            line.broker.kill()
            line.forget()
            line.load(200)
            line.broker.start()
        line.load(500)
        line.settle()
    account = line.account()
    account.check(lives=1)
    assert account.strangers == account.unnumbered == 0


def test_a_broker_that_loses_its_whole_state_loses_nothing(tmp_path: Path) -> None:
    forgotten(tmp_path, 3, Memory.DISK)


@pytest.mark.slow
@pytest.mark.parametrize("memory", Memory)
def test_a_broker_that_forgets_thirty_times_loses_nothing(tmp_path: Path, memory: Memory) -> None:
    forgotten(tmp_path, 30, memory)
