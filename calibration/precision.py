"""What eight bits cost at this station: the fitted model against the same in float.

Float is fitted to float features and gets thresholds of its own: a head that was fitted to int8
features judges float ones too hard, and would make int8 look better than it is. Good parts are
scored by fits without them, or are parts that no fit saw.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from calibration import (
    anomaly,
    commission,
    features,
    figures,
    head,
    marks,
    nuisances,
    symmetry,
    thresholds,
    twins,
)  # fmt: skip
from calibration.figures import Share
from calibration.projection import Floats
from edge_agent.decision.verdict import Thresholds, judge
from edge_agent.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from calibration.commission import Fitted, Good, Plan
    from edge_agent.camera.frame import Image, Truth
    from edge_agent.inspection.tasks.anomaly import AnomalyInspector

_FLOAT_TRUNK = "lite0_float.onnx"

TESTED = 200
"""Parts of known truth that are enough to compare."""

_NONE = np.zeros(0, np.float32)


class Scores(msgspec.Struct, frozen=True):
    """What one way to run the model says of the parts.

    Attributes:
        good: float32: of good parts that the fit did not see.
        bad: float32: of bad parts; empty where none are known.
        limits: The thresholds that such scores are judged by.
    """

    good: Floats
    bad: Floats
    limits: Thresholds

    @property
    def all(self) -> Floats:
        """Return the scores of all parts, good ones first."""
        return np.concatenate([self.good, self.bad])

    @property
    def auroc(self) -> tuple[float, float, float] | None:
        """Return the image AUROC with its 95 % interval; None without bad parts."""
        if not len(self.bad) or not len(self.good):
            return None
        area = figures.auroc(self.good, self.bad)
        return (area, *figures.auroc_interval(self.good, self.bad))

    def verdicts(self) -> list[str]:
        """Return the verdicts of all parts."""
        return [judge(score, self.limits, ()).verdict for score in self.all.tolist()]


class Precision(msgspec.Struct, frozen=True, kw_only=True):
    """The model in float and in eight bits, on the same parts.

    Attributes:
        fitted_to: Good parts that float and int8 were each fitted to.
        fresh: The good parts are parts that were not fitted to; else each is scored by a fit
            without it.
        plain: In float, fitted to float features.
        int8: In eight bits, with ONNX Runtime.
        litert: In eight bits, with LiteRT; None where there is no such model.
    """

    fitted_to: int
    fresh: bool
    plain: Scores
    int8: Scores
    litert: Scores | None

    def agreement(self, other: Scores) -> Share:
        """Return how many parts get the same verdict as in int8."""
        pairs = zip(self.int8.verdicts(), other.verdicts(), strict=True)
        return Share(sum(one == two for one, two in pairs), len(self.int8.all))

    def turned(self, other: Scores) -> Share:
        """Return how many parts go from `ok` to `ng` or back: `review` is between them."""
        pairs = zip(self.int8.verdicts(), other.verdicts(), strict=True)
        return Share(sum({one, two} == {"ok", "ng"} for one, two in pairs), len(self.int8.all))

    def changes(self, other: Scores) -> Floats:
        """Return how far scores lie from those in int8, float32 (parts,).

        In shares of the `ng` threshold, or of the score where that is higher: how far above the
        threshold a score lies decides nothing.
        """
        against = np.maximum(self.int8.all, self.int8.limits.ng)
        return np.asarray(np.abs(self.int8.all - other.all) / against, np.float32)


def float_trunk_file() -> Path:
    """Find the float trunk.

    Raises:
        UsageError: It is not there.
    """
    path = features.trunk_file().with_name(_FLOAT_TRUNK)
    if not path.is_file():
        raise UsageError(f"{path}: is missing: make it with `python -m models --only trunk`")
    return path


def chosen(labelled: Sequence[tuple[Path, Truth]], most: int = TESTED) -> list[tuple[Path, bool]]:
    """Pick so many files of known truth, evenly; say of each whether it is bad."""
    places = np.linspace(0, len(labelled) - 1, min(most, len(labelled))).round().astype(int)
    return [(labelled[place][0], bool(labelled[place][1].defect)) for place in places.tolist()]


def compare(
    plan: Plan, good: Good, fitted: Fitted, *, parts: Iterable[tuple[Image, bool]] = ()
) -> Precision:
    """Compare a fitted model with the same in float.

    The good parts are those that were kept whole, at most `commission.MAX_KEPT`: where there were
    more, int8 is fitted anew to these, so that both are fitted to the same.

    Args:
        plan: What was to be made.
        good: The good parts.
        fitted: The model.
        parts: Parts that were not fitted to, and whether each is bad (`chosen` picks some).

    Raises:
        UsageError: There is no float trunk.
    """
    numbers = [number for number, _ in good.kept]
    frames = [frame for _, frame in good.kept]
    every = len(good.material.features)
    kept = good.without(set(range(every)) - set(numbers)) if len(frames) < every else good
    out_of_sample = fitted.out_of_sample[numbers]
    if len(frames) < every:
        out_of_sample = commission.leave_one_out(plan, kept).scores()
    plain_good = _in_float(plan, kept, frames)
    plain_unseen = commission.leave_one_out(plan, plain_good)
    plain_scores = plain_unseen.scores()
    plain_fit = _fit_float(plan, plain_good, plain_unseen)

    judges = {
        "int8": commission.inspector(plan, fitted, "onnx"),
        "plain": commission.inspector(plan, plain_fit, "onnx"),
    }
    known = {"int8": out_of_sample, "plain": plain_scores}
    if "litert" in fitted.models:
        judges["litert"] = commission.inspector(plan, fitted, "litert")
        # Engines differ alike on parts that were fitted to and on others: only rounding differs.
        known["litert"] = out_of_sample + (
            _scores(judges["litert"], frames) - _scores(judges["int8"], frames)
        )
    tested, truths = _tested(judges, parts)
    for each in judges.values():
        each.close()
    limits = {
        "int8": fitted.thresholds,
        "plain": plain_fit.thresholds,
        "litert": fitted.thresholds,
    }
    fresh = bool(len(truths)) and not truths.all()
    scores = {
        name: Scores(
            tested[name][~truths] if fresh else known[name],
            tested[name][truths] if len(truths) else _NONE,
            limits[name],
        )
        for name in judges
    }
    return Precision(
        fitted_to=len(frames),
        fresh=fresh,
        plain=scores["plain"],
        int8=scores["int8"],
        litert=scores.get("litert"),
    )


def _in_float(plan: Plan, good: Good, frames: list[Image]) -> Good:
    """Look at good parts with the float trunk."""
    trunk = float_trunk_file()
    extractor = features.Extractor(plan.input, trunk=trunk)
    seen = np.stack([extractor.features(frame) for frame in frames])
    changes = marks.changes(frames, plan.input, trunk=trunk)
    moved = nuisances.measure(list(enumerate(frames)), extractor, plan.looked)
    material = anomaly.Material.of(seen, good.material.rows, changes, moved)
    material = msgspec.structs.replace(material, twins=good.material.twins, looked=plan.looked)
    if len(good.material.extra):
        views = [extractor.view(frame) for frame in frames]
        material, _ = symmetry.extend(material, views, extractor, dims=plan.dims, seed=plan.seed)
    return msgspec.structs.replace(good, material=material)


def _fit_float(plan: Plan, good: Good, unseen: anomaly.Unseen) -> Fitted:
    """Fit the float model."""
    fitted = anomaly.fit(good.material, unseen.weights(), dims=plan.dims, seed=plan.seed)
    trunk = features.load_trunk(plan.input.height, plan.input.width, path=float_trunk_file())
    model = head.attach(trunk, fitted).SerializeToString(deterministic=True)
    top = anomaly.top_of(good.material.features.shape[1])
    limits = thresholds.choose(
        unseen.scores(), plan.allowed, parts=twins.count(good.material.twins)
    )
    return commission.Fitted({"onnx": model}, top, unseen.scores(), limits)


def _scores(judge: AnomalyInspector, frames: Iterable[Image]) -> Floats:
    return np.array([judge.inspect(frame).score for frame in frames], np.float32)


def _tested(
    judges: dict[str, AnomalyInspector], parts: Iterable[tuple[Image, bool]]
) -> tuple[dict[str, Floats], np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Score parts of known truth; return the scores by judge, and which parts are bad."""
    found: dict[str, list[float]] = {name: [] for name in judges}
    truths: list[bool] = []
    for image, bad in parts:
        truths.append(bad)
        for name, judge_ in judges.items():
            found[name].append(judge_.inspect(image).score)
    scores = {name: np.array(values, np.float32) for name, values in found.items()}
    return scores, np.array(truths, np.bool_)
