"""The values of an import: what a person says of a model, and what was read from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy.typing as npt

from edge_agent.camera.roi import Roi
from edge_agent.errors import UsageError
from edge_agent.inspection.spec import (
    Activation,
    Anomaly,
    Classify,
    Detect,
    Segment,
    Thresholds,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

TaskName = Literal["anomaly", "classify", "detect", "segment"]
Order = Literal["BGR", "RGB", "GREY"]
Fit = Literal["stretch", "letterbox", "crop"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_LEVELS = 1.5


class Normalisation(msgspec.Struct, frozen=True, kw_only=True):
    """What a model was trained on: (pixel * scale - mean) / std, by channel in the model's order.

    Attributes:
        scale: 1/255 where pixels count from 0 to 1.
        mean: One for all channels, or one each.
        std: The same.
    """

    scale: float = 1.0 / 255.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    @property
    def plain(self) -> bool:
        """Whether it leaves the pixels as they are."""
        return self.scale == 1.0 and set(self.mean) == {0.0} and set(self.std) == {1.0}

    def of(self, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return factor and offset for each channel: value = factor * pixel + offset.

        Raises:
            UsageError: It is for another number of channels, or divides by 0.
        """
        for name, row in (("mean", self.mean), ("std", self.std)):
            if len(row) not in {1, channels}:
                raise UsageError(
                    f"--{name} gives {len(row)} numbers; the model has {channels} channels: give "
                    f"one, or {channels}"
                )
        if not all(self.std):
            raise UsageError("--std 0: it is divided by: give the spread that was trained with")
        mean = self.mean * (channels // len(self.mean))
        std = self.std * (channels // len(self.std))
        return (
            tuple(self.scale / each for each in std),
            tuple(-middle / each for middle, each in zip(mean, std, strict=True)),
        )

    def __str__(self) -> str:
        """Say it to people."""
        if self.plain:
            return "pixels as they are, 0 to 255"
        span = {1.0: "0 to 255", 1.0 / 255.0: "0 to 1"}.get(self.scale, f"times {self.scale:g}")
        rows = (f"{name} {', '.join(f'{each:g}' for each in row)}"
                for name, row in (("mean", self.mean), ("std", self.std))
                if set(row) != {0.0 if name == "mean" else 1.0})  # fmt: skip
        return ", ".join([f"pixels {span}", *rows])


UNIT = Normalisation()
IMAGENET = Normalisation(mean=IMAGENET_MEAN, std=IMAGENET_STD)
PLAIN = Normalisation(scale=1.0)


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """What a person says of a model; empty or None where they leave it to the file.

    Attributes:
        task: What it does.
        labels: By class number.
        good: Labels of good parts (classify).
        defects: Labels that are bad (detect, segment).
        expected: How many of a label there must be (detect).
        size: Height and width, for a model that takes any.
        scale: See `Normalisation`.
        mean: See `Normalisation`.
        std: See `Normalisation`.
        order: Of the channels.
        fit: How an image is made to fit.
        roi: What of the frame it looks at.
        ng: Score from which a part is rejected.
        review: Score from which a person decides.
        confidence: A finding has at least this much (detect, segment).
        overlap: Boxes of a label that overlap by more are one thing (detect, segment).
    """

    task: TaskName | None = None
    labels: tuple[str, ...] = ()
    good: tuple[str, ...] = ()
    defects: tuple[str, ...] = ()
    expected: dict[str, int] = {}
    size: tuple[int, int] | None = None
    scale: float | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    order: Order | None = None
    fit: Fit | None = None
    roi: Roi = Roi()
    ng: float | None = None
    review: float | None = None
    confidence: float | None = None
    overlap: float | None = None

    @property
    def says_normalisation(self) -> bool:
        """Whether any of it was given."""
        return self.scale is not None or bool(self.mean) or bool(self.std)

    def normalisation(self, otherwise: Normalisation) -> Normalisation:
        """Return what was given, or else what is known otherwise.

        What was given is the whole of it: a mean or spread above 1.5 counts grey levels of 0 to
        255, where no scale is given with it.
        """
        if not self.says_normalisation:
            return otherwise
        levels = max((*self.mean, *self.std), default=0.0) > _LEVELS
        scale = 1.0 if levels or not (self.mean or self.std) else 1.0 / 255.0
        return Normalisation(
            scale=scale if self.scale is None else self.scale,
            mean=self.mean or (0.0,),
            std=self.std or (1.0,),
        )


class Sizes(msgspec.Struct, frozen=True):
    """The input of a model as its file declares it; None where it takes any.

    Attributes:
        name: Of the tensor.
        batch: Images at once.
        height: Pixels.
        width: Pixels.
        channels: 1 or 3.
        last: Whether the channels are the last dimension.
        dtype: Name of a numpy dtype.
    """

    name: str
    batch: int | None
    height: int | None
    width: int | None
    channels: int
    last: bool
    dtype: str


class Inner(msgspec.Struct, frozen=True, kw_only=True):
    """What a graph tells of itself that its shapes do not, whatever its format.

    Attributes:
        maker: Who wrote it, with version.
        channels: 1 or 3.
        pixels: Whether it takes uint8 already, and no normalisation is to be folded in.
        own: What its own first steps start from; None where it has none.
        activation: What must still be done to an output (its name, its values) to make
            probabilities; classes are the second dimension.
    """

    maker: str
    channels: int
    pixels: bool
    own: Normalisation | None
    activation: Callable[[str, npt.NDArray[Any]], Activation]


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What a model is, read from its file and completed by what was given.

    Attributes:
        source: Which library made it, with its version where it says so.
        task: How its outputs are read.
        order: Of its channels.
        fit: How an image is made to fit.
        normalisation: What is still to be done to the pixels, to be folded into the graph.
        outputs: Name in the bundle by name in the file, in order; what is not named is cut off.
        thresholds: Where the file says them.
        notes: What a person should know, a sentence each.
        facts: What the file says of itself, for the provenance.
    """

    source: str
    task: Anomaly | Classify | Detect | Segment
    order: Order
    fit: Fit
    normalisation: Normalisation
    outputs: dict[str, str]
    thresholds: Thresholds | None = None
    notes: tuple[str, ...] = ()
    facts: dict[str, str] = {}


def check_count(labels: Sequence[str], classes: int) -> None:
    """Refuse labels that are not as many as the model's classes.

    Raises:
        UsageError: They are more or fewer.
    """
    if len(labels) != classes:
        raise UsageError(
            f"{len(labels)} labels for a model of {classes} classes: give one for each, in the "
            "order of training (--labels FILE, or --labels a,b,c)"
        )
