"""The page: an evaluation as one HTML file that needs nothing beside it."""

from __future__ import annotations

import base64
from html import escape
from typing import TYPE_CHECKING

from calibration.evaluation.bootstrap import roc_band
from calibration.evaluation.metrics import precision_recall, roc
from calibration.evaluation.plots import COLOURS, Curve, draw_curves, draw_histogram
from calibration.evaluation.run import limits_of
from calibration.evaluation.wording import (
    COLUMNS,
    VERDICTS,
    causes_of,
    cells_of,
    figures_of,
    label_note,
    label_rows,
    limits_in_words,
    percent,
    signed,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from calibration.evaluation.compare import Comparison
    from calibration.evaluation.figures import Group
    from calibration.evaluation.report import Report, Side
    from calibration.evaluation.sheet import Sheet, Tile

_STYLE = """
:root { --ink: #1c2430; --soft: #5d6878; --line: #dde2e9; --back: #f5f7fa; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 28px 24px 60px; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 34px 0 10px; }
p { margin: 4px 0; } .soft { color: var(--soft); font-size: 13.5px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: 12px;
  margin-top: 18px; }
.card { background: #fff; border: 1px solid var(--line); border-radius: 10px; padding: 12px 14px; }
.card b { display: block; font-size: 27px; font-weight: 650; line-height: 1.25; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(340px, 1fr)); gap: 14px; }
.plots.two { grid-template-columns: repeat(auto-fit, minmax(460px, 1fr)); }
.plots h3 { margin: 0 0 4px; font-size: 14px; }
.fit { display: inline-block; max-width: 100%; min-width: min(560px, 100%); }
.wide { overflow-x: auto; padding: 4px 6px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums;
  font-size: 14px; }
th, td { padding: 6px 10px; text-align: right; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
th { color: var(--soft); font-weight: 600; }
th:first-child, td:first-child { text-align: left; } tr:last-child td { border-bottom: 0; }
.sheet { display: grid; grid-template-columns: repeat(auto-fill, minmax(200px, 1fr)); gap: 12px; }
figure { margin: 0; background: #fff; border: 1px solid var(--line); border-radius: 10px;
  overflow: hidden; }
figure img { display: block; width: 100%; height: 190px; object-fit: contain;
  background: #10141a; }
figcaption { padding: 6px 10px 8px; font-size: 12.5px; color: var(--soft);
  overflow-wrap: anywhere; }
figcaption b { color: var(--ink); }
.ok b i { color: #2c8a42; } .ng b i { color: #c03030; } .review b i { color: #b36b00; }
b i { font-style: normal; }
svg { width: 100%; height: auto; display: block; }
svg text { font: 11.5px system-ui, "Segoe UI", Roboto, Arial, sans-serif; fill: #45505f; }
.frame { fill: none; stroke: #b5bec9; } .grid { stroke: #edf0f4; }
.chance { stroke: #b5bec9; stroke-dasharray: 4 4; }
.curve { fill: none; stroke-width: 2.2; stroke-linejoin: round; }
.band { fill-opacity: 0.13; }
.limit { stroke: #1c2430; stroke-width: 1.3; }
li { margin: 3px 0; }
@media print { body { background: #fff; } .card, figure { break-inside: avoid; } }
"""

_DEFINITIONS = (
    (
        "Intervals are 95 %: percentiles of {resamples} bootstrap resamples of the images, good "
        "and defective ones each among themselves (seed {seed}). Shares at the thresholds, and "
        "shares whose resamples all agree (an AUROC of 100 % too), have the interval of Wilson. "
        "They say how much other images of the same kind would change a figure, and nothing of "
        "another day's parts or light. Several images of one part count as so many parts: the "
        "intervals are then too narrow."
    ),
    (
        "Recall at x % false rejects: the threshold comes from these good images; of n of them "
        "at most floor(x n) may score above it. With fewer than 1 / x good images not one may: "
        "the figure is then the recall at zero false rejects. It hangs on the few highest good "
        "scores, which resamples can leave out but never exceed: heed the lower end of its "
        "interval."
    ),
    (
        "False rejects at zero escapes: the share of good images that reach the lowest score of "
        "a defective one."
    ),
    "Average precision depends on the share of defective images in the set.",
    (
        "Pixel AUROC and AUPRO (per-region overlap up to a false positive rate of 0.3, after "
        "Bergmann et al., 2021) count only defects that have a mask, on a grid of at most 256 "
        "cells a side."
    ),
    (
        "Escapes: defective parts that came out ok, of all. False rejects: good parts that came "
        "out ng. A part that is invalid (light, camera) is neither, and is never counted ok."
    ),
)

_MOST_SLICES = 60


def write_page(report: Report, sheets: Sequence[Sheet]) -> str:
    """Write an evaluation as HTML.

    Args:
        report: The figures.
        sheets: The worst mistakes of each bundle.
    """
    title = " and ".join(side.run.bundle.label for side in report.sides)
    body = "".join(_body(report, sheets))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


def _body(report: Report, sheets: Sequence[Sheet]) -> Iterator[str]:
    yield from _head(report)
    yield from _tiles(report)
    yield "<h2>Curves</h2>"
    yield from _plots(report)
    yield "<h2>Figures</h2>"
    yield _figures(report)
    if report.comparison:
        yield "<h2>Paired comparison of the verdicts</h2>"
        yield from _paired(report.comparison)
    for side, sheet in zip(report.sides, sheets, strict=True):
        whose = f": {escape(side.run.bundle.label)}" if report.comparison else ""
        yield f"<h2>By kind of defect{whose}</h2>"
        kinds = side.evaluation.kinds
        yield _groups([*kinds, side.evaluation.overall] if len(kinds) > 1 else kinds)
        if side.evaluation.invalid:
            yield f"<p class='soft'>{escape(causes_of(side.evaluation.invalid))}</p>"
        for table in side.evaluation.labels:
            yield f"<h2>What {escape(table.stage)} took them for{whose}</h2>"
            yield f"<div class='fit'>{_table(*label_rows(table))}</div>"
            yield f"<p class='soft'>{escape(label_note(table))}</p>"
        if report.options.by and report.options.by != "folder":
            yield f"<h2>By {escape(report.options.by)}, the worst first{whose}</h2>"
            yield _groups(side.evaluation.slices[:_MOST_SLICES])
        yield f"<h2>Good parts with the highest scores{whose}</h2>"
        yield _contacts(sheet.good)
        yield f"<h2>Defective parts with the lowest scores{whose}</h2>"
        yield _contacts(sheet.bad)
        if side.run.bad_pixels:
            yield "<p class='soft'>The line in cyan is the defect as its mask has it.</p>"
    yield "<h2>What the figures mean</h2><ul class='soft'>"
    options = report.options
    for text in _DEFINITIONS:
        text_now = text.format(resamples=options.resamples, seed=options.seed)
        yield f"<li>{escape(text_now)}</li>"
    yield "</ul>"


def _head(report: Report) -> Iterator[str]:
    names = []
    for number, side in enumerate(report.sides):
        colour = f' style="color:{COLOURS[number]}"' if report.comparison else ""
        names.append(f"<span{colour}>{escape(side.run.bundle.label)}</span>")
    yield f"<h1>{' against '.join(names)}</h1>"
    first = report.sides[0]
    overall = first.evaluation.overall
    yield (
        f"<p class='soft'>On {overall.good} good and {overall.bad} defective images of "
        f"{escape(report.options.folder)}.</p>"
    )
    for side in report.sides:
        yield f"<p class='soft'>{escape(_facts(side))}</p>"


def _facts(side: Side) -> str:
    run = side.run
    facts = [
        f"{run.bundle.label}: {limits_in_words(run.bundle.manifest.thresholds)}",
        f"{run.per_part_ms:.1f} ms a part ({run.engine})",
        "light watched" if run.watched else "light not watched",
    ]
    if run.left_out:
        facts.append(f"{len(run.left_out)} files could not be read and were left out")
    if run.resized_masks:
        facts.append(f"{run.resized_masks} masks of another size were made to fit")
    if run.empty_masks:
        facts.append(f"{run.empty_masks} masks show no defect and were not used")
    return "; ".join(facts) + "."


def _tiles(report: Report) -> Iterator[str]:
    chosen = ("auroc", "recall_at_fpr_0.01", "false_rejects_at_zero_escapes", "aupro")
    yield "<div class='tiles'>"
    for name, key, estimates in figures_of(report):
        if key in chosen and estimates[0] is not None:
            values = " / ".join(f"{100 * each.value:.1f}" for each in estimates if each)
            each = estimates[0]
            reach = f"{100 * each.low:.1f} to {100 * each.high:.1f}"
            if report.comparison:
                reach = signed(report.comparison.differences.get(key))
            yield (
                f"<div class='card'><span class='soft'>{escape(name)}</span><b>{values} %</b>"
                f"<span class='soft'>{reach}</span></div>"
            )
    yield "</div>"


def _plots(report: Report) -> Iterator[str]:
    named = [(_short(report, side, "auroc"), side.run.scores) for side in report.sides]
    seed = report.options.seed
    rocs = [Curve(name, *roc(scores), roc_band(scores, seed=seed)) for name, scores in named]
    recalls = [
        Curve(_short(report, side, "average_precision"), *precision_recall(scores))
        for side, (_, scores) in zip(report.sides, named, strict=True)
    ]
    yield f"<div class='plots{' two' if report.comparison else ''}'>"
    yield _plot(
        "ROC, with its 95 % band",
        draw_curves(rocs, x_name="false rejects", y_name="recall", diagonal=True),
    )
    yield _plot(
        "Precision and recall",
        draw_curves(recalls, x_name="recall", y_name="precision", diagonal=False),
    )
    for side, (_, scores) in zip(report.sides, named, strict=True):
        whose = f": {escape(side.run.bundle.label)}" if report.comparison else ""
        drawn = draw_histogram(scores, limits_of(side.run.bundle.manifest.thresholds))
        yield _plot(f"Scores and thresholds{whose}", drawn)
    yield "</div>"


def _short(report: Report, side: Side, key: str) -> str:
    """Name a curve: its area, and whose it is where there are two."""
    found = side.evaluation.auroc if key == "auroc" else side.evaluation.average_precision
    area = f"{'AUROC' if key == 'auroc' else 'average precision'} {100 * found.value:.1f} %"
    manifest = side.run.bundle.manifest
    name = f"{manifest.name} {manifest.version}"
    return f"{name[:24]}: {area}" if report.comparison else area


def _plot(title: str, svg: str) -> str:
    return f"<div class='card'><h3>{title}</h3>{svg}</div>"


def _figures(report: Report) -> str:
    heads = ["percent (95 % interval)", *(side.run.bundle.label for side in report.sides)]
    if report.comparison:
        heads.append("difference (paired)")
    rows = []
    for name, key, estimates in figures_of(report):
        row = [name, *(percent(each) for each in estimates)]
        if report.comparison:
            row.append(signed(report.comparison.differences.get(key)))
        rows.append(row)
    return f"<div class='fit'>{_table(heads, rows)}</div>"


def _paired(comparison: Comparison) -> Iterator[str]:
    tests = (
        ("all images", comparison.verdicts),
        ("good parts", comparison.good_verdicts),
        ("defective parts", comparison.bad_verdicts),
    )
    yield _table(
        ["right: good parts ok, defective ones not", "only the first", "only the second", "p"],
        [
            [name, str(test.only_first), str(test.only_second), f"{test.p:.3g}"]
            for name, test in tests
        ],
    )
    yield "<p class='soft'>McNemar's exact test: how likely so uneven a split is by chance.</p>"


def _groups(groups: Sequence[Group]) -> str:
    rows = [cells_of(group) for group in groups]
    return f"{_table(COLUMNS, rows)}<p class='soft'>{VERDICTS}; percent with 95 % intervals</p>"


def _table(heads: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(each)}</th>" for each in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return (
        "<div class='card wide'><table><thead><tr>"
        f"{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _contacts(tiles: Iterable[Tile]) -> str:
    return "<div class='sheet'>" + "".join(_contact(tile) for tile in tiles) + "</div>"


def _contact(tile: Tile) -> str:
    seen, data = tile.seen, base64.b64encode(tile.jpeg).decode()
    name = escape(f"{seen.item.kind}/{seen.item.path.name}")
    cause = f"<br>{escape(seen.cause)}" if seen.cause else ""
    return (
        f"<figure class='{seen.verdict.value}'><img alt='{name}' "
        f"src='data:image/jpeg;base64,{data}'><figcaption><b>{seen.score:.2f} "
        f"<i>{seen.verdict.value}</i></b> {name}{cause}</figcaption></figure>"
    )
