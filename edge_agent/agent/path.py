"""The path of one part: a frame in memory becomes a record in the spool, then a verdict out.

Invariants:
    - Every frame that goes in gives exactly one record, whatever fails on the way.
    - The verdict is handed to the outputs after the spool has taken the record. While the disk
      does not work the spool holds it in memory, and the verdict tells no record number. When the
      spool cannot take it at all, the part has no record, and its verdict goes out as `invalid`.
    - What cannot be judged is `invalid`, with its cause. Of the light only what is `invalid`
      hinders; what is `drifted` stands in the record and in the alarms.
    - The model and the product can be exchanged between two parts from another thread; a part sees
      one model and one product.
    - The degree of automation says what of the model's verdict leaves the station; the record
      keeps both.
    - A stage that takes longer than its budget changes no verdict; when it happened on three of
      the last ten parts, the model is in trouble.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from edge_agent import clock
from edge_agent.agent.ageing import Ageing
from edge_agent.agent.lanes import lane_of
from edge_agent.agent.products import Product
from edge_agent.agent.recording import Looked, record_of
from edge_agent.agent.scores import ScoreWatches
from edge_agent.agent.tap import FrameTap
from edge_agent.alarms.catalogue import IMAGE, LATE, MODEL, SCORES, SPOOL, AlarmKind
from edge_agent.alarms.light import LightAlarms
from edge_agent.camera.frame import Frame, Image
from edge_agent.clock import Stamp
from edge_agent.decision.automation import Automation, Degrees, may_be_said
from edge_agent.decision.drift import Light
from edge_agent.decision.outputs import Output, VerdictMessage
from edge_agent.decision.verdict import Cause, Verdict, judge_part, worst_stage
from edge_agent.errors import SpoolError
from edge_agent.inspection.pipeline import overran
from edge_agent.inspection.seen import PartSeen
from edge_agent.lighting import LightLevel, LightState, LightWatch
from edge_agent.lighting.correction import Correct, Correction, Corrector
from edge_agent.record.inspection import InspectionRecord, encode
from edge_agent.rollout.live import LiveModel

log = logging.getLogger(__name__)

_NEWEST, _BAD = 10, 3
"""One stage that once takes too long is no trouble; on three of the last ten parts it is."""

FULL = Degrees()
_NO_MODEL = Cause("no_model", "no bundle is installed at this station")


class Recorder(Protocol):
    """Where records go; `edge_agent.spool.Spool` is one."""

    def append(self, lane: str, record: bytes) -> int:
        """Keep a record and return its number, 0 while only memory has it; raises SpoolError."""


Observe = Callable[[AlarmKind, str], None]
"""Called with a kind of alarm and what is wrong (empty: nothing is), for this station."""


class Judgement(msgspec.Struct, frozen=True):
    """What came of one part.

    Attributes:
        record: As it was spooled.
        number: Its number in the spool; 0 while the disk does not have it.
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
        degrees: Who decides.
        scores: Hands out the watch over scores and verdicts; None watches neither.
        ageing: Takes the slow story of the light; None keeps none.
        correct: What of the light is brought back to the baseline before the model looks.
        figures_every: Every so manyth record of an `ok` part in normal light keeps all figures of
            the light.
    """

    def __init__(
        self,
        station: str,
        recorder: Recorder,
        *,
        outputs: tuple[Output, ...],
        observe: Observe,
        deadline_ms: int,
        degrees: Degrees = FULL,
        scores: ScoreWatches | None = None,
        ageing: Ageing | None = None,
        correct: Correct = Correct.OFF,
        figures_every: int = 1,
    ) -> None:
        self.model: LiveModel | None = None
        self.product: Product | None = None
        self.tap: FrameTap | None = None
        self._station = station
        self._recorder = recorder
        self._outputs = outputs
        self._observe = observe
        self._deadline_ns = deadline_ms * 1_000_000
        self._degrees = degrees
        self._scores = scores
        self._ageing = ageing
        self._correct = correct
        self._figures_every = figures_every
        self._corrector: Corrector | None = None
        self._lights = LightAlarms()
        self._told: tuple[LightWatch | None, Product | None] = (None, None)  # of which product
        self._overruns: deque[str] = deque(maxlen=_NEWEST)  # which stage took too long
        self._timed: LiveModel | None = None  # whose overruns these are

    def process(self, frame: Frame, *, overrun: bool = False) -> Judgement:
        """Judge one part, keep its record, and let the verdict out.

        Args:
            frame: The part.
            overrun: No time is left to look at it: it is `invalid` (late) at once.
        """
        begin = clock.now().mono_ns
        model, product = self.model, self.product
        hindrances: list[Cause] = []
        light: LightState | None = None
        seen: PartSeen | None = None
        corrected: Correction | None = None
        light_ns = 0
        if overrun:
            hindrances.append(Cause("late", frame.fault or "no time was left to look at it"))
        elif frame.fault:
            hindrances.append(Cause("no_image", frame.fault))
        elif model is None:
            hindrances.append(_NO_MODEL)
        else:
            image = frame.image
            if model.watch is not None:
                light = self._watch(model.watch, model, product, frame)
                image, corrected = self._in_good_light(model.watch, image, light)
                light_ns = clock.now().mono_ns - begin
            until_ns = frame.captured.mono_ns + self._deadline_ns
            seen = _look(model, frame, image, until_ns, hindrances)
        standing = self._lights.update(light.level, light.causes) if light else {}
        if light is not None and light.level is LightLevel.INVALID:
            hindrances.extend(Cause(c.kind, c.text, c.size, c.unit) for c in light.causes)
        total_ns = clock.now().mono_ns - frame.captured.mono_ns
        if total_ns > self._deadline_ns and not any(each.kind == "late" for each in hindrances):
            took, may = total_ns // 1_000_000, self._deadline_ns // 1_000_000
            hindrances.append(
                Cause("late", f"judged {took} ms after capture; {may} ms are allowed")
            )
        scores = seen.scores if seen else {}
        thresholds = model.thresholds if model else {}
        decision = judge_part(
            scores, thresholds, skipped=seen.skipped if seen else {}, hindrances=hindrances
        )
        settled = self._degrees.settle(
            decision.verdict, scores, thresholds, drifted=self._lights.is_drifted
        )
        looked = Looked(
            station=self._station, model=model, product=product, light=light, seen=seen,
            begin_ns=begin, light_ns=light_ns, total_ns=total_ns, corrected=corrected,
            figures_every=self._figures_every,
        )  # fmt: skip
        judgement = self._finish(record_of(frame, looked, decision, settled))
        for kind, text in standing.items():
            self._observe(kind, text)
        self._observe_all(judgement.record, self._trouble(model, seen) if model else "")
        if model is not None and self._scores is not None:
            alarmed = any(standing.values())
            self._observe_scores(
                looked, decision.verdict, _as_before(light, alarmed=alarmed), frame.captured
            )
        tap = self.tap
        if tap is not None:
            tap.offer(frame)
        return judgement

    def _watch(
        self, watch: LightWatch, model: LiveModel, product: Product | None, frame: Frame
    ) -> LightState:
        """Look at the light of a frame, and note it down for months."""
        self._change_over(watch, model, product)
        light = watch.update(frame.image, at_ns=frame.captured.wall_ns)
        if self._ageing is not None:
            self._ageing.take(watch.baseline, light, frame.captured.wall_ns)
        return light

    def _in_good_light(
        self, watch: LightWatch, image: Image, light: LightState
    ) -> tuple[Image, Correction | None]:
        """Return what the model is to look at, and what was corrected of it, if anything."""
        if self._correct is Correct.OFF:
            return image, None
        corrector = self._corrector
        if corrector is None or corrector.baseline is not watch.baseline:
            corrector = self._corrector = Corrector(watch.baseline, self._correct)
        corrected = corrector.correct(image, light)
        if corrected is None or corrector.image is None:
            return image, None
        return corrector.image, corrected

    def _change_over(self, watch: LightWatch, model: LiveModel, product: Product | None) -> None:
        """Tell the watch what is made, where that is news to it."""
        if product is None or (watch is self._told[0] and product is self._told[1]):
            return
        self._told = watch, product
        own = product.baseline or (model.baseline if product.is_known else None)
        watch.changeover(own)

    def _finish(self, record: InspectionRecord) -> Judgement:
        """Keep the record, then let the verdict out."""
        try:
            number = self._recorder.append(lane_of(record.verdict), encode(record))
        except SpoolError as error:
            self._observe(SPOOL, str(error))
            lost = Cause("spool", f"the record could not be kept: {error}")
            record = msgspec.structs.replace(
                record, verdict=Verdict.INVALID, causes=(*record.causes, lost)
            )
            number = 0
        else:
            self._observe(SPOOL, "")
        is_silent = record.automation is Automation.HUMAN
        message = VerdictMessage(
            station=record.station, part=record.part, sequence=record.sequence,
            verdict=record.verdict, automation=record.automation,
            proposed=may_be_said(record.automation, record.proposed),
            scores={} if is_silent else record.scores, causes=record.causes,
            time=record.time, record=number,
        )  # fmt: skip
        for output in self._outputs:
            output.emit(message)
        return Judgement(record, number, clock.now().mono_ns)

    def _observe_all(self, record: InspectionRecord, trouble: str) -> None:
        """Tell the alarms how this part went; what was not looked at says nothing."""
        texts = {cause.kind: cause.text for cause in record.causes}
        self._observe(LATE, "parts are judged too late" if "late" in texts else "")
        self._observe(IMAGE, texts.get("no_image", ""))
        self._observe(MODEL, texts.get("no_model", "") or texts.get("engine", "") or trouble)

    def _observe_scores(self, looked: Looked, judged: Verdict, state: Light, at: Stamp) -> None:
        """Hold score and verdict against what they were when the model went live."""
        model, seen = looked.model, looked.seen
        assert self._scores is not None
        assert model is not None
        watch = self._scores.watch(
            model.digest, looked.product.part_number if looked.product else ""
        )
        stage = worst_stage(seen.scores, model.thresholds) if seen else ""
        if not stage or seen is None:
            return
        said = watch.update(
            seen.scores[stage] / model.thresholds[stage].ng,
            judged,
            light=state,
            at=at,
        )
        prefix = "the light is as before but " if looked.light is not None else ""
        self._observe(SCORES, prefix + said if said else "")

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


def _look(
    model: LiveModel, frame: Frame, image: Image, until_ns: int, hindrances: list[Cause]
) -> PartSeen:
    seen = model.pipeline.inspect(image, until_ns=until_ns)
    if seen.stop is not None:
        log.error("part %s cannot be inspected: %s", frame.part, seen.stop.text)
        hindrances.append(Cause(seen.stop.kind, seen.stop.text))
    return seen


def _as_before(light: LightState | None, *, alarmed: bool) -> Light:
    """Say what the light lets a part say of the model."""
    if alarmed:
        return Light.CHANGED
    if light is None or light.level is LightLevel.NORMAL:
        return Light.AS_BEFORE
    return Light.DOUBTFUL
