"""The watch on frames of the simulated line: what is out of order is named, and only that."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_agent.camera.drivers.simulated import Settings
from edge_agent.camera.frame import Image
from edge_agent.camera.images import list_images, read_image
from edge_agent.camera.simulation.light import NOMINAL, Light
from edge_agent.camera.simulation.parts import make_part
from edge_agent.camera.simulation.render import Renderer
from edge_agent.lighting import Baseline, LightLevel, LightState, LightWatch
from edge_agent.rollout.bundle import read_bundle
from tests.unit.lighting.conftest import Draw
from tests.unit.lighting.scenery import NOMINAL as AS_LEARNED
from tests.unit.lighting.scenery import Scenery, View, expose

SOON = 10
"""Frames within which a step is to be named."""


@pytest.fixture
def watch(baseline: Baseline, others: list[Image]) -> LightWatch:
    """Return a watch that has seen some healthy frames."""
    watch = LightWatch(baseline)
    assert all(watch.update(frame).causes == () for frame in others[:15])
    return watch


@pytest.fixture(scope="module")
def lab(scenes: list[Image]) -> Baseline:
    return Baseline.learn(scenes)


def under(draw: Draw, watch: LightWatch, light: Light, *, frames: int = SOON) -> list[LightState]:
    """Watch some parts, a third of them with defects, under a light."""
    numbers = range(100, 100 + frames)
    return [watch.update(draw(number, light, seed=5, defects=0.3)) for number in numbers]


def named(states: Iterable[LightState]) -> list[str]:
    """Return all kinds of causes that were named, in the order in which they were."""
    return list(dict.fromkeys(cause.kind for state in states for cause in state.causes))


def turns(states: Iterable[LightState]) -> int:
    """Return how often the level changed."""
    levels = [state.level for state in states]
    return sum(one is not other for one, other in itertools.pairwise(levels))


# --- nothing is wrong ----------------------------------------------------------------------------


def test_healthy_parts_and_defects_under_correct_light_give_nothing(
    watch: LightWatch, others: list[Image]
) -> None:
    states = [watch.update(frame) for frame in others]
    assert {state.level for state in states} == {LightLevel.NORMAL}
    assert named(states) == []
    assert max(state.excess for state in states) < 1.0


@pytest.mark.parametrize(
    "light",
    [
        Light(level=0.996), Light(gradient_x=0.006), Light(warmth=0.003), Light(shift_x_px=0.2),
        Light(rotation_deg=0.03),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_within_the_dead_band_gives_nothing(
    draw: Draw, watch: LightWatch, light: Light
) -> None:
    assert named(under(draw, watch, light, frames=20)) == []


def test_a_hand_that_passes_gives_nothing(draw: Draw, watch: LightWatch) -> None:
    states = []
    for number in range(60):
        image = draw(number, seed=5)
        if 10 <= number < 18:
            image[:, 30 + 12 * (number - 10) : 110 + 12 * (number - 10)] = 70
        states.append(watch.update(image))
    assert named(states) == []


# --- something is wrong --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("light", "kind", "size", "words"),
    [
        (Light(level=0.95), "brightness", -5.0, "light down 5 %"),
        (Light(level=1.05), "brightness", 5.0, "light up 5 %"),
        (Light(level=0.8), "brightness", -20.0, "light down 20 %"),
        (Light(warmth=0.06), "color", 6.0, "warmer"),
        (Light(warmth=-0.06), "color", -6.0, "colder"),
        (Light(gradient_x=0.2), "gradient", -10.0, "left"),
        (Light(gradient_x=-0.2), "gradient", -10.0, "right"),
        (Light(gradient_y=-0.2), "gradient", -10.0, "bottom"),
        (Light(shift_x_px=4.0), "camera_moved", 2.0, "2.0 px right"),
        (Light(shift_y_px=-12.0), "camera_moved", 6.0, "6.0 px up"),
        (Light(rotation_deg=0.6), "camera_moved", 0.6, "0.6 degrees clockwise"),
        (Light(defocus_px=1.6), "defocus", 0.7, "out of focus"),
    ],
    ids=str,
)
def test_a_step_is_named_within_ten_frames_with_its_size(
    draw: Draw, watch: LightWatch, light: Light, kind: str, size: float, words: str
) -> None:
    states = under(draw, watch, light, frames=20)
    first = next(place for place, state in enumerate(states) if state.causes)
    assert first < SOON
    assert states[-1].level in {LightLevel.DRIFTED, LightLevel.INVALID}
    cause = states[-1].causes[0]
    assert [each.kind for each in states[first].causes] == [kind], "one cause is one alarm"
    assert cause.kind == kind
    assert cause.size == pytest.approx(size, rel=0.15, abs=0.4)
    assert words in f"{cause.text} {cause.where}"


def test_drifted_is_said_only_after_several_frames_agree(draw: Draw, watch: LightWatch) -> None:
    states = under(draw, watch, Light(level=0.95))
    assert states[0].level is LightLevel.NORMAL
    assert states[0].causes == states[1].causes == ()
    assert states[-1].level is LightLevel.DRIFTED


def test_one_odd_frame_names_nothing(draw: Draw, watch: LightWatch, others: list[Image]) -> None:
    states = under(draw, watch, Light(level=0.93), frames=1)
    states += [watch.update(frame) for frame in others[:30]]
    assert named(states) == []


@pytest.mark.parametrize(("level", "words"), [(0.5, "down 50 %"), (2.0, "up 100 %")])
def test_light_far_off_is_invalid_at_once_and_named_with_its_size(
    draw: Draw, watch: LightWatch, level: float, words: str
) -> None:
    for state in under(draw, watch, Light(level=level)):
        assert state.level is LightLevel.INVALID
        assert state.excess > 1.0
        assert (state.causes[0].kind, state.causes[0].unit) == ("brightness", "%")
        assert state.causes[0].size == pytest.approx(100.0 * (level - 1.0), abs=3.0)
        assert 0.0 < state.causes[0].confidence <= 1.0
    assert state.causes[0].text.startswith(f"light {words}")


def test_hardly_any_light_is_invalid_from_the_first_frame_on(draw: Draw, watch: LightWatch) -> None:
    states = under(draw, watch, Light(level=0.02))
    assert {state.level for state in states} == {LightLevel.INVALID}
    assert states[0].causes[0].kind == "brightness"
    assert states[0].causes[0].size == pytest.approx(-98.0, abs=1.0)


@pytest.mark.parametrize(
    "light", [Light(shift_x_px=36), Light(shift_y_px=-36), Light(rotation_deg=6)], ids=str
)
def test_a_camera_that_moved_far_is_never_passed(
    draw: Draw, watch: LightWatch, light: Light
) -> None:
    states = under(draw, watch, light)
    assert {state.level for state in states} == {LightLevel.INVALID}
    assert states[-1].causes[0].kind == "camera_moved"
    if light.shift_x_px:
        assert states[-1].causes[0].size == pytest.approx(18.0, abs=0.5)


def test_flicker_is_named(draw: Draw, watch: LightWatch) -> None:
    states = under(draw, watch, Light(flicker=0.08), frames=30)
    assert "flicker" in named(states)
    assert states[-1].causes[0].kind == "flicker"


def test_a_spot_that_stays_is_dirt_and_a_bright_one_is_ambient(
    lab: Baseline, scenery: Scenery
) -> None:
    for factor, kind in ((0.75, "dirt"), (1.4, "ambient")):
        watch = LightWatch(lab)
        for number in range(100, 110):
            watch.update(scenery.frame(number))
        for number in range(110, 160):
            light = scenery.light(number)
            light[30:60, 30:66] *= factor
            state = watch.update(expose(light, number))
        assert [(cause.kind, cause.where) for cause in state.causes] == [(kind, "top left")]
        assert (state.causes[0].size > 0) == (kind == "ambient")


def test_saturation_is_never_passed(draw: Draw, watch: LightWatch) -> None:
    image = draw(1)
    image[:48] = 255  # a reflection: a fifth of the frame
    state = watch.update(image)
    assert state.level is LightLevel.INVALID
    assert state.causes


def test_slow_ageing_is_named_before_two_per_cent_are_gone(lab: Baseline, scenery: Scenery) -> None:
    watch = LightWatch(lab)
    for number in range(400):  # ten times as fast as lamps that are quick to age
        level = 1.0 - number / 5000.0
        state = watch.update(scenery.frame(number, View(level=level)))
        if state.causes:
            break
    assert [cause.kind for cause in state.causes] == ["brightness"]
    assert 1.0 - level < 0.025


def test_two_faults_are_both_named(draw: Draw, watch: LightWatch) -> None:
    states = under(draw, watch, Light(level=0.93, warmth=0.06), frames=20)
    assert sorted(cause.kind for cause in states[-1].causes) == ["brightness", "color"]


def test_a_cause_says_since_when(draw: Draw, watch: LightWatch) -> None:
    begin_ns = 1_700_000_000_000_000_000
    for number in range(12):
        at_ns = begin_ns + number * 1_000_000_000
        state = watch.update(draw(number, Light(level=0.93), seed=5), at_ns=at_ns)
    (cause,) = state.causes
    assert begin_ns <= cause.since_ns <= begin_ns + SOON * 1_000_000_000
    assert " since " in cause.text
    assert (
        " since " not in LightWatch(watch.baseline).glance(draw(1, Light(level=0.4))).causes[0].text
    )


# --- what never passes ---------------------------------------------------------------------------

SOMETHING_ELSE: dict[str, Callable[[Image], Image]] = {
    "black": np.zeros_like,
    "white": lambda image: np.full_like(image, 255),
    "grey": lambda image: np.full_like(image, 100),
    "noise": lambda image: np.random.default_rng(0).integers(0, 256, image.shape).astype(np.uint8),
    "inverted": lambda image: np.ascontiguousarray(255 - image),
    "small": lambda image: np.ascontiguousarray(cv2.resize(image, (32, 24)), np.uint8),
}


@pytest.mark.parametrize("kind", SOMETHING_ELSE)
def test_an_image_of_something_else_never_passes(draw: Draw, watch: LightWatch, kind: str) -> None:
    image = SOMETHING_ELSE[kind](draw(1))
    for state in (watch.glance(image), *(watch.update(image) for _ in range(5))):
        assert state.level is LightLevel.INVALID
        assert state.causes
        assert state.excess > 1.0


def test_causes_come_with_drifted_and_invalid_and_are_one_line_each(
    draw: Draw, watch: LightWatch
) -> None:
    for step in range(40):
        light = Light(level=1.3 - 0.02 * step, warmth=0.01 * step, shift_x_px=0.3 * step)
        state = watch.update(draw(step, light))
        if state.level in {LightLevel.DRIFTED, LightLevel.INVALID}:
            assert state.causes
        if state.level is LightLevel.NORMAL:
            assert not state.causes
        assert (state.level is LightLevel.INVALID) == (state.excess > 1.0)
        for cause in state.causes:
            assert cause.text
            assert "\n" not in cause.text
            assert ": " in cause.text, "what is wrong, and what to do"


# --- frozen and torn -----------------------------------------------------------------------------


def test_a_frozen_picture_is_named_within_three_frames(
    watch: LightWatch, others: list[Image]
) -> None:
    states = [watch.update(others[20]) for _ in range(3)]
    assert [cause.kind for cause in states[-1].causes] == ["frozen"]
    assert states[0].causes == ()
    states = [watch.update(frame) for frame in others[21:40]]
    assert states[-1].level is LightLevel.NORMAL, "it lives again"
    assert states[-1].causes == ()


def test_a_torn_picture_is_named(watch: LightWatch, others: list[Image]) -> None:
    for place in range(30, 40):
        torn = others[place].copy()
        torn[120:] = others[place - 1][120:]
        others_before = others[place - 1]
        watch.update(others_before)
        state = watch.update(torn)
    assert [cause.kind for cause in state.causes] == ["frozen"]
    assert "torn" in state.causes[0].text


# --- products ------------------------------------------------------------------------------------


@pytest.mark.parametrize("product", [0, 1])
def test_a_told_changeover_raises_nothing(lab: Baseline, scenery: Scenery, product: int) -> None:
    watch = LightWatch(lab)
    states = [watch.update(scenery.frame(number)) for number in range(100, 120)]
    watch.changeover()
    states += [watch.update(scenery.frame(number, product=product)) for number in range(120, 250)]
    assert {state.level for state in states} == {LightLevel.NORMAL}
    assert named(states) == []
    # What is known of the fixed scene goes on being watched.
    for number in range(250, 262):
        state = watch.update(scenery.frame(number, View(level=0.93), product=product))
    assert [cause.kind for cause in state.causes] == ["brightness"]


def test_a_changeover_with_its_own_baseline_begins_anew(
    lab: Baseline, scenery: Scenery, draw: Draw, baseline: Baseline
) -> None:
    watch = LightWatch(lab)
    assert watch.update(draw(1)).level is LightLevel.INVALID
    watch.changeover(baseline)
    states = [watch.update(draw(number, seed=5)) for number in range(30)]
    assert named(states) == []
    assert watch.baseline is baseline


def test_another_product_that_nobody_told_is_named(lab: Baseline, scenery: Scenery) -> None:
    watch = LightWatch(lab)
    for number in range(20):
        watch.update(scenery.frame(100 + number))
    states = [watch.update(scenery.frame(120 + number, product=1)) for number in range(150)]
    assert named(states) == ["product"]
    assert "changeover" in states[-1].causes[0].text


# --- repair --------------------------------------------------------------------------------------


def test_a_repair_clears_the_cause(draw: Draw, watch: LightWatch) -> None:
    assert under(draw, watch, Light(level=0.93), frames=20)[-1].level is LightLevel.DRIFTED
    states = under(draw, watch, NOMINAL, frames=120)
    assert states[-1].level is LightLevel.NORMAL
    assert states[-1].causes == ()
    assert turns(states) <= 2, "drifted, perhaps warning, normal"
    assert named(states) == ["brightness"]


def test_light_at_the_edge_of_a_limit_does_not_chatter(lab: Baseline, scenery: Scenery) -> None:
    watch = LightWatch(lab)
    states = []
    for number in range(150):
        level = 1.0 - 0.013 * (1.0 + 0.5 * np.sin(number / 6.0))
        states.append(watch.update(scenery.frame(100 + number, View(level=float(level)))))
    assert turns(states) < 3


# --- always --------------------------------------------------------------------------------------


def test_the_baseline_never_follows_the_fault(draw: Draw, watch: LightWatch) -> None:
    before = watch.baseline.encode()
    for number in range(60):
        state = watch.update(draw(number, Light(level=1.0 - number / 400)))
    assert state.level is not LightLevel.NORMAL
    assert under(draw, watch, Light(level=0.85), frames=150)[-1].level is not LightLevel.NORMAL
    assert watch.baseline.encode() == before
    assert watch.glance(draw(1)).level is LightLevel.NORMAL


def test_a_glance_is_not_remembered(draw: Draw, watch: LightWatch, baseline: Baseline) -> None:
    for _ in range(20):
        watch.glance(draw(1, Light(level=0.5)))
    fresh = LightWatch(baseline)
    for number in range(15):
        fresh.update(draw(number, seed=5, defects=0.3))
    image = draw(77)
    assert watch.update(image).level is fresh.update(image).level is LightLevel.NORMAL


def test_statistics_are_told_by_name(draw: Draw, watch: LightWatch) -> None:
    statistics = watch.update(draw(1, Light(level=0.9))).statistics
    assert statistics["level"] == pytest.approx(-10.0, abs=1.0)
    assert 0.0 < statistics["mean"] < 1.0


def test_frames_are_left_as_they_were(draw: Draw, watch: LightWatch) -> None:
    image = draw(1)
    before = image.copy()
    watch.update(image)
    np.testing.assert_array_equal(image, before)
    image.setflags(write=False)
    assert watch.update(image).causes == ()


def test_a_grey_camera_is_watched_as_well(scenery: Scenery) -> None:
    def grey(number: int, view: View = AS_LEARNED) -> Image:
        return np.ascontiguousarray(scenery.frame(number, view)[:, :, 1])

    baseline = Baseline.learn([grey(number) for number in range(60)])
    for view, kind in (
        (View(level=0.93), "brightness"),
        (View(blur=1.0), "defocus"),
        (View(shift_x=2.0), "camera_moved"),
    ):
        watch = LightWatch(baseline)
        assert named(watch.update(grey(number)) for number in range(80, 95)) == []
        assert named(watch.update(grey(number, view)) for number in range(95, 110)) == [kind]


def test_fewer_false_alarms_are_had_for_slower_charts(lab: Baseline, scenery: Scenery) -> None:
    eager, calm = (LightWatch(lab, frames_between_false_alarms=rare) for rare in (10.0, 1e12))
    first = []
    for watch in (eager, calm):
        for number in range(120):
            level = 1.0 - number / 2000.0
            if watch.update(scenery.frame(100 + number, View(level=level))).causes:
                break
        first.append(number)
    assert first[0] <= first[1]


def test_the_reference_bundles_baseline_fits_the_simulated_line(simulated_bundle: Path) -> None:
    bundle = read_bundle(simulated_bundle)
    watch = LightWatch(Baseline.decode(bundle.files[bundle.manifest.baseline], "bundle"))
    renderer, line = Renderer(640, 480, noise=1.0), Settings(seed=3, defect_rate=0.3).line
    image = np.empty((480, 640, 3), np.uint8)
    for number in range(30):
        renderer.draw(make_part(line, number), NOMINAL, image, time_s=number / 10)
        assert watch.update(image).causes == ()
    renderer.draw(make_part(line, 31), Light(level=0.4), image, time_s=3.1)
    assert watch.update(image).level is LightLevel.INVALID


# --- real images ---------------------------------------------------------------------------------


def dimmed(image: Image, factor: float) -> Image:
    """Take light away, in linear light."""
    return np.round(255.0 * (factor * (image / 255.0) ** 2.2) ** (1 / 2.2)).astype(np.uint8)


@pytest.mark.images
@pytest.mark.parametrize("name", ["casting", "screw"])
def test_real_good_parts_can_be_judged_and_a_failed_lamp_is_seen(
    images_dir: Path, name: str
) -> None:
    learned = [read_image(file) for file in list_images(images_dir / name / "train/good")[:150]]
    others = [read_image(file) for file in list_images(images_dir / name / "test/good")[:40]]
    baseline = Baseline.learn(learned)
    watch = LightWatch(baseline)
    states = [watch.update(image) for image in others]
    assert sum(state.level is LightLevel.INVALID for state in states) == 0
    assert named(states) == []
    states = [watch.update(dimmed(image, 0.25)) for image in others[:10]]
    assert {state.level for state in states} == {LightLevel.INVALID}
    assert states[-1].causes
