"""The charts: what they know of a series, and how seldom they cry wolf."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from edge_agent.lighting.charts import (
    FEW_FRAMES,
    QUICK,
    SLOW,
    Charts,
    Limits,
    Memory,
    design,
    remember,
    sigmas,
)

Series = npt.NDArray[np.float64]


def wandering(
    frames: int, *columns: int, share: float, phi: float, seed: int = 0, spread: float = 1.0
) -> Series:
    """Return a first-order autoregression with white noise added, steady from the first frame."""
    random = np.random.default_rng(seed)
    slow = np.empty((frames, *columns))
    slow[0] = random.normal(0.0, 1.0, columns)
    steps = random.normal(0.0, math.sqrt(1.0 - phi**2), (frames, *columns))
    for frame in range(1, frames):
        slow[frame] = phi * slow[frame - 1] + steps[frame]
    white = random.normal(0.0, 1.0, (frames, *columns))
    return spread * (math.sqrt(share) * slow + math.sqrt(1.0 - share) * white)


def known(share: float, phi: float, *, spread: float = 1.0, frames: int = 100_000) -> Memory:
    return Memory(centre=0.0, spread=spread, share=share, phi=phi, frames=frames)


def charts(memory: Memory, size: int, *, sigmas_out: float, band: float = 1e-9) -> Charts:
    return Charts(design([memory] * size, [band] * size, sigmas_out=sigmas_out))


def false_alarms(limits: Limits, series: Series) -> int:
    """Return how often a chart began to signal."""
    running, before, count = Charts(limits), np.zeros(series.shape[1], np.bool_), 0
    for values in series:
        out = running.update(values)
        count += int((out & ~before).sum())
        before = out
    return count


# --- what is known of a series -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "phi"), [(0.8, 0.97), (0.5, 0.9), (0.9, 0.8), (0.3, 0.95), (1.0, 0.5)]
)
def test_the_memory_of_a_wandering_series_is_recovered(share: float, phi: float) -> None:
    series = wandering(30_000, share=share, phi=phi, spread=2.0, seed=5) + 7.0
    found = remember(series)
    assert found.centre == pytest.approx(7.0, abs=0.3)
    assert found.spread == pytest.approx(2.0, rel=0.1)
    assert found.share == pytest.approx(share, abs=0.1)
    assert found.phi == pytest.approx(phi, abs=0.04)
    assert found.frames == 30_000
    lags = np.arange(1.0, 13.0)
    truth = known(share, phi, spread=2.0).covariance(lags)
    np.testing.assert_allclose(found.covariance(lags), truth, atol=0.35)


def test_white_noise_has_no_memory_worth_the_name() -> None:
    found = remember(np.random.default_rng(0).normal(3.0, 1.0, 20_000))
    assert found.share * found.phi < 0.03
    assert found.ewma_spread(SLOW) == pytest.approx(known(0.0, 0.0).ewma_spread(SLOW), rel=0.25)


def test_a_hand_now_and_then_does_not_widen_what_is_known() -> None:
    series = np.random.default_rng(1).normal(0.0, 1.0, 600)
    usual = remember(series)
    series[::50] = 80.0
    found = remember(series)
    assert found.centre == pytest.approx(usual.centre, abs=0.1)
    assert found.spread < 1.4 * usual.spread


def test_what_cannot_be_measured_is_left_out() -> None:
    series = np.array([math.nan, 1.0, 2.0, math.nan, 3.0])
    assert (remember(series).centre, remember(series).frames) == (2.0, 3)
    nothing = remember(np.full(20, math.nan))
    assert (nothing.centre, nothing.spread) == (0.0, 0.0)
    steady = remember(np.full(100, 5.0))
    assert (steady.centre, steady.spread, steady.ewma_spread(QUICK)) == (5.0, 0.0, 0.0)


@pytest.mark.parametrize(("share", "phi"), [(0.0, 0.0), (0.7, 0.97), (1.0, 0.9), (0.4, 0.99)])
def test_spreads_of_the_charts_are_those_of_a_simulation(share: float, phi: float) -> None:
    memory = known(share, phi, spread=1.5)
    series = wandering(2000, 300, share=share, phi=phi, spread=1.5, seed=2)
    running = charts(memory, 300, sigmas_out=1e9)
    quick, slow, step = [], [], []
    for frame, values in enumerate(series):
        running.update(values)
        if frame >= 1000 and frame % 20 == 0:  # by then the averages have forgotten their start
            quick.append(running.quick.copy())
            slow.append(running.slow.copy())
            at = frame + 1
            step.append(series[at - 4 : at].mean(0) - series[at - 10 : at - 4].mean(0))
    assert memory.ewma_spread(QUICK) == pytest.approx(np.std(quick), rel=0.05)
    assert memory.ewma_spread(SLOW) == pytest.approx(np.std(slow), rel=0.1)
    assert memory.step_spread() == pytest.approx(np.std(step), rel=0.05)


def test_the_error_of_a_centre_is_that_of_a_simulation() -> None:
    series = wandering(400, 2000, share=0.6, phi=0.9, seed=3)
    error = known(0.6, 0.9, frames=400).centre_error()
    assert error == pytest.approx(float(series.mean(axis=0).std()), rel=0.1)


def test_few_frames_make_limits_wide() -> None:
    wide = [known(0.5, 0.9, frames=frames).widening() for frames in (10, 100, 600, 100_000)]
    assert wide == sorted(wide, reverse=True)
    assert wide[-1] == pytest.approx(1.0, abs=0.02)
    assert known(0.0, 0.0, frames=FEW_FRAMES - 1).widening() >= 2.0


# --- how seldom they cry wolf --------------------------------------------------------------------


@pytest.mark.parametrize(("share", "phi"), [(0.0, 0.0), (0.7, 0.97), (0.5, 0.8)])
def test_false_alarms_are_as_rare_as_was_asked(share: float, phi: float) -> None:
    asked = 5000.0
    series = wandering(2000, 400, share=share, phi=phi, seed=9)  # 800,000 values in all
    limits = design([known(share, phi)] * 400, [1e-9] * 400, sigmas_out=sigmas(asked, charts=3))
    assert 0 < false_alarms(limits, series) <= series.size / asked


def test_long_series_alone_have_no_more_false_alarms_than_asked() -> None:
    series = wandering(50_000, 2, share=0.7, phi=0.97, seed=4)
    limits = design([known(0.7, 0.97)] * 2, [1e-9] * 2, sigmas_out=sigmas(10_000.0, charts=3))
    assert false_alarms(limits, series) <= 10


def test_limits_that_ignore_memory_would_cry_wolf() -> None:
    series = wandering(2000, 100, share=0.7, phi=0.97, seed=9)
    out = sigmas(5000.0, charts=3)
    independent = design([known(0.0, 0.0)] * 100, [1e-9] * 100, sigmas_out=out)
    ours = design([known(0.7, 0.97)] * 100, [1e-9] * 100, sigmas_out=out)
    assert false_alarms(independent, series) > 20 * max(1, false_alarms(ours, series))


def test_false_alarms_are_rare_with_what_600_frames_have_taught() -> None:
    learned = wandering(600, 100, share=0.5, phi=0.9, seed=21)
    memories = [remember(learned[:, column]) for column in range(100)]
    centred = wandering(4000, 100, share=0.5, phi=0.9, seed=22)
    limits = design(memories, [1e-9] * 100, sigmas_out=sigmas(5000.0, charts=3))
    # Twice what was asked: each series has but one baseline, and some are off by chance.
    assert false_alarms(limits, centred) <= 2 * centred.size / 5000.0


def test_rarer_alarms_and_more_charts_mean_wider_limits() -> None:
    assert sigmas(100.0) < sigmas(10_000.0) < sigmas(1_000_000.0)
    assert sigmas(1000.0, charts=1) < sigmas(1000.0, charts=70)
    assert sigmas(1.0 / 0.0027, charts=1) == pytest.approx(3.0, abs=0.01)


# --- running -------------------------------------------------------------------------------------


def test_a_change_signals_soon_and_only_where_it_is() -> None:
    running = charts(known(0.6, 0.95, spread=0.4), 3, sigmas_out=6.0, band=1.0)
    random = np.random.default_rng(0)
    for _ in range(50):
        assert not running.update(random.normal(0.0, 0.1, 3)).any()
    seen = [running.update(random.normal([0.0, 5.0, 0.0], 0.1)) for _ in range(8)]
    assert np.array(seen)[:, 1].any()
    assert not np.array(seen)[:, [0, 2]].any()
    assert running.away()[1] == pytest.approx(5.0, abs=0.3)


def test_slow_ageing_is_found_by_the_slow_chart() -> None:
    memory = known(0.0, 0.0, spread=0.5)
    running = charts(memory, 1, sigmas_out=6.0, band=0.4)
    random = np.random.default_rng(0)
    for frame in range(2000):
        if running.update(np.array([-0.002 * frame + random.normal(0.0, 0.5)]))[0]:
            break
    assert 200 < frame < 1000


def test_nothing_within_the_dead_band_signals() -> None:
    running = charts(known(0.0, 0.0, spread=1e-6), 1, sigmas_out=6.0, band=1.0)
    assert not any(running.update(np.array([0.79]))[0] for _ in range(500))


def test_the_centre_never_moves() -> None:
    running = charts(known(0.0, 0.0), 2, sigmas_out=6.0)
    before = running.limits.centre.copy()
    for _ in range(5000):
        out = running.update(np.array([2.0, 0.0]))
    np.testing.assert_array_equal(running.limits.centre, before)
    assert out.tolist() == [True, False], "after 5000 frames it is still a change"


@pytest.mark.parametrize("far", [1e3, 1e9, -1e9])
def test_one_frame_however_far_out_moves_an_average_by_no_more_than_four_limits(
    far: float,
) -> None:
    running = charts(known(0.0, 0.0), 1, sigmas_out=6.0)
    running.update(np.array([far]))
    assert abs(running.quick[0]) <= 4.0 * running.limits.quick[0]
    assert abs(running.slow[0]) <= 4.0 * running.limits.quick[0]
    for _ in range(30):
        out = running.update(np.array([0.0]))
    assert not out[0]


def test_what_cannot_be_measured_leaves_a_chart_as_it_is() -> None:
    running = charts(known(0.0, 0.0), 2, sigmas_out=6.0)
    for _ in range(20):
        running.update(np.array([1.0, 1.0]))
    before = running.quick.copy()
    running.update(np.array([math.nan, 1.0]))
    assert running.quick[0] == before[0]
    assert np.isfinite(running.away()).all()
