"""The watch on frames of the simulated line: what is out of order is named, and only that."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_agent.camera.frame import Image
from edge_agent.camera.simulation.light import Light
from edge_agent.lighting import Baseline, LightCause, LightLevel, LightState, LightWatch
from edge_agent.rollout.bundle import read_bundle
from tests.unit.lighting.conftest import Draw

PARTS = range(101, 109)


@pytest.fixture
def watch(baseline: Baseline) -> LightWatch:
    return LightWatch(baseline)


def under(draw: Draw, watch: LightWatch, light: Light) -> list[LightState]:
    """Watch some parts, a third of them with defects, under a light."""
    return [watch.update(draw(number, light, seed=5, defects=0.3)) for number in PARTS]


def cause_of(states: list[LightState], kind: str) -> LightCause:
    """Return the cause that every frame gave first."""
    assert {state.level for state in states} == {LightLevel.INVALID}
    assert {state.causes[0].kind for state in states} == {kind}
    return states[0].causes[0]


def test_healthy_parts_and_defects_under_correct_light_give_nothing(
    draw: Draw, watch: LightWatch
) -> None:
    states = [
        watch.update(draw(number, seed=seed, defects=0.5))
        for seed in (7, 8)
        for number in range(150)
    ]
    assert Counter(state.level for state in states)[LightLevel.INVALID] == 0
    assert sum(state.level is LightLevel.NORMAL for state in states) > 290
    assert all(state.causes == () for state in states)


@pytest.mark.parametrize(
    "light",
    [
        Light(level=0.93), Light(level=1.07), Light(gradient_x=0.12), Light(gradient_y=-0.12),
        Light(warmth=0.025), Light(warmth=-0.025), Light(defocus_px=0.35), Light(flicker=0.04),
        Light(shift_x_px=3.0), Light(shift_y_px=2.0), Light(rotation_deg=0.4),
    ],
    ids=str,
)  # fmt: skip
def test_a_small_change_gives_nothing(draw: Draw, watch: LightWatch, light: Light) -> None:
    assert [state.causes for state in under(draw, watch, light)] == [()] * len(PARTS)


def test_half_the_light_is_named_with_its_size(draw: Draw, watch: LightWatch) -> None:
    states = under(draw, watch, Light(level=0.5))
    for state in states:
        (cause,) = state.causes
        assert (cause.kind, cause.unit, cause.confidence) == ("brightness", "%", 1.0)
        assert cause.size == pytest.approx(-50.0, abs=4.0)
        assert state.excess > 3.0
    assert states[0].causes[0].text.endswith("below the baseline: check lamps and exposure")


@pytest.mark.parametrize(
    ("level", "size"), [(0.8, -20.0), (0.0, -100.0), (0.02, -98.0), (1.25, 25.0), (2.0, 100.0)]
)
def test_brightness_is_measured_either_way(
    draw: Draw, watch: LightWatch, level: float, size: float
) -> None:
    cause = cause_of(under(draw, watch, Light(level=level)), "brightness")
    assert cause.size == pytest.approx(size, abs=7.0)
    assert ("above" if size > 0 else "below") in cause.text


@pytest.mark.parametrize(
    ("light", "words"),
    [
        (Light(gradient_x=0.6), "left"),
        (Light(gradient_x=-0.6), "right"),
        (Light(gradient_y=0.6), "top"),
        (Light(gradient_y=-0.6), "bottom"),
    ],
)
def test_a_gradient_is_named_with_its_dark_or_bright_side(
    draw: Draw, watch: LightWatch, light: Light, words: str
) -> None:
    for state in under(draw, watch, light):
        causes = {cause.kind: cause for cause in state.causes}
        gradient = causes["gradient"]
        is_dark = gradient.size < 0
        assert (words in gradient.where) == is_dark
        assert gradient.text.startswith(gradient.where)
        assert 10.0 < abs(gradient.size) < 60.0


@pytest.mark.parametrize(("warmth", "word"), [(0.3, "warmer"), (-0.3, "colder")])
def test_a_change_of_colour_is_named_with_its_size(
    draw: Draw, watch: LightWatch, warmth: float, word: str
) -> None:
    cause = cause_of(under(draw, watch, Light(warmth=warmth)), "color")
    assert cause.size == pytest.approx(100 * warmth, abs=4.0)
    assert word in cause.text


@pytest.mark.parametrize("sigma_px", [1.0, 2.0, 4.0])
def test_defocus_is_named(draw: Draw, watch: LightWatch, sigma_px: float) -> None:
    cause = cause_of(under(draw, watch, Light(defocus_px=sigma_px)), "defocus")
    assert cause.size < -30.0
    assert "less sharp: check focus, and clean the lens" in cause.text


def test_a_camera_that_moved_far_is_not_passed(draw: Draw, watch: LightWatch) -> None:
    for light in (Light(shift_x_px=30), Light(shift_y_px=20), Light(rotation_deg=5)):
        cause = cause_of(under(draw, watch, light), "gradient")
        assert "that nothing moved" in cause.text


def test_saturation_is_exposure(draw: Draw, watch: LightWatch) -> None:
    image = draw(1)
    image[:48] = 255  # a reflection: a tenth of the frame
    kinds = [cause.kind for cause in watch.update(image).causes]
    assert "exposure" in kinds
    text = next(cause.text for cause in watch.update(image).causes if cause.kind == "exposure")
    assert "of the image is saturated: check exposure and gain" in text


def test_what_has_no_name_is_still_said_with_its_size(draw: Draw, watch: LightWatch) -> None:
    # Fog or stray light: the same level and edges, but less between bright and dark.
    image = draw(1).astype(np.float32)
    foggy = np.clip(image * 0.72 + 31, 0, 255).astype(np.uint8)
    state = watch.update(foggy)
    assert state.level is LightLevel.INVALID
    assert all(cause.text and cause.size for cause in state.causes)
    sharper = draw(1)
    for spot in watch.baseline.spots:
        x, y = round(spot[0] * 640), round(spot[1] * 480)
        sharper[y : y + 48 : 2, x : x + 48] //= 2
        sharper[y + 1 : y + 48 : 2, x : x + 48] = 200
    kinds = [cause.kind for cause in watch.update(sharper).causes]
    assert kinds
    assert "defocus" not in kinds


def test_two_faults_at_once_are_both_named(draw: Draw, watch: LightWatch) -> None:
    state = watch.update(draw(1, Light(level=0.75, warmth=0.4, defocus_px=2.0)))
    assert [cause.kind for cause in state.causes] == ["brightness", "color", "defocus"]


def test_a_cell_that_is_out_alone_counts_a_third(draw: Draw, watch: LightWatch) -> None:
    image = draw(1)
    image[120:240, 214:320] = np.asarray(image[120:240, 214:320] * 0.9, np.uint8)
    assert watch.update(image).level is not LightLevel.INVALID
    image[120:240, 214:320] //= 3  # no defect of the size that is inspected does this
    assert watch.update(image).level is LightLevel.INVALID


def test_near_the_limit_is_a_warning(draw: Draw, watch: LightWatch) -> None:
    states = under(draw, watch, Light(level=0.905))
    assert LightLevel.WARNING in {state.level for state in states}
    for state in states:
        expected = LightLevel.NORMAL if state.excess <= 0.7 else LightLevel.WARNING
        assert state.level is expected or state.excess > 1.0


def test_invalid_means_a_cause_and_the_other_way_round(draw: Draw, watch: LightWatch) -> None:
    for step in range(30):
        state = watch.update(draw(step, Light(level=1.3 - 0.02 * step)))
        is_invalid = state.level is LightLevel.INVALID
        assert is_invalid == (state.excess > 1.0) == bool(state.causes)
        for cause in state.causes:
            assert "\n" not in cause.text


@pytest.mark.parametrize("kind", ["black", "white", "grey", "noise", "upside down", "small"])
def test_an_image_of_something_else_never_passes(draw: Draw, watch: LightWatch, kind: str) -> None:
    image = draw(1)
    others: dict[str, Image] = {
        "black": np.zeros_like(image),
        "white": np.full_like(image, 255),
        "grey": np.full_like(image, 100),
        "noise": np.random.default_rng(0).integers(0, 256, image.shape).astype(np.uint8),
        "upside down": np.ascontiguousarray(255 - image),
        "small": np.ascontiguousarray(cv2.resize(image, (32, 24)), np.uint8),
    }
    state = watch.update(others[kind])
    assert state.level is LightLevel.INVALID
    assert state.causes


def test_a_grey_camera_is_watched_as_well(draw: Draw) -> None:
    def grey(number: int, light: Light) -> Image:
        return np.ascontiguousarray(draw(number, light)[:, :, 1])

    watch = LightWatch(Baseline.learn([grey(number, Light()) for number in range(1, 31)]))
    assert watch.update(grey(50, Light())).level is LightLevel.NORMAL
    assert watch.update(grey(50, Light(level=0.5))).causes[0].kind == "brightness"
    assert watch.update(grey(50, Light(defocus_px=2))).causes[0].kind == "defocus"


def test_the_baseline_never_follows_the_fault(draw: Draw, watch: LightWatch) -> None:
    before = watch.baseline.encode()
    for number in range(30):
        watch.update(draw(number, Light(level=1.0 - number / 40)))
    assert watch.baseline.encode() == before
    assert watch.update(draw(1)).level is LightLevel.NORMAL


def test_the_reference_bundles_baseline_fits_the_simulated_line(
    draw: Draw, simulated_bundle: Path
) -> None:
    bundle = read_bundle(simulated_bundle)
    watch = LightWatch(Baseline.decode(bundle.files[bundle.manifest.baseline], "bundle"))
    states = [watch.update(draw(number, seed=3, defects=0.3)) for number in range(60)]
    assert {state.level for state in states} <= {LightLevel.NORMAL, LightLevel.WARNING}
    assert watch.update(draw(1, Light(level=0.4))).level is LightLevel.INVALID
