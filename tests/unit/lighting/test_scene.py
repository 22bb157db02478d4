"""What stays put is scene, what comes and goes is part, and what says nothing is left out."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from edge_agent.camera.frame import Image
from edge_agent.lighting.sampling import lattice
from edge_agent.lighting.scene import (
    EDGY,
    FLAT,
    PART,
    UNUSED,
    Scene,
    learn_scene,
    noise_power,
    without,
)
from tests.unit.lighting.scenery import HEIGHT, WIDTH, Scenery, View, expose

Mask = npt.NDArray[np.bool_]


def is_scene(scene: Scene) -> Mask:
    return np.asarray(np.isin(scene.kind_of_points(), (FLAT, EDGY)))


def places(scene: Scene) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    return np.divmod(lattice(scene.height, scene.width, scene.rows, scene.columns), scene.width)


def inside(scene: Scene, scenery: Scenery, *, margin: int = 0) -> Mask:
    """Return which points lie in the part's place, or so near to it."""
    y, x = places(scene)
    rows, columns = scenery.rows, scenery.columns
    return (
        (y >= rows.start - margin)
        & (y < rows.stop + margin)
        & (x >= columns.start - margin)
        & (x < columns.stop + margin)
    )


def test_what_stays_is_scene_and_what_changes_from_part_to_part_is_part(
    scene: Scene, scenery: Scenery
) -> None:
    part = inside(scene, scenery, margin=-4)
    around = ~inside(scene, scenery, margin=30)
    assert not is_scene(scene)[inside(scene, scenery)].any()
    assert (scene.kind_of_points()[part] == PART).mean() > 0.95
    assert is_scene(scene)[around].mean() > 0.9
    assert scene.has_scene
    assert 0.5 < scene.share_of_scene < 0.9


def test_lamps_that_wander_do_not_make_the_scene_a_part(scenery: Scenery) -> None:
    random = np.random.default_rng(3)
    levels = np.cumsum(random.normal(0, 0.01, 40)) + 1.0
    frames = [scenery.frame(n, View(level=float(level))) for n, level in enumerate(levels)]
    scene = learn_scene(frames)
    assert is_scene(scene)[~inside(scene, scenery, margin=30)].mean() > 0.9


def test_what_is_dark_or_saturated_is_not_used(scenery: Scenery) -> None:
    frames = scenery.frames(20)
    for frame in frames:
        frame[:40] = 2
        frame[-40:] = 254
    scene = learn_scene(frames)
    y, _ = places(scene)
    unused = scene.kind_of_points() == UNUSED
    assert unused[(y < 40) | (y >= HEIGHT - 40)].all()
    assert not unused[(y >= 45) & (y < HEIGHT - 45)].any()


def test_edges_are_looked_for_where_the_scene_stays(scene: Scene, scenery: Scenery) -> None:
    at = np.frombuffer(scene.features, "<u4").astype(np.intp)
    assert len(at) >= 100
    assert len(np.unique(at)) == len(at)
    y, x = np.divmod(at, WIDTH)
    rows, columns = scenery.rows, scenery.columns
    in_part = (y >= rows.start) & (y < rows.stop) & (x >= columns.start) & (x < columns.stop)
    assert not in_part.any()
    values = scene.floats("feature_values", 5)
    steep = np.hypot(values[:, 2], values[:, 3])
    across = np.diff(scenery.scene[:, :, 1], axis=1)
    assert np.median(steep) > np.median(np.abs(across))
    for half in (x < WIDTH // 2, x >= WIDTH // 2, y < HEIGHT // 2, y >= HEIGHT // 2):
        assert half.mean() > 0.2, "spread over the view"


def test_reference_and_slopes_are_those_of_the_scene(scene: Scene, scenery: Scenery) -> None:
    y, x = places(scene)
    here = is_scene(scene)
    reference = scene.floats("reference", 3)
    truth = scenery.scene[y, x]
    assert np.abs(reference[here] - truth[here]).max() < 0.01
    slopes = scene.floats("slopes", 3)
    assert not slopes[~here].any()
    across = np.gradient(scenery.scene[:, :, 1], axis=1)[y, x]
    assert np.corrcoef(slopes[here, 0], across[here])[0, 1] > 0.98


def test_where_everything_changes_there_is_no_scene() -> None:
    random = np.random.default_rng(4)
    frames = [random.integers(40, 200, (120, 160, 3)).astype(np.uint8) for _ in range(30)]
    scene = learn_scene(frames)
    assert not scene.has_scene
    assert scene.share_of_scene == 0.0
    assert len(scene.features) == 0


def test_frames_of_several_sizes_or_too_few_say_nothing_of_places(scenery: Scenery) -> None:
    mixed: list[Image] = [*scenery.frames(20), np.full((60, 80, 3), 90, np.uint8)]
    scene = learn_scene(mixed)
    assert not scene.aligned
    assert not scene.has_scene
    assert not learn_scene(scenery.frames(6)).has_scene


def test_grey_frames_have_one_channel(scenery: Scenery) -> None:
    scene = learn_scene([np.ascontiguousarray(frame[:, :, 1]) for frame in scenery.frames(20)])
    assert scene.channels == 1
    assert scene.has_scene
    assert learn_scene([*scenery.frames(5), scenery.frame(6)[:, :, 1]]).channels == 1


def test_arrays_that_do_not_fit_are_refused(scene: Scene) -> None:
    for name in ("kinds", "reference", "spread", "slopes", "features", "feature_values"):
        with pytest.raises(ValueError, match="do not fit together"):
            msgspec.structs.replace(scene, **{name: getattr(scene, name)[:-1]})


def test_points_that_another_product_hides_are_done_without(scene: Scene) -> None:
    y, x = places(scene)
    corner = (y < 60) & (x < 80)
    less = without(scene, np.flatnonzero(corner))
    assert (less.kind_of_points()[corner] == UNUSED).all()
    assert is_scene(less).sum() == (is_scene(scene) & ~corner).sum()
    feature_y, feature_x = np.divmod(np.frombuffer(less.features, "<u4").astype(np.intp), WIDTH)
    assert not ((feature_y < 55) & (feature_x < 75)).any()
    assert len(less.features) < len(scene.features)
    assert is_scene(scene)[corner].any(), "the scene it was made of stays as it was"


def test_the_same_frames_give_the_same_scene(scenes: list[Image]) -> None:
    assert learn_scene(scenes[:20]) == learn_scene(scenes[:20])


def test_a_hand_now_and_then_does_not_make_a_place_a_part(scenery: Scenery) -> None:
    frames = []
    for number in range(60):
        light = scenery.light(number)
        if number % 20 == 3:
            light[:70, :90] = 0.15
        frames.append(expose(light, number))
    scene = learn_scene(frames)
    y, x = places(scene)
    assert is_scene(scene)[(y < 60) & (x < 80)].mean() > 0.8


@pytest.mark.parametrize("power", [0.5, 0.75])
def test_how_noise_goes_with_light_is_read_off_the_scene(power: float) -> None:
    random = np.random.default_rng(3)
    rows, columns = 20, 30
    light = random.uniform(0.02, 0.8, rows * columns).astype(np.float32)
    spread = (0.02 * light**power * random.normal(1.0, 0.07, light.size)).astype(np.float32)
    scene = Scene(
        height=200, width=300, channels=1, rows=rows, columns=columns, aligned=True,
        kinds=np.full(light.size, FLAT, np.uint8).tobytes(),
        reference=light.tobytes(), spread=spread.tobytes(),
        slopes=np.zeros((light.size, 3), np.float32).tobytes(), features=b"", feature_values=b"",
    )  # fmt: skip
    assert noise_power(scene) == pytest.approx(power, abs=0.03)


def test_a_plate_of_one_brightness_shows_no_power_of_noise() -> None:
    random = np.random.default_rng(3)
    light = random.uniform(0.4, 0.42, 600).astype(np.float32)
    scene = Scene(
        height=200, width=300, channels=1, rows=20, columns=30, aligned=True,
        kinds=np.full(600, FLAT, np.uint8).tobytes(),
        reference=light.tobytes(), spread=(0.02 * light).tobytes(),
        slopes=np.zeros((600, 3), np.float32).tobytes(), features=b"", feature_values=b"",
    )  # fmt: skip
    assert noise_power(scene) == 0.5
