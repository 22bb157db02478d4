"""The baseline: light and camera as they were commissioned, frozen.

Invariants:
    - A baseline never changes after it was learned; a new one is a new file.
    - Every frame it was learned from lies inside its hard limits, but for few that a hand was in.
    - `decode` returns what `encode` wrote, or raises.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from edge_agent.camera.frame import Image
from edge_agent.errors import UsageError
from edge_agent.lighting import figures as m
from edge_agent.lighting.charts import FEW_FRAMES, UNFIXED, Memory, design, remember, sigmas
from edge_agent.lighting.diagnosis import KINDS
from edge_agent.lighting.figures import NAMES
from edge_agent.lighting.meter import Meter
from edge_agent.lighting.places import AVERAGE_WEIGHT, LARGE, POINT, SIDES, SMALL, Windows
from edge_agent.lighting.registration import Landmarks, learn_landmarks
from edge_agent.lighting.sampling import FloatArray, green
from edge_agent.lighting.scene import EDGY, FLAT, PART, Scene, learn_scene
from edge_agent.lighting.sharpness import Spot, choose_spots

MIN_FRAMES = 5
GOOD_FRAMES = 300
_SIGMAS = 6.0
_SEEN, _LOTS = 1.5, 1.6
_LEAST_LIGHT = 3.0
"""Per cent by which the level may always move: lamps flicker by half as much."""

_BANDS = {
    "level": 1.0, "slope_x": 1.2, "slope_y": 1.2, "red": 0.6, "blue": 0.6, "noise": 25.0,
    "rows": 0.5, "beat": 0.6, "shift_x": 0.35, "shift_y": 0.35, "rotation": 0.08, "scale": 0.15,
    "blur": 0.2, "sharpness": 15.0, "oddness": 0.2, "part_level": 6.0, "part_red": 3.0,
    "part_blue": 3.0, "clipped_dark": 3.0, "clipped_bright": 3.0, "contrast": 10.0, "hidden": 8.0,
    "misfit": 60.0, "added": 1.0,
}  # fmt: skip
"""How far each statistic may move before it matters, whatever its spread."""

_HARD = {
    "level": 12.0, "slope_x": 12.0, "slope_y": 12.0, "red": 5.0, "blue": 5.0, "rotation": 3.0,
    "scale": 3.0, "blur": 1.5, "sharpness": 50.0, "clipped_bright": 6.0, "hidden": 70.0,
}  # fmt: skip
"""How far each may move at least before a frame cannot be judged."""

_HARD_UNFIXED = {
    "level": 12.0, "red": 5.0, "blue": 5.0, "sharpness": 50.0, "clipped_dark": 6.0,
    "clipped_bright": 15.0,
}  # fmt: skip
"""The same, where nothing in view stays put: contrast and slopes are the material's there."""

_SAME = 0.02
_GREY = 1e-3
"""Linear light by which the channels of a grey picture may differ."""

_HARD_SHIFT = 0.015
_LEAST_HARD_SHIFT = 4.0
_FIELD_BANDS = {POINT: 0.06, SMALL: 0.025, LARGE: 0.016}


class Limit(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What can be judged, by one statistic: `centre`, and how far from it is still inside.

    Attributes:
        centre: Where it lies.
        reach: How far above is inside; and below, where `below` is not given.
        below: How far below is inside.
    """

    centre: float
    reach: Annotated[float, msgspec.Meta(gt=0.0)]
    below: Annotated[float, msgspec.Meta(gt=0.0)] | None = None

    def excess(self, value: float) -> float:
        """Return how far outside a value lies: up to 1 is inside, 2 is twice the reach."""
        away = value - self.centre
        reach = self.below if self.below is not None and away < 0 else self.reach
        return abs(away) / reach


class Baseline(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What good frames look like under correct light.

    Attributes:
        frames: How many frames it was learned from.
        height: Of those frames, in pixels (of the first, where they differ).
        width: The same.
        level: Mean linear light, share of full scale.
        scene: What is scene and what is part.
        landmarks: What the scene is found again by.
        spots: Where sharpness is measured if the scene has no edges.
        memories: By statistic (see `edge_agent.lighting.meter`): how it varies when all is well.
        bands: By statistic: how far it may move before it matters.
        limits: By statistic: beyond these a frame cannot be judged.
        fields: How far the places of the lattice may lie off: three float32 arrays, rows x
            columns, for points, small and large windows, as shares of the light.
        hidden: Share of the scene that is hidden in good frames now and then.
        blur: Pairs of added blur (standard deviation in px) and what the meter says of it.
        monitors: What is watched, and why it cannot be where it cannot; empty where it can.
        notes: What the user should know of how it was learned.
        digest: SHA-256 over all of the above that was measured, so that a record can name it.
        learned: When, ISO 8601; empty in a bundle, whose card says it.
        by: Who.
        corrects: Least and most light, as multiples of what it is, that may be undone before the
            model looks, as commissioning proved it; None where it proved nothing.
    """

    schema: Literal["edge/baseline/2"] = "edge/baseline/2"
    frames: Annotated[int, msgspec.Meta(ge=MIN_FRAMES)]
    height: Annotated[int, msgspec.Meta(ge=1)]
    width: Annotated[int, msgspec.Meta(ge=1)]
    level: float
    scene: Scene
    landmarks: Landmarks | None
    spots: tuple[Spot, ...]
    memories: dict[str, Memory]
    bands: dict[str, float]
    limits: dict[str, Limit]
    fields: bytes
    hidden: float
    blur: tuple[tuple[float, float], ...]
    monitors: dict[str, str]
    notes: tuple[str, ...]
    digest: str
    learned: str = ""
    by: str = ""
    corrects: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        """Refuse a baseline that lacks a statistic."""
        missing = [name for name in NAMES if name not in self.memories or name not in self.bands]
        if missing:
            raise ValueError(f"baseline lacks {', '.join(missing)}")
        if len(self.fields) != 4 * len(SIDES) * self.scene.rows * self.scene.columns:
            raise ValueError("baseline lacks places of its lattice")

    @classmethod
    def learn(
        cls,
        frames: Sequence[Image],
        *,
        light: tuple[float, float] | None = None,
        corrects: tuple[float, float] | None = None,
    ) -> Baseline:
        """Learn a baseline from good frames under correct light.

        Args:
            frames: HxWx3 BGR or HxW grey, uint8, in order of time. At least 5; 300 or more make it
                trustworthy.
            light: Least and most light that the model can bear, as multiples of what it is now;
                None takes what is usual.
            corrects: See the attribute.

        Raises:
            UsageError: There are too few frames, or they are too small.
        """
        if len(frames) < MIN_FRAMES:
            raise UsageError(
                f"a lighting baseline needs at least {MIN_FRAMES} good frames and got "
                f"{len(frames)}: take {GOOD_FRAMES} or more"
            )
        if min(min(frame.shape[:2]) for frame in frames) < 8:
            raise UsageError("a lighting baseline needs frames of at least 8 x 8 pixels")
        scene = learn_scene(frames)
        spots = choose_spots(frames) if not scene.has_scene else ()
        meter = Meter(scene, spots)
        values, fields, mean, same = _measure(meter, frames)
        memories = {name: remember(values[:, i]) for i, name in enumerate(NAMES)}
        # Places that stayed empty look like another product for a while.
        odd = values[len(values) // 20 :, m.ODDNESS]
        memories["oddness"] = remember(odd, outliers=2.0)
        limits = _limits(values, memories, scene, light)
        picture = _median_picture(frames) if scene.has_scene else None
        landmarks = None
        if picture is not None:
            landmarks = learn_landmarks(picture, _scene_mask(scene))
        baseline = cls(
            frames=len(frames),
            height=frames[0].shape[0],
            width=frames[0].shape[1],
            level=round(mean, 6),
            scene=scene,
            landmarks=landmarks,
            spots=spots,
            memories=memories,
            bands=dict(_BANDS),
            limits=limits,
            fields=fields,
            hidden=float(np.nanquantile(values[:, m.HIDDEN], 0.9)),
            blur=_blur_table(meter, picture),
            monitors={},
            notes=(),
            digest="",
            corrects=corrects,
        )
        digest = hashlib.sha256(msgspec.json.encode(baseline)).hexdigest()
        return msgspec.structs.replace(
            baseline,
            monitors=_monitors(baseline, meter, same),
            notes=_notes(baseline, values),
            digest=digest,
        )

    @classmethod
    def decode(cls, data: bytes, origin: str) -> Baseline:
        """Read a baseline from the bytes of its file; `origin` names it in errors.

        Raises:
            UsageError: It is not a baseline.
        """
        try:
            return msgspec.json.decode(data, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"baseline {origin}: {error}: learn it again") from error

    @classmethod
    def read(cls, path: Path) -> Baseline:
        """Read a baseline file.

        Raises:
            UsageError: It is missing or not a baseline.
        """
        try:
            return cls.decode(path.read_bytes(), str(path))
        except OSError as error:
            raise UsageError(f"baseline {path}: cannot be read: {error.strerror}") from error

    def encode(self) -> bytes:
        """Return the bytes of the baseline's file."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1)

    def field_limits(self) -> dict[int, FloatArray]:
        """Return how far the places of the lattice may lie off, by side of window."""
        fields = np.frombuffer(self.fields, "<f4").reshape(-1, self.scene.rows, self.scene.columns)
        return dict(zip(SIDES, fields, strict=True))


def _measure(
    meter: Meter, frames: Sequence[Image]
) -> tuple[npt.NDArray[np.float64], bytes, float, float]:
    """Measure all frames; return statistics by frame, field limits, mean light."""
    scene = meter.scene
    windows = Windows(scene.rows, scene.columns, meter.points)
    values = np.empty((len(frames), len(NAMES)))
    means = np.empty(len(frames))
    field = np.zeros(len(meter.points), np.float32)
    seen: dict[int, list[FloatArray]] = {side: [] for side in SIDES}
    weight = max(float(AVERAGE_WEIGHT), 2.0 / (len(frames) + 1))
    last, same = None, 0
    for index, frame in enumerate(frames):
        reading = meter.measure(frame)
        same += last is not None and np.array_equal(last, reading.samples)
        last = reading.samples
        values[index], means[index] = reading.values, reading.mean
        field += np.float32(weight) * (reading.residual - field)
        if index % 4 == 0 and index * weight >= 1.0:
            for side, mean in windows.means(field).items():
                seen[side].append(mean)
    limits = []
    for side in SIDES:
        if not seen[side]:
            limits.append(np.full((scene.rows, scene.columns), 0.25, np.float32))
            continue
        away = np.abs(np.stack(seen[side]))
        spread = 1.4826 * np.median(away, axis=0)
        often = np.quantile(away, 0.98, axis=0)
        least = _FIELD_BANDS[side] * (1.0 if len(frames) >= FEW_FRAMES else 4.0)
        limits.append(np.maximum(least, np.maximum(5.0 * spread, 1.3 * often)))
    fields = np.stack(limits).astype("<f4").tobytes()
    return values, fields, float(np.median(means)), same / len(frames)


def _limits(
    values: npt.NDArray[np.float64],
    memories: dict[str, Memory],
    scene: Scene,
    light: tuple[float, float] | None,
) -> dict[str, Limit]:
    """Set the hard limits: six deviations, what was seen, what certainly does no harm."""
    least = dict(_HARD)
    shift = max(_LEAST_HARD_SHIFT, _HARD_SHIFT * scene.width)
    least |= {"shift_x": shift, "shift_y": shift}
    if not scene.has_scene:
        least = _HARD_UNFIXED
    limits = {}
    for name, band in least.items():
        column = values[:, NAMES.index(name)]
        column = column[np.isfinite(column)]
        if not len(column):
            continue
        centre = memories[name].centre
        away = column - centre
        # Where the scene is fixed, what was far out was a hand; where it is not, it was a part.
        farthest = float(np.quantile(np.abs(away), 0.95 if scene.has_scene else 1.0))
        sigma = 1.4826 * float(np.median(np.abs(away)))
        if name == "hidden":  # what is hidden is hidden, however often
            reach = max(band - centre, 10.0)
        else:
            reach = max(_SIGMAS * sigma, _SEEN * farthest, band, 1e-3)
            if name == "level" and not scene.has_scene:  # the next lot may be another material
                reach = max(reach, _LOTS * _SIGMAS * sigma, _LOTS * _SEEN * farthest)
        limit = Limit(centre=round(centre, 5), reach=round(reach, 5))
        if name == "level" and light is not None:
            above = max(100.0 * (light[1] - 1.0), _SEEN * float(away.max()), _LEAST_LIGHT)
            below = max(100.0 * (1.0 - light[0]), _SEEN * float(-away.min()), _LEAST_LIGHT)
            limit = Limit(centre=round(centre, 5), reach=round(above, 5), below=round(below, 5))
        limits[name] = limit
    return limits


def _median_picture(frames: Sequence[Image]) -> Image:
    some = [green(frame) for frame in frames[:: max(1, len(frames) // 15)]][:15]
    height = some[0].shape[0]
    picture = np.empty(some[0].shape, np.uint8)
    for top in range(0, height, 64):
        strip = np.stack([each[top : top + 64] for each in some])
        strip.sort(axis=0)
        picture[top : top + 64] = strip[len(some) // 2]
    return picture


def _scene_mask(scene: Scene) -> npt.NDArray[np.bool_]:
    import cv2  # noqa: PLC0415 - heavy: not needed to read a configuration

    kinds = scene.kind_of_points().reshape(scene.rows, scene.columns)
    small = np.isin(kinds, (FLAT, EDGY)).astype(np.uint8)
    closed = cv2.morphologyEx(small, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    size = (scene.width, scene.height)
    return np.asarray(cv2.resize(closed, size, interpolation=cv2.INTER_NEAREST) > 0)


def _blur_table(meter: Meter, picture: Image | None) -> tuple[tuple[float, float], ...]:
    """Show the meter the scene out of focus by known amounts."""
    import cv2  # noqa: PLC0415 - see _scene_mask

    if picture is None or m.BLUR not in meter.solved:
        return ()
    frame = picture if meter.scene.channels == 1 else cv2.merge([picture] * 3)
    table = []
    for sigma in (0.0, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 4.5):
        blurred = cv2.GaussianBlur(frame, (0, 0), sigma) if sigma else frame
        reading = meter.measure(np.asarray(blurred, np.uint8))
        table.append((sigma, round(float(reading.values[m.BLUR]), 4)))
    return tuple(table)


def _monitors(baseline: Baseline, meter: Meter, same: float) -> dict[str, str]:
    """Say what is watched at this station, and why the rest is not."""
    scene = baseline.scene
    watched = dict.fromkeys(KINDS, "")
    watched |= _of_scene(scene, meter) if scene.has_scene else _without_scene(baseline)
    if not scene.aligned:
        loose = "the frames are of several sizes: only the light of the whole frame is watched"
        watched |= dict.fromkeys(("gradient", "ambient", "flicker", "dirt", "camera_moved"), loose)
    if same > _SAME:
        watched["frozen"] = "good frames follow each other that are the same in every pixel"
    reference = scene.floats("reference", scene.channels)
    if np.ptp(reference, axis=1).max() < _GREY:
        watched["color"] = "the camera is grey"
    return watched


def _of_scene(scene: Scene, meter: Meter) -> dict[str, str]:
    lacking = {}
    if m.SHIFT_X not in meter.solved or m.SHIFT_Y not in meter.solved:
        lacking["camera_moved"] = "the fixed scene has too little texture to see a shift by"
    if m.BLUR not in meter.solved:
        lacking["defocus"] = "the fixed scene has too little texture to see focus by"
    if not np.any(scene.kind_of_points() == PART):
        lacking["product"] = "nothing in view changes from part to part"
    return lacking


def _without_scene(baseline: Baseline) -> dict[str, str]:
    unfixed = "nothing in view stays put, so light and material cannot be told apart"
    memory, band = baseline.memories["level"], baseline.bands["level"]
    least = float(design([memory], [band], sigmas_out=UNFIXED * sigmas()).quick[0])
    large = f"{unfixed}: only large changes are noticed"
    return {
        "brightness": f"{unfixed}: less than {least:.0f} % goes unseen",
        "color": large,
        "gradient": large,
        "exposure": unfixed,
        "flicker": unfixed,
        "ambient": unfixed,
        "dirt": unfixed,
        "camera_moved": "nothing in view stays put that a shift could be seen by",
    }


def _notes(baseline: Baseline, values: npt.NDArray[np.float64]) -> tuple[str, ...]:
    notes = []
    if baseline.frames < GOOD_FRAMES:
        often = "is not much" if baseline.frames >= FEW_FRAMES else "is too few for slow changes"
        notes.append(f"{baseline.frames} frames {often}: {GOOD_FRAMES} or more make limits tight")
    level = values[:, m.LEVEL]
    level = level[np.isfinite(level)]
    if baseline.scene.has_scene and len(level) >= 20:
        ends = len(level) // 4
        moved = float(np.median(level[-ends:]) - np.median(level[:ends]))
        if abs(moved) > 2.0:
            notes.append(
                f"the light moved by {moved:+.1f} % while learning: let lamps warm up, learn again"
            )
        if baseline.memories["level"].spread > 2.0:
            notes.append(
                f"the light is not steady ({baseline.memories['level'].spread:.1f} % of spread): "
                "look for daylight or a failing lamp, learn again"
            )
    return tuple(notes)


def blur_sigma(table: Sequence[tuple[float, float]], seen: float) -> float:
    """Return the added blur, a standard deviation in px, that the meter's figure stands for.

    The figure rises until all that the scene shows is gone: beyond, it is at least so much.
    """
    if not table:
        return math.sqrt(max(seen, 0.0))
    sigmas, figures = zip(*table, strict=True)
    peak = int(np.argmax(figures))
    rising = np.maximum.accumulate(np.array(figures[: peak + 1]))
    return float(np.interp(seen, rising, sigmas[: peak + 1]))
