"""A kind of part that does not mind being mirrored or turned is found to be such."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from calibration import anomaly, features, marks, symmetry
from calibration.anomaly import Material
from edge_agent.camera.frame import Image
from edge_agent.inspection.spec import Input

_PARTS = 10


def _part(seed: int, kind: str, *, height: int = 128, width: int = 128) -> Image:
    """Draw a washer (any way round), a bar (mirrored), or a key (no way round but its own)."""
    rng = np.random.default_rng([3, seed])
    image = np.full((height, width, 3), 60, np.float32)
    x, y = np.array([width // 2, height // 2]) + rng.integers(-2, 3, 2)
    tone = 170.0 + float(rng.uniform(-8, 8))
    reach = min(height, width) // 3
    if kind == "washer":
        cv2.circle(image, (int(x), int(y)), reach, [tone] * 3, -1, cv2.LINE_AA)
        cv2.circle(image, (int(x), int(y)), reach // 3, [60.0] * 3, -1, cv2.LINE_AA)
        for turn in rng.uniform(0, 2 * np.pi, 6):  # holes anywhere around
            hole = round(x + 0.7 * reach * np.cos(turn)), round(y + 0.7 * reach * np.sin(turn))
            cv2.circle(image, hole, reach // 8, [100.0] * 3, -1, cv2.LINE_AA)
    elif kind == "bar":
        corners = (int(x - 1.4 * reach), int(y - 14)), (int(x + 1.4 * reach), int(y + 14))
        cv2.rectangle(image, *corners, [tone] * 3, -1)
        for ahead in rng.uniform(-1.2, 1.2, 6):
            hole = round(x + ahead * reach), round(y + rng.uniform(-8, 8))
            cv2.circle(image, hole, 5, [100.0] * 3, -1, cv2.LINE_AA)
    else:
        corners = (int(x - 1.2 * reach), int(y - 30)), (int(x - 10), int(y + 4))
        cv2.rectangle(image, *corners, [tone] * 3, -1)
        cv2.line(image, (int(x), int(y)), (int(x + 34), int(y + 30)), [225.0] * 3, 5, cv2.LINE_AA)
        cv2.circle(image, (int(x + 24), int(y - 24)), 9, [20.0] * 3, -1, cv2.LINE_AA)
    # Each part has clouds of its own, as cast surfaces have.
    rough = rng.normal(0, 14, (height // 8, width // 8)).astype(np.float32)
    clouds = cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC)[:, :, None]
    return np.clip(image + clouds + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)


def _extended(kind: str, *, height: int = 128, width: int = 128) -> tuple[Material, list[str]]:
    spec = Input(height=height, width=width)
    extractor = features.Extractor(spec)
    frames = [_part(seed, kind, height=height, width=width) for seed in range(_PARTS)]
    seen = np.stack([extractor.features(frame) for frame in frames])
    material = Material.of(seen, height // features.STEP, marks.changes(frames, spec))
    views = [extractor.view(frame) for frame in frames]
    return symmetry.extend(material, views, extractor, dims=32, seed=0)


@pytest.fixture(scope="module")
def washers() -> tuple[Material, list[str]]:
    return _extended("washer")


def test_a_washer_looks_the_same_in_every_way(washers: tuple[Material, list[str]]) -> None:
    assert washers[1] == list(symmetry.WAYS)


def test_each_extra_says_which_part_it_is(washers: tuple[Material, list[str]]) -> None:
    material, ways = washers
    assert len(material.extra) == len(ways) * _PARTS
    assert material.extra_of.tolist() == list(range(_PARTS)) * len(ways)
    # The first of them are the parts mirrored, as the model sees them.
    extractor = features.Extractor(Input(height=128, width=128))
    view = symmetry.WAYS[ways[0]](extractor.view(_part(5, "washer")))
    np.testing.assert_array_equal(material.extra[5], extractor.of_view(view))


def test_what_is_extra_brings_fresh_parts_nearer(washers: tuple[Material, list[str]]) -> None:
    material, _ = washers
    plain = Material.of(material.features, material.rows, material.changes)
    spec = Input(height=128, width=128)
    extractor = features.Extractor(spec)
    fresh = np.stack([extractor.features(_part(100 + seed, "washer")) for seed in range(8)])
    with_extra, without = (
        anomaly.fit(each, (1.0, 0.0), dims=32).map(fresh).mean() for each in (material, plain)
    )
    assert with_extra < without


def test_a_part_with_a_look_of_its_own_is_taken_as_it_is() -> None:
    material, ways = _extended("key")
    assert ways == []
    assert len(material.extra) == 0


def test_a_bar_is_mirrored_but_given_no_quarter_turn() -> None:
    _, ways = _extended("bar")
    assert set(ways) == {"left for right", "upside down", "half a turn"}


def test_a_view_that_is_not_square_is_given_no_quarter_turn() -> None:
    material, ways = _extended("washer", height=96, width=160)
    assert ways == ["left for right", "upside down", "half a turn"]
    assert material.extra.shape == (3 * _PARTS, 60, material.features.shape[2])


def test_the_ways_are_all_different_and_each_is_a_movement_of_the_square() -> None:
    view = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)
    seen = {np.ascontiguousarray(way(view)).tobytes() for way in symmetry.WAYS.values()}
    assert len(seen) == len(symmetry.WAYS) == 7
    assert view.tobytes() not in seen
    for way in symmetry.WAYS.values():
        assert np.sort(way(view).ravel()).tolist() == list(range(48))
        assert way(view).shape == view.shape
