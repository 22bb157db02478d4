"""Forecasts of ageing, on simulated months: what is found, when, and how seldom wrongly.

A month of frames is simulated as its means over a quarter of an hour: a trend, a daily cycle, and
an autoregression that remembers hours or days.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from edge_agent.lighting.baseline import Limit
from edge_agent.lighting.forecast import DAY_S, Forecast, find_trend, forecast, student
from edge_agent.lighting.history import WATCHED, WIDTH_S, History

LIMIT = Limit(centre=0.0, reach=12.0)
START_S = 1.8e9
STEPS_A_DAY = int(DAY_S / WIDTH_S)

Trend = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]


def simulate(
    seed: int,
    days: float,
    trend: Trend,
    *,
    spread: float = 0.3,
    memory_h: float = 3.0,
    cycle: float = 0.5,
    shift_h: float = 24.0,
    ask_every: int = STEPS_A_DAY,
    name: str = "level",
) -> list[tuple[float, Forecast]]:
    """Return the forecasts that are made, each with its day."""
    rng = np.random.default_rng(seed)
    at = np.arange(int(days * STEPS_A_DAY)) / STEPS_A_DAY
    phi = math.exp(-WIDTH_S / 3600.0 / memory_h)
    shocks = rng.normal(0.0, math.sqrt(1.0 - phi * phi), len(at))
    wander, value = np.empty(len(at)), float(rng.normal())
    for turn, shock in enumerate(shocks.tolist()):
        value = phi * value + shock
        wander[turn] = value
    values = trend(at) + spread * wander + cycle * np.sin(2 * math.pi * (at + rng.uniform()))
    history, made, place = History("b"), [], WATCHED.index(name)
    for turn, (day, value) in enumerate(zip(at.tolist(), values.tolist(), strict=True)):
        if day % 1.0 * 24.0 < shift_h:
            figures = [math.nan] * len(WATCHED)
            figures[place] = value
            history.put(figures, START_S + day * DAY_S)
        if turn % ask_every == ask_every - 1:
            found = find_trend(history.buckets, name, START_S + day * DAY_S)
            said = forecast(name, found, LIMIT) if found else None
            if said:
                made.append((day, said))
    return made


def flat(at: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.zeros_like(at)


@pytest.mark.parametrize("shift_h", [24.0, 8.0])
@pytest.mark.parametrize(("memory_h", "spread"), [(0.3, 1.0), (3.0, 0.3), (12.0, 0.6), (48.0, 0.3)])
def test_healthy_light_forecasts_nothing(memory_h: float, spread: float, shift_h: float) -> None:
    """No forecast in three months of two stations each, asked once a day."""
    for seed in (1, 2):
        made = simulate(
            seed, 90, flat, memory_h=memory_h, spread=spread, shift_h=shift_h, cycle=seed - 1.0
        )
        assert not made


@pytest.mark.parametrize("shift_h", [8.0, 24.0])
@pytest.mark.parametrize(("rate", "sign"), [(0.05, -1.0), (0.09, -1.0), (0.2, 1.0), (0.5, -1.0)])
def test_a_ramp_is_forecast_long_before_its_limit(rate: float, sign: float, shift_h: float) -> None:
    made = simulate(
        round(rate * 100 + shift_h),
        11.0 / rate,
        lambda at: sign * rate * at,
        shift_h=shift_h,
        memory_h=6.0,
        ask_every=2 * STEPS_A_DAY,
    )
    first, _ = made[0]
    assert first < 0.75 * 12.0 / rate
    assert all(math.copysign(1.0, said.per_day) == sign for _, said in made)
    errors = [abs(said.days - (12.0 / rate - day)) / (12.0 / rate - day) for day, said in made]
    assert np.median(errors) < 0.25
    assert all(said.earliest_days <= said.days <= said.latest_days for _, said in made)


def test_the_interval_holds_what_it_says() -> None:
    held = [
        said.earliest_days <= 12.0 / 0.15 - day <= said.latest_days
        for seed in range(6)
        for day, said in simulate(seed, 60, lambda at: -0.15 * at, ask_every=10 * STEPS_A_DAY)
    ]
    assert len(held) > 15
    assert np.mean(held) > 0.75


def test_it_is_said_in_plain_words() -> None:
    _, said = simulate(3, 13.2, lambda at: 0.4 - 0.85 * at, cycle=0.0)[-1]
    assert said.text.startswith("light 1")
    assert "% below the baseline, falling by 0.8" in said.text
    assert ": below its limit in " in said.text
    assert said.text.endswith("plan to clean or replace the lamps")
    assert "\n" not in said.text


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("slope_x", "from left to right: the left grows darker against the other side"),
        ("slope_y", "from top to bottom: the top grows darker against the other side"),
        ("red", "red in the light"),
        ("blue", "blue in the light"),
    ],
)
def test_other_statistics_are_forecast_too(name: str, words: str) -> None:
    made = simulate(1, 20, lambda at: 0.3 * at, name=name)
    assert words in made[-1][1].text


def test_blur_never_falls_below_a_limit() -> None:
    assert simulate(1, 20, lambda at: 0.3 * at, name="blur")
    assert not simulate(1, 20, lambda at: -0.3 * at, name="blur")


def test_a_step_is_no_trend() -> None:
    for when in (5.3, 12.1, 20.7):
        made = simulate(4, 40, lambda at, when=when: -3.0 * (at > when))  # type: ignore[misc]  # bound now
        assert not made


def test_what_was_repaired_is_forecast_no_more() -> None:
    made = simulate(5, 50, lambda at: -0.3 * np.where(at < 25, at, 0.0))
    assert made
    assert max(day for day, _ in made) < 26.0


def test_a_lamp_that_begins_to_fall_late_is_seen_by_the_short_windows() -> None:
    made = simulate(6, 75, lambda at: -0.4 * np.maximum(0.0, at - 60.0))
    first = made[0][0]
    assert 62.0 < first < 70.0
    day, said = made[-1]
    assert said.days == pytest.approx(90.0 - day, rel=0.25)


def test_less_than_three_days_say_nothing() -> None:
    assert not simulate(7, 2.9, lambda at: -2.0 * at, spread=0.05, cycle=0.0)


@pytest.mark.parametrize(("freedom", "exact"), [(3.0, 3.182), (10.0, 2.228), (100.0, 1.984)])
def test_the_quantiles_are_students(freedom: float, exact: float) -> None:
    assert student(1.959964, freedom) == pytest.approx(exact, rel=0.015)
