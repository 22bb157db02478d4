"""Commission a station: from frames of good parts to a bundle.

Three steps, so that a recipe can measure between them: `collect` looks at the good parts, `fit`
makes a model with thresholds of them, `pack` puts the bundle together with samples and card.
"""

from __future__ import annotations

import hashlib
import importlib.util
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from calibration import (
    anomaly,
    features,
    head,
    marks,
    nuisances,
    projection,
    samples,
    symmetry,
    thresholds,
    twins,
)
from calibration.card import Facts, write_card
from edge_agent import __version__
from edge_agent.errors import UsageError
from edge_agent.inspection.engines import EngineSettings, load_engine
from edge_agent.inspection.spec import Anomaly, Input, Stage
from edge_agent.inspection.tasks.anomaly import AnomalyInspector
from edge_agent.lighting import Baseline
from edge_agent.rollout.bundle import Bundle, Manifest, Sample, write_bundle

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from pathlib import Path

    from calibration.figures import Trial
    from edge_agent.camera.frame import Image
    from edge_agent.decision.verdict import Thresholds

STAGE = "anomaly"
"""The one stage of a commissioned bundle."""

MAX_KEPT = 100
"""Frames that are kept whole: for the baseline, the samples, and all that looks at parts again."""

_NEEDED = f"fitting needs at least {anomaly.MIN_PARTS}, better 50 to 300"

_CLEAR = 1.1
"""How far above `ng` a challenge sample scores at least, so that no engine takes it for good."""

_CALM = 0.95
"""How far below `review` a golden sample scores at least, for the same reason."""

ModelFiles = dict[Literal["onnx", "litert"], bytes]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be made, and how.

    Attributes:
        name: Of the bundle.
        version: Of the bundle.
        about: What the good parts are, one sentence for the card.
        input: What the model will look at.
        dims: Dimensions of the head; more see a little more and cost time and size.
        seed: Of everything random.
        allowed: What the line can bear to lose.
        mask: For each cell of the grid, row by row, whether it is looked at; empty for all.
    """

    name: str
    version: str = "1"
    about: str = ""
    input: Input = Input(height=256, width=256)
    dims: int = anomaly.DIMS
    seed: int = 0
    allowed: thresholds.Allowed = thresholds.Allowed()
    mask: tuple[bool, ...] = ()

    @property
    def looked(self) -> npt.NDArray[np.bool_] | None:
        """The same, bool (cells,); None for all."""
        return np.array(self.mask) if self.mask else None


class Good(msgspec.Struct, frozen=True):
    """What is known of the good parts.

    Attributes:
        material: What the head is fitted to.
        kept: Some of the frames, with their place among the parts.
        digests: SHA-256 of each frame.
        shapes: Of each frame.
        notes: What was found out on the way, a sentence each.
    """

    material: anomaly.Material
    kept: list[tuple[int, Image]]
    digests: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    notes: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 over all frames."""
        return hashlib.sha256("".join(self.digests).encode()).hexdigest()

    def without(self, numbers: Collection[int]) -> Good:
        """Leave parts out, by their place.

        Raises:
            UsageError: Too few are left.
        """
        every = range(len(self.digests))
        rest = [number for number in every if number not in numbers]
        if len(rest) < anomaly.MIN_PARTS:
            raise UsageError(f"{len(rest)} good parts left: {_NEEDED}")
        places = {number: place for place, number in enumerate(rest)}
        return Good(
            self.material.subset(np.array(rest)),
            [(places[number], frame) for number, frame in self.kept if number in places],
            tuple(self.digests[number] for number in rest),
            tuple(self.shapes[number] for number in rest),
            self.notes,
        )


class Fitted(msgspec.Struct, frozen=True):
    """A model with its thresholds.

    Attributes:
        models: The model's file, by engine.
        top: Cells of the map whose mean is the score.
        out_of_sample: float32 (parts,): each good part's score by a head that did not see it.
        thresholds: Chosen from those.
    """

    models: ModelFiles
    top: int
    out_of_sample: projection.Floats
    thresholds: Thresholds


def collect(frames: Iterable[Image], plan: Plan) -> Good:
    """Look at good parts.

    Args:
        frames: HxWx3 BGR or HxW grey, uint8; each is used before the next is taken.
        plan: What is to be made.

    Raises:
        UsageError: There are too few.
    """
    spec = plan.input
    extractor = features.Extractor(spec)
    found: list[features.Features] = []
    kept: list[tuple[int, Image]] = []
    digests: list[str] = []
    shapes: list[tuple[int, ...]] = []
    stride = 1
    for number, frame in enumerate(frames):
        found.append(extractor.features(frame))
        shapes.append(frame.shape)
        digests.append(_digest(frame))
        if number % stride == 0:
            kept.append((number, frame.copy()))
        if len(kept) == 2 * MAX_KEPT:  # keep every second, so that what is kept spans them all
            kept, stride = kept[::2], 2 * stride
    if len(found) < anomaly.MIN_PARTS:
        raise UsageError(f"{len(found)} good part{'s' * (len(found) != 1)}: {_NEEDED}")
    kept = kept[:: 2 if len(kept) > MAX_KEPT else 1]
    changes = marks.changes([frame for _, frame in kept], spec)
    moved = nuisances.measure(kept, extractor, plan.looked)
    material = anomaly.Material.of(np.stack(found), spec.height // features.STEP, changes, moved)
    material = msgspec.structs.replace(material, looked=plan.looked)
    return Good(material, kept, tuple(digests), tuple(shapes))


def make_most(plan: Plan, good: Good, *, groups: Sequence[str] | None = None) -> Good:
    """Find out which parts are twins, and, where there are few, in which ways they are symmetric.

    Args:
        plan: What is to be made.
        good: The good parts, as collected.
        groups: What each part is; None finds twins by their likeness.

    Raises:
        UsageError: The parts are all the same, or pictures of too few parts.
    """
    material, notes = good.material, list(good.notes)
    if groups is None:
        sums = projection.scatter(material.features)
        kept = material.project(sums, dims=plan.dims, seed=plan.seed)
        same = twins.find(material.features @ kept)
        notes += [twins.note(same)] if twins.note(same) else []
    else:
        same = twins.grouped(groups)
        notes.append(f"{len(same)} images of {twins.count(same)} parts, as --group-by says")
    different = twins.count(same)
    if different < anomaly.MIN_PARTS:
        raise UsageError(
            f"{len(same)} images are pictures of only {different} part{'s' * (different != 1)}: "
            f"{_NEEDED}; where that is wrong, say which belong together with --group-by"
        )
    material = msgspec.structs.replace(material, twins=same)
    if len(material.features) <= anomaly.FEW and len(good.kept) == len(material.features):
        extractor = features.Extractor(plan.input)
        views = [extractor.view(frame) for _, frame in good.kept]
        material, ways = symmetry.extend(material, views, extractor, dims=plan.dims, seed=plan.seed)
        if ways:
            notes.append(
                f"good parts look as good mirrored or turned ({', '.join(ways)}): each counts as "
                f"{1 + len(ways)}"
            )
    return msgspec.structs.replace(good, material=material, notes=tuple(notes))


def leave_one_out(plan: Plan, good: Good) -> anomaly.Unseen:
    """Look at each good part with a head that was fitted without it."""
    return anomaly.leave_one_out(good.material, dims=plan.dims, seed=plan.seed)


def fit(plan: Plan, good: Good, *, unseen: anomaly.Unseen | None = None) -> Fitted:
    """Fit a model to good parts and choose its thresholds.

    Args:
        plan: What is to be made.
        good: The good parts.
        unseen: What `leave_one_out` gives, where it is known already.

    Raises:
        UsageError: The good parts are too few or all the same.
    """
    top = anomaly.top_of(good.material.features.shape[1])
    unseen = leave_one_out(plan, good) if unseen is None else unseen
    fitted = anomaly.fit(good.material, unseen.weights(), dims=plan.dims, seed=plan.seed)
    model = head.attach(features.load_trunk(plan.input.height, plan.input.width), fitted)
    models: ModelFiles = {"onnx": model.SerializeToString(deterministic=True)}
    if importlib.util.find_spec("ai_edge_litert") and importlib.util.find_spec("flatbuffers"):
        from calibration.tflite import convert  # noqa: PLC0415 - an extra that may be missing

        models["litert"] = convert(model)
    limits = thresholds.choose(
        unseen.scores(), plan.allowed, parts=twins.count(good.material.twins)
    )
    return Fitted(models, top, unseen.scores(), limits)


def inspector(plan: Plan, fitted: Fitted, engine: Literal["onnx", "litert"]) -> AnomalyInspector:
    """Load a fitted model as a station would."""
    loaded = load_engine(engine, fitted.models[engine], EngineSettings())
    return AnomalyInspector(loaded, plan.input, Anomaly(fitted.top))


def pack(
    path: Path,
    plan: Plan,
    good: Good,
    fitted: Fitted,
    *,
    challenges: Sequence[samples.Planted] = (),
    trial: Trial | None = None,
    provenance: dict[str, str] | None = None,
    notes: Sequence[str] = (),
    light: tuple[float, float] | None = None,
    corrects: tuple[float, float] | None = None,
    sections: Sequence[str] = (),
) -> Bundle:
    """Put the bundle together and write it.

    Args:
        path: Where to.
        plan: What was to be made.
        good: The good parts.
        fitted: The model.
        challenges: Frames with known defects; blots are planted on good frames where none is given.
        trial: How the model did on fresh parts, for the card.
        provenance: What it was made from, beside what is known here.
        notes: What was found out about the good parts, a sentence each, for the card.
        light: Least and most light that the model can bear, as `calibration.lights` measures it.
        corrects: Least and most light that may be undone before it looks.
        sections: Lines of more sections of the card, Markdown.

    Raises:
        UsageError: The model does not see even large planted defects.
        BundleError: The file cannot be written.
    """
    notes = [*good.notes, *notes]
    entries, files = _samples(plan, good, fitted, challenges)
    tolerance = _tolerance(plan, fitted, entries, files)
    frames = [frame for _, frame in good.kept]
    names = {"onnx": "model.onnx", "litert": "model.tflite"}
    files |= {names[engine]: data for engine, data in fitted.models.items()}
    files["baseline.json"] = Baseline.learn(frames, light=light, corrects=corrects).encode()
    facts = Facts(
        name=plan.name, version=plan.version, about=plan.about, input=plan.input, dims=plan.dims,
        seed=plan.seed, allowed=plan.allowed, parts=len(fitted.out_of_sample),
        different=twins.count(good.material.twins), top=fitted.top,
        thresholds=fitted.thresholds, out_of_sample=fitted.out_of_sample, samples=entries,
        notes=notes, sections=sections,
        model_bytes={names[engine]: len(data) for engine, data in fitted.models.items()},
    )  # fmt: skip
    files["card.md"] = write_card(facts, trial).encode()
    trunk = hashlib.sha256(features.trunk_file().read_bytes()).hexdigest()
    manifest = Manifest(
        name=plan.name,
        version=plan.version,
        stages=(
            Stage(
                name=STAGE,
                task=Anomaly(fitted.top),
                models={engine: names[engine] for engine in fitted.models},
                input=plan.input,
                thresholds=fitted.thresholds,
            ),
        ),
        samples=entries,
        tolerance=tolerance,
        baseline="baseline.json",
        card="card.md",
        provenance={
            "tool": f"edge-inspection {__version__}, edge-agent commission",
            "trunk": f"EfficientNet-Lite0, ImageNet weights, Apache-2.0, int8, sha256 {trunk}",
            "good_parts": f"{len(fitted.out_of_sample)}, sha256 of their pixels {good.digest}",
            "seed": str(plan.seed),
            **(provenance or {}),
        },
    )
    return write_bundle(path, manifest, files)


def _digest(frame: Image) -> str:
    """Return the digest of a frame: of its pixels and its shape."""
    pixels = np.ascontiguousarray(frame)
    return hashlib.sha256(repr(frame.shape).encode() + pixels.tobytes()).hexdigest()


def _samples(
    plan: Plan, good: Good, fitted: Fitted, challenges: Sequence[samples.Planted]
) -> tuple[tuple[Sample, ...], dict[str, bytes]]:
    """Choose golden and challenge samples; return what the manifest says of them, and their files.

    Raises:
        UsageError: The model does not see even large planted defects.
    """
    judge = inspector(plan, fitted, "onnx")

    def score(data: bytes) -> float:
        return judge.inspect(samples.decode(data)).score

    def caught(image: Image) -> bool:
        return score(samples.encode(image)) >= _CLEAR * fitted.thresholds.ng

    frames = [frame for _, frame in good.kept]
    scores = fitted.out_of_sample[[number for number, _ in good.kept]]

    def passes(place: int) -> bool:
        return score(samples.encode(frames[place])) <= _CALM * fitted.thresholds.review

    golden = [samples.Planted(frames[place], "") for place in samples.golden_of(scores, passes)]
    bad = list(challenges) or samples.plant(frames, plan.input.roi, caught, seed=plan.seed)
    files: dict[str, bytes] = {}
    entries = []
    kinds: tuple[tuple[Literal["golden", "challenge"], Sequence[samples.Planted]], ...]
    kinds = (("golden", golden), ("challenge", bad))
    for kind, chosen in kinds:
        for number, each in enumerate(chosen, 1):
            name = f"{kind}-{number}.jpg"
            files[name] = samples.encode(each.image)
            scores_now = {STAGE: round(score(files[name]), 4)}
            entries.append(Sample(file=name, kind=kind, scores=scores_now, truth=each.truth))
    judge.close()
    return tuple(entries), files


def _tolerance(
    plan: Plan, fitted: Fitted, entries: Sequence[Sample], files: dict[str, bytes]
) -> float:
    """Return how far an engine's score of a sample may lie off: twice what the engines differ by.

    Engines round the last bit of a sum in their own ways, and thirty layers carry that on.
    """
    differ = 0.0
    for engine in fitted.models:
        judge = inspector(plan, fitted, engine)
        for entry in entries:
            score = judge.inspect(samples.decode(files[entry.file])).score
            differ = max(differ, abs(score - entry.scores[STAGE]))
        judge.close()
    return round(min(max(2 * differ / fitted.thresholds.ng, 0.1), 0.5), 3)
