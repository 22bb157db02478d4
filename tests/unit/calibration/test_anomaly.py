"""The head learns what good parts look like at each place, and as a whole."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from calibration import anomaly, projection, whole
from calibration.anomaly import Head, Material, Unseen
from calibration.projection import Floats
from edge_agent.errors import UsageError

_ROWS, _CELLS, _CHANNELS, _DIMS = 3, 12, 20, 8


def _features(parts: int, seed: int = 0) -> Floats:
    """Each cell has a mean and a mixing of its own."""
    fixed = np.random.default_rng(99)
    mean = fixed.normal(0, 5, (_CELLS, _CHANNELS))
    mix = fixed.normal(size=(_CELLS, _CHANNELS, _CHANNELS)) * np.geomspace(3, 0.1, _CHANNELS)
    noise = np.random.default_rng(seed).normal(size=(parts, _CELLS, _CHANNELS))
    values: Floats = (mean + np.einsum("pcj,cij->pci", noise, mix)).astype(np.float32)
    return values


def _material(parts: int, seed: int = 0, changes: Floats | None = None) -> Material:
    return Material.of(_features(parts, seed), _ROWS, changes)


def _fitted(material: Material, *, dims: int = _DIMS, seed: int = 0) -> Head:
    unseen = anomaly.leave_one_out(material, dims=dims, seed=seed)
    return anomaly.fit(material, unseen.weights(), dims=dims, seed=seed)


@pytest.mark.parametrize("parts", [10, 40, 200])
def test_the_score_of_a_fresh_good_part_is_about_one(parts: int) -> None:
    head = _fitted(_material(parts))
    fresh = anomaly.scores(head.map(_features(200, seed=1)), anomaly.top_of(_CELLS))
    assert np.median(fresh) == pytest.approx(1.0, abs=0.1)


def test_a_planted_anomaly_is_found_where_it_is() -> None:
    head = _fitted(_material(100))
    odd = _features(20, seed=1)
    odd[:, 7] += 30.0
    maps = head.map(odd)
    assert (maps.argmax(axis=1) == 7).all()
    near = maps - np.float32(head.far) * head.whole.distance(whole.describe(odd))[:, None]
    assert near[:, 7].min() > 1.5 * np.delete(near, 7, axis=1).max()


def test_a_part_that_is_odd_everywhere_is_seen_as_a_whole() -> None:
    # Every cell is a little off, none more than a good part's cell may be.
    material = _material(200)
    head = _fitted(material)
    plain = _features(100, seed=1)
    shift = 0.7 * material.features.std(axis=0).mean(axis=0)
    shift[::2] *= -1
    before, after = (head.whole.distance(whole.describe(x)) for x in (plain, plain + shift))
    assert np.median(after) > 1.3 * np.median(before)
    assert anomaly.scores(head.map(plain + shift), 1).mean() > anomaly.scores(
        head.map(plain), 1
    ).mean() + 0.3 * head.far * float(np.median(after) - np.median(before))


@pytest.mark.parametrize("parts", [30, 80])
def test_scores_of_parts_that_were_fitted_on_are_far_too_low(parts: int) -> None:
    inside, outside, fresh = [], [], []
    for seed in range(4):
        material = _material(parts, seed)
        unseen = anomaly.leave_one_out(material, dims=_DIMS)
        head = anomaly.fit(material, unseen.weights(), dims=_DIMS)
        inside += anomaly.scores(head.map(material.features), 1).tolist()
        outside += unseen.scores().tolist()
        fresh += anomaly.scores(head.map(_features(100, seed=10 + seed)), 1).tolist()
    assert np.median(inside) < 0.7 * np.median(fresh)
    for share in (0.5, 0.9):
        seen = np.quantile(outside, share)
        assert seen == pytest.approx(np.quantile(fresh, share), rel=0.05)


@pytest.mark.parametrize("parts", [23, 60])
def test_each_part_is_scored_by_a_head_that_did_not_see_it(parts: int) -> None:
    # A part that nothing resembles must score high, whatever lot it falls into.
    material = _material(parts)
    material.features[11] += 20.0
    unseen = anomaly.leave_one_out(material, dims=_DIMS)
    assert unseen.scores().argmax() == 11
    assert unseen.wholes.argmax() == 11
    assert (unseen.cells.argmax(axis=0) == 11).all()


@pytest.mark.parametrize(("parts", "tolerance"), [(30, 0.01), (60, 0.05)])
def test_taking_a_part_out_gives_what_a_fit_without_it_gives(parts: int, tolerance: float) -> None:
    material = _material(parts)
    unseen = anomaly.leave_one_out(material, dims=_CHANNELS)
    for part in (0, parts // 2 + 1, parts - 1):
        rest = material.subset(np.delete(np.arange(parts), part))
        head = anomaly.fit(rest, (1.0, 0.0), dims=_CHANNELS)
        seen = head.map(material.features[[part]])[0]
        np.testing.assert_allclose(unseen.cells[part], seen, rtol=tolerance)


def test_up_to_few_parts_the_whole_is_what_a_fit_without_the_part_says() -> None:
    material = _material(20)
    unseen = anomaly.leave_one_out(material, dims=_DIMS)
    for part in range(20):
        rest = material.subset(np.delete(np.arange(20), part))
        head = anomaly.fit(rest, (0.0, 1.0), dims=_DIMS)
        seen = head.map(material.features[[part]])[0, 0]
        assert unseen.wholes[part] == pytest.approx(seen, rel=1e-4)


@pytest.mark.parametrize("parts", [24, 60])
def test_a_twin_is_no_help(parts: int) -> None:
    # Every second picture shows the part of the one before it.
    features = _features(parts)
    noise = np.random.default_rng(3).normal(0, 0.05, features.shape).astype(np.float32)
    features[1::2] = features[::2] + noise[::2]
    labels = np.arange(parts) // 2
    alone = Material.of(features, _ROWS)
    told = msgspec.structs.replace(alone, twins=labels[:, None] == labels[None])
    known, unknown = (anomaly.leave_one_out(each, dims=_DIMS) for each in (alone, told))
    assert np.median(known.cells) < 0.3 * np.median(unknown.cells)
    assert np.median(known.wholes) < 0.9 * np.median(unknown.wholes)
    # What is told of twins is what pictures of other parts score.
    head = anomaly.fit(told, unknown.weights(), dims=_DIMS)
    fresh = anomaly.scores(head.map(_features(200, seed=1)), 1)
    assert np.median(unknown.scores()) == pytest.approx(np.median(fresh), rel=0.08)


def _mirrored(features: Floats) -> Floats:
    """Draw parts anew: what a mirrored part is, where parts are symmetric."""
    return _features(len(features), seed=7)


def test_what_is_extra_is_learned_from() -> None:
    material = _material(8)
    more = msgspec.structs.replace(
        material, extra=_mirrored(material.features), extra_of=np.arange(8)
    )
    fresh = _features(100, seed=1)
    plain, richer = (anomaly.fit(each, (1.0, 0.0), dims=_DIMS) for each in (material, more))
    assert richer.map(fresh).mean() < 0.95 * plain.map(fresh).mean()


def test_what_is_extra_is_never_a_neighbour_of_its_own_part() -> None:
    # Each extra is its own part but for a trace: as a neighbour it would be at distance 0.
    material = _material(8)
    more = msgspec.structs.replace(
        material, extra=material.features * np.float32(1.0001), extra_of=np.arange(8)
    )
    twice = anomaly.leave_one_out(more, dims=_CHANNELS).cells
    once = anomaly.leave_one_out(material, dims=_CHANNELS).cells
    np.testing.assert_allclose(twice, once, rtol=0.02)


def test_few_parts_count_little_as_a_whole() -> None:
    def shares(parts: int) -> float:
        unseen = anomaly.leave_one_out(_material(parts), dims=_DIMS)
        return unseen.weights()[1] * float(np.median(unseen.wholes))

    assert shares(8) == pytest.approx(0.5 * 8 / 58, rel=1e-5)
    assert shares(8) < shares(40) < shares(200) < 0.5


def test_weights_bring_both_looks_to_one() -> None:
    rng = np.random.default_rng(2)
    cells = rng.uniform(3, 5, (50, 16)).astype(np.float32)
    wholes = rng.uniform(20, 30, 50).astype(np.float32)
    near, far = Unseen(cells, wholes).weights()
    highest = np.median(cells.max(axis=1))
    assert near * highest + far * np.median(wholes) == pytest.approx(1.0)
    assert np.median(Unseen(cells, wholes).scores()) == pytest.approx(1.0, abs=0.05)


def test_a_subset_keeps_twins_and_extra_by_their_part() -> None:
    material = msgspec.structs.replace(
        _material(6),
        twins=np.arange(6)[:, None] // 2 == np.arange(6)[None] // 2,
        extra=_features(6, seed=2),
        extra_of=np.array([0, 1, 2, 3, 4, 5]),
    )
    some = material.subset(np.array([5, 0, 4]))
    np.testing.assert_array_equal(some.features, material.features[[5, 0, 4]])
    assert some.twins.tolist() == [[True, False, True], [False, True, False], [True, False, True]]
    assert some.extra_of.tolist() == [1, 2, 0]
    np.testing.assert_array_equal(some.extra, material.extra[[0, 4, 5]])
    assert some.owners.tolist() == [0, 1, 2, 1, 2, 0]
    assert len(some.all) == 6


def test_the_same_parts_and_seed_give_the_same_head() -> None:
    one, two = (anomaly.fit(_material(30), (1.0, 0.1), dims=_DIMS, seed=4) for _ in range(2))
    other = anomaly.fit(_material(30), (1.0, 0.1), dims=_DIMS, seed=5)
    assert one.examples.tobytes() == two.examples.tobytes()
    assert one.projection.tobytes() == two.projection.tobytes()
    assert one.whole.turn.tobytes() == two.whole.turn.tobytes()
    assert one.projection.tobytes() != other.projection.tobytes()


def test_directions_in_which_marks_show_are_kept() -> None:
    # Marks move features along one direction alone: a single dimension must see it.
    odd = _features(50, seed=1)
    mark = np.zeros(_CHANNELS, np.float32)
    mark[13] = 15.0
    rows = np.outer(np.linspace(0.1, 1, 40), mark).astype(np.float32)
    told, random = (_fitted(_material(200, changes=each), dims=1) for each in (rows, None))
    seen, unseen = (_near(each, odd + mark) / _near(each, odd) for each in (told, random))
    assert seen > 1.3 * unseen


def _near(head: Head, features: Floats) -> float:
    return float(msgspec.structs.replace(head, near=1.0, far=0.0).map(features).mean())


def test_fewer_parts_than_dimensions_are_enough() -> None:
    # A covariance of their own would be singular.
    head = _fitted(_material(6))
    assert np.isfinite(head.map(_features(50, seed=1))).all()


def test_examples_are_short_and_as_good_as_exact() -> None:
    material = _material(30)
    head = _fitted(material)
    assert head.examples.dtype == np.float16
    assert not (head.examples.view(np.uint16) & 7).any()
    assert head.examples.shape[::2] == (_CELLS, _DIMS)
    # The examples of a cell are projected features, most of them its own.
    seen = material.features @ head.projection
    away = np.abs(head.examples[5, 0].astype(np.float32) - seen[:, 5]).max(axis=1)
    assert away.min() <= 0.005 * np.abs(seen[away.argmin(), 5]).max()


def test_the_score_is_the_mean_of_the_highest_cells() -> None:
    maps = np.array([[1.0, 5.0, 3.0, 2.0]], np.float32)
    assert anomaly.scores(maps, 2).tolist() == [4.0]
    assert anomaly.scores(maps, 4).tolist() == [2.75]
    assert [anomaly.top_of(cells) for cells in (16, 256, 1024)] == [1, 3, 10]


def test_too_few_or_equal_parts_are_refused() -> None:
    with pytest.raises(UsageError, match="4 good parts: fitting needs at least 5"):
        anomaly.fit(_material(4), (1.0, 0.1))
    same = Material.of(np.repeat(_features(1), 10, axis=0), _ROWS)
    with pytest.raises(UsageError, match="all the same image"):
        anomaly.fit(same, (1.0, 0.1))
    with pytest.raises(UsageError, match="all the same image"):
        anomaly.leave_one_out(same)


def test_projection_is_of_the_features_scatter() -> None:
    material = _material(40)
    head = _fitted(material)
    wanted = projection.project(projection.scatter(material.features), None, dims=_DIMS, seed=0)
    np.testing.assert_array_equal(head.projection, wanted)
