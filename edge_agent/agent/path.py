"""The path of one part: a frame in memory becomes a record in the spool, then a verdict out.

Invariants:
    - Every frame that goes in gives exactly one record, whatever fails on the way.
    - The verdict is handed to the outputs after the spool has taken the record. When the spool
      cannot take it, the part has no record, and its verdict goes out as `invalid`.
    - What cannot be judged is `invalid`, with its cause.
    - The model can be exchanged between two parts from another thread; a part sees one model.
    - A stage that takes longer than its budget changes no verdict; when it happened on three of
      the last ten parts, the model is in trouble.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from math import isfinite
from typing import Protocol

import msgspec

from edge_agent import clock
from edge_agent.alarms.catalogue import IMAGE, LATE, LIGHT, MODEL, SPOOL, AlarmKind
from edge_agent.camera.frame import Frame
from edge_agent.decision.outputs import Output, VerdictMessage
from edge_agent.decision.verdict import Cause, Decision, Verdict, judge_part
from edge_agent.errors import SpoolError
from edge_agent.inspection.pipeline import overran
from edge_agent.inspection.seen import PartSeen
from edge_agent.lighting import LightState, LightWatch
from edge_agent.record.inspection import InspectionRecord, Latency, Lighting, encode, keep_findings
from edge_agent.rollout.live import LiveModel

log = logging.getLogger(__name__)

LANE = "inspections"
# A hand before the camera is no alarm, and a lamp that flickers is one though every other part is
# well lit: so the light is bad when it was on three of the last ten parts. Budgets likewise.
_NEWEST, _BAD = 10, 3
_UNWATCHED = Lighting("unwatched")
_NO_MODEL = Cause("no_model", "no bundle is installed at this station")


class Recorder(Protocol):
    """Where records go; `edge_agent.spool.Spool` is one."""

    def append(self, lane: str, record: bytes) -> int:
        """Keep a record and return its number; raises SpoolError."""


Observe = Callable[[AlarmKind, str], None]
"""Called with a kind of alarm and what is wrong (empty: nothing is), for this station."""


class Judgement(msgspec.Struct, frozen=True):
    """What came of one part.

    Attributes:
        record: As it was spooled.
        number: Its number in the spool; 0 when the spool could not take it.
        done_ns: Monotonic time when the verdict was out.
    """

    record: InspectionRecord
    number: int
    done_ns: int


class PartPath:
    """The path of the parts of one station. One thread calls `process`.

    Args:
        station: Its name.
        recorder: Takes the records.
        outputs: Take the verdicts.
        observe: Takes the conditions of alarms.
        deadline_ms: A verdict later than this after capture is `invalid`.
    """

    def __init__(
        self,
        station: str,
        recorder: Recorder,
        *,
        outputs: tuple[Output, ...],
        observe: Observe,
        deadline_ms: int,
    ) -> None:
        self.model: LiveModel | None = None
        self._station = station
        self._recorder = recorder
        self._outputs = outputs
        self._observe = observe
        self._deadline_ns = deadline_ms * 1_000_000
        self._lights: deque[str] = deque(maxlen=_NEWEST)  # what was wrong with each; newest last
        self._overruns: deque[str] = deque(maxlen=_NEWEST)  # which stage took too long
        self._timed: LiveModel | None = None  # whose overruns these are

    def process(self, frame: Frame, *, overrun: bool = False) -> Judgement:
        """Judge one part, keep its record, and let the verdict out.

        Args:
            frame: The part.
            overrun: No time is left to look at it: it is `invalid` (late) at once.
        """
        begin = clock.now().mono_ns
        model = self.model
        hindrances: list[Cause] = []
        light: LightState | None = None
        seen: PartSeen | None = None
        light_ns = 0
        if overrun:
            hindrances.append(Cause("late", frame.fault or "no time was left to look at it"))
        elif frame.fault:
            hindrances.append(Cause("no_image", frame.fault))
        elif model is None:
            hindrances.append(_NO_MODEL)
        else:
            if model.watch is not None:
                light = model.watch.update(frame.image)
                light_ns = clock.now().mono_ns - begin
            seen = _look(model, frame, frame.captured.mono_ns + self._deadline_ns, hindrances)
        if light is not None:
            hindrances.extend(Cause(c.kind, c.text, c.size, c.unit) for c in light.causes)
        total_ns = clock.now().mono_ns - frame.captured.mono_ns
        if total_ns > self._deadline_ns and not any(each.kind == "late" for each in hindrances):
            took, may = total_ns // 1_000_000, self._deadline_ns // 1_000_000
            hindrances.append(
                Cause("late", f"judged {took} ms after capture; {may} ms are allowed")
            )
        decision = judge_part(
            seen.scores if seen else {},
            model.thresholds if model else {},
            skipped=seen.skipped if seen else {},
            hindrances=hindrances,
        )
        record = self._record(frame, model, seen, light, decision)
        has_stages = model is not None and len(model.pipeline.stages) > 1
        latency = _latency(frame, begin, light_ns, seen, total_ns)
        if seen is not None and has_stages:
            by_stage = {stage.name: stage.took_ns // 1000 for stage in seen.stages}
            latency = msgspec.structs.replace(latency, stages=by_stage)
        record = msgspec.structs.replace(record, latency_us=latency)
        judgement = self._finish(record)
        self._observe_all(record, light, self._trouble(model, seen) if model else "")
        return judgement

    def _finish(self, record: InspectionRecord) -> Judgement:
        """Keep the record, then let the verdict out."""
        try:
            number = self._recorder.append(LANE, encode(record))
        except SpoolError as error:
            self._observe(SPOOL, str(error))
            lost = Cause("spool", f"the record could not be kept: {error}")
            record = msgspec.structs.replace(
                record, verdict=Verdict.INVALID, causes=(*record.causes, lost)
            )
            number = 0
        else:
            self._observe(SPOOL, "")
        message = VerdictMessage(
            station=record.station, part=record.part, sequence=record.sequence,
            verdict=record.verdict, scores=record.scores, causes=record.causes,
            time=record.time, record=number,
        )  # fmt: skip
        for output in self._outputs:
            output.emit(message)
        return Judgement(record, number, clock.now().mono_ns)

    def _record(
        self,
        frame: Frame,
        model: LiveModel | None,
        seen: PartSeen | None,
        light: LightState | None,
        decision: Decision,
    ) -> InspectionRecord:
        watch = model.watch if model else None
        return InspectionRecord(
            station=self._station,
            sequence=frame.sequence,
            part=frame.part,
            time=clock.iso(frame.captured.wall_ns),
            wall_ns=frame.captured.wall_ns,
            mono_ns=frame.captured.mono_ns,
            boot=clock.boot_id(),
            verdict=decision.verdict,
            causes=decision.causes,
            scores=_finite(seen.scores) if seen else {},
            thresholds=model.thresholds if model else {},
            findings=keep_findings(seen.findings) if seen else (),
            skipped={name: skip.text for name, skip in seen.skipped.items()} if seen else {},
            bundle=model.bundle if model else "",
            model=model.digest if model else "",
            engine=model.pipeline.engine if model else "",
            lighting=_lighting(light, watch) if light and watch else _UNWATCHED,
            latency_us=Latency(),
            source=frame.source,
            truth=frame.truth,
        )

    def _observe_all(
        self, record: InspectionRecord, light: LightState | None, trouble: str
    ) -> None:
        """Tell the alarms how this part went; what was not looked at says nothing."""
        texts = {cause.kind: cause.text for cause in record.causes}
        self._observe(LATE, "parts are judged too late" if "late" in texts else "")
        self._observe(IMAGE, texts.get("no_image", ""))
        self._observe(MODEL, texts.get("no_model", "") or texts.get("engine", "") or trouble)
        if light is not None:
            self._lights.append("; ".join(cause.text for cause in light.causes))
            self._observe(LIGHT, _lasting(self._lights))

    def _trouble(self, model: LiveModel, seen: PartSeen | None) -> str:
        """Say what is wrong with how the model runs, though it runs; empty for nothing."""
        if model is not self._timed:
            self._timed = model
            self._overruns.clear()
        if seen is not None:
            self._overruns.append(overran(model.pipeline.stages, seen))
        return model.trouble or _lasting(self._overruns)


def _lasting(newest: Sequence[str]) -> str:
    """Return what was wrong lately, if it was often enough to be more than chance."""
    bad = [text for text in newest if text]
    return bad[-1] if len(bad) >= _BAD else ""


def _look(model: LiveModel, frame: Frame, until_ns: int, hindrances: list[Cause]) -> PartSeen:
    seen = model.pipeline.inspect(frame.image, until_ns=until_ns)
    if seen.stop is not None:
        log.error("part %s cannot be inspected: %s", frame.part, seen.stop.text)
        hindrances.append(Cause(seen.stop.kind, seen.stop.text))
    return seen


def _finite(scores: dict[str, float]) -> dict[str, float]:
    """Return scores as they are written: JSON knows no NaN."""
    return {name: round(score, 4) for name, score in scores.items() if isfinite(score)}


def _latency(
    frame: Frame, begin: int, light_ns: int, seen: PartSeen | None, total_ns: int
) -> Latency:
    return Latency(
        queue=(begin - frame.captured.mono_ns) // 1000,
        lighting=light_ns // 1000,
        preprocess=seen.preprocess_ns // 1000 if seen else 0,
        inference=seen.inference_ns // 1000 if seen else 0,
        total=total_ns // 1000,
    )


def _lighting(light: LightState, watch: LightWatch) -> Lighting:
    seen = light.statistics
    return Lighting(
        state=light.level.value,
        excess=round(light.excess, 3),
        baseline=watch.baseline.digest[:12],
        level=round(seen.level, 4),
        contrast=round(seen.contrast, 3),
        clipped_dark=round(seen.clipped_dark, 3),
        clipped_bright=round(seen.clipped_bright, 3),
        warmth=round(seen.warmth, 3),
        sharpness=round(seen.sharpness, 2),
    )
