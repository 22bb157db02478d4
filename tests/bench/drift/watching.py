"""Run the watch on streams, and keep what it said of every frame."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from edge_agent.camera.frame import Image
from edge_agent.lighting import Baseline, LightLevel, LightWatch
from tests.bench.drift.changes import BY_NAME, NOTHING, Change, Product
from tests.bench.drift.figures import BINS, NAMES, figures_of, histogram_of
from tests.bench.drift.images import Split
from tests.bench.drift.stations import KINDS, Station, build, seeded
from tests.bench.drift.stream import Stream

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]

LEARN_STREAM = 0
_LEVELS = {level: number for number, level in enumerate(LightLevel)}


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What one process does at a time: one station, learned once, and some streams of it.

    Attributes:
        changes: Names of changes; a stream each.
        repeat: Number of these streams' draw.
        healthy: Frames of a stream without any change; 0 for none.
        learn: Frames to learn from.
    """

    kind: str
    seed: int
    split: Split
    changes: tuple[str, ...] = ()
    repeat: int = 0
    healthy: int = 0
    learn: int = 600
    figures: bool = True


@dataclass
class Trace:
    """What was said of each frame of one stream.

    Attributes:
        at: From which frame on there is the change.
        loud: Whether causes were named.
        level: 0 normal, 1 warning, 2 drifted, 3 invalid.
        said: Kinds of causes, at each frame where they changed.
        cost_us: Of `watch.update`.
        figures: Global statistics (see `figures`); the peers' input; frames x statistics.
        histograms: frames x bins.
        before: The same of the frames that the baseline was learned from.
        monitors: What the baseline says it cannot watch, with the reason.
        disturbed: Whether a hand or an empty frame was in view.
    """

    kind: str
    seed: int
    split: Split
    number: int
    change: Change
    at: int
    loud: Bools
    level: npt.NDArray[np.int8]
    said: dict[int, tuple[str, ...]]
    texts: dict[int, tuple[str, ...]]
    cost_us: Floats
    figures: Floats
    histograms: Floats
    before: tuple[Floats, Floats]
    monitors: dict[str, str]
    disturbed: Bools
    learn_s: float = 0.0
    notes: tuple[str, ...] = field(default=())


def run_job(job: Job) -> list[Trace]:
    """Learn a baseline and run the job's streams."""
    cv2.setNumThreads(1)
    station = build(KINDS[job.kind], job.seed, job.split)
    frames = list(Stream(station, LEARN_STREAM, count=job.learn))
    begin = time.perf_counter()
    baseline = Baseline.learn(frames)
    learn_s = time.perf_counter() - begin
    before = _measure(frames) if job.figures else _measure(frames[:2])
    del frames
    traces = [watch_stream(station, job, baseline, before, BY_NAME[name]) for name in job.changes]
    if job.healthy:
        traces.append(watch_stream(station, job, baseline, before, NOTHING))
    for trace in traces:
        trace.learn_s = learn_s
    return traces


def stream_of(station: Station, change: Change, repeat: int, healthy: int) -> tuple[Stream, int]:
    """Return a stream and its number; the change comes after 80 to 160 frames."""
    if change is NOTHING:
        number = 1_000_000 + repeat
        return Stream(station, number, count=healthy), number
    number = 1 + repeat * 1000 + list(BY_NAME).index(change.name)
    at = int(seeded(station.seed, station.split, str(number), "at").integers(80, 160))
    return Stream(station, number, count=at + change.frames, change=change, at=at), number


def watch_stream(
    station: Station, job: Job, baseline: Baseline, before: tuple[Floats, Floats], change: Change
) -> Trace:
    """Watch one stream."""
    stream, number = stream_of(station, change, job.repeat, job.healthy)
    watch = LightWatch(baseline)
    count = stream.count
    trace = Trace(
        kind=job.kind, seed=job.seed, split=job.split, number=number, change=change, at=stream.at,
        loud=np.zeros(count, np.bool_), level=np.zeros(count, np.int8), said={}, texts={},
        cost_us=np.zeros(count, np.float32), figures=np.zeros((count, len(NAMES)), np.float32),
        histograms=np.zeros((count, BINS), np.float32), before=before,
        monitors={k: v for k, v in getattr(baseline, "monitors", {}).items() if v},
        disturbed=(stream.traffic.hand > 0.02) | (stream.traffic.part < 0),
        notes=tuple(getattr(baseline, "notes", ())),
    )  # fmt: skip
    last: tuple[str, ...] = ()
    for index, frame in enumerate(stream):
        if index == stream.at and change.product is Product.TOLD:
            tell(watch)
        begin = time.perf_counter_ns()
        state = watch.update(frame)
        trace.cost_us[index] = (time.perf_counter_ns() - begin) / 1000
        kinds = tuple(cause.kind for cause in state.causes)
        trace.loud[index] = bool(kinds)
        trace.level[index] = _LEVELS[state.level]
        if kinds != last:
            trace.said[index], last = kinds, kinds
            trace.texts[index] = tuple(cause.text for cause in state.causes)
        if job.figures:
            trace.figures[index] = figures_of(frame)
            trace.histograms[index] = histogram_of(frame)
    return trace


def tell(watch: LightWatch) -> None:
    """Tell a watch that another product comes, if it can be told."""
    told: Callable[[], object] | None = getattr(watch, "changeover", None)
    if told is not None:
        told()


def _measure(frames: list[Image]) -> tuple[Floats, Floats]:
    return (
        np.array([figures_of(frame) for frame in frames], np.float32),
        np.array([histogram_of(frame) for frame in frames], np.float32),
    )
