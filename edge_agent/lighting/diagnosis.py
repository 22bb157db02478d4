"""From what the charts say to what is wrong, how much, where, and what to do. Rules, no state.

The order matters: what spoils the other figures is asked first (a frozen picture, a camera that
moved, another product), then what is told by its own pattern, and last the plain level.
A cause explains the figures that it moves; what is left unexplained may be a second cause.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec
import numpy as np
import numpy.typing as npt

from edge_agent.lighting import figures as m
from edge_agent.lighting.places import Blob, in_words
from edge_agent.lighting.registration import Moved

KINDS = (
    "frozen", "camera_moved", "product", "defocus", "flicker", "ambient", "dirt", "gradient",
    "color", "exposure", "brightness",
)  # fmt: skip

SHOWN_BY: Mapping[str, tuple[int, ...]] = {
    "frozen": (),
    "camera_moved": (m.SHIFT_X, m.SHIFT_Y, m.ROTATION, m.SCALE, m.MISFIT),
    "product": (m.ODDNESS, m.PART_RED, m.PART_BLUE),
    "defocus": (m.BLUR, m.SHARPNESS),
    "flicker": (m.ROWS, m.BEAT),
    "ambient": (m.SLOPE_X, m.SLOPE_Y),
    "dirt": (),
    "gradient": (m.SLOPE_X, m.SLOPE_Y),
    "color": (m.RED, m.BLUE),
    "exposure": (m.LEVEL, m.NOISE),
    "brightness": (m.LEVEL,),
}
"""By which figures a cause is known to be there still."""

_BLINDING = 7.0
"""So many limits away, one cause moves the figures for others by a limit or so."""

_UNITS = {"camera_moved": "px", "product": "spreads"}
_ADDED = 0.3
_BLUR_LEVEL = 6.0  # per cent that blur may seem to take from the light
_NIGHT = -60.0  # per cent of light lost, beyond which no other figure means anything
_UNLIKE = "parts look unlike those that the station was set up with"
_OF_GAIN, _SURE = 0.94, 0.4
_SMALL = 0.12
_DIRT_LEVEL = 3.0


class Evidence(msgspec.Struct, frozen=True):
    """All that a diagnosis rests on.

    Attributes:
        out: By statistic: whether its chart signals.
        away: By statistic: how far the newest frames lie from the centre.
        limits: By statistic: the limit of its quick chart.
        blob: The place that stands out most, if any does.
        moved: Where the scene was found, if it was looked for and found.
        sought: Whether it was looked for.
        frozen: How many frames the picture has not changed; 0 is that it lives.
        torn: Whether only a part of the picture has not changed.
        blur_px: Added blur that the figure for blur stands for.
        has_scene: Whether anything in view stays put.
        noise_error: Standard error of the figure for noise.
        noise_power: What power of the light the noise goes by; see `scene.noise_power`.
        swings: Whether the light goes both up and down.
        steady: Whether the newest frames agree about the level.
    """

    out: npt.NDArray[np.bool_]
    away: npt.NDArray[np.float64]
    limits: npt.NDArray[np.float64]
    blob: Blob | None
    moved: Moved | None
    sought: bool
    frozen: int
    torn: bool
    blur_px: float
    has_scene: bool
    noise_error: float
    noise_power: float
    swings: bool
    steady: bool


class Finding(msgspec.Struct, frozen=True):
    """A cause as one frame's evidence shows it.

    Attributes:
        kind: One of `KINDS`.
        size: Signed, in `unit`.
        unit: Of `size`.
        where: In words; empty if everywhere.
        excess: How far beyond its limit, 1 is at it.
        text: What is wrong, without since when and what to do.
    """

    kind: str
    size: float
    unit: str
    where: str
    excess: float
    text: str


HIDES: Mapping[str, frozenset[str]] = {
    "frozen": frozenset(KINDS) - {"frozen"},
    "camera_moved": frozenset(KINDS) - {"frozen", "camera_moved"},
    "defocus": frozenset({"ambient", "dirt", "color", "product", "exposure", "flicker"}),
    "gradient": frozenset({"ambient", "brightness", "exposure", "product", "flicker", "dirt"}),
    "ambient": frozenset({"gradient", "brightness", "exposure", "product", "color", "dirt"}),
    "brightness": frozenset({"exposure", "product"}),
    "exposure": frozenset({"brightness", "product", "flicker"}),
    "color": frozenset({"product"}),
    "flicker": frozenset({"product", "exposure"}),
    "product": frozenset({"dirt", "ambient", "exposure"}),
    "dirt": frozenset({"product"}),
}
"""Causes that are not believed while another is known: it moves their figures too."""

REMEDIES: Mapping[str, str] = {
    "brightness": "check lamps, their supply, and the exposure",
    "gradient": "clean or replace the lamp there, and look for what shades it",
    "ambient": "shade the station from daylight and other lamps",
    "color": "check lamps and white balance",
    "exposure": "set exposure and gain of the camera as they were commissioned",
    "flicker": "check the lamp's supply; let the exposure be a multiple of the mains' half period",
    "defocus": "check focus and aperture, and clean the lens",
    "dirt": "clean lens and cover glass",
    "camera_moved": "aim the camera as `edge-agent baseline show` draws it, and fix it",
    "frozen": "check the camera and its cable, and start it anew",
    "product": "tell the changeover (`edge-agent changeover`), or look at the parts",
}


def diagnose(evidence: Evidence) -> tuple[Finding, ...]:
    """Name what is wrong, the likeliest first."""
    if evidence.frozen:
        return (_frozen(evidence),)
    moved = _lost(evidence) or _moved(evidence)
    if moved is not None:
        return (moved,)
    found = []
    explained: set[int] = set()
    night = evidence.out[m.LEVEL] and evidence.away[m.LEVEL] < _NIGHT
    for rule, explains in _RULES[-1:] if night else _RULES:
        finding = rule(evidence, explained)
        if finding is not None:
            found.append(finding)
            explained.update(explains)
    found.sort(key=lambda finding: -finding.excess)
    if found and found[0].excess > _BLINDING:
        found = [each for each in found if each.excess > found[0].excess / _BLINDING]
    if not found:
        product = _product(evidence)
        found = [product] if product is not None else []
    return tuple(found)


def _lost(evidence: Evidence) -> Finding | None:
    """Tell that the scene is gone: its edges fit nothing, and it was looked for in vain."""
    if not (evidence.sought and evidence.moved is None and evidence.out[m.MISFIT]):
        return None
    over = _over(evidence, m.MISFIT)
    if _over(evidence, m.LEVEL, m.SLOPE_X, m.SLOPE_Y) > _BLINDING * over:
        return None
    text = "camera moved: the fixed scene is not where it was, and not found nearby"
    return Finding("camera_moved", 0.0, "", "", over, text)


def unlike() -> Finding:
    """Say that for a long while frames have shown no part that the station knows."""
    return Finding("product", 1.0, "spreads", "", 1.5, _UNLIKE)


def beyond(figure: int, away: float) -> Finding:
    """Say of a frame whose figures no rule knows by what it cannot be judged.

    Args:
        figure: The one that is farthest beyond its hard limit.
        away: How far it lies off.
    """
    if figure in {m.BRIGHT, m.DARK}:
        word = "saturated" if figure == m.BRIGHT else "black"
        text = f"{away:.0f} % more of the picture is {word}"
        return Finding("exposure", away, "%", "", 1.0, text)
    for kind, figures in SHOWN_BY.items():
        if figure in figures:
            text = f"{m.NAMES[figure].replace('_', ' ')} is beyond what can be judged"
            return Finding(kind, away, _UNITS.get(kind, "%"), "", 1.0, text)
    text = "most of the fixed scene is hidden, or is not the one that was commissioned"
    return Finding("camera_moved", 0.0, "px", "", 1.0, text)


def _over(evidence: Evidence, *which: int) -> float:
    """Return how far beyond its limit the worst of some figures is."""
    return max(abs(float(evidence.away[i])) / float(evidence.limits[i]) for i in which)


def _frozen(evidence: Evidence) -> Finding:
    if evidence.torn:
        return Finding("frozen", float(evidence.frozen), "frames", "", 2.0, "the picture is torn")
    text = f"the picture has not changed for {evidence.frozen} frames"
    return Finding("frozen", float(evidence.frozen), "frames", "", 2.0, text)


def _moved(evidence: Evidence) -> Finding | None:
    place = (m.SHIFT_X, m.SHIFT_Y, m.ROTATION, m.SCALE)
    if not any(evidence.out[i] for i in place):
        return None
    x, y, turn, scale = (float(evidence.away[i]) for i in place)
    if evidence.moved is not None:
        moved = evidence.moved
        x, y, turn, scale = moved.x_px, moved.y_px, moved.turn_deg, moved.scale
    far = math.hypot(x, y)
    over = _over(evidence, *place)
    # Blur, light and shift can all be read into one edge: what is shown far more plainly has it.
    others = (m.BLUR, m.LEVEL, m.SLOPE_X, m.SLOPE_Y)
    if (evidence.moved is None or not evidence.moved.is_plain) and _over(
        evidence, *others
    ) > 1.5 * over:
        return None
    words = []
    for size, unit, more, less in (
        (x, "px", "right", "left"), (y, "px", "down", "up"),
    ):  # fmt: skip
        if abs(size) >= max(0.25, 0.2 * far):
            words.append(f"{abs(size):.1f} {unit} {more if size > 0 else less}")
    if abs(turn) >= 0.06:
        words.append(f"{abs(turn):.1f} degrees {'clockwise' if turn > 0 else 'anticlockwise'}")
    if abs(scale) >= 0.12:
        words.append(f"{abs(scale):.1f} % {'larger' if scale > 0 else 'smaller'}")
    text = "camera moved: the picture lies " + (", ".join(words) or f"{far:.1f} px off")
    if far >= 0.3 or abs(turn) < 0.06:
        return Finding("camera_moved", far, "px", "", over, text)
    return Finding("camera_moved", turn, "degrees", "", over, text)


def _product(evidence: Evidence) -> Finding | None:
    shown = [*SHOWN_BY["product"], *(() if evidence.has_scene else (m.CONTRAST,))]
    if not any(evidence.out[i] for i in shown):
        return None
    size = float(evidence.away[m.ODDNESS])
    over = _over(evidence, *shown)
    return Finding("product", size, "spreads", "", over, _UNLIKE)


def _defocus(evidence: Evidence, explained: set[int]) -> Finding | None:
    if evidence.out[m.BLUR] and evidence.away[m.BLUR] > 0 and m.BLUR not in explained:
        text = f"picture out of focus by {evidence.blur_px:.1f} px"
        return Finding("defocus", evidence.blur_px, "px", "", _over(evidence, m.BLUR), text)
    if evidence.out[m.SHARPNESS] and evidence.away[m.SHARPNESS] < 0:
        loss = 100.0 * (1.0 - math.exp(0.005 * float(evidence.away[m.SHARPNESS])))
        text = f"picture {loss:.0f} % less sharp"
        return Finding("defocus", loss, "%", "", _over(evidence, m.SHARPNESS), text)
    return None


def _flicker(evidence: Evidence, _: set[int]) -> Finding | None:
    rows = bool(evidence.out[m.ROWS]) and evidence.away[m.ROWS] > 0
    beat = bool(evidence.out[m.BEAT]) and evidence.away[m.BEAT] > 0 and evidence.swings
    if not (rows or beat) or not evidence.has_scene:
        return None
    which = m.ROWS if rows else m.BEAT
    size = float(evidence.away[which])
    word = "within the picture" if rows else "from picture to picture"
    return Finding(
        "flicker", size, "%", "", _over(evidence, which), f"light flickers by {size:.1f} % {word}"
    )


def _local(evidence: Evidence, explained: set[int]) -> Finding | None:
    blob = evidence.blob
    if blob is None or m.BLUR in explained or not evidence.has_scene:
        return None
    where, size = in_words(blob.x, blob.y), 100.0 * blob.size
    level = float(evidence.away[m.LEVEL])
    if blob.size > 0:
        text = f"{size:.0f} % more light at the {where}"
        return Finding("ambient", size, "%", where, blob.excess, text)
    if blob.share <= _SMALL and abs(level) < _DIRT_LEVEL:
        text = f"a spot at the {where} is {-size:.0f} % darker and stays there"
        return Finding("dirt", size, "%", where, blob.excess, text)
    return None


def _gradient(evidence: Evidence, explained: set[int]) -> Finding | None:
    if not (evidence.out[m.SLOPE_X] or evidence.out[m.SLOPE_Y]) or m.SLOPE_X in explained:
        return None
    x, y, level = (float(evidence.away[i]) for i in (m.SLOPE_X, m.SLOPE_Y, m.LEVEL))
    steep = math.hypot(x, y)
    if steep < 0.25 * abs(level) and evidence.out[m.LEVEL]:
        return None
    over = _over(evidence, m.SLOPE_X, m.SLOPE_Y)
    if evidence.away[m.ADDED] > _ADDED * steep:  # a lamp that fails takes light away
        where, more = in_words(x / steep, y / steep), max(level, 0.0) + steep
        text = f"{more:.0f} % more light at the {where}"
        return Finding("ambient", more, "%", where, over, text)
    where = in_words(-x / steep, -y / steep)
    size = min(level, 0.0) - steep
    return Finding("gradient", size, "%", where, over, f"light at the {where} down {-size:.0f} %")


def _colour(evidence: Evidence, explained: set[int]) -> Finding | None:
    if not (evidence.out[m.RED] or evidence.out[m.BLUE]) or m.RED in explained:
        return None
    red, blue = float(evidence.away[m.RED]), float(evidence.away[m.BLUE])
    size = red - blue
    word = "warmer" if size > 0 else "colder"
    text = f"light {abs(size):.0f} % {word} (red against blue)"
    if abs(size) < 0.5 * max(abs(red), abs(blue)):
        green = -(red + blue) / 2.0
        size, text = green, f"light {abs(green):.0f} % {'greener' if green > 0 else 'less green'}"
    return Finding("color", size, "%", "", _over(evidence, m.RED, m.BLUE), text)


def _level(evidence: Evidence, explained: set[int]) -> Finding | None:
    level, noise = float(evidence.away[m.LEVEL]), float(evidence.away[m.NOISE])
    blurred = m.BLUR in explained and abs(level) < _BLUR_LEVEL
    # Light changes dark and bright alike; another part does not.
    unlike_light = not evidence.has_scene and evidence.out[m.CONTRAST]
    if m.LEVEL in explained or not evidence.steady or blurred or unlike_light:
        return None
    if evidence.out[m.LEVEL]:
        grown = 100.0 * math.log(max(1.0 + level / 100.0, 0.05))
        noisy = 0.5 * (evidence.noise_power + _OF_GAIN)
        sure = noise - noisy * grown > _SURE * evidence.noise_error
        kind = "exposure" if level > 0 and evidence.has_scene and sure else "brightness"
        text = f"light {'up' if level > 0 else 'down'} {abs(level):.0f} %"
        if kind == "exposure":
            text = f"exposure or gain up {level:.0f} %: the noise rose with the light"
        return Finding(kind, level, "%", "", _over(evidence, m.LEVEL), text)
    if evidence.out[m.NOISE] and noise > 0 and evidence.has_scene and m.NOISE not in explained:
        text = f"noise up {100.0 * math.expm1(noise / 100.0):.0f} % at the same light"
        return Finding("exposure", noise, "%", "", _over(evidence, m.NOISE), text)
    return None


_LIGHT = (m.LEVEL, m.SLOPE_X, m.SLOPE_Y, m.RED, m.BLUE, m.NOISE, m.BRIGHT)
_RULES = (
    (_defocus, (m.BLUR, m.NOISE, m.SHARPNESS, m.RED, m.BLUE)),
    (_flicker, (m.ROWS, m.BEAT, m.NOISE, m.LEVEL, m.SLOPE_Y)),
    (_local, _LIGHT),
    (_gradient, (m.SLOPE_X, m.SLOPE_Y, m.LEVEL, m.NOISE)),
    (_colour, (m.RED, m.BLUE)),
    (_level, ()),
)
