"""Correction of the light: the invariants of `edge_agent.lighting.correction`, each by its name."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from edge_agent.camera.frame import Image
from edge_agent.camera.simulation.light import NOMINAL, Light
from edge_agent.lighting import Baseline, LightWatch
from edge_agent.lighting.correction import Correct, Correction, Corrector, table_of
from edge_agent.lighting.sampling import GAMMA
from edge_agent.lighting.state import LightCause, LightLevel, LightState

Draw = Callable[..., Image]
FIGURES = ("level", "slope_x", "slope_y", "red", "blue", "clipped_dark", "clipped_bright")


def said(*kinds: str, level: LightLevel = LightLevel.DRIFTED, **figures: float) -> LightState:
    """Say of a frame that causes of some kinds stand."""
    causes = tuple(LightCause(kind, 1.0, "%", "", 0.9, kind) for kind in kinds)
    return LightState(level, causes, {**dict.fromkeys(FIGURES, 0.0), **figures}, 0.0)


@pytest.fixture
def image() -> Image:
    return np.random.default_rng(0).integers(20, 200, (48, 64, 3)).astype(np.uint8)


def after(
    corrector: Corrector, image: Image, state: LightState, frames: int = 10
) -> Correction | None:
    return [corrector.correct(image, state) for _ in range(frames)][-1]


def dimmed(image: Image, light: float) -> Image:
    shown: Image = np.rint(image * light ** (1 / GAMMA)).astype(np.uint8)
    return shown


def test_the_table_undoes_light() -> None:
    codes = np.arange(256, dtype=np.uint8)
    again = table_of(np.array([0.9]))[0][dimmed(codes, 0.9)]
    assert np.abs(again.astype(int) - codes).max() <= 1
    blue, green, red = np.unstack(table_of(np.array([0.9, 1.0, 1.1]))[0], axis=1)
    np.testing.assert_array_equal(green, codes)
    assert blue[100] > 100 > red[100]


@pytest.mark.parametrize(
    ("light", "kind", "mode"),
    [
        (Light(level=0.93), "brightness", Correct.GAIN),
        (Light(level=0.93), "brightness", Correct.FIELD),
        (Light(level=1.06), "brightness", Correct.GAIN),
        (Light(gradient_x=0.14), "gradient", Correct.FIELD),
        (Light(gradient_y=-0.14), "gradient", Correct.FIELD),
        (Light(warmth=0.06), "color", Correct.GAIN),
    ],
)
def test_what_the_watch_names_is_brought_back(
    baseline: Baseline, draw: Draw, light: Light, kind: str, mode: Correct
) -> None:
    watch, corrector = LightWatch(baseline), Corrector(baseline, mode)
    frame = draw(301, light)
    for number in range(302, 350):
        frame = draw(number, light)
        corrected = corrector.correct(frame, watch.update(frame))
    assert corrected is not None, corrector.why_not
    assert corrector.image is not None
    good = draw(349, NOMINAL).astype(np.float64)
    before, now = np.abs(frame - good).mean(), np.abs(corrector.image - good).mean()
    assert now < 0.45 * before, (kind, before, now)


def test_the_frame_is_never_changed_and_no_frame_is_allocated(
    baseline: Baseline, image: Image
) -> None:
    corrector, kept = Corrector(baseline, Correct.FIELD), image.copy()
    state = said("gradient", level=LightLevel.DRIFTED, slope_x=5.0)
    assert after(corrector, image, state)
    first = corrector.image
    assert after(corrector, image, state)
    assert corrector.image is first
    assert first is not image
    assert first is not None
    np.testing.assert_array_equal(image, kept)
    assert not np.array_equal(first, kept)


def test_off_corrects_nothing(baseline: Baseline, image: Image) -> None:
    corrector = Corrector(baseline, Correct.OFF)
    assert after(corrector, image, said("brightness")) is None


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (said(level=LightLevel.NORMAL), "as commissioned"),
        (said("brightness", level=LightLevel.INVALID), "cannot be judged"),
        (said("brightness", "defocus"), "does not undo defocus"),
        (said("ambient"), "does not undo ambient"),
        (said("gradient"), "does not undo gradient"),
        (said("brightness", clipped_bright=40.0), "clipped"),
        (said("brightness", clipped_dark=70.0), "clipped"),
        (said("brightness", clipped_dark=float("nan")), "clipped"),
    ],
)
def test_it_is_left_as_it_is(baseline: Baseline, image: Image, state: LightState, why: str) -> None:
    corrector = Corrector(baseline, Correct.GAIN)
    assert after(corrector, image, state) is None
    assert corrector.image is None
    assert why in corrector.why_not


def test_the_gain_stays_within_the_limits_and_what_was_proven(
    baseline: Baseline, image: Image
) -> None:
    far = LightState(LightLevel.DRIFTED, said("brightness").causes, {}, 0.0)
    for level, proven, is_within in (
        (-8.0, None, True), (-30.0, None, False), (-8.0, (0.95, 1.05), False),
        (-4.0, (0.95, 1.05), True), (8.0, (0.9, 1.05), False), (4.0, (0.9, 1.05), True),
    ):  # fmt: skip
        statistics = {**dict.fromkeys(FIGURES, 0.0), "level": level}
        state = LightState(far.level, far.causes, statistics, 0.0)
        corrector = Corrector(msgspec.structs.replace(baseline, corrects=proven), Correct.GAIN)
        assert (after(corrector, image, state) is not None) == is_within
        if not is_within:
            assert "beyond" in corrector.why_not


def test_the_noise_of_one_frame_moves_nothing(baseline: Baseline, image: Image) -> None:
    def state(level: float) -> LightState:
        statistics = {**dict.fromkeys(FIGURES, 0.0), "level": level}
        return LightState(LightLevel.DRIFTED, said("brightness").causes, statistics, 0.0)

    corrector = Corrector(baseline, Correct.GAIN)
    usual = after(corrector, image, state(-6.0), 40)
    assert usual is not None
    near = corrector.correct(image, state(-6.4))
    assert near is not None
    assert abs(near.level - usual.level) < 0.05
    assert corrector.correct(image, state(-11.0)) is None  # the light is changing right now
    assert corrector.correct(image, state(-6.0)) is not None
    assert after(corrector, image, state(-9.0), 30) is not None  # it stays there: a new average


def test_a_grey_frame_is_corrected_too(baseline: Baseline, image: Image) -> None:
    grey = np.ascontiguousarray(image[:, :, 1])
    corrector = Corrector(baseline, Correct.FIELD)
    statistics = {**dict.fromkeys(FIGURES, 0.0), "level": -6.0, "slope_y": 3.0}
    state = LightState(LightLevel.DRIFTED, said("gradient").causes, statistics, 0.0)
    assert after(corrector, grey, state)
    assert corrector.image is not None
    assert corrector.image.shape == grey.shape
    gain = (corrector.image / np.maximum(grey, 1)).mean(axis=1)
    assert gain[:8].mean() > gain[-8:].mean() > 1.0  # darker at the top: more there
