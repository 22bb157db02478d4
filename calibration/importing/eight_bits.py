"""Bring an imported ONNX model to int8, and say what that cost on the images it was calibrated on.

The float model is kept where int8 changes more than `MOST_CHANGED` of the verdicts, and that not
only because scores that lie at a threshold are rounded (`ROUNDING`).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from calibration.importing import looking
from edge_agent.decision.verdict import judge
from edge_agent.errors import UsageError
from edge_agent.inspection.engines import EngineSettings, load_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import onnx

    from edge_agent.camera.frame import Image
    from edge_agent.inspection.engines import Pixels
    from edge_agent.inspection.spec import Stage

    Track = Callable[[Iterable[str], str, int], Iterable[str]]

MOST_CHANGED = 0.02
"""Share of the verdicts that may change before the float model is kept."""

ROUNDING = 0.02
"""What a score may move by, as a share of the `ng` threshold, whatever verdict that changes."""

MOST_IMAGES = 64
"""Images that a model is calibrated on at most."""

_TIMING_S = 0.5
_SLOWER = 1.1
_SILENT = (
    "Neither in float nor in int8 did it find anything in the calibration images: that they agree "
    "says little: give images that hold what is to be found."
)


def untracked(names: Iterable[str], _what: str, _count: int) -> Iterable[str]:
    """Show no progress."""
    return names


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """Which of the two is in the bundle, and why.

    Attributes:
        model: Its bytes.
        int8: Whether it is the one in eight bits.
        text: What was compared and found, for people; the same wherever it is counted.
        speed: How fast both are here; empty where it was not measured.
        notes: What the quantization has to say.
    """

    model: bytes
    int8: bool
    text: str
    speed: str = ""
    notes: tuple[str, ...] = ()


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """The scores of the same images by both.

    Attributes:
        images: How many.
        changed: Verdicts that are another.
        largest: Change of a score.
        mean: Change of a score.
        highest: Score of all, by either.
        ng: The threshold; 0 for none.
        float_ms: Of the model alone, here; the median.
        int8_ms: The same.
    """

    images: int
    changed: int
    largest: float
    mean: float
    highest: float
    ng: float
    float_ms: float
    int8_ms: float

    @property
    def tells(self) -> bool:
        """Whether there was anything to compare."""
        return self.highest > 0.0

    @property
    def good(self) -> bool:
        """Whether int8 says what float says."""
        few = self.changed <= MOST_CHANGED * self.images
        return few or self.largest <= ROUNDING * self.ng

    def __str__(self) -> str:
        """Say it to people."""
        return (
            f"on {self.images} calibration images {self.changed} verdicts changed from float to "
            f"int8; scores by {self.mean:.3g} on average, {self.largest:.3g} at most"
        )

    @property
    def speed(self) -> str:
        """Say how fast both are."""
        text = f"{self.float_ms:.1f} ms in float and {self.int8_ms:.1f} ms in int8 on this machine"
        slower = self.int8_ms > _SLOWER * self.float_ms
        return f"{text}: leave --calibrate out for devices like this one" if slower else text


def choose(
    model: onnx.ModelProto, stage: Stage, images: Sequence[Image], *, track: Track = untracked
) -> Choice:
    """Quantize a model, compare it with itself in float, and choose.

    Args:
        model: As `convert.convert` makes it.
        stage: With its thresholds.
        images: As the station sees them.
        track: Shows progress: (what is gone through, what it is, how many).

    Raises:
        UsageError: There are no images.
    """
    if not images:
        raise UsageError("--calibrate: holds no image that can be read")
    from calibration.quantizing.quantize import quantize  # noqa: PLC0415 - heavy

    plain = model.SerializeToString(deterministic=True)
    pixels = list(looking.pixels_of(stage, plain, images))
    try:
        made = quantize(model, pixels, track=track)
    except UsageError as error:
        return Choice(model=plain, int8=False, text=f"as in the file: {error}")
    coded = made.model.SerializeToString(deterministic=True)
    found = compare(stage, plain, coded, images, pixels[0])
    noise = f"signal to noise {made.sqnr_db:.0f} dB at the end of the network"
    if found.good:
        notes = made.notes if found.tells else (*made.notes, _SILENT)
        text = f"int8: {found}; {noise}"
        return Choice(model=coded, int8=True, text=text, speed=found.speed, notes=notes)
    text = f"float: int8 differs too much ({found}; {noise}): give more, and more typical, images"
    return Choice(model=plain, int8=False, text=text, speed=found.speed)


def compare(
    stage: Stage, plain: bytes, coded: bytes, images: Sequence[Image], pixels: Pixels
) -> Compared:
    """Hold scores and times of two models against each other."""
    rows = [np.array(looking.scores(stage, model, images)) for model in (plain, coded)]
    limits = stage.thresholds
    verdicts = [
        [judge(float(each), limits, ()).verdict for each in row] if limits else [] for row in rows
    ]
    apart = np.abs(rows[0] - rows[1])
    times = _times([plain, coded], pixels)
    return Compared(
        images=len(images),
        changed=sum(one is not other for one, other in zip(*verdicts, strict=True)),
        largest=float(apart.max()),
        mean=float(apart.mean()),
        highest=float(np.max(rows)),
        ng=limits.ng if limits else 0.0,
        float_ms=times[0],
        int8_ms=times[1],
    )


def _times(models: Sequence[bytes], pixels: Pixels) -> list[float]:
    """Return the median time of each model, run in turn, so that they share what disturbs."""
    engines = [load_engine("onnx", model, EngineSettings()) for model in models]
    taken: list[list[float]] = [[] for _ in engines]
    end = time.perf_counter() + _TIMING_S
    while len(taken[0]) < 3 or time.perf_counter() < end:
        for engine, row in zip(engines, taken, strict=True):
            begin = time.perf_counter()
            engine.run(pixels)
            row.append(1e3 * (time.perf_counter() - begin))
    for engine in engines:
        engine.close()
    return [float(np.median(row)) for row in taken]
