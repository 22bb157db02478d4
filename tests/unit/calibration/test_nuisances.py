"""What moves features and means nothing counts less, and no part vouches for itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from calibration import anomaly, features, nuisances, whole
from calibration.commission import Good, Plan
from calibration.nuisances import Nuisances
from calibration.projection import Floats
from edge_agent.camera.frame import Image


def _known(moves: int, parts: int, seed: int = 0) -> Nuisances:
    rng = np.random.default_rng(seed)
    return Nuisances(
        np.eye(3), rng.normal(size=(moves, 6)).astype(np.float32), np.arange(moves) % parts
    )


def test_each_part_is_looked_at_again_in_every_way(good: Good, plan: Plan) -> None:
    found = good.material.nuisances
    assert found is not None
    assert len(found.moves) == nuisances.PARTS * len(nuisances.CHANGES)
    assert len(set(found.of.tolist())) == nuisances.PARTS
    assert found.of.max() == len(good.material.features) - 1
    assert found.moves.shape[1] == 2 * good.material.features.shape[2] == 2 * len(found.cells)
    assert plan.input.width


def test_moves_go_by_the_number_of_their_part(plan: Plan, draw: Callable[..., Image]) -> None:
    extractor = features.Extractor(plan.input)
    found = nuisances.measure([(3, draw(0)), (8, draw(1))], extractor)
    assert found.of.tolist() == [3] * len(nuisances.CHANGES) + [8] * len(nuisances.CHANGES)


def test_changes_keep_the_picture_a_picture_of_the_same_part(draw: Callable[..., Image]) -> None:
    rng = np.random.default_rng(0)
    for image in (draw(0), np.ascontiguousarray(draw(0)[:, :, 0])):
        before = image.copy()
        for change in nuisances.CHANGES:
            changed = change(image, rng)
            assert changed.shape == image.shape
            assert changed.dtype == np.uint8
            assert 0.0 < np.abs(changed.astype(int) - image).mean() < 6.0
        np.testing.assert_array_equal(image, before)


def test_moves_of_parts_that_are_left_out_do_not_count() -> None:
    known = _known(40, parts=10)
    some = np.ones(10, np.bool_)
    some[[2, 7]] = False
    fewer = Nuisances(known.cells, known.moves[some[known.of]], known.of[some[known.of]])
    np.testing.assert_allclose(known.wholes(some), fewer.wholes())
    assert not np.allclose(known.wholes(), known.wholes(some))
    assert not known.wholes(np.zeros(10, np.bool_)).any()


def test_a_subset_of_parts_keeps_their_moves_under_their_new_numbers() -> None:
    known = _known(40, parts=10)
    features_: Floats = np.random.default_rng(1).normal(size=(10, 4, 3)).astype(np.float32)
    material = anomaly.Material.of(features_, 2, None, known)
    some = material.subset(np.array([6, 1])).nuisances
    assert some is not None
    assert sorted(set(some.of.tolist())) == [0, 1]
    np.testing.assert_array_equal(some.moves[some.of == 0], known.moves[known.of == 6])
    np.testing.assert_array_equal(some.moves[some.of == 1], known.moves[known.of == 1])


def test_a_part_has_no_say_in_what_is_forgiven_it() -> None:
    # Few moves in many channels: a part's own moves tell it from the others.
    rng = np.random.default_rng(2)
    seen = rng.normal(5, 1, (20, 40)).astype(np.float32)
    moves = 3 * (seen - seen.mean(axis=0)).repeat(3, axis=0).astype(np.float32)
    known = Nuisances(np.eye(20), moves, np.arange(20).repeat(3))
    alone = np.eye(20, dtype=np.bool_)
    found = whole.leave_one_out(seen, alone, known.wholes, exact=True)
    everyone = known.wholes()
    vouched = whole.leave_one_out(seen, alone, lambda _: everyone, exact=True)
    assert np.median(found) > 1.2 * np.median(vouched)
    for part in range(20):
        rest = np.arange(20) != part
        anew = whole.fit(seen[rest], known.wholes(rest)).distance(seen[[part]])[0]
        assert found[part] == pytest.approx(anew, rel=1e-4)


def test_what_is_a_nuisance_is_forgiven() -> None:
    rng = np.random.default_rng(3)
    seen = rng.normal(5, 1, (100, 8)).astype(np.float32)
    push = np.zeros(8, np.float32)
    push[[2, 5]] = 6.0
    moved = np.outer(push, push).astype(np.float64)
    plain, knowing = whole.fit(seen), whole.fit(seen, moved)
    centre = seen.mean(axis=0)[None]
    assert plain.distance(centre + push)[0] > 3 * knowing.distance(centre + push)[0]
    other = np.zeros(8, np.float32)
    other[[2, 5]] = 6.0, -6.0
    assert knowing.distance(centre + other)[0] > 0.9 * plain.distance(centre + other)[0]


def test_a_noisier_picture_of_a_good_part_is_forgiven(
    plan: Plan, good: Good, draw: Callable[..., Image]
) -> None:
    # The good parts were drawn with one noise; the camera's gain rises.
    rng = np.random.default_rng(4)
    extractor = features.Extractor(plan.input)
    frames = [draw(900 + seed) for seed in range(12)]
    noisy = [
        np.clip(np.rint(frame + rng.normal(0, 3, frame.shape)), 0, 255).astype(np.uint8)
        for frame in frames
    ]
    plain, louder = (
        np.stack([extractor.features(each) for each in lot]) for lot in (frames, noisy)
    )
    material = good.material
    rises = []
    for known in (material.nuisances, None):
        told = anomaly.Material.of(material.features, material.rows, material.changes, known)
        head = anomaly.fit(told, (1.0, 0.1), dims=plan.dims)
        before, after = (anomaly.scores(head.map(each), 1).mean() for each in (plain, louder))
        rises.append(after / before)
    assert rises[0] < 0.95 * rises[1]


def test_what_is_told_of_a_part_by_leaving_it_out_holds_for_fresh_ones(
    plan: Plan, good: Good, draw: Callable[..., Image]
) -> None:
    extractor = features.Extractor(plan.input)
    fresh = np.stack([extractor.features(draw(5000 + seed)) for seed in range(100)])
    unseen = anomaly.leave_one_out(good.material, dims=plan.dims)
    head = anomaly.fit(good.material, unseen.weights(), dims=plan.dims)
    told = np.median(head.whole.distance(good.material.describe(fresh)))
    assert told == pytest.approx(float(np.median(unseen.wholes)), rel=0.08)
