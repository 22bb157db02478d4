"""The values that describe a bundle's stages: what each model wants to see, how it is read.

A part is looked at by one to eight stages, in order. A stage is a task (what its model does), the
model, its input, and, where it decides, thresholds. It may look at the boxes that an earlier stage
found (`Source`), and be left out by a rule (`When`).
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import msgspec

from edge_agent.camera.roi import Roi

Side = Annotated[int, msgspec.Meta(ge=8, le=8192)]
Label = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Labels = Annotated[tuple[Label, ...], msgspec.Meta(max_length=4096)]
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Top = Annotated[int, msgspec.Meta(ge=1)]
Limit = Annotated[int, msgspec.Meta(ge=1, le=1000)]
Activation = Literal["none", "softmax", "sigmoid"]
Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
File = Annotated[str, msgspec.Meta(max_length=400)]

MAX_STAGES = 8


class Thresholds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where scores become verdicts.

    Attributes:
        review: From this score on a person decides.
        ng: From this score on the part is rejected.
    """

    review: float
    ng: float

    def __post_init__(self) -> None:
        """Refuse thresholds that are out of order."""
        if not 0.0 < self.review <= self.ng < math.inf:
            raise ValueError(f"thresholds: 0 < review ({self.review}) <= ng ({self.ng}) must hold")


class Pose(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The part is found before its background, and turned so that it always lies the same way.

    Attributes:
        length: What the width of the view shows, as a share of the ROI's width.
    """

    length: Annotated[float, msgspec.Meta(gt=0.0, le=4.0)]


class Input(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the model looks at: the ROI of the frame, made height x width, uint8 NHWC.

    Attributes:
        height: Of the model's input, pixels.
        width: Of the model's input, pixels.
        channels: 3, or 1 for grey.
        order: Of the channels.
        roi: What of the frame, or of the box where the stage has a source, is looked at.
        fit: How the ROI fills the input: `stretch` it; shrink it evenly and fill the rest with a
            border (`letterbox`, centred); or fill the input evenly and cut off what juts out
            (`crop`, the middle stays).
        fill: Grey level of the border.
        level: Mean grey level that the view is brought to, by one factor for all its pixels, so
            that more or less light changes little; None leaves it as it is.
        pose: How the part is brought into the view, in place of `fit`; None takes it as it lies.
    """

    height: Side
    width: Side
    channels: Literal[1, 3] = 3
    order: Literal["BGR", "RGB", "GREY"] = "BGR"
    roi: Roi = Roi()
    fit: Literal["stretch", "letterbox", "crop"] = "stretch"
    fill: Annotated[int, msgspec.Meta(ge=0, le=255)] = 114
    level: Annotated[int, msgspec.Meta(ge=1, le=254)] | None = None
    pose: Pose | None = None

    def __post_init__(self) -> None:
        """Refuse channels that do not fit their order, and a letterbox to be brought to a level."""
        if (self.order == "GREY") != (self.channels == 1):
            raise ValueError(f"input: order {self.order} does not go with {self.channels} channels")
        if self.fit == "letterbox" and (self.level is not None or self.pose is not None):
            raise ValueError("input: a letterbox goes with neither level nor pose")


# --- tasks ---------------------------------------------------------------------------------------


class Anomaly(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="anomaly"
):
    """How far a part is from good parts: a `map`, a `score`, or both, by the names of the outputs.

    Attributes:
        top: Where the model gives no score, it is the mean of this many largest values of the map.
    """

    top: Top


class Classify(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag="classify",
):
    """Which of some kinds a part is. The score is one minus the probability of a good label.

    Attributes:
        labels: By class number.
        good: Those of good parts; empty where the stage only sorts, and its score is 0.
        activation: What makes probabilities of the model's output.
    """

    labels: Labels
    good: Labels = ()
    activation: Activation = "none"

    def __post_init__(self) -> None:
        """Refuse labels that do not fit together."""
        _check_labels("classify", self.labels, good=self.good)


class Detect(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag="detect",
):
    """What is where. The score is the worst of: a defect found, something expected missing.

    Attributes:
        labels: By class number.
        defects: Finding one of these is bad: the score is its confidence.
        expected: How many of a label there must be: the score is one minus the confidence of the
            last of them, and 1 when there are fewer.
        layout: How the output is laid out: `yolo` is [1, 4 + classes, N], boxes as centre, width
            and height; `end2end` is [1, N, 6], boxes as two corners, confidence, class.
        boxes: Unit of the boxes: pixels of the input, or shares of it (as TFLite exports give).
        confidence: A finding has at least this much.
        overlap: Of two boxes of a class that overlap more (intersection over union), one goes.
        limit: Findings at most, the surest first.
    """

    labels: Labels
    defects: Labels = ()
    expected: dict[Label, Annotated[int, msgspec.Meta(ge=1, le=1000)]] = {}
    layout: Literal["yolo", "end2end"]
    boxes: Literal["pixels", "shares"] = "pixels"
    confidence: Share = 0.25
    overlap: Share = 0.45
    limit: Limit = 100

    def __post_init__(self) -> None:
        """Refuse labels that do not fit together."""
        _check_labels("detect", self.labels, defects=self.defects, expected=tuple(self.expected))


class Segment(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag="segment",
):
    """What is where, point by point.

    Attributes:
        labels: By class number.
        defects: Those that are bad.
        layout: `semantic` is [1, classes, H, W] or [1, H, W, classes]: the map is the summed
            probability of the defects, the score the mean of its `top` largest values. `yolo` and
            `end2end` are as in `Detect`, with 32 coefficients behind and 32 prototypes as a second
            output: the map holds the masks of the defects, the score is the highest confidence.
        boxes: As in `Detect`.
        top: For `semantic`.
        activation: For `semantic`: what makes probabilities of the model's output.
        confidence: As in `Detect`.
        overlap: As in `Detect`.
        limit: As in `Detect`.
    """

    labels: Labels
    defects: Labels = ()
    layout: Literal["semantic", "yolo", "end2end"]
    boxes: Literal["pixels", "shares"] = "pixels"
    top: Top = 1
    activation: Activation = "none"
    confidence: Share = 0.25
    overlap: Share = 0.45
    limit: Limit = 100

    def __post_init__(self) -> None:
        """Refuse labels that do not fit together."""
        _check_labels("segment", self.labels, defects=self.defects)


Task = Anomaly | Classify | Detect | Segment


def _check_labels(task: str, labels: tuple[str, ...], **chosen: tuple[str, ...]) -> None:
    if not labels or len(set(labels)) != len(labels):
        raise ValueError(f"{task}: labels must be given, each once")
    for name, some in chosen.items():
        for label in some:
            if label not in labels:
                raise ValueError(f"{task}: {name}: {label!r} is none of the labels")


# --- stages --------------------------------------------------------------------------------------


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a stage looks: at each box that an earlier stage found.

    Attributes:
        stage: That stage.
        labels: Only boxes of these; empty for all.
        margin: Added around a box on each side, as a share of its longer side.
        limit: Boxes at most, the surest first.
    """

    stage: Name
    labels: Labels = ()
    margin: Share = 0.1
    limit: Annotated[int, msgspec.Meta(ge=1, le=64)] = 16


class When(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rule by which a stage runs: what an earlier stage said lies in [at_least, below).

    Attributes:
        stage: That stage.
        label: Its best confidence of this label is what counts; empty for its score.
        at_least: From here on.
        below: Up to here; None for no bound.
    """

    stage: Name
    label: Annotated[str, msgspec.Meta(max_length=64)] = ""
    at_least: float = 0.0
    below: float | None = None

    def __post_init__(self) -> None:
        """Refuse a rule that can never hold."""
        if self.below is not None and not self.at_least < self.below:
            raise ValueError(f"when: at_least ({self.at_least}) < below ({self.below}) must hold")


class Stage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model of a bundle, and what it is for.

    Attributes:
        name: Of the stage; scores, thresholds and findings go by it.
        task: What the model does.
        models: Model file by format; at least one.
        input: What it looks at.
        thresholds: What its scores are held against; None where it decides nothing.
        source: Where it looks; None for the frame.
        when: The rule by which it runs; None for always.
        budget_ms: Time that it may take; 0 for no bound of its own.
    """

    name: Name
    task: Task
    models: dict[Literal["onnx", "litert"], File]
    input: Input
    thresholds: Thresholds | None = None
    source: Source | None = None
    when: When | None = None
    budget_ms: Annotated[float, msgspec.Meta(ge=0.0, le=3_600_000.0)] = 0.0

    def __post_init__(self) -> None:
        """Refuse a pose for tasks that say where in the frame something is."""
        if self.input.pose is not None and isinstance(self.task, Detect | Segment):
            raise ValueError("stage: input.pose goes with the tasks anomaly and classify")
