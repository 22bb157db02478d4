"""Put an imported model into a bundle: thresholds, samples, lighting baseline, card."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np

from calibration import samples
from calibration.importing import eight_bits, looking
from calibration.importing.card import Told, write_card
from calibration.importing.convert import Converted
from calibration.importing.facts import Given
from calibration.thresholds import Allowed, choose
from edge_agent import __version__
from edge_agent.decision.verdict import Verdict, judge
from edge_agent.errors import UsageError
from edge_agent.inspection.spec import Anomaly, Stage
from edge_agent.lighting import Baseline, LightWatch
from edge_agent.lighting.baseline import MIN_FRAMES
from edge_agent.rollout.bundle import Bundle, Manifest, Sample, write_bundle

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from calibration.importing.eight_bits import Track
    from calibration.importing.reading import ModelFile
    from edge_agent.camera.frame import Image

KEPT = 4
"""Samples of a kind that a bundle holds at most."""

_TAG = {"Anomaly": "anomaly", "Classify": "classify", "Detect": "detect", "Segment": "segment"}

Named = tuple[str, "Image"]
"""A file's name, and the image in it."""


class Images(msgspec.Struct, frozen=True, kw_only=True):
    """The images that came with a model.

    Attributes:
        golden: Of good parts.
        challenge: Of bad parts.
        calibrate: What the station sees, for int8.
    """

    golden: Sequence[Named] = ()
    challenge: Sequence[Named] = ()
    calibrate: Sequence[Named] = ()


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an import.

    Attributes:
        bundle: As it was written.
        stage: Its one stage.
        int8: What int8 did; empty where it was not asked for.
        speed: How fast it is here, beside float; empty where it was not asked for.
        notes: What a person should know, a sentence each.
    """

    bundle: Bundle
    stage: Stage
    int8: str
    speed: str
    notes: tuple[str, ...]


def pack(
    path: Path,
    file: ModelFile,
    converted: Converted,
    given: Given,
    images: Images,
    *,
    name: str,
    version: str,
    step: Callable[[str], None] = lambda _what: None,
    track: Track = eight_bits.untracked,
) -> Imported:
    """Make a bundle of a converted model.

    Args:
        path: Where to.
        file: The model's file.
        converted: The model.
        given: What a person says.
        images: That came with it.
        name: Of the bundle.
        version: Of the bundle.
        step: Told what is begun, for a progress bar.
        track: Shows how far quantizing is; see `eight_bits.choose`.

    Raises:
        UsageError: The model cannot be run, or no golden (no challenge) image comes out as it
            should.
        BundleError: The bundle cannot be written.
    """
    notes = list(converted.reading.notes)
    form: Literal["onnx", "litert"] = "litert" if converted.onnx is None else "onnx"
    model = converted.litert
    if converted.onnx is not None:
        model = converted.onnx.SerializeToString(deterministic=True)
    stage = Stage(
        name=_TAG[type(converted.reading.task).__name__],
        task=converted.reading.task,
        models={form: looking.NAMES[form]},
        input=converted.input,
    )
    step("Trying the model")
    looking.pipeline_of(stage, model).close()
    stage, how = _with_thresholds(stage, model, converted, given, images, notes)
    int8, speed = "", ""
    if images.calibrate and converted.onnx is not None:
        step("Quantizing")
        frames = [image for _, image in images.calibrate[: eight_bits.MOST_IMAGES]]
        chosen = eight_bits.choose(converted.onnx, stage, frames, track=track)
        model, int8, speed = chosen.model, chosen.text, chosen.speed
        notes += chosen.notes
    elif images.calibrate:
        notes.append("--calibrate: a TFLite model keeps its own quantization.")
    step("Judging the samples")
    golden = [image for _, image in images.golden]
    baseline = Baseline.learn(golden) if len(golden) >= MIN_FRAMES else None
    entries, files = _samples(stage, model, images, baseline, notes)
    files[looking.NAMES[form]] = model
    if baseline is not None:
        files["baseline.json"] = baseline.encode()
    told = Told(
        name=name, version=version, file=file.path.name, digest=file.digest, stage=stage,
        reading=converted.reading, thresholds=how, int8=int8, bytes=len(model), samples=entries,
        notes=tuple(notes), baseline=len(golden) if "baseline.json" in files else 0,
    )  # fmt: skip
    files["card.md"] = write_card(told).encode()
    step("Packing")
    manifest = Manifest(
        name=name,
        version=version,
        stages=(stage,),
        samples=entries,
        baseline="baseline.json" if "baseline.json" in files else "",
        card="card.md",
        provenance=_provenance(file, converted, how, int8),
    )
    return Imported(
        bundle=write_bundle(path, manifest, files),
        stage=stage,
        int8=int8,
        speed=speed,
        notes=tuple(notes),
    )


def _with_thresholds(
    stage: Stage,
    model: bytes,
    converted: Converted,
    given: Given,
    images: Images,
    notes: list[str],
) -> tuple[Stage, str]:
    """Return the stage with thresholds, and where they are from."""
    own = converted.reading.thresholds
    if given.ng is not None:
        usual = own.review / own.ng if own else 0.8
        review = given.review if given.review is not None else usual * given.ng
        return looking.with_limits(stage, review, given.ng), "given"
    if own is None and isinstance(stage.task, Anomaly):
        good = [*images.golden, *images.calibrate]
        if len(good) > MIN_FRAMES:
            scores = looking.scores(stage, model, [image for _, image in good])
            limits = choose(np.array(scores, np.float32), Allowed())
            notes.append(
                f"The thresholds are from {len(good)} images taken for good parts that it was not "
                "trained on; if it was, they are too low."
            )
            review = limits.review if given.review is None else given.review
            return looking.with_limits(stage, review, limits.ng), f"{len(good)} good images"
    if own is not None:
        review = own.review if given.review is None else given.review
        where = "the model's file" if isinstance(stage.task, Anomaly) else "usual for the task"
        if not isinstance(stage.task, Anomaly):
            notes.append(
                f"The threshold {own.ng:g} is what is usual, not measured: try the bundle with "
                "edge-agent evaluate, and give --threshold and --review."
            )
        return looking.with_limits(stage, review, own.ng), where
    notes.append(
        "The threshold 0.5 is a guess: neither the file nor the images say it: give --threshold, "
        "or good parts (--golden DIR, more than five)."
    )
    return looking.with_limits(stage, given.review or 0.4, 0.5), "a guess"


def _samples(
    stage: Stage, model: bytes, images: Images, baseline: Baseline | None, notes: list[str]
) -> tuple[tuple[Sample, ...], dict[str, bytes]]:
    """Choose samples among the images that come out as they should.

    Raises:
        UsageError: None of the golden, or of the challenge images does.
    """
    judge_of = looking.inspector_of(stage, model)
    assert stage.thresholds is not None, "they were chosen"
    entries: list[Sample] = []
    files: dict[str, bytes] = {}
    kinds: tuple[tuple[Literal["golden", "challenge"], Sequence[Named]], ...]
    kinds = (("golden", images.golden), ("challenge", images.challenge))
    for kind, some in kinds:
        right: list[Sample] = []
        wrong: list[float] = []
        for name, image in samples.spread(some, KEPT):
            data = samples.encode(image)
            score = judge_of.inspect(stored := samples.decode(data)).score
            good = judge(score, stage.thresholds, ()).verdict is Verdict.OK
            if good and kind == "golden" and baseline is not None:
                good = not LightWatch(baseline).glance(stored).causes
            if good != (kind == "golden"):
                wrong.append(score)
                continue
            file = f"{kind}-{len(right) + 1}.jpg"
            files[file] = data
            scores = {stage.name: round(score, 4)}
            right.append(Sample(file=file, kind=kind, scores=scores, truth=_truth(kind, name)))
            if len(right) == KEPT:
                break
        entries += right
        if wrong and not right:
            limits = stage.thresholds
            raise UsageError(
                f"--{kind}: none of {len(wrong)} images comes out as it should (scores "
                f"{min(wrong):.4g} to {max(wrong):.4g}; review from {limits.review:.4g}, ng from "
                f"{limits.ng:.4g}): give --threshold and --review, or look at labels and "
                "normalisation"
            )
        if wrong:
            notes.append(f"{len(wrong)} {kind} images did not come out as they should.")
    judge_of.close()
    missing = [kind for kind, _ in kinds if kind not in {entry.kind for entry in entries}]
    if missing:
        folders = " and ".join(f"--{kind} DIR" for kind in missing)
        notes.append(
            f"It holds no {' and no '.join(missing)} samples, so edge-agent install will refuse "
            f"it: import it again with {folders}."
        )
    return tuple(entries), files


def _truth(kind: str, name: str) -> str:
    return name if kind == "challenge" else ""


def _provenance(file: ModelFile, converted: Converted, how: str, int8: str) -> dict[str, str]:
    reading = converted.reading
    found = {
        "tool": f"edge-inspection {__version__}, edge-agent bundle import",
        "model": f"{file.path.name}, sha256 {file.digest}",
        "source": reading.source,
        "normalisation": f"{reading.normalisation}; {reading.order}; {reading.fit}",
        "thresholds": how,
        "precision": int8 or "as in the file",
    }
    if file.model is not None:
        opsets = ", ".join(
            f"{each.domain or 'ai.onnx'} {each.version}" for each in file.model.opset_import
        )
        found["opset"] = f"{opsets}; IR {file.model.ir_version}"
    return found | {f"model_{key}": value[:400] for key, value in reading.facts.items() if value}
