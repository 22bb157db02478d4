"""Let a whole pipeline judge frames, and keep as samples those that come out as they should."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Literal

import msgspec

from calibration.samples import spread
from edge_agent.decision.verdict import Cause, Verdict, judge_part, worst_stage
from edge_agent.errors import BundleError, UsageError
from edge_agent.inspection.engines import EngineSettings
from edge_agent.inspection.pipeline import Pipeline
from edge_agent.inspection.seen import PartSeen
from edge_agent.lighting import Baseline, LightLevel, LightWatch
from edge_agent.rollout.bundle import Bundle, Sample
from edge_agent.rollout.loading import load_pipeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from edge_agent.camera.frame import Image
    from edge_agent.inspection.spec import Stage, Thresholds

Kind = Literal["golden", "challenge"]
"""What a sample must come out as: `ok`, or anything but."""

KEPT = 4
"""Samples of a kind that are taken at most, of each bundle and of each folder."""

_NEAR = 0.05
"""Within this share of `review` a score is near it."""

_MOST_TOLERANCE = 0.5
"""Beyond it no bundle may set its tolerance."""


class Frame(msgspec.Struct, frozen=True):
    """A frame of the whole scene.

    Attributes:
        file: What its member of the bundle is to be called.
        data: Its image file.
        image: The same, decoded.
        truth: What is wrong with it, in words.
    """

    file: str
    data: bytes
    image: Image
    truth: str = ""


class Group(msgspec.Struct, frozen=True):
    """Frames of one kind from one place, of which some are to become samples.

    Attributes:
        whence: The bundle's name here, or the option that named the folder.
        kind: What they should come out as.
        count: How many there are.
        take: Gives one, by its number from 0; only those that are tried are asked for.
    """

    whence: str
    kind: Kind
    count: int
    take: Callable[[int], Frame]


class Chosen(msgspec.Struct, frozen=True):
    """The samples of a pipeline.

    Attributes:
        entries: What the manifest says of them.
        files: Their image files by member.
        tolerance: How far an engine's scores may lie off.
        notes: What a person should know, a sentence each.
        seen: What the first engine saw in each, for the time that it took.
    """

    entries: tuple[Sample, ...]
    files: dict[str, bytes]
    tolerance: float
    notes: tuple[str, ...]
    seen: tuple[PartSeen, ...]


class _Judged(msgspec.Struct, frozen=True):
    """How a frame came out: by each engine; and, where it is not right, why."""

    seen: tuple[PartSeen, ...]
    wrong: str
    verdict: Verdict


def choose(
    bundle: Bundle, groups: Sequence[Group], baseline: Baseline | None, *, tolerance: float
) -> Chosen:
    """Choose samples among frames that come out as they should.

    Args:
        bundle: The pipeline, without samples.
        groups: Golden ones must be `ok` and within the baseline, challenge ones anything but `ok`.
        baseline: Light and camera of the scene; None where it is not known.
        tolerance: What it is at least.

    Raises:
        UsageError: None of a kind comes out as it should.
        BundleError: The pipeline cannot be run here.
    """
    entries: list[Sample] = []
    files: dict[str, bytes] = {}
    notes: list[str] = []
    wrongs: dict[str, list[str]] = {"golden": [], "challenge": []}
    looked: list[PartSeen] = []
    thresholds = bundle.manifest.thresholds
    worst = 0.0
    with _pipelines(bundle) as pipelines:
        for group in groups:
            kept, wrong = _right(group, pipelines, thresholds, baseline)
            for frame, judged in kept:
                if frame.data in files.values():  # a bundle's own sample, given once more
                    continue
                first, *others = (seen.scores for seen in judged.seen)
                worst = max([worst, *(_apart(first, other, thresholds) for other in others)])
                files[frame.file] = frame.data
                entries.append(
                    Sample(
                        file=frame.file,
                        kind=group.kind,
                        scores={name: round(score, 4) for name, score in first.items()},
                        truth=frame.truth,
                    )
                )
                looked.append(judged.seen[0])
            wrongs[group.kind] += [f"{group.whence}: {each}" for each in wrong]
            if wrong:
                notes.append(
                    f"{len(wrong)} {group.kind} frames of {group.whence} were left out: they do "
                    f"not come out as they should (the first: {wrong[0]})."
                )
    entries.sort(key=lambda entry: entry.kind == "challenge")
    for kind in ("golden", "challenge"):
        if kind not in {entry.kind for entry in entries}:
            raise UsageError(_none(kind, wrongs[kind], bundle.manifest.stages))
    notes += _unproved(entries, thresholds)
    reach = round(min(max(tolerance, 2 * worst), _MOST_TOLERANCE), 3)
    return Chosen(tuple(entries), files, reach, tuple(notes), tuple(looked))


@contextmanager
def _pipelines(bundle: Bundle) -> Iterator[list[Pipeline]]:
    """Load the pipeline on every engine that can run all of its stages; else as a device would."""
    forms = [set(stage.models) for stage in bundle.manifest.stages]
    both: tuple[Literal["onnx", "litert"], ...] = ("onnx", "litert")
    found: list[Pipeline] = []
    with ExitStack() as stack:
        for engine in both:
            if all(engine in each for each in forms):
                try:
                    found.append(load_pipeline(bundle, engine, EngineSettings()))
                except BundleError:  # not installed here; `auto` below tells if none is
                    continue
                stack.callback(found[-1].close)
        if not found:
            found.append(load_pipeline(bundle, "auto", EngineSettings()))
            stack.callback(found[-1].close)
        yield found


def _right(
    group: Group,
    pipelines: Sequence[Pipeline],
    thresholds: Mapping[str, Thresholds],
    baseline: Baseline | None,
) -> tuple[list[tuple[Frame, _Judged]], list[str]]:
    """Return some frames that come out right, and why others do not.

    Those that are near a limit are taken only where there are no better ones: another processor
    rounds in another way. Challenge frames in which nothing is found to look at come after them.
    """
    clear: list[tuple[Frame, _Judged]] = []
    near: list[tuple[Frame, _Judged]] = []
    unseen: list[tuple[Frame, _Judged]] = []
    wrong: list[str] = []
    watched = baseline if group.kind == "golden" else None
    for number in spread(range(group.count), KEPT):
        frame = group.take(number)
        judged = _judge(group.kind, frame, pipelines, thresholds, watched)
        if judged.wrong:
            wrong.append(judged.wrong)
        elif judged.verdict is Verdict.INVALID:
            unseen.append((frame, judged))
        elif _is_clear(group.kind, judged.seen, thresholds):
            clear.append((frame, judged))
        else:
            near.append((frame, judged))
        if len(clear) == KEPT:
            break
    return (clear or near or unseen)[:KEPT], wrong


def _is_clear(kind: Kind, seen: Sequence[PartSeen], thresholds: Mapping[str, Thresholds]) -> bool:
    """Say whether the scores that decide lie well on their side of the limits on each engine."""
    shares = [
        max(
            (each.scores.get(name, 0.0) / limits.review for name, limits in thresholds.items()),
            default=0.0,
        )
        for each in seen
    ]
    return max(shares) <= 1.0 - _NEAR if kind == "golden" else min(shares) >= 1.0 + _NEAR


def _judge(
    kind: str,
    frame: Frame,
    pipelines: Sequence[Pipeline],
    thresholds: Mapping[str, Thresholds],
    baseline: Baseline | None,
) -> _Judged:
    light = LightWatch(baseline).glance(frame.image) if baseline else None
    causes = light.causes if light and light.level is LightLevel.INVALID else ()
    all_seen = []
    verdict = Verdict.OK
    for pipeline in pipelines:
        seen = pipeline.inspect(frame.image)
        if seen.stop is not None:
            raise UsageError(
                f"{frame.file}: {seen.stop.text}: is it a frame that these bundles are for?"
            )
        decision = judge_part(
            seen.scores, thresholds, skipped=seen.skipped,
            hindrances=[Cause(cause.kind, cause.text) for cause in causes],
        )  # fmt: skip
        verdict = decision.verdict
        all_seen.append(seen)
        if (verdict is Verdict.OK) != (kind == "golden"):
            told = "; ".join(cause.text for cause in decision.causes)
            wrong = f"{verdict}: {told or _score(seen, thresholds)}"
            return _Judged(tuple(all_seen), wrong, verdict)
    return _Judged(tuple(all_seen), "", verdict)


def _score(seen: PartSeen, thresholds: Mapping[str, Thresholds]) -> str:
    """Say the score that is nearest to a rejection, or furthest beyond."""
    name = worst_stage(seen.scores, thresholds)
    if not name:
        return "no stage that decides has looked"
    limits = thresholds[name]
    return (
        f"{name} scores {seen.scores[name]:.3g}, review from {limits.review:.3g}, ng from "
        f"{limits.ng:.3g}"
    )


def _apart(
    one: Mapping[str, float], other: Mapping[str, float], thresholds: Mapping[str, Thresholds]
) -> float:
    """Return by how much of a threshold two engines differ at most."""
    shares = (
        abs(one[name] - other[name]) / (thresholds[name].ng if name in thresholds else 1.0)
        for name in one.keys() & other.keys()
    )
    return max(shares, default=0.0)


def _none(kind: str, wrong: Sequence[str], stages: Sequence[Stage]) -> str:
    """Say why there is no sample of a kind, and what to do."""
    option, what = ("--good", "good") if kind == "golden" else ("--ng", "bad")
    give = f"{option} DIR with frames of the whole scene that show {what} parts"
    if not wrong:
        return (
            f"there is no {kind} sample: those of a bundle that looks at boxes show a box, not "
            f"the scene: give {give}"
        )
    how = f"none of {len(wrong)} {kind} frames comes out as it should (the first, {wrong[0]})"
    if kind == "challenge":
        return f"{how}: give {give}"
    ways = [f"give {give}"]
    locators = {stage.source.stage for stage in stages if stage.source is not None}
    if silent := [each.name for each in stages if each.name in locators and each.thresholds]:
        ways.append(f"--no-verdict {silent[0]} if it only says where to look")
    if any(f": {Verdict.INVALID}: " in each for each in wrong):
        ways.append("--baseline-from good to learn the light of --good")
    return f"{how}: {', or '.join(ways)}"


def _unproved(entries: Sequence[Sample], thresholds: Mapping[str, Thresholds]) -> Iterator[str]:
    """Name the stages that no challenge sample shows at work."""
    bad = [entry.scores for entry in entries if entry.kind == "challenge"]
    for name, limits in thresholds.items():
        if not any(scores.get(name, 0.0) >= limits.review for scores in bad):
            yield (
                f"No challenge sample is caught by {name}: give --ng DIR with frames of parts that "
                "it should catch, so that the self-test proves it."
            )
