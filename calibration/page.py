"""The report: one page that holds everything in it, to look at, to mail and to keep.

The page loads nothing from elsewhere: pictures are in it, plots are drawn as SVG.
"""

from __future__ import annotations

import base64
import html
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from calibration import commission, learning, lights, plots, precision_told
from calibration.features import STEP
from edge_agent.camera.images import read_image
from edge_agent.decision.verdict import judge
from edge_agent.errors import UsageError
from edge_agent.files import write_durably
from edge_agent.inspection.overlay import draw_overlay
from edge_agent.inspection.view import View, place_map

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from calibration.commission import Fitted, Plan
    from calibration.figures import Trial
    from calibration.learning import Point
    from calibration.lights import Lights
    from calibration.lot import Lot
    from calibration.precision import Precision
    from edge_agent.camera.frame import Image, Truth
    from edge_agent.inspection.seen import Map

PAGE = "report.html"
CARD = "card.md"

_PICTURE_PX = 360
_MOST = 12
_STYLE = """body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:60em;padding:0 1em;
color:#222}h1{font-size:1.6em}h2{font-size:1.2em;margin-top:2em}figure{display:inline-block;
margin:0 .8em .8em 0;vertical-align:top;max-width:18em}figcaption{font-size:.85em;
overflow-wrap:anywhere}img{max-width:100%}.note{background:#fff4d6;padding:.5em .8em;
border-left:4px solid #e0a400;margin:.4em 0}pre{background:#f5f5f5;padding:1em;overflow:auto;
white-space:pre-wrap;font-size:.85em}svg{max-width:100%;height:auto}
table{border-collapse:collapse}td,th{padding:.15em .8em;text-align:right;border-bottom:1px solid
#ddd}.out{color:#b00}"""


class Bad(msgspec.Struct, frozen=True):
    """A bad part that was given: its score, its file, and what is wrong with it."""

    score: float
    file: Path
    truth: Truth


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What the page tells.

    Attributes:
        plan: What was to be made.
        parts: The good parts.
        fitted: The model.
        trial: How it did on parts of known truth; None where none were given.
        points: Of the learning curve.
        notes: What was found out about the good parts.
        light: How far the light may move.
        precision: What int8 costs.
        bad: Bad parts that were given and could be scored.
    """

    plan: Plan
    parts: Lot
    fitted: Fitted
    trial: Trial | None
    points: Sequence[Point]
    notes: Sequence[str]
    light: Lights
    precision: Precision
    bad: Sequence[Bad] = ()


def write_report(folder: Path, told: Told, card: bytes) -> None:
    """Write the page and the card into a folder.

    Raises:
        UsageError: The folder cannot be written to.
    """
    page = "\n".join(_page(told, card.decode())).encode()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_durably(folder / PAGE, page)
        write_durably(folder / CARD, card)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written: {error.strerror}") from error


def _page(told: Told, card: str) -> Iterator[str]:
    title = html.escape(f"{told.plan.name} {told.plan.version}")
    limits = told.fitted.thresholds
    yield '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    yield f"<title>{title}</title><style>{_STYLE}</style></head><body><h1>{title}</h1>"
    yield from (f'<p class="note">{html.escape(note)}</p>' for note in told.notes)
    yield "<h2>Scores</h2>"
    bad = told.trial.bad if told.trial else np.zeros(0, np.float32)
    yield plots.histogram(told.fitted.out_of_sample, bad, review=limits.review, ng=limits.ng)
    yield (
        "<p>Good parts are each scored by a fit without it. "
        f"<code>review</code> from {limits.review:.3f}, <code>ng</code> from {limits.ng:.3f}.</p>"
    )
    yield "<h2>Learning curve</h2>"
    if len(told.points) > 1:
        yield plots.curve(told.points)
    yield f"<p>{html.escape(learning.advice(told.points))}</p>"
    yield from _light(told.light)
    yield from precision_told.page_section(told.precision)
    yield from _pictures(told)
    yield from _bad_pictures(told)
    yield f"<h2>Card</h2><pre>{html.escape(card)}</pre></body></html>"


def _light(light: Lights) -> Iterator[str]:
    yield f"<h2>Light</h2><p>{html.escape(lights.note(light).capitalize())}.</p>"
    yield "<table><tr><th>light</th><th>good parts ng</th><th>AUROC of small marks</th></tr>"
    for step in light.steps:
        inside = light.darkest <= step.light <= light.brightest
        row = "" if inside else ' class="out"'
        yield f"<tr{row}><td>{step.light:g}</td><td>{step.rejected:.0%}</td>"
        yield f"<td>{step.told:.3f}</td></tr>"
    yield "</table>"


def _bad_pictures(told: Told) -> Iterator[str]:
    """Show the bad parts that score lowest, and some that score high, with where it is seen."""
    if not told.bad:
        return
    model = commission.inspector(told.plan, told.fitted, "onnx")
    limits = told.fitted.thresholds
    seen = sorted(told.bad, key=lambda each: each.score)
    some = seen[:_MOST] if len(seen) <= _MOST else [*seen[: _MOST // 2], *seen[-_MOST // 2 :]]
    yield "<h2>Bad parts: those that score lowest, and highest</h2>"
    for bad in some:
        image = read_image(bad.file)
        verdict = judge(bad.score, limits, ()).verdict
        drawn = draw_overlay(
            image,
            model.inspect(image).map,
            roi=told.plan.input.roi,
            threshold=limits.ng,
            verdict=verdict,
            caption=f"{verdict}  {bad.score:.2f} / {limits.ng:.2f}",
        )
        name = html.escape(f"{bad.truth.defect}: {bad.file.name}")
        yield f'<figure><img alt="{name}" src="{_data(drawn)}"><figcaption>{name}</figcaption>'
        yield "</figure>"
    model.close()


def _pictures(told: Told) -> Iterator[str]:
    """Show the good parts that score highest: the odd ones, and those next to them."""
    scores, files = told.parts.scores, told.parts.files
    odd = {each.number for each in told.parts.odd}
    order = np.argsort(-scores, kind="stable")[: max(3, min(len(odd), _MOST))]
    yield "<h2>The good parts that score highest</h2>"
    yield ("<p>Are these good? Score and picture are those by a fit without the part.</p>")
    limits = told.fitted.thresholds
    for number in order.tolist():
        image = read_image(files[number])
        verdict = judge(float(scores[number]), limits, ()).verdict
        drawn = draw_overlay(
            image,
            _map_without(told, number, image),
            roi=told.plan.input.roi,
            threshold=limits.ng,
            verdict=verdict,
            caption=f"{verdict}  {scores[number]:.2f} / {limits.ng:.2f}",
        )
        name = html.escape(files[number].name)
        yield f'<figure><img alt="{name}" src="{_data(drawn)}">'
        yield f"<figcaption>{name}{' (odd)' if number in odd else ''}</figcaption></figure>"


def _map_without(told: Told, number: int, image: Image) -> Map:
    """Return the map of a good part by a fit without it, over the ROI."""
    spec = told.plan.input
    values = told.parts.unseen.maps()[number].reshape(spec.height // STEP, spec.width // STEP)
    shown, _ = place_map(values, View(spec).fill(image))
    return shown


def _data(image: Image) -> str:
    """Return a picture as a data URI, shrunk to what a page needs."""
    import cv2  # noqa: PLC0415 - heavy: only who draws needs it

    scale = min(1.0, _PICTURE_PX / max(image.shape[:2]))
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
