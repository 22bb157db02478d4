"""How much light may change before a model can no longer be trusted.

Good parts are shown in more and in less light, by simulation (linear light times a factor, with the
camera's clipping), with and without a small mark on them. As far as good parts still pass and marks
still tell, the light may move; there the lighting watch draws the line.

Within it the same is asked of light that is undone before the model looks, as `lighting.correct`
does it: noise that is raised with the light, and what was clipped, are then what harms. As far as
that holds, correction is allowed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import msgspec
import numpy as np

from calibration import anomaly, figures, marks
from calibration.features import Extractor
from edge_agent.lighting.correction import table_of
from edge_agent.lighting.sampling import GAMMA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from calibration.commission import Fitted, Good, Plan
    from edge_agent.camera.frame import Image

FACTORS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.06, 1.12, 1.25, 1.4, 1.6, 2.0)
"""Light, as a multiple of what it is. Less than half of it is not tried: what a camera's noise then
does is its own affair."""

_PARTS = 30
_REJECTED = 0.05
"""Good parts that may come out `ng` at a limit, or twice what is allowed where that is more."""

_TELLS = 0.03
"""AUROC that marks may lose."""

_SEED = 9
_BLOCK = 16
"""Side of the blocks of which the smoothest show the camera's noise."""


class Step(msgspec.Struct, frozen=True):
    """What one change of the light does.

    Attributes:
        light: As a multiple of what it is.
        rejected: Share of good parts that come out `ng`.
        told: AUROC of parts with a small mark against those without.
    """

    light: float
    rejected: float
    told: float


class Lights(msgspec.Struct, frozen=True):
    """How far the light may move.

    Attributes:
        darkest: Least light, as a multiple of what it is.
        brightest: Most light.
        steps: What was measured, darkest first.
        parts: How many good parts that was.
        corrected: What was measured of light that was undone, within those limits.
        corrects: Least and most light that may be undone, as multiples of what it is.
    """

    darkest: float
    brightest: float
    steps: tuple[Step, ...]
    parts: int
    corrected: tuple[Step, ...] = ()
    corrects: tuple[float, float] = (1.0, 1.0)


def measure(plan: Plan, good: Good, unseen: anomaly.Unseen, fitted: Fitted) -> Lights:
    """Measure how far the light may move.

    Args:
        plan: What was to be made.
        good: The good parts.
        unseen: What they look like to a fit without them.
        fitted: The model.
    """
    places = np.linspace(0, len(good.kept) - 1, min(_PARTS, len(good.kept))).round().astype(int)
    kept = [good.kept[place] for place in places.tolist()]
    own = np.array([number for number, _ in kept])
    frames = [frame for _, frame in kept]
    marked = _marked(plan, frames)
    extractor = Extractor(plan.input)

    def shown(lights: Sequence[float], *, undone: bool) -> tuple[Step, ...]:
        """Let the model look at the parts in some lights."""
        rng = np.random.default_rng(_SEED)
        asked = [
            extractor.features(undo(seen, light) if undone else seen)
            for light in lights
            for some in (frames, marked)
            for seen in (in_light(frame, light, rng) for frame in some)
        ]
        scores = anomaly.ask(
            good.material,
            np.stack(asked),
            np.tile(own, 2 * len(lights)),
            unseen.weights(),
            dims=plan.dims,
            seed=plan.seed,
        ).reshape(len(lights), 2, len(frames))
        return tuple(
            Step(
                light,
                float((plain >= fitted.thresholds.ng).mean()),
                figures.auroc(plain, marks_),
            )
            for light, (plain, marks_) in zip(lights, scores, strict=True)
        )

    allowed = plan.allowed.by(len(unseen.wholes)).false_rejects
    steps = shown(FACTORS, undone=False)
    darkest, brightest = limits_of(steps, allowed)
    corrected = shown([each for each in FACTORS if darkest <= each <= brightest], undone=True)
    corrects = limits_of(corrected, allowed)
    return Lights(darkest, brightest, steps, len(frames), corrected, corrects)


def undo(image: Image, light: float) -> Image:
    """Return an image whose light is brought back, as a station's correction does it."""
    return np.asarray(cv2.LUT(image, table_of(np.array([light]))), np.uint8)


def limits_of(steps: Sequence[Step], allowed: float) -> tuple[float, float]:
    """Return the least and the most light up to which every step holds.

    Args:
        steps: Darkest first; one of them is as it is (1).
        allowed: Share of good parts that the line can bear to lose.
    """
    start = next(place for place, step in enumerate(steps) if step.light == 1.0)
    usual = steps[start]
    most = max(2 * allowed, _REJECTED, usual.rejected)

    def holds(step: Step) -> bool:
        return step.rejected <= most and step.told >= usual.told - _TELLS

    low = high = start
    while low > 0 and holds(steps[low - 1]):
        low -= 1
    while high < len(steps) - 1 and holds(steps[high + 1]):
        high += 1
    return steps[low].light, steps[high].light


def in_light(image: Image, light: float, rng: np.random.Generator) -> Image:
    """Return an image as more or less light would give it, uint8."""
    factor = light ** (1 / GAMMA)
    changed = np.asarray(image, np.float32) * np.float32(factor)
    if factor < 1.0:  # the camera's noise does not get less with the light
        more = noise_of(image) * (1 - factor**2) ** 0.5
        changed += rng.normal(0.0, more, image.shape).astype(np.float32)
    shown: Image = np.clip(np.rint(changed), 0, 255).astype(np.uint8)
    return shown


def noise_of(image: Image) -> float:
    """Estimate a camera's noise, grey levels (standard deviation), where the image is smoothest.

    By the difference of two Laplacians, which edges and slopes hardly touch (Immerkaer, "Fast noise
    variance estimation", 1996), in the calmest tenth of the image's blocks.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if image.ndim == 3 else image
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    rest = np.abs(cv2.filter2D(grey, cv2.CV_32F, mask))
    size = (max(1, grey.shape[1] // _BLOCK), max(1, grey.shape[0] // _BLOCK))
    blocks = cv2.resize(rest, size, interpolation=cv2.INTER_AREA)
    return float(np.quantile(blocks, 0.1)) * math.sqrt(math.pi / 2) / 6


def _marked(plan: Plan, frames: Sequence[Image]) -> list[Image]:
    """Plant a small mark on each part, in the middle half of the ROI."""
    rng = np.random.default_rng(_SEED)
    found = []
    for frame in frames:
        x0, y0, x1, y1 = plan.input.roi.pixels(frame)
        place = (
            x0 + rng.uniform(0.25, 0.75) * (x1 - x0), y0 + rng.uniform(0.25, 0.75) * (y1 - y0),
        )  # fmt: skip
        scale = ((x1 - x0) * (y1 - y0) / (plan.input.width * plan.input.height)) ** 0.5
        found.append(marks.plant_at(frame, rng, place, scale=scale))
    return found


def card_lines(lights: Lights) -> list[str]:
    """Give the card's section, as Markdown."""
    undone = {step.light: step for step in lights.corrected}
    return [
        "## Light",
        "",
        (
            f"Light may fall to {lights.darkest:g} times and rise to {lights.brightest:g} times "
            "what it was: up to there good parts pass and small marks tell as well as before, on "
            f"{lights.parts} good parts in simulated light. Beyond, the lighting watch calls parts "
            "`invalid`."
        ),
        "",
        (
            f"Light from {lights.corrects[0]:g} to {lights.corrects[1]:g} times may be undone "
            "before the model looks (`lighting.correct`): so far good parts pass and marks tell."
        ),
        "",
        "| light | good parts `ng` | AUROC of small marks | `ng`, corrected | AUROC, corrected |",
        "|---|---|---|---|---|",
        *(_row(step, undone.get(step.light)) for step in lights.steps),
        "",
    ]


def _row(step: Step, undone: Step | None) -> str:
    after = f"{undone.rejected:.0%} | {undone.told:.3f}" if undone else "- | -"
    return f"| {step.light:g} | {step.rejected:.0%} | {step.told:.3f} | {after} |"


def note(lights: Lights) -> str:
    """Say in a sentence how far the light may move."""
    return (
        f"light may fall to {lights.darkest:g} times and rise to {lights.brightest:g} times what "
        "it was; beyond, parts are `invalid`"
    )
