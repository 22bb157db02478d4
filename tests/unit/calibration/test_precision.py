"""Float and int8 are compared honestly, and told in words that fit the figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from calibration import precision, precision_told
from calibration.commission import Fitted, Good, Plan
from calibration.precision import Precision, Scores
from edge_agent.camera.frame import Image, Truth
from edge_agent.decision.verdict import Thresholds

_LIMITS = Thresholds(review=1.5, ng=2.0)


def _scores(good: list[float], bad: list[float], limits: Thresholds = _LIMITS) -> Scores:
    return Scores(np.array(good, np.float32), np.array(bad, np.float32), limits)


def _made(plain: Scores, int8: Scores) -> Precision:
    return Precision(fitted_to=4, fresh=True, plain=plain, int8=int8, litert=None)


@pytest.fixture(scope="module")
def compared(plan: Plan, good: Good, fitted: Fitted, draw: Callable[..., Image]) -> Precision:
    def parts() -> Iterator[tuple[Image, bool]]:
        for seed in range(200, 216):
            yield draw(seed, 14 if seed % 2 else 0), bool(seed % 2)

    return precision.compare(plan, good, fitted, parts=parts())


def test_float_and_int8_agree_on_drawn_parts(compared: Precision) -> None:
    assert compared.fitted_to == 40
    assert compared.fresh
    assert len(compared.plain.good) == len(compared.plain.bad) == 8
    assert compared.turned(compared.plain).hits <= 1  # a good part next to the threshold
    assert 0.0 < float(compared.changes(compared.plain).max()) < 0.25
    assert compared.plain.auroc is not None
    assert compared.plain.auroc[0] == 1.0


def test_the_engines_agree_more_closely_than_the_number_formats(compared: Precision) -> None:
    assert compared.litert is not None
    assert compared.litert.limits == compared.int8.limits
    engines = compared.changes(compared.litert)
    assert 0.0 <= float(engines.mean()) < 0.05
    assert compared.agreement(compared.litert).hits >= 15


def test_without_test_parts_good_ones_are_scored_by_fits_without_them(
    plan: Plan, good: Good, fitted: Fitted
) -> None:
    found = precision.compare(plan, good, fitted)
    assert not found.fresh
    assert found.int8.auroc is None
    np.testing.assert_allclose(found.int8.good, fitted.out_of_sample)
    assert "not known" in "\n".join(precision_told.card_lines(found))


def test_where_not_all_parts_were_kept_both_are_fitted_to_those_that_were(
    plan: Plan, good: Good, fitted: Fitted
) -> None:
    fewer = msgspec.structs.replace(good, kept=good.kept[::2])
    found = precision.compare(plan, fewer, fitted)
    assert found.fitted_to == len(found.int8.good) == len(found.plain.good) == 20
    assert not np.allclose(found.int8.good, fitted.out_of_sample[::2])


def test_bad_parts_alone_leave_the_good_ones_out_of_sample(
    plan: Plan, good: Good, fitted: Fitted, draw: Callable[..., Image]
) -> None:
    found = precision.compare(plan, good, fitted, parts=[(draw(9, 14), True)])
    assert not found.fresh
    assert (len(found.int8.good), len(found.int8.bad)) == (40, 1)


def test_agreement_counts_verdicts_and_changes_are_shares_of_ng() -> None:
    found = _made(_scores([1.0, 1.6], [2.4, 1.0]), _scores([1.0, 1.4], [2.2, 2.1]))
    assert (found.agreement(found.plain).hits, found.agreement(found.plain).of) == (2, 4)
    assert found.turned(found.plain).hits == 1
    np.testing.assert_allclose(
        found.changes(found.plain), [0.0, 0.1, 0.2 / 2.2, 1.1 / 2.1], atol=1e-6
    )


@pytest.mark.parametrize(
    ("plain", "int8", "words"),
    [
        (_scores([1.0], [3.0]), _scores([1.0], [1.0]), "change between `ok` and `ng`"),
        (_scores([1.0, 1.2], [1.3, 1.3]), _scores([1.0, 1.35], [1.3, 1.3]), "loses 0.500"),
        (_scores([1.4], [3.0]), _scores([1.6], [3.0]), "1 of 2 parts move"),
        (_scores([1.0], [3.0]), _scores([1.1], [2.9]), "costs nothing"),
    ],
)
def test_advice_fits_the_figures(plain: Scores, int8: Scores, words: str) -> None:
    assert words in precision_told.advice(_made(plain, int8))


def test_card_and_page_tell_the_same_figures(compared: Precision) -> None:
    card = "\n".join(precision_told.card_lines(compared))
    page = "\n".join(precision_told.page_section(compared))
    assert card.startswith("## Float and int8")
    rows = [line for line in card.splitlines() if line.startswith("| int8 (TFLite)")]
    assert len(rows) == 1
    for cell in rows[0].strip("| ").split(" | "):
        assert f"<td>{cell}</td>" in page
    assert page.count("<circle") == 16


def test_chosen_parts_are_spread_over_all() -> None:
    labelled = [(Path(f"{n}"), Truth("" if n < 50 else "dent")) for n in range(100)]
    found = precision.chosen(labelled, 10)
    assert len(found) == 10
    assert [bad for _, bad in found] == [False] * 5 + [True] * 5
    assert len(precision.chosen(labelled[:3], 10)) == 3
