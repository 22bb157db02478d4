"""Kinds of station, and one of a kind by chance.

All that makes a station is drawn from its seed and its half of the images (`Split`): scene, parts,
lamps, camera. The held-out half has other images, wider responses and other noise.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import msgspec
import numpy as np

from tests.bench.drift import scenes
from tests.bench.drift.images import Linear, Split
from tests.bench.drift.light import Fields, make_fields
from tests.bench.drift.parts import Cut, Sprite, cut_parts, exposed, make_hand, make_web
from tests.bench.drift.scenes import canvas_size
from tests.bench.drift.sensor import Camera


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of station.

    Attributes:
        scene: What is fixed: `textured`, `plate`, `full` (the part covers all) or `web`.
        drawn: How a textured scene comes to be: `mosaic` or `photo`.
        part: Where parts come from.
        other: Where those of the other product come from.
        part_share: A part's size as a share of the frame's height.
        spin_deg: How parts turn: standard deviation; 180 is any way.
    """

    name: str
    width: int
    height: int
    colour: bool
    scene: str
    drawn: str = "mosaic"
    part: Cut = "casting"
    other: Cut = "screw"
    part_share: float = 0.5
    spin_deg: float = 4.0
    weight: float = 1.0

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.width, self.height

    @property
    def textured(self) -> bool:
        """Whether it has static texture."""
        return self.scene == "textured"


KINDS = {
    kind.name: kind
    for kind in (
        Kind(name="fixture", width=320, height=240, colour=False, scene="textured"),
        Kind(
            name="jig", width=416, height=312, colour=True, scene="textured", drawn="photo",
            other="aliens", part_share=0.42, weight=0.5,
        ),
        Kind(
            name="toys", width=400, height=300, colour=True, scene="textured", part="aliens",
            other="casting", part_share=0.62, spin_deg=8.0, weight=0.6,
        ),
        Kind(
            name="large", width=960, height=720, colour=False, scene="textured", drawn="photo",
            part="screw", other="casting", part_share=0.5, spin_deg=10.0, weight=0.15,
        ),
        Kind(
            name="plate", width=320, height=320, colour=False, scene="plate", part="screw",
            other="casting", part_share=0.8, spin_deg=180.0,
        ),
        Kind(
            name="fill", width=320, height=240, colour=False, scene="full", part="full",
            part_share=1.75, spin_deg=180.0,
        ),
        Kind(name="web", width=320, height=240, colour=False, scene="web"),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Station:
    """One station, as it was built.

    Attributes:
        scene: Reflectance, `ZOOM` times the frame with margins.
        fields: Irradiance of the scene, at the scene's size.
        parts: Of the product that it was commissioned with; `others` of another.
        level: Factor on all light, so that the scene is well exposed.
        scatter: Of the parts' reflectance from part to part, a share.
        shades: Reflectances that the parts come in.
        lamp_sd: What the lamps have in common in their noise, a share.
        vibration_px: Standard deviation of the view's jitter.
    """

    kind: Kind
    seed: int
    split: Split
    scene: Linear
    fields: Fields
    parts: list[Sprite]
    others: list[Sprite]
    hand: Sprite
    camera: Camera
    level: float
    scatter: float
    shades: tuple[float, ...]
    lamp_sd: float
    vibration_px: float
    colour_bgr: tuple[float, float, float]


def seeded(seed: int, *words: str) -> np.random.Generator:
    """Return a generator of its own for a purpose: the same for the same seed and words."""
    return np.random.default_rng([seed, zlib.crc32("/".join(words).encode())])


def build(kind: Kind, seed: int, split: Split) -> Station:
    """Build a station from its seed."""
    rng = seeded(seed, split, kind.name, "station")
    size = canvas_size(kind.width, kind.height)
    scene = _draw_scene(kind, size, split, rng)
    fields = make_fields(size, rng)
    lit = fields.left + fields.right + fields.ambient
    grey = scene if scene.ndim == 2 else scene.mean(axis=2)
    level = float(rng.uniform(0.6, 0.75)) / float(np.percentile((grey * lit)[::4, ::4], 99.0))
    if kind.scene == "full":
        # What is seen where no part is: anything from a dark conveyor to a bright plate.
        scene *= np.float32(rng.uniform(0.25, 1.0))
    parts, others = _draw_parts(kind, split, rng)
    if kind.scene != "web":
        exposure = 0.12 if kind.scene == "plate" else float(rng.uniform(0.25, 0.35))
        parts, others = exposed(parts, exposure / level), exposed(others, exposure / level)
    held = split is Split.HELD
    gammas = (1.0, 1.8, 2.0, 2.4) if held else (1.6, 2.2, 2.2, 2.2)
    camera = Camera(
        full_well=float(rng.uniform(6_000, 16_000) if held else rng.uniform(8_000, 12_000)),
        read_noise=float(rng.uniform(4, 14)),
        gamma=float(rng.choice(gammas)),
        mjpeg_quality=90 if rng.random() < 0.3 else 0,
    )
    return Station(
        kind=kind, seed=seed, split=split, scene=scene, fields=fields, parts=parts, others=others,
        hand=make_hand(int(0.45 * kind.height), rng, colour=kind.colour),
        camera=camera,
        level=level,
        scatter=float(rng.uniform(0.03, 0.14)),
        shades=tuple(rng.uniform(0.75, 1.25, int(rng.integers(1, 4))).tolist()),
        lamp_sd=0.004,
        vibration_px=float(rng.uniform(0.08, 0.2)),
        colour_bgr=(float(rng.uniform(0.8, 1.0)), 0.95, float(rng.uniform(0.8, 1.0))),
    )  # fmt: skip


def _draw_scene(
    kind: Kind, size: tuple[int, int], split: Split, rng: np.random.Generator
) -> Linear:
    if kind.scene == "textured":
        draw = scenes.photo if kind.drawn == "photo" else scenes.mosaic
        return draw(size, split, rng, colour=kind.colour)
    return scenes.plate(size, rng, colour=kind.colour)


def _draw_parts(
    kind: Kind, split: Split, rng: np.random.Generator
) -> tuple[list[Sprite], list[Sprite]]:
    if kind.scene == "web":
        colour = kind.colour
        web = make_web(kind.width, kind.height, split, rng, colour=colour)
        other = make_web(kind.width, kind.height, split, rng, colour=colour)
        return web, [Sprite(np.sqrt(each.light) * np.float32(0.8), each.keep) for each in other]
    parts = []
    for cut, share in ((kind.part, 1.0), (kind.other, float(rng.uniform(0.75, 1.05)))):
        side = int(share * kind.part_share * kind.height)
        parts.append(cut_parts(cut, split, rng, count=10, side_px=side, colour=kind.colour))
    return parts[0], parts[1]
