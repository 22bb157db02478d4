"""What goes wrong, and what it must be called."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Product(StrEnum):
    """Which product runs after the change."""

    SAME = "same"
    SILENT = "silent"
    TOLD = "told"


class Expect(StrEnum):
    """What is asked of the watch for one change at one station."""

    MUST = "must"
    MAY = "may"
    NOT = "not"
    NOTHING = "nothing"
    """Nothing may be raised."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A change of light or camera. Shares are of the light; the defaults change nothing.

    Attributes:
        kinds: What it may be called at first naming; the first is the best name.
        loss_per_frame: Slow ageing of all lamps.
        top: Fall of the light from the lower edge to the upper.
        ambient: Light from everywhere, of the scene's mean light.
        sun: The same, in one place.
        warmth: Red up by half of it, blue down by half of it.
        gain: Of the camera; noise goes with it.
        band: Amplitude of row flicker (rolling shutter against the mains).
        beat: Amplitude of flicker from frame to frame.
        dirt_radius: Of the frame's width.
        dirt_depth: Light lost in the middle of the spot.
        torn: Part of the rows is of the frame before.
    """

    name: str
    kinds: tuple[str, ...] = ()
    level: float = 1.0
    left: float = 1.0
    right: float = 1.0
    loss_per_frame: float = 0.0
    top: float = 0.0
    ambient: float = 0.0
    sun: float = 0.0
    warmth: float = 0.0
    gain: float = 1.0
    band: float = 0.0
    beat: float = 0.0
    defocus_px: float = 0.0
    dirt_radius: float = 0.0
    dirt_depth: float = 0.0
    shift_px: float = 0.0
    rotation_deg: float = 0.0
    scale: float = 1.0
    frozen: bool = False
    torn: bool = False
    product: Product = Product.SAME
    frames: int = 250
    """How long it is watched after it came."""


NOTHING = Change(name="none", frames=0)

_LIGHT = ("brightness",)
_EXPOSURE = ("exposure",)
_LAMP = ("gradient",)
_LAMP_OUT = ("gradient", "brightness")
_SUN = ("ambient",)
_MOVED = ("camera_moved",)

CHANGES = (
    Change(name="dim 2 %", kinds=_LIGHT, level=0.98),
    Change(name="dim 5 %", kinds=_LIGHT, level=0.95),
    Change(name="dim 10 %", kinds=_LIGHT, level=0.90),
    Change(name="dim 30 %", kinds=_LIGHT, level=0.70),
    Change(name="dim 50 %", kinds=_LIGHT, level=0.50),
    Change(name="brighter 5 %", kinds=_LIGHT, level=1.05),
    Change(name="brighter 20 %", kinds=_LIGHT, level=1.20),
    Change(name="ageing 1 % in 500", kinds=_LIGHT, loss_per_frame=0.01 / 500, frames=1200),
    Change(name="left lamp -10 %", kinds=_LAMP, left=0.90),
    Change(name="left lamp -30 %", kinds=_LAMP, left=0.70),
    Change(name="right lamp out", kinds=_LAMP_OUT, right=0.0),
    Change(name="top gradient 8 %", kinds=_LAMP, top=0.08),
    Change(name="ambient +6 %", kinds=("ambient", "brightness", "gradient"), ambient=0.06),
    Change(name="sun patch 4 %", kinds=_SUN, sun=0.04),
    Change(name="sun patch 15 %", kinds=_SUN, sun=0.15),
    Change(name="colour 2 %", kinds=("color",), warmth=0.02),
    Change(name="colour 6 %", kinds=("color",), warmth=0.06),
    Change(name="gain +15 %", kinds=_EXPOSURE, gain=1.15),
    Change(name="gain +40 %", kinds=_EXPOSURE, gain=1.40),
    Change(name="row flicker 3 %", kinds=("flicker",), band=0.03),
    Change(name="row flicker 8 %", kinds=("flicker",), band=0.08),
    Change(name="beat 3 %", kinds=("flicker",), beat=0.03),
    Change(name="beat 8 %", kinds=("flicker",), beat=0.08),
    Change(name="defocus 0.7 px", kinds=("defocus",), defocus_px=0.7),
    Change(name="defocus 1.5 px", kinds=("defocus",), defocus_px=1.5),
    Change(name="defocus 3 px", kinds=("defocus",), defocus_px=3.0),
    Change(name="small dirt", kinds=("dirt",), dirt_radius=0.015, dirt_depth=0.25),
    Change(name="large dirt", kinds=("dirt",), dirt_radius=0.06, dirt_depth=0.35),
    Change(name="shift 1 px", kinds=_MOVED, shift_px=1.0),
    Change(name="shift 4 px", kinds=_MOVED, shift_px=4.0),
    Change(name="shift 15 px", kinds=_MOVED, shift_px=15.0),
    Change(name="shift 40 px", kinds=_MOVED, shift_px=40.0),
    Change(name="turn 0.3 deg", kinds=_MOVED, rotation_deg=0.3),
    Change(name="turn 2 deg", kinds=_MOVED, rotation_deg=2.0),
    Change(name="scale 1 %", kinds=_MOVED, scale=1.01),
    Change(name="frozen", kinds=("frozen",), frozen=True, frames=60),
    Change(name="torn", kinds=("frozen",), torn=True, frames=200),
    Change(name="product, silent", kinds=("product",), product=Product.SILENT),
    Change(name="product, told", product=Product.TOLD),
)
"""Steps, but for the ageing."""

BY_NAME = {change.name: change for change in (NOTHING, *CHANGES)}

_TEXTURED_ONLY = {
    "shift 1 px", "shift 4 px", "turn 0.3 deg", "turn 2 deg", "scale 1 %",
    "shift 15 px", "shift 40 px", "defocus 0.7 px", "defocus 1.5 px",
}  # fmt: skip
_LIGHT_NAMES = {c.name for c in CHANGES if c.kinds and c.kinds[0] in {
    "brightness", "gradient", "ambient", "exposure"}}  # fmt: skip
_FAINT = {
    "row flicker 3 %", "beat 3 %", "defocus 0.7 px", "defocus 1.5 px", "small dirt", "large dirt",
    "beat 8 %", "row flicker 8 %", "scale 1 %", "turn 2 deg", "shift 15 px", "shift 40 px",
}  # fmt: skip


def expected(change: Change, *, scene: str, colour: bool) -> Expect:
    """Say what is asked at a station.

    A change must be found where physics shows it; it may be found where a frame or the parts hint
    at it; and there are those that nobody can see: they are not run.

    Args:
        change: The change.
        scene: `textured`, `plate` (static, without texture), `full` (the part fills the frame) or
            `web` (nothing static).
        colour: Whether the camera has colour.
    """
    if change.name == "none" or change.product is Product.TOLD:
        return Expect.NOTHING
    if change.warmth and not colour:
        return Expect.NOT
    if change.torn or change.ambient:
        return Expect.MAY
    if scene == "textured" or change.frozen:
        return Expect.MUST
    return _on_plate(change) if scene == "plate" else _without_static(change, scene)


def _on_plate(change: Change) -> Expect:
    if change.name in {"shift 1 px", "turn 0.3 deg"}:
        return Expect.NOT
    if change.name in _TEXTURED_ONLY or change.product is Product.SILENT:
        return Expect.MAY
    return Expect.MUST


def _without_static(change: Change, scene: str) -> Expect:
    if change.name == "defocus 3 px" or (change.product is Product.SILENT and scene == "full"):
        return Expect.MUST
    if change.name in _FAINT or change.name in {"dim 30 %", "dim 50 %", "right lamp out"}:
        return Expect.MAY
    if change.product is Product.SILENT or change.warmth:
        return Expect.MAY
    return Expect.NOT
