"""Parts of known truth that `edge-agent commission` was given: what the model makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from calibration import features, figures, frames, precision, thresholds, trials
from calibration.cli import telling
from calibration.page import Bad
from edge_agent.camera.images import read_image
from edge_agent.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from rich.console import Console

    from calibration.commission import Fitted, Plan
    from calibration.figures import Trial
    from calibration.lot import Lot
    from calibration.projection import Floats
    from edge_agent.camera.frame import Image, Truth


class Measured(msgspec.Struct, frozen=True):
    """What a model made of parts of known truth.

    Attributes:
        fitted: The model; with bad parts beside the lot its `review` may have moved.
        trial: The scores.
        bad: The bad parts, each with its score.
        features: float32 (bad parts, cells, channels); None where they were not asked for.
    """

    fitted: Fitted
    trial: Trial
    bad: tuple[Bad, ...]
    features: Floats | None = None


def with_bad(plan: Plan, parts: Lot, fitted: Fitted, folder: Path, console: Console) -> Measured:
    """Measure the model on bad parts and let them place the review band."""
    labelled = frames.bad_files(folder)
    extractor = features.Extractor(plan.input)
    seen: list[Floats] = []
    used: list[Path] = []

    def read() -> Iterator[tuple[Image, Truth]]:
        for image, truth in _read(telling.track(console, labelled, "Bad parts"), used):
            seen.append(extractor.features(image))
            yield image, truth

    tried = trials.try_out(plan, fitted, read(), about="")
    if not len(tried.bad):
        return Measured(fitted, tried, ())
    limits = thresholds.with_bad(fitted.thresholds, parts.scores, tried.bad)
    about = (
        f"Good parts: those it was fitted on, each scored by a fit without it. Bad parts: "
        f"{len(tried.bad)} images of the folder `{folder.resolve().name}`, which moved `review` "
        "but not `ng`."
    )
    trial = figures.Trial(about, parts.scores, tried.bad, tried.truths, tried.engines_differ)
    moved = msgspec.structs.replace(fitted, thresholds=limits)
    return Measured(moved, trial, _scored(tried, used), np.stack(seen))


def tested(plan: Plan, fitted: Fitted, folder: Path, console: Console) -> Measured:
    """Measure the model on good and bad parts that it was not fitted on."""
    labelled = telling.track(console, frames.labelled_files(folder), "Test parts")
    about = f"Images of the folder `{folder.resolve().name}`."
    used: list[Path] = []
    trial = trials.try_out(plan, fitted, _read(labelled, used), about=about)
    return Measured(fitted, trial, _scored(trial, used))


def some(ng: Path | None, test: Path | None) -> Iterator[tuple[Image, bool]]:
    """Read some parts of known truth, to compare float and int8 on."""
    labelled = frames.labelled_files(test) if test else frames.bad_files(ng) if ng else []
    for file, bad in precision.chosen(labelled) if labelled else []:
        for image in frames.read_good([file]):
            yield image, bad


def _read(
    labelled: Iterable[tuple[Path, Truth]], used: list[Path]
) -> Iterator[tuple[Image, Truth]]:
    """Read images; the file of each bad one is added to `used`."""
    for file, truth in labelled:
        try:
            image = read_image(file)
        except ImageError as error:
            telling.warn(f"left out: {error}")
            continue
        if truth.defect:
            used.append(file)
        yield image, truth


def _scored(trial: Trial, files: list[Path]) -> tuple[Bad, ...]:
    scores = trial.bad.tolist()
    return tuple(
        Bad(score, file, truth)
        for score, file, truth in zip(scores, files, trial.truths, strict=True)
    )
