"""What eight bits cost, in words: for the card, and for the page."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from calibration import plots

if TYPE_CHECKING:
    from collections.abc import Iterator

    from calibration.precision import Precision, Scores

TITLE = "Float and int8"

_AREA = 0.01
_SHARE = 0.02


def card_lines(precision: Precision) -> Iterator[str]:
    """Give the card's section, as Markdown."""
    yield f"## {TITLE}"
    yield ""
    yield _about(precision)
    yield ""
    head, *rows = _table(precision)
    yield "| " + " | ".join(head) + " |"
    yield "|---" * len(head) + "|"
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""
    yield advice(precision)
    yield ""


def page_section(precision: Precision) -> Iterator[str]:
    """Give the page's section, as HTML, with the scores drawn against each other."""
    yield f"<h2>{TITLE}</h2><p>{html.escape(_about(precision))}</p><table>"
    head, *rows = _table(precision)
    yield "<tr>" + "".join(f"<th>{html.escape(cell)}</th>" for cell in head) + "</tr>"
    for row in rows:
        yield "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
    yield f"</table><p>{html.escape(advice(precision))}</p>"
    one, two = precision.plain, precision.int8
    yield plots.scatter(
        (one.good, one.bad), (two.good, two.bad), (one.limits.ng, two.limits.ng), ("float", "int8")
    )


def advice(precision: Precision) -> str:
    """Say in a sentence whether int8 may decide."""
    turned = precision.turned(precision.plain)
    agreed = precision.agreement(precision.plain)
    one, two = precision.plain.auroc, precision.int8.auroc
    fall = one[0] - two[0] if one and two else 0.0
    if turned.hits:
        return (
            f"{turned.hits} of {turned.of} parts change between `ok` and `ng` with the number "
            "format: look at them before int8 decides alone."
        )
    if fall > _AREA:
        return f"int8 loses {fall:.3f} of AUROC here: more or other good parts may help."
    if agreed.value < 1 - _SHARE:
        return (
            f"{agreed.of - agreed.hits} of {agreed.of} parts move into or out of `review` with the "
            "number format; none changes between `ok` and `ng`."
        )
    return "int8 costs nothing here that these parts could show."


def _about(precision: Precision) -> str:
    bad = len(precision.int8.bad)
    good = len(precision.int8.good)
    how = "that were not fitted to" if precision.fresh else "each scored by a fit without it"
    more = f" and {bad} bad parts" if bad else ""
    return (
        f"The same model in float, fitted to float features of {precision.fitted_to} good parts "
        f"with thresholds of its own, against int8, on {good} good parts {how}{more}. Changes of "
        "scores are shares of the `ng` threshold, or of the score where that is higher."
    )


def _table(precision: Precision) -> list[list[str]]:
    rows = [
        ["", "image AUROC", "same verdict as int8", "largest change", "mean change"],
        _row("float", precision.plain, precision),
        ["int8 (ONNX)", _area(precision.int8), "-", "-", "-"],
    ]
    if precision.litert is not None:
        rows.append(_row("int8 (TFLite)", precision.litert, precision))
    return rows


def _row(name: str, scores: Scores, precision: Precision) -> list[str]:
    agreed, changes = precision.agreement(scores), precision.changes(scores)
    return [
        name,
        _area(scores),
        f"{agreed.hits} of {agreed.of}",
        f"{float(changes.max()):.1%}",
        f"{float(changes.mean()):.1%}",
    ]


def _area(scores: Scores) -> str:
    area = scores.auroc
    if area is None:
        return "not known"
    value, low, high = area
    return f"{value:.4f} ({low:.4f} to {high:.4f})"
