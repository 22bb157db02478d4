"""What of a view is scene and what is part, learned from good frames and frozen.

A point of the lattice is *scene* if it stays what it was while parts come and go: after the light
that all points share is taken out, it varies no more than the camera's noise, alone and together
with its neighbours. What varies more is *part*; what is too dark or nearly saturated is *unused*.
Points of strong, steady edges are looked for beside the lattice: they show shift and blur.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec
import numpy as np
import numpy.typing as npt

from edge_agent.camera.frame import Image
from edge_agent.lighting.sampling import (
    LINEAR,
    FloatArray,
    green,
    lattice,
    lattice_size,
    take,
)

UNUSED, FLAT, EDGY, PART = 0, 1, 2, 3
"""Kinds of points: scene is what is `FLAT` or `EDGY`."""

LEAST_SCENE = 80
"""Points of the lattice; with fewer the scene shows nothing reliably."""

_LEAST_SHARE, _LEAST_FRAMES = 0.06, 15
_FEATURES = 512
_FEATURE_ROWS, _FEATURE_COLUMNS = 8, 12
_MARGIN = 6
_DARK, _BRIGHT = 10, 243
_PICTURES = 25
_MEDIAN_OF = 200
_TIMES_NOISE = 2.2
_TIMES_NOISE_TOGETHER = 2.0
_STEADY = 0.007
"""Share by which neighbouring points may vary together and still be scene."""

_BLOCK_PX = 16.0
_VIBRATION_PX, _FLAT = 0.2, 0.6
_OUT, _OUT_OFTEN = 7.0, 0.12
_PHOTONS, _TELLING, _TELLING_RANGE = 0.5, 60, 0.3
_LEAST_NOISE = 0.004  # share of a point's light; JPEG makes some points steadier than any sensor


class Scene(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The view as commissioned. Arrays are kept as bytes, little-endian, row by row.

    Attributes:
        height: Of the frames, in pixels (of the first, where they differ).
        width: The same.
        channels: 1 grey, 3 BGR.
        rows: Of the lattice.
        columns: Of the lattice.
        aligned: Whether all frames were of one size: else nothing can be said of places.
        kinds: P uint8; see `UNUSED` and the others.
        reference: PxC float32; median linear light.
        spread: P float32; how far a point of a good frame lies from it, in linear light of the
            green channel (robust standard deviation; noise for scene, parts' variety for part).
        slopes: Px3 float32; d/dx, d/dy per pixel of linear light, and what a blur of 1 px changes;
            0 for part.
        features: K uint32; flat places of edges.
        feature_values: Kx5 float32; median, spread, d/dx, d/dy, change by blur.
    """

    height: int
    width: int
    channels: int
    rows: int
    columns: int
    aligned: bool
    kinds: bytes
    reference: bytes
    spread: bytes
    slopes: bytes
    features: bytes
    feature_values: bytes

    def __post_init__(self) -> None:
        """Refuse arrays whose sizes contradict each other."""
        points, count = self.rows * self.columns, len(self.features) // 4
        sizes = (
            (self.kinds, points),
            (self.reference, 4 * points * self.channels),
            (self.spread, 4 * points),
            (self.slopes, 12 * points),
            (self.feature_values, 20 * count),
        )
        if any(len(data) != size for data, size in sizes) or len(self.features) % 4:
            raise ValueError("the scene's arrays do not fit together")

    def kind_of_points(self) -> npt.NDArray[np.uint8]:
        """Return the kinds as an array."""
        return np.frombuffer(self.kinds, np.uint8)

    def floats(self, name: str, columns: int) -> FloatArray:
        """Return an array of floats by its field's name."""
        return np.frombuffer(getattr(self, name), "<f4").reshape(-1, columns)

    @property
    def share_of_scene(self) -> float:
        """Share of the view that is scene."""
        kinds = self.kind_of_points()
        return float(np.isin(kinds, (FLAT, EDGY)).mean())

    @property
    def has_scene(self) -> bool:
        """Whether anything in view stays what it was."""
        kinds = self.kind_of_points()
        return bool(np.isin(kinds, (FLAT, EDGY)).any())


def learn_scene(frames: Sequence[Image]) -> Scene:
    """Learn what is scene and what is part.

    Args:
        frames: HxWx3 BGR or HxW grey, uint8, in order of time.
    """
    height, width = frames[0].shape[:2]
    rows, columns = lattice_size(height, width)
    channels = min(1 if frame.ndim == 2 else 3 for frame in frames)
    aligned = all(frame.shape[:2] == (height, width) for frame in frames)
    light = _see(frames, rows, columns, channels)
    middle = light[:, :, 1 if channels == 3 else 0]
    reference = np.median(light, axis=0).astype(np.float32)
    centre = reference[:, 1 if channels == 3 else 0]
    usable = _usable(centre, reference)
    slopes = np.zeros((rows * columns, 3), np.float32)
    picture: FloatArray | None = None
    if aligned:
        picture, variety = _picture(frames)
        gradients = _gradients(picture)
        slopes = gradients.reshape(-1, 3)[lattice(height, width, rows, columns)]
    tilt = (slopes[:, :2] / np.maximum(centre, 1e-4)[:, np.newaxis]).astype(np.float32)
    shaken = _VIBRATION_PX * np.hypot(tilt[:, 0], tilt[:, 1])
    steady, spread, noise = _steady(middle, centre, usable, tilt, rows, columns, width / columns)
    least = max(LEAST_SCENE, _LEAST_SHARE * int(usable.sum()))
    if not aligned or len(light) < _LEAST_FRAMES or int(steady.sum()) < least:
        steady[:] = False
    kinds = np.where(usable, np.where(steady, FLAT, PART), UNUSED).astype(np.uint8)
    features = np.zeros(0, np.uint32)
    values = np.zeros((0, 5), np.float32)
    slopes[~steady] = 0.0
    if steady.any() and picture is not None:
        kinds[steady & (shaken > _FLAT * noise)] = EDGY
        features, values = _features(picture, variety, gradients, _grown(steady, rows, columns))
    return Scene(
        height=height,
        width=width,
        channels=channels,
        rows=rows,
        columns=columns,
        aligned=aligned,
        kinds=kinds.tobytes(),
        reference=_bytes(reference),
        spread=_bytes(spread),
        slopes=_bytes(slopes),
        features=features.astype("<u4").tobytes(),
        feature_values=_bytes(values),
    )


def _bytes(values: npt.NDArray[np.floating]) -> bytes:
    return np.ascontiguousarray(values, "<f4").tobytes()


def _see(frames: Sequence[Image], rows: int, columns: int, channels: int) -> FloatArray:
    """Return the linear light of the lattice's points: NxPxC."""
    some = frames[:: max(1, len(frames) // _MEDIAN_OF)]
    seen = np.empty((len(some), rows * columns, channels), np.float32)
    for index, frame in enumerate(some):
        samples = take(frame, lattice(*frame.shape[:2], rows, columns))
        seen[index] = LINEAR[samples[:, :channels]]
    return seen


def _usable(centre: FloatArray, reference: FloatArray) -> npt.NDArray[np.bool_]:
    """Tell which points are neither too dark nor nearly saturated to measure light by."""
    dark, bright = LINEAR[_DARK], LINEAR[_BRIGHT]
    usable = (centre > dark) & (reference.max(axis=1) < bright)
    if usable.mean() < 0.05:  # a very dark or bright station: what there is must do
        usable = (centre > LINEAR[2]) & (centre < LINEAR[253])
    return np.asarray(usable if usable.any() else np.ones_like(usable))


def _steady(
    light: FloatArray,
    centre: FloatArray,
    usable: npt.NDArray[np.bool_],
    tilt: FloatArray,
    rows: int,
    columns: int,
    step_px: float,
) -> tuple[npt.NDArray[np.bool_], FloatArray, FloatArray]:
    """Tell which points are scene, how far each varies, and how much of that is noise.

    Args:
        light: NxP linear light.
        centre: P, its median over the frames.
        usable: P.
        tilt: Px2; d/dx, d/dy per pixel, as shares of the light there.
        rows: Of the lattice.
        columns: Of the lattice.
        step_px: From point to point.
    """
    import cv2  # noqa: PLC0415 - heavy: not needed to read a configuration

    safe = np.maximum(centre, 1e-4)
    ratio = np.asarray(light / safe, np.float32)
    # What all of the scene shares is the lamps' doing. It is read off the points that vary least by
    # themselves: parts vary more than lamps do.
    raw = _spread_of(ratio - 1.0)
    gain = np.ones((len(ratio), 1), np.float32)
    weight = usable.astype(np.float32).reshape(rows, columns)
    for _ in range(3):
        limit = np.quantile(raw[usable], 0.25)
        calm = usable & (raw <= limit)
        gain = np.median(ratio[:, calm], axis=1)[:, np.newaxis].astype(np.float32)
        away: FloatArray = np.asarray(ratio / gain - 1.0, np.float32)
        raw = _spread_of(away)
    shaken = _VIBRATION_PX * np.hypot(tilt[:, 0], tilt[:, 1])
    away = _unshaken(
        away,
        tilt,
        usable & (raw <= _TIMES_NOISE * np.hypot(_noise_floor(centre, raw, usable), shaken)),
    )
    raw = _spread_of(away)
    noise = _noise_floor(centre, raw, usable)
    quiet = np.hypot(noise, 0.5 * shaken)
    # Neighbours together tell a part's shade from noise; those on edges have little to say.
    weight *= ((noise / quiet) ** 2).astype(np.float32).reshape(rows, columns)
    around = np.maximum(cv2.boxFilter(weight, -1, (3, 3), normalize=False), 0.5)
    clipped = np.clip(away, -0.5, 0.5)
    together = np.empty_like(away)
    for index, frame in enumerate(clipped):
        field = np.ascontiguousarray(frame.reshape(rows, columns) * weight)
        box = cv2.boxFilter(field, -1, (3, 3), normalize=False)
        together[index] = (box / around).reshape(-1)
    shared = 1.4826 * np.median(np.abs(together - np.median(together, axis=0)), axis=0)
    often = np.mean(np.abs(away) > _OUT * np.maximum(raw, _LEAST_NOISE), axis=0)
    alone = raw <= _TIMES_NOISE * quiet
    jointly = shared <= np.maximum(
        _STEADY, _TIMES_NOISE_TOGETHER * noise / np.sqrt(around.reshape(-1))
    )
    steady = usable & alone & jointly & (often <= _OUT_OFTEN)
    spread = (np.maximum(raw, _LEAST_NOISE) * safe).astype(np.float32)
    moving = usable & ~jointly & ~alone
    return _eroded(steady, moving, rows, columns, step_px), spread, noise


def _spread_of(away: npt.NDArray[np.floating]) -> FloatArray:
    """Return the robust standard deviation of each column."""
    return np.asarray(1.4826 * np.median(np.abs(away), axis=0), np.float32)


def _unshaken(away: FloatArray, tilt: FloatArray, calm: npt.NDArray[np.bool_]) -> FloatArray:
    """Take out of every frame what a shift of the whole view would do, by what is calm.

    Args:
        away: NxP; shares of the light.
        tilt: Px2.
        calm: P; which points to read the shift off.
    """
    some = tilt[calm] / (0.02 + np.abs(tilt[calm]).max(axis=1, keepdims=True))
    if int(calm.sum()) < 20 or not np.any(some):
        return away
    square = some.T @ tilt[calm]
    if np.linalg.cond(square) > 1e4:
        return away
    shifts = np.clip(away[:, calm], -0.2, 0.2) @ some @ np.linalg.inv(square).T
    return np.asarray(away - np.clip(shifts, -1.0, 1.0) @ tilt.T, np.float32)


def _noise_floor(centre: FloatArray, raw: FloatArray, usable: npt.NDArray[np.bool_]) -> FloatArray:
    """Return how much a point of each brightness varies by the camera's noise alone.

    By brightness (eight classes) the second decile of what points vary; steps of an eighth of the
    response curve are the least it can be.
    """
    order = np.flatnonzero(usable)
    order = order[np.argsort(centre[order], kind="stable")]
    middle, floor = [], []
    for some in np.array_split(order, min(8, max(1, len(order) // 20))):
        middle.append(float(np.median(centre[some])))
        floor.append(float(np.quantile(raw[some], 0.2)))
    value = np.maximum(centre, 1e-6) ** (1 / 2.2) * 255.0
    rounding = 2.2 / np.maximum(value, 1.0) * 0.29
    lowest = np.interp(centre, middle, floor)
    # Where nothing stays put even the steadiest points are parts: no sensor in use is so noisy.
    lowest = np.minimum(lowest, 1.2 * rounding + 0.02 * np.sqrt(0.2 / np.maximum(centre, 1e-3)))
    return np.asarray(np.maximum(np.maximum(lowest, rounding), _LEAST_NOISE), np.float32)


def _eroded(
    steady: npt.NDArray[np.bool_],
    part: npt.NDArray[np.bool_],
    rows: int,
    columns: int,
    step_px: float,
) -> npt.NDArray[np.bool_]:
    """Drop scene beside part: the edge of a mask leaks the part's shade."""
    import cv2  # noqa: PLC0415 - see _steady

    moving = part.reshape(rows, columns).astype(np.uint8)
    # A few points that vary are specks of noise, not a part.
    lone = cv2.boxFilter(moving, cv2.CV_16S, (3, 3), normalize=False) <= 3
    moving[lone] = 0
    # Colour is kept in blocks of 16 pixels by JPEG: what lies in one with a part takes its colour.
    reach = max(1, round(_BLOCK_PX / step_px))
    side = 2 * reach + 1
    near = cv2.dilate(moving, np.ones((side, side), np.uint8)).reshape(-1) > 0
    return steady & ~near


def _grown(steady: npt.NDArray[np.bool_], rows: int, columns: int) -> npt.NDArray[np.uint8]:
    """Return the scene as a small picture, rows x columns, 1 where edges may be looked for."""
    import cv2  # noqa: PLC0415 - see _steady

    mask = steady.reshape(rows, columns).astype(np.uint8)
    # A lattice point on an edge is dropped by its own noise; its neighbours speak for it.
    count = cv2.boxFilter(mask, cv2.CV_16S, (3, 3), normalize=False)
    return (count >= 4).astype(np.uint8)


def _picture(frames: Sequence[Image]) -> tuple[FloatArray, FloatArray]:
    """Return the median picture in linear light (HxW), and how far pixels vary about it."""
    some = [green(frame) for frame in frames[:: max(1, len(frames) // _PICTURES)]][:_PICTURES]
    height, width = some[0].shape
    picture = np.empty((height, width), np.float32)
    variety = np.empty((height, width), np.float32)
    for top in range(0, height, 64):
        strip = LINEAR[np.stack([each[top : top + 64] for each in some])]
        middle = np.median(strip, axis=0)
        picture[top : top + 64] = middle
        variety[top : top + 64] = 1.4826 * np.median(np.abs(strip - middle), axis=0)
    return picture, variety


def _gradients(picture: FloatArray) -> FloatArray:
    """Return d/dx and d/dy per pixel, and what a blur of 1 px changes: HxWx3."""
    import cv2  # noqa: PLC0415 - see _steady

    side = np.array([[-0.5, 0.0, 0.5]], np.float32)
    across = cv2.filter2D(picture, -1, side, borderType=cv2.BORDER_REPLICATE)
    down = cv2.filter2D(picture, -1, side.T, borderType=cv2.BORDER_REPLICATE)
    blurred = cv2.GaussianBlur(picture, (0, 0), 1.0, borderType=cv2.BORDER_REPLICATE) - picture
    return np.ascontiguousarray(np.dstack([across, down, blurred]), np.float32)


def _features(
    picture: FloatArray, variety: FloatArray, gradients: FloatArray, scene: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.uint32], FloatArray]:
    """Choose the strongest steady edges, spread over the view, of either direction."""
    import cv2  # noqa: PLC0415 - see _steady

    height, width = picture.shape
    allowed = cv2.resize(scene, (width, height), interpolation=cv2.INTER_NEAREST) > 0
    noise = np.maximum(_LEAST_NOISE * np.maximum(picture, 0.02), float(np.quantile(variety, 0.1)))
    strength = np.hypot(gradients[:, :, 0], gradients[:, :, 1])
    # Vibration of a third of a pixel is no reason against an edge.
    allowed &= variety <= 3.0 * noise + 0.35 * strength
    allowed &= (strength > 2.5 * noise) & (picture > LINEAR[4]) & (picture < LINEAR[248])
    edge = np.zeros_like(allowed)
    edge[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN] = True
    allowed &= edge
    each = _FEATURES // (3 * _FEATURE_ROWS * _FEATURE_COLUMNS) + 1
    chosen: list[int] = []
    for axis in (0, 1, 2):
        score = np.where(allowed, np.abs(gradients[:, :, axis]) / (noise + 0.1 * strength), 0.0)
        peak = cv2.dilate(score, np.ones((3, 3), np.uint8))
        score[score < peak] = 0.0
        for cell in _cells(height, width):
            part = score[cell]
            best = np.argsort(part, axis=None, kind="stable")[::-1][:each]
            best = best[part.reshape(-1)[best] > 0.0]
            y, x = np.divmod(best, part.shape[1])
            chosen += ((y + cell[0].start) * width + x + cell[1].start).tolist()
    places = np.unique(np.array(chosen, np.uint32))
    at = places.astype(np.intp)
    values = np.column_stack(
        [
            picture.reshape(-1)[at],
            np.maximum(variety, noise).reshape(-1)[at],
            gradients.reshape(-1, 3)[at],
        ]
    )
    return places, np.ascontiguousarray(values, np.float32)


def _cells(height: int, width: int) -> list[tuple[slice, slice]]:
    rows = np.linspace(0, height, _FEATURE_ROWS + 1).astype(int)
    columns = np.linspace(0, width, _FEATURE_COLUMNS + 1).astype(int)
    return [
        (slice(int(top), int(bottom)), slice(int(left), int(right)))
        for top, bottom in pairwise(rows)
        for left, right in pairwise(columns)
    ]


def noise_power(scene: Scene) -> float:
    """Return p of noise ~ light^p, as the scene's flat points of all brightnesses show it.

    0.5 where photons make the noise and the response is the one assumed; more where the true
    response is straighter, less where the noise of reading prevails. A lamp that brightens moves
    each point along this line; a gain lifts noise and light alike.
    """
    flat = scene.kind_of_points() == FLAT
    channel = 1 if scene.channels == 3 else 0
    light = scene.floats("reference", scene.channels)[flat, channel].astype(np.float64)
    spread = scene.floats("spread", 1)[flat, 0].astype(np.float64)
    told = spread > 1.1 * _LEAST_NOISE * light
    if int(told.sum()) < _TELLING:
        return _PHOTONS
    x, y = np.log(light[told]), np.log(spread[told])
    keep = np.ones(len(x), np.bool_)
    power = _PHOTONS
    for _ in range(3):
        if float(x[keep].std()) < _TELLING_RANGE:
            return _PHOTONS
        power, offset = np.polyfit(x[keep], y[keep], 1)
        left = np.abs(y - power * x - offset)
        keep = left < 2.5 * float(np.median(left)) + 1e-6
    return float(np.clip(power, 0.3, 0.85))


def without(scene: Scene, points: npt.NDArray[np.intp]) -> Scene:
    """Return a scene that does without some points of its lattice, and edges near them."""
    import cv2  # noqa: PLC0415 - heavy: not needed to read a configuration

    kinds = scene.kind_of_points().copy()
    kinds[points] = UNUSED
    gone = np.zeros(scene.rows * scene.columns, np.uint8)
    gone[points] = 1
    near = cv2.dilate(gone.reshape(scene.rows, scene.columns), np.ones((3, 3), np.uint8))
    features = np.frombuffer(scene.features, "<u4")
    y, x = np.divmod(features.astype(np.intp), scene.width)
    keep = near[y * scene.rows // scene.height, x * scene.columns // scene.width] == 0
    values = scene.floats("feature_values", 5)[keep]
    return msgspec.structs.replace(
        scene,
        kinds=kinds.tobytes(),
        features=features[keep].tobytes(),
        feature_values=_bytes(values),
    )
