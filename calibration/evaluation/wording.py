"""Words and numbers of an evaluation, the same on the terminal and on the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from calibration.evaluation.figures import RATES
from calibration.evaluation.labels import UNASKED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from calibration.evaluation.bootstrap import Estimate
    from calibration.evaluation.figures import Group, Verdicts
    from calibration.evaluation.labels import LabelTable
    from calibration.evaluation.report import Report
    from edge_agent.inspection.spec import Thresholds

NOTHING = "-"

COLUMNS = (
    "", "good", "defective", "AUROC", "recall at 1 %", "escapes", "false rejects",
)  # fmt: skip
"""Columns of the tables by class and by slice."""

VERDICTS = "counts are ok/review/ng/invalid"


def figures_of(report: Report) -> list[tuple[str, str, list[Estimate | None]]]:
    """Return the figures of all sides: name, key as in `METRICS`, one estimate for each side."""
    sides = [side.evaluation for side in report.sides]
    rows: list[tuple[str, str, list[Estimate | None]]] = [
        ("image AUROC", "auroc", [side.auroc for side in sides]),
        ("average precision", "average_precision", [side.average_precision for side in sides]),
    ]
    for rate in RATES:
        found: list[Estimate | None] = [side.recall_at_fpr[str(rate)] for side in sides]
        rows.append((f"recall at {100 * rate:g} % false rejects", f"recall_at_fpr_{rate}", found))
    name = "false_rejects_at_zero_escapes"
    rows.append(
        (
            "false rejects at zero escapes",
            name,
            [side.false_rejects_at_zero_escapes for side in sides],
        )
    )
    rows.append(("pixel AUROC", "pixel_auroc", [side.pixel_auroc for side in sides]))
    rows.append(("AUPRO to 0.3", "aupro", [side.aupro for side in sides]))
    rows.append(("escapes at its thresholds", "", [side.overall.escapes for side in sides]))
    rows.append(
        ("false rejects at its thresholds", "", [side.overall.false_rejects for side in sides])
    )
    return rows


def percent(estimate: Estimate | None) -> str:
    """Write a figure with its interval, in percent.

    >>> from calibration.evaluation.bootstrap import Estimate
    >>> percent(Estimate(0.97, 0.9512, 0.985))
    '97.0 (95.1 to 98.5)'
    """
    if estimate is None:
        return NOTHING
    return f"{100 * estimate.value:.1f} ({100 * estimate.low:.1f} to {100 * estimate.high:.1f})"


def signed(estimate: Estimate | None) -> str:
    """Write a difference with its interval, in points."""
    if estimate is None:
        return NOTHING
    value, low, high = (100 * each for each in (estimate.value, estimate.low, estimate.high))
    return f"{value:+.1f} ({low:+.1f} to {high:+.1f})"


def cells_of(group: Group) -> list[str]:
    """Return the cells of a class or a slice, as in `COLUMNS`."""
    return [
        group.name,
        f"{group.good}: {counts(group.good_verdicts)}" if group.good else NOTHING,
        f"{group.bad}: {counts(group.bad_verdicts)}" if group.bad else NOTHING,
        percent(group.auroc),
        percent(group.recall),
        percent(group.escapes),
        percent(group.false_rejects),
    ]


def label_rows(table: LabelTable) -> tuple[list[str], list[list[str]]]:
    """Return head and rows of what a classifier took the images for; 0 is shown as a dot."""
    rows = [
        [kind, *(str(count) if count else "\N{MIDDLE DOT}" for count in counts)]
        for kind, counts in table.rows.items()
    ]
    return ["folder", *table.columns], rows


def label_note(table: LabelTable) -> str:
    """Say how many images a classifier took for what their folder is called."""
    unasked = f"; {UNASKED}: it did not look" if UNASKED in table.columns else ""
    if table.right is None:
        return f"No folder is called like a label: right and wrong cannot be told{unasked}."
    return f"Taken for what their folder is called, percent: {percent(table.right)}{unasked}."


def limits_in_words(thresholds: Mapping[str, Thresholds]) -> str:
    """Say what scores are held against; see `calibration.evaluation.run.score_of`."""
    if len(thresholds) == 1:
        [limits] = thresholds.values()
        return f"review from {limits.review:.3f}, ng from {limits.ng:.3f}"
    shares = ", ".join(
        f"{name} {limits.review / limits.ng:.2f}" for name, limits in thresholds.items()
    )
    return (
        "a part's score is the largest share of its ng threshold that a stage reaches: ng from 1, "
        f"review from {shares}"
    )


def causes_of(invalid: dict[str, int]) -> str:
    """Say what made images `invalid`; nothing where none is.

    >>> causes_of({"brightness": 3, "no_score": 1})
    '4 invalid: 3 brightness, 1 no score'
    """
    if not invalid:
        return ""
    causes = ", ".join(f"{count} {cause.replace('_', ' ')}" for cause, count in invalid.items())
    return f"{sum(invalid.values())} invalid: {causes}"


def counts(found: Verdicts) -> str:
    """Write verdicts as `ok/review/ng/invalid`."""
    return f"{found.ok}/{found.review}/{found.ng}/{found.invalid}"
