"""What a person reads on the terminal when an evaluation is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from calibration.evaluation.wording import (
    COLUMNS,
    VERDICTS,
    causes_of,
    cells_of,
    figures_of,
    label_note,
    label_rows,
    percent,
    signed,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from calibration.evaluation.figures import Group
    from calibration.evaluation.labels import LabelTable
    from calibration.evaluation.report import Report

_SLICES = 20
"""Slices that a terminal shows; the page and the JSON have all."""

_LABELS = 12
"""Labels that a terminal shows, the same."""


def show(report: Report, console: Console) -> None:
    """Print the figures and the tables."""
    _figures(report, console)
    for side in report.sides:
        title = side.run.bundle.label if len(report.sides) > 1 else "By class"
        overall = side.evaluation.overall
        groups = side.evaluation.kinds
        _groups(title, [*groups, overall] if len(groups) > 1 else groups, console)
        if side.evaluation.invalid:
            console.print(causes_of(side.evaluation.invalid))
        for table in side.evaluation.labels:
            _labels(table, console)
        if report.options.by and report.options.by != "folder":
            shown = side.evaluation.slices[:_SLICES]
            more = len(side.evaluation.slices) - len(shown)
            _groups(f"By {report.options.by}, worst first", shown, console)
            if more:
                console.print(f"and {more} more slices: see the page or the JSON")
    if report.comparison:
        for name, test in (
            ("all images", report.comparison.verdicts),
            ("good ones", report.comparison.good_verdicts),
            ("defective ones", report.comparison.bad_verdicts),
        ):
            console.print(
                f"Verdicts, {name}: only the first is right on {test.only_first}, only the second "
                f"on {test.only_second}; p = {test.p:.3g} (McNemar, exact)"
            )


def _figures(report: Report, console: Console) -> None:
    table = Table(title=f"{report.options.folder}: value (95 % interval)", title_justify="left")
    table.add_column("figure")
    for side in report.sides:
        table.add_column(side.run.bundle.label, justify="right")
    if report.comparison:
        table.add_column("difference", justify="right")
    for name, key, estimates in figures_of(report):
        row = [name, *(percent(estimate) for estimate in estimates)]
        if report.comparison:
            row.append(signed(report.comparison.differences.get(key)))
        table.add_row(*row)
    console.print(table)


def _groups(title: str, groups: Sequence[Group], console: Console) -> None:
    table = Table(title=f"{title} ({VERDICTS})", title_justify="left")
    for number, column in enumerate(COLUMNS):
        table.add_column(column, justify="left" if number == 0 else "right", no_wrap=True)
    for group in groups:
        table.add_row(*cells_of(group))
    console.print(table)


def _labels(labels: LabelTable, console: Console) -> None:
    heads, rows = label_rows(labels)
    table = Table(title=f"What {labels.stage} took them for", title_justify="left")
    for number, head in enumerate(heads[: _LABELS + 1]):
        table.add_column(head, justify="left" if number == 0 else "right")
    for row in rows:
        table.add_row(*row[: _LABELS + 1])
    console.print(table)
    more = len(labels.columns) - _LABELS
    if more > 0:
        console.print(f"and {more} more labels: see the page or the JSON")
    console.print(label_note(labels))
