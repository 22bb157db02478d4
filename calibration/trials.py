"""Try a fitted model on parts of known truth, through the very code that a station runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from calibration.commission import inspector
from calibration.figures import Trial

if TYPE_CHECKING:
    from collections.abc import Iterable

    from calibration.commission import Fitted, Plan
    from edge_agent.camera.frame import Image, Truth

_COMPARED = 100
"""Parts on which the engines are compared."""


def try_out(
    plan: Plan, fitted: Fitted, parts: Iterable[tuple[Image, Truth]], *, about: str
) -> Trial:
    """Score parts that the model was not fitted on.

    Args:
        plan: What was to be made.
        fitted: The model.
        parts: Frames with their truth, good ones (`defect` empty) and defective ones.
        about: What parts these are, for the card.
    """
    judge = inspector(plan, fitted, "onnx")
    other = inspector(plan, fitted, "litert") if "litert" in fitted.models else None
    scores: dict[bool, list[float]] = {False: [], True: []}
    truths: list[Truth] = []
    differ = 0.0
    for number, (image, truth) in enumerate(parts):
        score = judge.inspect(image).score
        scores[bool(truth.defect)].append(score)
        if truth.defect:
            truths.append(truth)
        if other and number < _COMPARED:
            differ = max(differ, abs(other.inspect(image).score - score))
    for each in (judge, other):
        if each:
            each.close()
    good, bad = (np.array(scores[defective], np.float32) for defective in (False, True))
    return Trial(about, good, bad, tuple(truths), differ)
