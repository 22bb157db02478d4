"""The watch over light and camera: each frame against the frozen baseline.

Invariants:
    - The baseline is never changed.
    - `invalid` is said of a frame by that frame; `drifted` only after several frames agree.
    - A cause, once named, stays until its figures have been well inside their limits for a while.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge_agent.camera.frame import Image
from edge_agent.lighting import figures as m
from edge_agent.lighting.baseline import Baseline, blur_sigma
from edge_agent.lighting.charts import DEFAULT_FRAMES, UNFIXED, Charts, design, sigmas
from edge_agent.lighting.diagnosis import Evidence, Finding, beyond, diagnose, unlike
from edge_agent.lighting.figures import NAMES
from edge_agent.lighting.known import KnownCauses, cause_of
from edge_agent.lighting.meter import Meter, Reading
from edge_agent.lighting.places import Blob, LastingPlaces, Windows
from edge_agent.lighting.registration import Finder, Moved
from edge_agent.lighting.scene import noise_power, without
from edge_agent.lighting.state import LightCause, LightLevel, LightState
from edge_agent.lighting.swings import Swings

_NOTHING_LIKE = 1.7
_SHARPNESS, _SLOPES = 0.8, 2.5
"""How much tighter and wider than others some limits are where nothing stays put."""

_HOLD_FRAMES, _EMPTY_FRAMES = 22, 70
_STRANGE, _GLARE, _EMPTY_EXCESS, _NIGHT = 5.0, 6.0, 2.0, -60.0
_FROZEN = 3
_TORN, _TORN_ROWS, _TELLING = 0.3, 0.15, 0.05
_BLACK, _WHITE = 2, 253
_SEARCH_EVERY = 8
_HIDDEN_MORE, _MISFIT_MORE = 10.0, 50.0
_SETTLE_FRAMES = 24
_OF_PARTS = np.array(
    [m.ODDNESS, m.PART_LEVEL, m.PART_RED, m.PART_BLUE, m.DARK, m.BRIGHT, m.CONTRAST], np.intp
)
_ALL, _NONE = np.arange(len(NAMES)), np.zeros(0, np.intp)


Flags = npt.NDArray[np.bool_]


class LightWatch:
    """Watch the light of one station. Not thread-safe: one watch, one thread.

    Args:
        baseline: As commissioned.
        frames_between_false_alarms: How rare a false alarm shall be, over all charts together.
    """

    def __init__(
        self, baseline: Baseline, *, frames_between_false_alarms: float = DEFAULT_FRAMES
    ) -> None:
        self._out = sigmas(frames_between_false_alarms)
        self._adopt(baseline)

    def changeover(self, baseline: Baseline | None = None) -> None:
        """Take note that another product comes, from the next frame on.

        With its own baseline the watch begins anew. Without one, what is known of the fixed scene
        goes on being watched; the parts, and what they hide or shade, are not until there is one.
        """
        if baseline is not None:
            self._adopt(baseline)
            return
        self._silent = _OF_PARTS if self._meter.has_scene else _ALL
        self._settling = _SETTLE_FRAMES if self._meter.has_scene else 0
        self._misfits = np.zeros(len(self._meter.points))
        self._forget()

    def _adopt(self, baseline: Baseline) -> None:
        self.baseline = baseline
        self._meter = Meter(baseline.scene, baseline.spots)
        self._noise_power = noise_power(baseline.scene)
        self._single: Meter | None = None  # for glances
        memories = [baseline.memories[name] for name in NAMES]
        bands = [baseline.bands[name] for name in NAMES]
        # Parts come in lots, of which the good frames showed few: where nothing but parts is seen,
        # only what is far beyond their variety is believed.
        out = self._out if baseline.scene.has_scene else UNFIXED * self._out
        self._limits = design(memories, bands, sigmas_out=out)
        # However much parts vary, what is nothing like them does not pass for one.
        most = max(bands[m.ODDNESS], _NOTHING_LIKE - self._limits.centre[m.ODDNESS])
        self._limits.quick[m.ODDNESS] = min(self._limits.quick[m.ODDNESS], most)
        # A place that stays empty for a while lingers in a slow average, and is no other product.
        if not baseline.scene.has_scene:
            self._limits.slow[:] = np.inf
            self._limits.quick[m.SHARPNESS] *= _SHARPNESS
            self._limits.quick[[m.SLOPE_X, m.SLOPE_Y]] *= _SLOPES
            self._limits.step[:] = np.inf
        self._limits.slow[[m.ODDNESS, m.PART_RED, m.PART_BLUE, m.CONTRAST]] = np.inf
        scene = baseline.scene
        self._finder = (
            Finder(baseline.landmarks, scene.height, scene.width) if baseline.landmarks else None
        )
        hard = [baseline.limits.get(name) for name in NAMES]
        self._hard_index = np.array([i for i, limit in enumerate(hard) if limit], np.intp)
        kept = [limit for limit in hard if limit]
        self._hard_centre = np.array([limit.centre for limit in kept])
        self._hard_above = 1.0 / np.array([limit.reach for limit in kept])
        self._hard_below = 1.0 / np.array([limit.below or limit.reach for limit in kept])
        self._silent = _NONE
        self._settling = 0
        self._misfits = np.zeros(0)
        self._frame = 0
        self._last: Reading | None = None
        self._same = 0
        self._forget()

    def _forget(self) -> None:
        """Begin the charts anew."""
        self._charts = Charts(self._limits)
        scene = self.baseline.scene
        windows = Windows(scene.rows, scene.columns, self._meter.points)
        self._places = LastingPlaces(windows, self.baseline.field_limits())
        self._swings = Swings()
        self._held = 0
        self._torn = 0
        self._suspicious = 0
        self._searched = self._frame - _SEARCH_EVERY
        self._moved: Moved | None = None
        self._sought = False
        self._known = KnownCauses()

    def update(self, image: Image, at_ns: int = 0) -> LightState:
        """Measure a frame and say how it stands against the baseline.

        Args:
            image: HxWx3 BGR or HxW grey, uint8, at least 8 pixels a side.
            at_ns: Wall clock time of the frame, so that a cause can say since when; 0 for none.
        """
        self._frame += 1
        reading = self._meter.measure(image)
        values = reading.values
        self._live(reading)
        values[self._silent] = np.nan
        if self._settling:
            return self._settle(reading)
        self._search(image, reading)
        if self._moved is not None:
            values[[m.SHIFT_X, m.SHIFT_Y]] = self._moved.x_px, self._moved.y_px
            values[[m.ROTATION, m.SCALE]] = self._moved.turn_deg, self._moved.scale
        excess = self._excess(values)
        hard = float(np.fmax.reduce(excess, initial=0.0))
        findings = self._chart(reading)
        has_place = self._places.blob is not None
        self._known.update(findings, self._charts, at_ns, has_place=has_place)
        causes = tuple(self._known.all.values())
        if hard > 1.0 and not self._is_empty(values):
            return self._state(
                LightLevel.INVALID, self._with_sizes_now(reading, excess), reading, hard
            )
        if causes:
            level = LightLevel.WARNING if self._known.is_fading else LightLevel.DRIFTED
            return self._state(level, causes, reading, hard)
        return self._state(LightLevel.NORMAL, (), reading, hard)

    def _settle(self, reading: Reading) -> LightState:
        """Find out which points the other product hides or shades, and do without them."""
        self._misfits += np.abs(reading.residual) > 2.0 * self._meter.shares
        self._settling -= 1
        if not self._settling:
            often = self._misfits > 0.3 * _SETTLE_FRAMES
            self._meter = Meter(without(self.baseline.scene, self._meter.points[often]))
            self._forget()
        return self._state(LightLevel.NORMAL, (), reading, 0.0)

    def glance(self, image: Image) -> LightState:
        """Say of one frame by itself whether it can be judged; the watch does not remember it.

        Args:
            image: HxWx3 BGR or HxW grey, uint8, at least 8 pixels a side.
        """
        if self._single is None:
            self._single = Meter(self.baseline.scene, self.baseline.spots)
        self._single.forget()
        reading = self._single.measure(image)
        excess = self._excess(reading.values)
        hard = float(np.fmax.reduce(excess, initial=0.0))
        if hard > 1.0:
            return self._state(LightLevel.INVALID, self._at_once(reading, excess), reading, hard)
        return self._state(LightLevel.NORMAL, (), reading, hard)

    def _state(
        self, level: LightLevel, causes: tuple[LightCause, ...], reading: Reading, excess: float
    ) -> LightState:
        statistics = dict(zip(NAMES, reading.values.tolist(), strict=True))
        statistics["mean"] = reading.mean
        return LightState(level, causes, statistics, excess)

    def _live(self, reading: Reading) -> None:
        """Count how long the picture has not changed."""
        last = self._last
        self._last = reading
        if last is None or last.samples.shape != reading.samples.shape:
            self._same = 0
            return
        same = reading.samples[:, 0] == last.samples[:, 0]
        share = np.count_nonzero(same) / len(same)
        is_same = is_torn = False
        if share > _TORN and not self.baseline.monitors["frozen"]:
            # What is black or saturated is the same in every picture.
            first = reading.samples[:, 0]
            telling = (first > _BLACK) & (first < _WHITE)
            if np.count_nonzero(telling) > _TELLING * len(telling):
                is_same = share == 1.0 and np.array_equal(last.samples, reading.samples)
                is_torn = not is_same and self._meter.same_rows(same, telling) > _TORN_ROWS
        self._same = self._same + 1 if is_same else 0
        self._torn = self._torn + 2 if is_torn else max(0, self._torn - 1)

    @property
    def _is_dead(self) -> bool:
        return self._same >= _FROZEN - 1 or self._torn >= 2 * _FROZEN

    def _search(self, image: Image, reading: Reading) -> None:
        """Look for the scene where the least squares cannot tell where it lies."""
        baseline = self.baseline
        values = reading.values
        hidden = values[m.HIDDEN]
        misfit = values[m.MISFIT] - self._limits.centre[m.MISFIT]
        odd = hidden > baseline.hidden + _HIDDEN_MORE or misfit > _MISFIT_MORE
        self._suspicious = self._suspicious + 1 if odd else 0
        if self._finder is None or not self._suspicious:
            self._moved, self._sought = None, False
            return
        far = float(np.fmax.reduce(self._excess(values), initial=0.0)) > 1.0
        # A hand hides some edges; a camera that moved spoils most, and must not pass for a frame.
        urgent = self._suspicious == 1 and (far or misfit > _MISFIT_MORE)
        if urgent or (self._suspicious >= 2 and self._frame - self._searched >= _SEARCH_EVERY):
            self._searched = self._frame
            self._moved, self._sought = self._finder.find(image), self._finder.can_find

    def _excess(self, values: m.Vector) -> m.Vector:
        away = values[self._hard_index] - self._hard_centre
        excess: m.Vector = np.where(away > 0, away * self._hard_above, -away * self._hard_below)
        return excess

    def _chart(self, reading: Reading) -> tuple[Finding, ...]:
        values = reading.values
        # A hand hides points and spares the edges beside it; what spoils edges everywhere is none.
        misfit = values[m.MISFIT] - self._limits.centre[m.MISFIT]
        blocked = values[m.HIDDEN] > self.baseline.hidden + _HIDDEN_MORE
        blocked &= not misfit > _MISFIT_MORE
        longest = _HOLD_FRAMES
        if not self._meter.has_scene:  # without a part nothing can be said of the light
            blocked, longest = self._is_strange(values), _EMPTY_FRAMES
        known = self._moved is not None and self._moved.is_far
        if blocked and not known and self._held < longest:
            self._held += 1
            return self._dead()
        if not blocked:
            self._held = 0
        elif not self._meter.has_scene:
            return (unlike(),)
        if self._silent is _ALL:
            return self._dead()
        out = self._charts.update(values)
        blob = self._places.update(reading.residual)
        if not self._swings.update(values, self._limits):
            out[[m.ROWS, m.BEAT]] = False
        if not out.any() and blob is None and not self._is_dead:
            return ()
        return self._diagnose(out, blob)

    def _dead(self) -> tuple[Finding, ...]:
        """Say of a frame that the charts leave out only whether the picture is frozen."""
        return self._diagnose(np.zeros(len(NAMES), np.bool_), None) if self._is_dead else ()

    def _is_strange(self, values: m.Vector) -> bool:
        """Tell whether a frame that shows nothing but the part does not show one."""
        contrast = self.baseline.memories["contrast"]
        return bool(
            abs(values[m.CONTRAST] - contrast.centre) > _STRANGE * max(contrast.spread, 1.0)
        )

    def _is_empty(self, values: m.Vector) -> bool:
        """Tell whether a frame shows the bare ground where else a part fills it.

        Light that fails changes dark and bright alike, and so leaves the contrast; what is nearly
        black or glares may be the light all the same.
        """
        return bool(
            not self._meter.has_scene
            and self._held < _EMPTY_FRAMES
            and self._is_strange(values)
            and self.baseline.limits["level"].excess(float(values[m.LEVEL])) < _EMPTY_EXCESS
            and values[m.LEVEL] > _NIGHT
            and values[m.BRIGHT] < self._limits.centre[m.BRIGHT] + _GLARE
        )

    def _diagnose(self, out: Flags, blob: Blob | None) -> tuple[Finding, ...]:
        away, limits = self._charts.away(), self._limits
        blur = blur_sigma(self.baseline.blur, float(away[m.BLUR] + limits.centre[m.BLUR]))
        return diagnose(
            Evidence(
                out=out,
                away=away,
                limits=limits.quick,
                blob=blob,
                moved=self._moved,
                sought=self._sought,
                frozen=max(self._same + 1, self._torn) if self._is_dead else 0,
                torn=self._torn >= 2 * _FROZEN,
                blur_px=blur,
                has_scene=self._meter.has_scene,
                noise_error=self.baseline.memories["noise"].spread / 2.0,
                noise_power=self._noise_power,
                steady=self._swings.is_steady(self.baseline.memories["level"].spread),
                swings=self._swings.go_both_ways(0.5 * limits.band[m.BEAT]),
            )
        )

    def _with_sizes_now(self, reading: Reading, excess: m.Vector) -> tuple[LightCause, ...]:
        """Name what is wrong with a frame that cannot be judged: as it is known, and as it is."""
        now = {cause.kind: cause for cause in self._at_once(reading, excess)}
        if not self._known.all:
            return tuple(now.values())
        return tuple(now.get(kind, known) for kind, known in self._known.all.items())

    def _at_once(self, reading: Reading, excess: m.Vector) -> tuple[LightCause, ...]:
        """Name what is wrong with a frame that cannot be judged, from that frame alone."""
        values = reading.values
        away = np.nan_to_num(values - self._limits.centre)
        out = np.abs(away) > self._limits.quick
        out[[m.ROWS, m.BEAT]] = False  # one frame tells no flicker
        findings = diagnose(
            Evidence(
                out=out, away=away, limits=self._limits.quick, blob=None, moved=self._moved,
                sought=self._sought,
                frozen=0, torn=False, has_scene=self._meter.has_scene, swings=False, steady=True,
                noise_error=0.0, noise_power=self._noise_power,
                blur_px=blur_sigma(self.baseline.blur, float(values[m.BLUR])),
            )
        )  # fmt: skip
        if findings:
            return tuple(cause_of(finding, 0) for finding in findings)
        worst = int(self._hard_index[int(np.nanargmax(excess))])
        return (cause_of(beyond(worst, float(away[worst])), 0),)
