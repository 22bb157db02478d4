"""Choose how a model looks at parts: the grey level, and whether parts are turned to lie alike.

Parts are turned where three things hold: each can be found before its background, and has a long
axis with two different ends; they do not lie alike anyway; and marks planted on them are told from
good parts at least as well when they are turned.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import msgspec
import numpy as np

from calibration import anomaly, figures, marks, memory, projection
from calibration.features import STEP, Extractor
from edge_agent.camera.images import read_image
from edge_agent.errors import UsageError
from edge_agent.inspection.pose import Lie, find_lie
from edge_agent.inspection.spec import Input, Pose
from edge_agent.inspection.view import View

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edge_agent.camera.frame import Image

LOOKED_AT = 40
"""Parts that are enough to choose by."""

_LEAST = 5
_FOUND, _INSIDE = 0.98, 0.8
_SLIM = 2.0
_LOPSIDED = 0.05
_SAME_LENGTH = 0.15
_TURNED = math.radians(3.0)
_MOVED = 0.03
"""Share of the part's length."""

_AROUND = (1.08, 1.3)
"""How much more than the part the view shows, along it and across it."""

_WORSE = 0.02
_MOSTLY = 127
_SAME_SHAPE = 0.02
_SEED = 5
_DARKEST, _BRIGHTEST = 40, 190


class Chosen(msgspec.Struct, frozen=True):
    """How to look, and what was found out on the way, a sentence each."""

    input: Input
    notes: list[str]


def choose(frames: Sequence[Image], spec: Input, *, turn: bool | None = None) -> Chosen:
    """Choose how to look at parts.

    Args:
        frames: Some good parts, HxWx3 BGR or HxW grey, uint8; `LOOKED_AT` are enough.
        spec: What is given: ROI and size of the input.
        turn: Whether parts are turned; None finds out.
    """
    if not frames:
        return Chosen(spec, [])
    posed = None if turn is False or len(frames) < _LEAST else _posed(frames, spec)
    if posed is None:
        why = "parts are taken as they lie: they cannot all be found and turned alike"
        return Chosen(_levelled(frames, spec), [why] if turn else [])
    plain, posed = _levelled(frames, spec), _levelled(frames, posed)
    if turn is None:
        lies = _lies(frames, spec)
        if not _lie_differently(lies):
            return Chosen(plain, [])
        if _told(frames, posed, lies) < _told(frames, plain, lies) - _WORSE:
            return Chosen(plain, [])
    note = (
        f"parts lie differently: each is found before its background and turned to lie level, in a "
        f"view of {posed.width} x {posed.height} pixels"
    )
    return Chosen(posed, [note])


def cells_of(mask: Path, spec: Input, *, frame: Image | None = None) -> tuple[bool, ...]:
    """Return which cells of the grid a mask leaves to look at: those that are mostly white.

    Args:
        mask: A picture of the frame; it may be smaller or larger, but of the frame's shape.
        spec: How parts are looked at.
        frame: One of the frames.

    Raises:
        ImageError: It is no image.
        UsageError: Parts are turned, it is of another shape than the frame, or nothing is left.
    """
    if spec.pose is not None:
        raise UsageError(f"--mask {mask}: the parts are turned, a mask is not: give --no-turn")
    picture = read_image(mask)
    grey = picture.max(axis=2) if picture.ndim == 3 else picture
    if frame is not None:
        (high, wide), (height, width) = grey.shape[:2], frame.shape[:2]
        if abs(wide * height - high * width) > _SAME_SHAPE * high * width:
            raise UsageError(
                f"--mask {mask}: {wide}x{high} is not the shape of the images, {width}x{height}: "
                "draw it over one of them"
            )
    size = (spec.width // STEP, spec.height // STEP)
    share = cv2.resize(spec.roi.crop(grey), size, interpolation=cv2.INTER_AREA)
    looked = (share > _MOSTLY).ravel()
    if not looked.any():
        raise UsageError(f"--mask {mask}: nothing in it is white: there is nothing to look at")
    return tuple(looked.tolist())


def _levelled(frames: Sequence[Image], spec: Input) -> Input:
    """Set the grey level to what parts have now."""
    view = View(msgspec.structs.replace(spec, level=None))
    means = []
    for frame in frames:
        view.fill(frame)
        means.append(float(view.pixels.mean()))
    level = round(min(max(float(np.median(means)), _DARKEST), _BRIGHTEST))
    return msgspec.structs.replace(spec, level=level)


def _lies(frames: Sequence[Image], spec: Input) -> list[Lie | None]:
    return [find_lie(spec.roi.crop(frame)) for frame in frames]


def _posed(frames: Sequence[Image], spec: Input) -> Input | None:
    """Return the input with a view along the parts; None where they cannot be turned."""
    if len({frame.shape[:2] for frame in frames}) > 1:
        return None
    found = [
        lie
        for lie in _lies(frames, spec)
        if lie and lie.slimness >= _SLIM and lie.lopsided >= _LOPSIDED
    ]
    inside = sum(lie.inside for lie in found)
    if len(found) < _FOUND * len(frames) or inside < _INSIDE * len(frames):
        return None
    lengths = np.array([lie.length for lie in found])
    if lengths.std() > _SAME_LENGTH * lengths.mean():
        return None
    length = _AROUND[0] * float(np.quantile(lengths, 0.95))
    breadth = _AROUND[1] * float(np.quantile([lie.breadth for lie in found], 0.95))
    stretch = math.sqrt(length / breadth)
    wide = max(4, round(spec.width * stretch / STEP)) * STEP
    high = max(4, round(wide * breadth / length / STEP)) * STEP
    seen = spec.roi.crop(frames[0]).shape[1]
    pose = Pose(length=round(min(length / seen, 4.0), 4))
    return msgspec.structs.replace(spec, width=wide, height=high, pose=pose)


def _lie_differently(lies: Sequence[Lie | None]) -> bool:
    """Tell whether parts lie turned or moved against each other by more than a little."""
    found = [lie for lie in lies if lie]
    middle = math.atan2(
        sum(math.sin(lie.angle) for lie in found), sum(math.cos(lie.angle) for lie in found)
    )
    turned = [abs(math.remainder(lie.angle - middle, math.tau)) for lie in found]
    places = np.array([(lie.x, lie.y) for lie in found])
    moved = np.abs(places - np.median(places, axis=0)).max(axis=1)
    length = float(np.median([lie.length for lie in found]))
    return bool(np.median(turned) > _TURNED or np.median(moved) > _MOVED * length)


def _told(frames: Sequence[Image], spec: Input, lies: Sequence[Lie | None]) -> float:
    """Return how well a small mark on a part is told from the part without it: the AUROC.

    Each part is asked about by what is known of the others.
    """
    extractor = Extractor(spec)
    rng = np.random.default_rng(_SEED)
    plain = np.stack([extractor.features(frame) for frame in frames])
    marked = np.stack(
        [
            extractor.features(_marked(frame, spec, lie, rng))
            for frame, lie in zip(frames, lies, strict=True)
        ]
    )
    kept = projection.project(
        projection.scatter(plain), marks.changes(frames, spec), dims=anomaly.DIMS, seed=0
    )
    seen = plain @ kept
    chosen = memory.choose(seen, spec.height // STEP, seed=0)
    examples = chosen.of(seen)
    own = np.eye(len(frames), dtype=bool)

    def scores(asked: projection.Floats) -> projection.Floats:
        away = [
            memory.nearest_of_others(chosen, examples, each, own[part])
            for part, each in enumerate(asked)
        ]
        return anomaly.scores(np.nan_to_num(np.stack(away)), anomaly.top_of(plain.shape[1]))

    return figures.auroc(scores(seen), scores(marked @ kept))


def _marked(frame: Image, spec: Input, lie: Lie | None, rng: np.random.Generator) -> Image:
    """Plant a mark on the part itself: on the background, it would be seen by anything."""
    view = spec.roi.crop(frame)
    x, y = view.shape[1] / 2, view.shape[0] / 2
    ahead, beside = rng.uniform(-0.45, 0.45), rng.uniform(-0.15, 0.15)
    if lie is not None:
        ahead, beside = ahead * lie.length, beside * lie.breadth
        cos, sin = math.cos(lie.angle), math.sin(lie.angle)
        x, y = lie.x + ahead * cos - beside * sin, lie.y + ahead * sin + beside * cos
    left, top, _, _ = spec.roi.pixels(frame)
    scale = math.sqrt(view.shape[0] * view.shape[1] / (spec.width * spec.height))
    return marks.plant_at(frame, rng, (left + x, top + y), scale=scale)
