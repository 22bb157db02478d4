"""The slow story of a station's light: the invariants of `edge_agent.agent.ageing`."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge_agent.agent.ageing import Ageing
from edge_agent.lighting import Baseline
from edge_agent.lighting.history import WATCHED
from edge_agent.lighting.state import LightLevel, LightState

DAY_S = 86_400
START_S = 1_800_000_000


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    noise = np.random.default_rng(0)
    scene = noise.integers(60, 180, (60, 80, 3)).astype(np.float64)
    frames = [(scene + noise.normal(0, 1, scene.shape)).astype(np.uint8) for _ in range(60)]
    return Baseline.learn(frames)


def feed(ageing: Ageing, baseline: Baseline, days: int, rate: float, begin: int = 0) -> float:
    """Let days go by, a frame an hour; return the time."""
    now_s = float(START_S)
    for hour in range(begin * 24, (begin + days) * 24):
        now_s = START_S + hour * 3600.0
        level = rate * hour / 24 + 0.1 * math.sin(7.0 * hour)
        figures = {**dict.fromkeys(WATCHED, math.nan), "level": level}
        ageing.take(baseline, LightState(LightLevel.NORMAL, (), figures, 0.0), int(now_s * 1e9))
    return now_s


def test_far_is_a_forecast_and_near_is_an_alarm(tmp_path: Path, baseline: Baseline) -> None:
    ageing = Ageing(tmp_path / "light", forecast_days=7.0)
    ageing.look(START_S)
    assert not ageing.forecasts
    unknown = ageing.alarm
    assert unknown is None  # nothing is known yet: what stood before a restart still stands
    reach = baseline.limits["level"].below or baseline.limits["level"].reach
    rate = -reach / 40.0
    ageing.look(feed(ageing, baseline, 25, rate))
    (said,) = ageing.forecasts
    assert said.days == pytest.approx(15.0, abs=1.5)
    assert ageing.alarm != said.text
    ageing.look(feed(ageing, baseline, 10, rate, begin=25))
    assert ageing.alarm == ageing.forecasts[0].text
    assert ageing.forecasts[0].days < 7.0
    exchanged = feed(ageing, baseline, 1, 0.0, begin=35)
    ageing.look(exchanged)
    assert not ageing.forecasts
    assert not ageing.alarm
    never = Ageing(tmp_path / "other", forecast_days=0.0)
    never.look(feed(never, baseline, 35, rate))
    assert never.forecasts
    assert never.alarm == ""


def test_it_survives_a_restart(tmp_path: Path, baseline: Baseline) -> None:
    first = Ageing(tmp_path / "light", forecast_days=7.0)
    feed(first, baseline, 20, -0.2)
    first.save()
    again = Ageing(tmp_path / "light", forecast_days=7.0)
    again.look(feed(again, baseline, 1, -0.2, begin=20))
    assert again.forecasts[0].span_days > 10.0


def test_each_baseline_has_a_history_of_its_own(tmp_path: Path, baseline: Baseline) -> None:
    other = msgspec.structs.replace(baseline, digest="f" * 64)
    ageing = Ageing(tmp_path / "light", forecast_days=7.0)
    now_s = feed(ageing, baseline, 20, -0.2)
    ageing.look(feed(ageing, other, 1, 0.0, begin=20))
    begun = len(ageing.forecasts)
    ageing.look(feed(ageing, baseline, 1, -0.2, begin=21))
    assert (begun, len(ageing.forecasts)) == (0, 1)
    ageing.save()
    assert len(list((tmp_path / "light").iterdir())) == 2
    assert now_s > START_S


def test_nothing_is_written_on_the_path(tmp_path: Path, baseline: Baseline) -> None:
    ageing = Ageing(tmp_path / "light", forecast_days=7.0)
    feed(ageing, baseline, 5, -0.2)
    ageing.look_after(START_S + 5.0 * DAY_S)
    assert not (tmp_path / "light").exists()


def test_a_damaged_history_is_told_and_begun_anew(
    tmp_path: Path, baseline: Baseline, caplog: pytest.LogCaptureFixture
) -> None:
    ageing = Ageing(tmp_path / "light", forecast_days=7.0)
    feed(ageing, baseline, 1, 0.0)
    ageing.save()
    (file,) = (tmp_path / "light").iterdir()
    file.write_bytes(b'{"half')
    with caplog.at_level(logging.ERROR):
        again = Ageing(tmp_path / "light", forecast_days=7.0)
        feed(again, baseline, 1, 0.0)
    assert "begins anew" in caplog.text
    again.save()
    assert file.read_bytes().startswith(b'{"baseline"')


def test_a_disk_that_refuses_is_told(
    tmp_path: Path, baseline: Baseline, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "light").write_text("in the way", encoding="utf-8")
    ageing = Ageing(tmp_path / "light", forecast_days=7.0)
    with caplog.at_level(logging.ERROR):
        feed(ageing, baseline, 1, 0.0)
        ageing.save()
    assert "cannot be written" in caplog.text
