"""What a person sees of a lighting baseline: `edge-agent baseline show --out PNG`.

The verb finds `draw` by the entry-point group `edge_agent.pictures`: `edge_agent` imports nothing
of this package. Drawn with OpenCV, which every device has: a plotting library would be one more.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np

from edge_agent.errors import UsageError
from edge_agent.lighting.charts import design, sigmas
from edge_agent.lighting.diagnosis import SHOWN_BY
from edge_agent.lighting.figures import CONTRAST, NAMES
from edge_agent.lighting.registration import SIDE
from edge_agent.lighting.sampling import GAMMA
from edge_agent.lighting.scene import EDGY, FLAT, PART
from edge_agent.lighting.sharpness import PATCH

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.camera.frame import Image
    from edge_agent.lighting import Baseline

_WIDE, _EDGE, _LINE = 1600, 24, 24
_VIEW = 700
_HEAD = 56
_LETTERS = 80

Colour = tuple[int, int, int]
_INK: Colour = (40, 40, 40)
_FAINT: Colour = (150, 150, 150)
_PAPER: Colour = (255, 255, 255)
_SCENE: Colour = (90, 160, 60)
_PART: Colour = (20, 140, 240)
_BLUE: Colour = (200, 110, 20)
_RED: Colour = (45, 55, 200)
_YELLOW: Colour = (0, 220, 255)
_LIGHT_GREEN: Colour = (205, 235, 205)
_LIGHT_YELLOW: Colour = (190, 235, 250)

_FIGURES = {
    "level": ("light", "%"),
    "slope_x": ("light, left to right", "%"), "slope_y": ("light, top to bottom", "%"),
    "red": ("red to green", "%"), "blue": ("blue to green", "%"), "noise": ("noise", "%"),
    "rows": ("flicker in a frame", "%"), "beat": ("flicker, frame to frame", "%"),
    "shift_x": ("shift right", "px"), "shift_y": ("shift down", "px"),
    "rotation": ("turn", "deg"), "scale": ("size", "%"), "blur": ("blur", "px2"),
    "misfit": ("misfit of edges", "%"), "sharpness": ("sharpness", "%"),
    "hidden": ("scene hidden", "%"), "oddness": ("part unlike", ""),
    "part_level": ("part, light", "%"), "part_red": ("part, red", "%"),
    "part_blue": ("part, blue", "%"), "clipped_dark": ("black", "%"),
    "clipped_bright": ("saturated", "%"), "contrast": ("contrast", "%"),
}  # fmt: skip
"""What the statistics are called, in the order in which they are drawn, and their units."""


def draw(baseline: Baseline, path: Path) -> None:
    """Draw a baseline: what is scene and part, how far each figure may move, what is watched.

    Args:
        baseline: What was learned.
        path: The PNG to write.

    Raises:
        UsageError: It cannot be written.
    """
    import cv2  # noqa: PLC0415 - heavy: not needed to find the verb

    sheet = _Sheet(_height(baseline))
    sheet.text(_EDGE, 36, _title(baseline), size=0.8, bold=True)
    bottom = _draw_view(sheet, baseline)
    _draw_watched(sheet, baseline, bottom)
    _draw_figures(sheet, baseline)
    done, data = cv2.imencode(".png", sheet.pixels)
    if not done:
        raise UsageError(f"{path}: the picture cannot be coded")
    try:
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from error


class _Sheet:
    """White paper, and a pen."""

    def __init__(self, height: int) -> None:
        self.pixels: Image = np.full((height, _WIDE, 3), 255, np.uint8)

    def text(
        self, x: int, y: int, text: str, *, size: float = 0.5, bold: bool = False,
        colour: Colour = _INK, ends: bool = False,
    ) -> int:  # fmt: skip
        """Write a line whose foot is at `y`, or that `ends` at `x`; return its width."""
        import cv2  # noqa: PLC0415 - see draw

        font, thick = cv2.FONT_HERSHEY_SIMPLEX, 2 if bold else 1
        plain = text.encode("ascii", "replace").decode()
        width = int(cv2.getTextSize(plain, font, size, thick)[0][0])
        at = (x - width if ends else x, y)
        cv2.putText(self.pixels, plain, at, font, size, colour, thick, cv2.LINE_AA)
        return width

    def box(self, x0: int, y0: int, x1: int, y1: int, colour: Colour, *, line: int = -1) -> None:
        """Fill a box, or draw its outline `line` pixels thick."""
        import cv2  # noqa: PLC0415 - see draw

        cv2.rectangle(self.pixels, (x0, y0), (x1, y1), colour, line, cv2.LINE_8)


def _title(baseline: Baseline) -> str:
    return (
        f"Lighting baseline {baseline.digest[:12]}: {baseline.frames} frames of "
        f"{baseline.width} x {baseline.height} pixels, mean light {100 * baseline.level:.0f} % "
        "of full scale"
    )


# --- the view ------------------------------------------------------------------------------------


def _view_size(baseline: Baseline) -> tuple[int, int]:
    scale = min(_VIEW / baseline.width, 640 / baseline.height)
    return max(1, round(baseline.width * scale)), max(1, round(baseline.height * scale))


def _picture(baseline: Baseline) -> Image:
    """Return the median picture, grey, of the size it is drawn in: HxWx3."""
    import cv2  # noqa: PLC0415 - see draw

    scene, marks = baseline.scene, baseline.landmarks
    if marks is not None:
        small = np.frombuffer(marks.thumb, np.uint8).reshape(marks.thumb_height, marks.thumb_width)
    else:  # what the points of the lattice saw
        light = scene.floats("reference", scene.channels)[:, scene.channels // 2]
        coded = 255.0 * np.clip(light, 0.0, 1.0) ** (1.0 / GAMMA)
        small = coded.reshape(scene.rows, scene.columns).astype(np.uint8)
    large = cv2.resize(small, _view_size(baseline), interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.cvtColor(large, cv2.COLOR_GRAY2BGR), np.uint8)


def _draw_view(sheet: _Sheet, baseline: Baseline) -> int:
    """Draw what is scene, what is part, and what the scene is found by; return where it ends."""
    import cv2  # noqa: PLC0415 - see draw

    scene = baseline.scene
    view = _picture(baseline)
    tall, wide = int(view.shape[0]), int(view.shape[1])
    kinds = scene.kind_of_points().reshape(scene.rows, scene.columns)
    large = cv2.resize(kinds, (wide, tall), interpolation=cv2.INTER_NEAREST)
    for which, colour in (((FLAT, EDGY), _SCENE), ((PART,), _PART)):
        mask = np.isin(large, which)
        view[mask] = (0.7 * view[mask] + 0.3 * np.array(colour)).astype(np.uint8)
    across, down = wide / baseline.width, tall / baseline.height
    for place in np.frombuffer(scene.features, "<u4").tolist():
        y, x = divmod(place, scene.width)
        cv2.circle(view, (round(x * across), round(y * down)), 1, _YELLOW, -1, cv2.LINE_AA)
    patches = baseline.landmarks.patches if baseline.landmarks else ()
    marks = [(float(patch.x), float(patch.y), SIDE, _PAPER) for patch in patches]
    marks += [(x * baseline.width, y * baseline.height, PATCH, _RED) for x, y in baseline.spots]
    for left, top, side, colour in marks:
        corner = (round(left * across), round(top * down))
        far = (round((left + side) * across), round((top + side) * down))
        cv2.rectangle(view, corner, far, colour, 2, cv2.LINE_AA)
    sheet.pixels[_HEAD : _HEAD + tall, _EDGE : _EDGE + wide] = view
    y = _HEAD + tall + _LINE
    x = _EDGE
    count = len(scene.features) // 4
    share = 100.0 * float((kinds == PART).mean())
    for colour, words in (
        (_SCENE, f"scene {100.0 * scene.share_of_scene:.0f} %"), (_PART, f"part {share:.0f} %"),
        (_FAINT, "not used: too dark or bright"), (_YELLOW, f"{count} edges"),
        (_PAPER, f"{len(patches)} landmarks"),
        *(((_RED, "sharpness"),) if baseline.spots else ()),
    ):  # fmt: skip
        sheet.box(x, y - 11, x + 12, y + 1, colour)
        sheet.box(x, y - 11, x + 12, y + 1, _INK, line=1)
        x += 34 + sheet.text(x + 18, y, words, size=0.45)
    return y + 2 * _LINE


# --- what is watched -----------------------------------------------------------------------------


def _words(baseline: Baseline) -> list[tuple[str, Colour]]:
    """Return what is watched, what cannot be and why, and the notes: lines and their colours."""
    lines: list[tuple[str, Colour]] = []
    watched = [kind for kind, reason in baseline.monitors.items() if not reason]
    paragraphs = [("Watched: " + (", ".join(watched) or "nothing"), _SCENE)]
    for reason in dict.fromkeys(filter(None, baseline.monitors.values())):
        kinds = ", ".join(kind for kind, why in baseline.monitors.items() if why == reason)
        paragraphs.append((f"Not watched here: {kinds}: {reason}", _RED))
    paragraphs += [(f"Note: {note}", _BLUE) for note in baseline.notes]
    for text, colour in paragraphs:
        lines += [(line.replace("_", " "), colour) for line in textwrap.wrap(text, _LETTERS)]
    return lines


def _draw_watched(sheet: _Sheet, baseline: Baseline, top: int) -> None:
    for number, (text, colour) in enumerate(_words(baseline)):
        sheet.text(_EDGE, top + number * _LINE, text, colour=colour)


# --- the figures ---------------------------------------------------------------------------------

_FROM, _BAR, _BAR_WIDE = 770, 975, 300
_COLUMNS = (1372, 1472, 1576)
_ROW = 30


def _height(baseline: Baseline) -> int:
    view = _HEAD + _view_size(baseline)[1] + 3 * _LINE + _LINE * (len(_words(baseline)) + 1)
    return max(view, _HEAD + _ROW * (len(_FIGURES) + 4))


def _draw_figures(sheet: _Sheet, baseline: Baseline) -> None:
    """Draw for each figure how it varied, from where on it is named, and from where on invalid."""
    memories = [baseline.memories[name] for name in NAMES]
    bands = [baseline.bands[name] for name in NAMES]
    limits = design(memories, bands, sigmas_out=sigmas())
    naming = {place for which in SHOWN_BY.values() for place in which}
    if not baseline.scene.has_scene:
        naming.add(CONTRAST)
    y = _HEAD + 14
    for x, words in zip(_COLUMNS, ("spread", "named from", "invalid from"), strict=True):
        sheet.text(x, y, words, size=0.45, ends=True)
    sheet.text(_FROM, y, "figure", size=0.45)
    for name, (label, unit) in _FIGURES.items():
        y += _ROW
        place = NAMES.index(name)
        memory, hard = memories[place], baseline.limits.get(name)
        sheet.text(_FROM, y, f"{label} {unit}".rstrip())
        if memory.frames <= 1 and hard is None:
            sheet.text(_BAR, y, "not measured here", size=0.45, colour=_FAINT)
            continue
        named = float(min(limits.quick[place], limits.slow[place])) if place in naming else 0.0
        reach = (hard.below or hard.reach, hard.reach) if hard else (0.0, 0.0)
        if named or hard:
            _draw_bar(sheet, y, memory.spread, named, reach)
        else:
            sheet.text(_BAR, y, "nothing rests on it here", size=0.45, colour=_FAINT)
        beyond = " / ".join(dict.fromkeys(f"{sign}{_short(r)}" for sign, r in _signed(reach)))
        for x, words in zip(
            _COLUMNS,
            (_short(memory.spread), _short(named) if named else "-", beyond if hard else "-"),
            strict=True,
        ):
            sheet.text(x, y, words, size=0.45, ends=True)
    _draw_legend(sheet, y + _ROW)


def _signed(reach: tuple[float, float]) -> list[tuple[str, float]]:
    below, above = reach
    return [("", above)] if below == above else [("-", below), ("+", above)]


def _draw_bar(
    sheet: _Sheet, y: int, spread: float, named: float, reach: tuple[float, float]
) -> None:
    """Draw one figure about its centre; the scale is its own: what is farthest lies at the end."""
    middle, half = _BAR + _BAR_WIDE // 2, _BAR_WIDE // 2
    most = max(*reach, 1.25 * named, spread, 1e-9)
    top, foot = y - 11, y + 3
    for sign, hard in ((-1, reach[0]), (1, reach[1])):
        end = middle + sign * round(half * min(1.0, (hard or most) / most))
        limit = middle + sign * round(half * named / most)
        _span(sheet, limit, end, (top, foot), _LIGHT_YELLOW)
        _span(sheet, middle, limit, (top, foot), _LIGHT_GREEN)
        if hard:
            sheet.box(end - 1, top - 3, end + 1, foot + 3, _RED)
        if named:
            sheet.box(limit, top - 1, limit, foot + 1, _BLUE)
        wide = round(half * spread / most)
        _span(sheet, middle, middle + sign * wide, (top + 4, foot - 4), _INK)
    sheet.box(middle, top - 1, middle, foot + 1, _INK)


def _span(sheet: _Sheet, one: int, other: int, rows: tuple[int, int], colour: Colour) -> None:
    sheet.box(min(one, other), rows[0], max(one, other), rows[1], colour)


def _draw_legend(sheet: _Sheet, y: int) -> None:
    x = _FROM
    for colour, words in (
        (_INK, "spread in good frames"), (_LIGHT_GREEN, "nothing is said"), (_BLUE, "named"),
        (_LIGHT_YELLOW, "parts are judged still"), (_RED, "invalid beyond"),
    ):  # fmt: skip
        sheet.box(x, y - 11, x + 12, y + 1, colour)
        x += 34 + sheet.text(x + 18, y, words, size=0.45)
    for number, line in enumerate(textwrap.wrap(_HOW, 100)):
        sheet.text(_FROM, y + (number + 1) * 20, line, size=0.42, colour=_FAINT)


_HOW = (
    "Distances from the centre, each row on its own scale. The spread is that of single frames; a "
    "cause is named by averages over frames, which vary less; a frame is invalid by itself."
)


def _short(value: float) -> str:
    """Write a figure with two digits that count."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 9.95 else 2
    return f"{value:.{digits}f}"
