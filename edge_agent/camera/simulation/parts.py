"""What part number n of the simulated line is: a pure function of the seed and the number.

The part is a turned flange: a bore in a hub, a groove around it, six bolt holes, an engraved mark.
Lengths are nominal pixels, angles degrees clockwise from the x axis, positions relative to the
centre of the part before it is turned.
"""

from __future__ import annotations

import enum
import math

import msgspec
import numpy as np

NOMINAL_SIZE = (640, 480)
"""Frame size that lengths are given for."""

RADIUS = 165.0
BORE_RADIUS = 46.0
HUB_RADIUS = 78.0
BOLT_CIRCLE = 118.0
HOLE_RADIUS = 15.0
HOLES = 6
MARK_RADIUS = BOLT_CIRCLE
"""The engraved mark stands below the centre, between two holes."""

MAX_OFFSET_PX = 3.0
MAX_TURN_DEG = 4.0
MAX_REFLECTANCE = 0.04
MAX_HOLE = 0.03
TEXTURES = 3
"""Tolerances of a good part (offset, turn, relative reflectance and hole size), and how many
surfaces are drawn; each part has one of them in a turn and size of its own."""


class Kind(enum.StrEnum):
    """The kinds of planted defects."""

    SCRATCH = "scratch"
    STAIN = "stain"
    DENT = "dent"
    CHIP = "chip"
    MISSING_HOLE = "missing_hole"
    EXTRA_HOLE = "extra_hole"


class Defect(msgspec.Struct, frozen=True):
    """A planted defect.

    Attributes:
        kind: What it is.
        size_px: Its longer side. A missing hole has the size of the hole.
        x: Its centre on the part.
        y: Its centre on the part.
        heading_deg: Which way a scratch runs, which hole is missing, where the edge is chipped.
        contrast: How strong it is, about 1.
        shape: Seed of what else its outline needs.
    """

    kind: Kind
    size_px: float
    x: float
    y: float
    heading_deg: float
    contrast: float
    shape: int


class Part(msgspec.Struct, frozen=True):
    """A part as it lies on the fixture.

    Attributes:
        number: 1, 2, 3, ...
        x: How far it lies from its place, to the right.
        y: How far it lies from its place, down.
        turn_deg: How far it is turned, clockwise.
        reflectance: Its brightness against the mean part.
        bore: Size of its bore against the drawing.
        holes: Size of each bolt hole against the drawing.
        texture: Which surface it has.
        texture_turn_deg: How that surface is turned.
        texture_zoom: Its size against the drawn surface.
        noise: Where the sensor noise of its frame begins, in 0..1.
        defect: What is wrong with it; None for a good part.
    """

    number: int
    x: float
    y: float
    turn_deg: float
    reflectance: float
    bore: float
    holes: tuple[float, ...]
    texture: int
    texture_turn_deg: float
    texture_zoom: float
    noise: float
    defect: Defect | None


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """What the parts of a line depend on (see the settings of the driver)."""

    seed: int
    defect_rate: float
    defect_size_px_min: float
    defect_size_px_max: float


def scale_of(width: int, height: int) -> float:
    """Return the size of a frame against the nominal one."""
    return min(width / NOMINAL_SIZE[0], height / NOMINAL_SIZE[1])


def hole_angle_deg(index: int) -> float:
    """Return where bolt hole `index` is; none is straight below, where the mark is."""
    return 360.0 / HOLES * index


def make_part(line: Line, number: int) -> Part:
    """Return part `number` of a line, from 1."""
    rng = np.random.default_rng([line.seed, number])
    part = Part(
        number=number,
        x=float(rng.uniform(-MAX_OFFSET_PX, MAX_OFFSET_PX)),
        y=float(rng.uniform(-MAX_OFFSET_PX, MAX_OFFSET_PX)),
        turn_deg=float(rng.uniform(-MAX_TURN_DEG, MAX_TURN_DEG)),
        reflectance=float(1.0 + rng.uniform(-MAX_REFLECTANCE, MAX_REFLECTANCE)),
        bore=float(1.0 + rng.uniform(-MAX_HOLE, MAX_HOLE) / 3.0),
        holes=tuple(float(v) for v in 1.0 + rng.uniform(-MAX_HOLE, MAX_HOLE, HOLES)),
        texture=int(rng.integers(TEXTURES)),
        texture_turn_deg=float(rng.uniform(0.0, 360.0)),
        texture_zoom=float(rng.uniform(1.0, 1.12)),
        noise=float(rng.random()),
        defect=None,
    )
    if rng.random() >= line.defect_rate:
        return part
    return msgspec.structs.replace(part, defect=_make_defect(line, rng))


def centre_on_frame(part: Part, x: float, y: float) -> tuple[float, float]:
    """Map a point of the part to nominal frame pixels, relative to where the part should lie."""
    turn = math.radians(part.turn_deg)
    cos, sin = math.cos(turn), math.sin(turn)
    return part.x + cos * x - sin * y, part.y + sin * x + cos * y


def _make_defect(line: Line, rng: np.random.Generator) -> Defect:
    kind = list(Kind)[int(rng.integers(len(Kind)))]
    size = float(rng.uniform(line.defect_size_px_min, line.defect_size_px_max))
    heading = float(rng.uniform(0.0, 360.0))
    if kind is Kind.MISSING_HOLE:
        size = 2.0 * HOLE_RADIUS
        heading = hole_angle_deg(int(rng.integers(HOLES)))
        x, y = _polar(BOLT_CIRCLE, heading)
    elif kind is Kind.CHIP:
        x, y = _polar(RADIUS - 0.15 * size, heading)
    else:
        x, y = _free_place(rng, size / 2.0, flat=kind is Kind.EXTRA_HOLE)
    return Defect(
        kind=kind,
        size_px=size,
        x=x,
        y=y,
        heading_deg=heading,
        contrast=float(rng.uniform(0.8, 1.25)),
        shape=int(rng.integers(2**31)),
    )


def _free_place(rng: np.random.Generator, reach: float, *, flat: bool) -> tuple[float, float]:
    """Find a place on the metal for a defect that reaches `reach` from its centre.

    A small one lies clear of bore, holes and rim; a large one may cross a hole, as real ones do.
    """
    inner = BORE_RADIUS + min(reach, 12.0) + 4.0
    outer = max(RADIUS - reach - 8.0, inner + 1.0)
    x, y = 0.0, 0.0
    for _ in range(64):
        x, y = _polar(float(rng.uniform(inner, outer)), float(rng.uniform(0.0, 360.0)))
        clear = HOLE_RADIUS + (reach + 4.0 if flat else min(reach, 10.0) + 3.0)
        centres = (_polar(BOLT_CIRCLE, hole_angle_deg(i)) for i in range(HOLES))
        if all(math.hypot(x - hx, y - hy) > clear for hx, hy in centres):
            break
    return x, y


def _polar(radius: float, angle_deg: float) -> tuple[float, float]:
    angle = math.radians(angle_deg)
    return radius * math.cos(angle), radius * math.sin(angle)
