"""What is said of a run: figures with their intervals, tables by class and by slice."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from calibration.evaluation import metrics
from calibration.evaluation.bootstrap import Estimate, interval, resample, share, widened
from calibration.evaluation.labels import LabelTable, label_tables
from calibration.evaluation.pixels import estimate_pixels
from calibration.evaluation.run import scores_of
from calibration.evaluation.sets import FOLDER, GOOD
from edge_agent.decision.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from calibration.evaluation.metrics import Metric, Scores
    from calibration.evaluation.run import Run, Seen

RATES = (0.005, 0.01, 0.05)
"""The false reject rates at which the recall is told."""

METRICS: dict[str, Metric] = {
    "auroc": metrics.auroc,
    "average_precision": metrics.average_precision,
    **{f"recall_at_fpr_{rate}": metrics.recall_at_fpr(rate) for rate in RATES},
    "false_rejects_at_zero_escapes": metrics.false_rejects_at_zero_escapes,
}
"""The metrics of image scores, by name."""

_FIRST = 0.01
"""The false reject rate whose recall tables show."""


class Verdicts(msgspec.Struct, frozen=True):
    """How many images came out how."""

    ok: int = 0
    review: int = 0
    ng: int = 0
    invalid: int = 0


class Group(msgspec.Struct, frozen=True):
    """The figures of some of the images: a kind of defect, or a slice.

    Attributes:
        name: Of the kind or slice.
        good: How many good images.
        bad: How many defective images.
        good_verdicts: How the good ones came out.
        bad_verdicts: How the defective ones came out.
        auroc: Of their scores; None where good or defective ones are missing.
        recall: At 1 % false rejects, as `recall_at_fpr`; None likewise.
        escapes: Share of the defective ones that came out `ok`.
        false_rejects: Share of the good ones that came out `ng`.
    """

    name: str
    good: int
    bad: int
    good_verdicts: Verdicts
    bad_verdicts: Verdicts
    auroc: Estimate | None
    recall: Estimate | None
    escapes: Estimate | None
    false_rejects: Estimate | None


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one bundle on one set; field names are those of `--json`.

    Attributes:
        auroc: Image AUROC.
        average_precision: Depends on the share of defective images, `bad` of `good + bad`.
        recall_at_fpr: By false reject rate.
        false_rejects_at_zero_escapes: Share of good images lost if no defective one may pass.
        pixel_auroc: None where no defect has a mask.
        aupro: Up to a false positive rate of 0.3; None likewise.
        overall: Everything together; its shares are those at the bundle's thresholds.
        confusion: Verdicts of good images, and of each kind of defect.
        labels: What each classifier took the images for; none where no stage is one.
        invalid: What made images `invalid`, and how many of them, the commonest first.
        kinds: By kind of defect, each against all good images.
        slices: By what the set was sliced by, the worst first.
    """

    auroc: Estimate
    average_precision: Estimate
    recall_at_fpr: dict[str, Estimate]
    false_rejects_at_zero_escapes: Estimate
    pixel_auroc: Estimate | None
    aupro: Estimate | None
    overall: Group
    confusion: dict[str, Verdicts]
    labels: tuple[LabelTable, ...]
    invalid: dict[str, int]
    kinds: tuple[Group, ...]
    slices: tuple[Group, ...]


def evaluate_run(run: Run, *, by: str = "", resamples: int, seed: int) -> Evaluation:
    """Work out the figures of a run.

    Args:
        run: The run.
        by: What the set was sliced by; by `folder`, the slices are the kinds of defects.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.
    """
    scores = run.scores
    found = {name: _estimate(name, scores, resamples, seed) for name in METRICS}
    counted = estimate_pixels(run.good_pixels, run.bad_pixels, resamples=resamples, seed=seed)
    pixels = counted.estimates() if counted else (None, None)
    good = [each for each in run.seen if each.is_good]
    kinds = []
    for kind in sorted({each.item.kind for each in run.seen} - {GOOD}):
        mine = [each for each in run.seen if each.item.kind == kind]
        kinds.append(group(kind, [*good, *mine], resamples=resamples, seed=seed))
    slices = list(kinds) if by == FOLDER else []
    for name in sorted({each.item.slice for each in run.seen} - {""}) if by != FOLDER else ():
        mine = [each for each in run.seen if each.item.slice == name]
        slices.append(group(name, mine, resamples=resamples, seed=seed))
    return Evaluation(
        auroc=found["auroc"],
        average_precision=found["average_precision"],
        recall_at_fpr={str(rate): found[f"recall_at_fpr_{rate}"] for rate in RATES},
        false_rejects_at_zero_escapes=found["false_rejects_at_zero_escapes"],
        pixel_auroc=pixels[0],
        aupro=pixels[1],
        overall=group("all", run.seen, resamples=resamples, seed=seed),
        confusion={GOOD: verdicts(good), **{kind.name: kind.bad_verdicts for kind in kinds}},
        labels=label_tables(run),
        invalid=dict(Counter(each.hindrance for each in run.seen if each.hindrance).most_common()),
        kinds=tuple(kinds),
        slices=tuple(sorted(slices, key=_badness)),
    )


def group(name: str, seen: Sequence[Seen], *, resamples: int, seed: int) -> Group:
    """Work out the figures of some of the images."""
    good = [each for each in seen if each.is_good]
    bad = [each for each in seen if not each.is_good]
    scores = scores_of(seen)
    both = len(scores.good) > 0 and len(scores.bad) > 0
    of_good, of_bad = verdicts(good), verdicts(bad)
    return Group(
        name=name,
        good=len(good),
        bad=len(bad),
        good_verdicts=of_good,
        bad_verdicts=of_bad,
        auroc=_estimate("auroc", scores, resamples, seed) if both else None,
        recall=_estimate(f"recall_at_fpr_{_FIRST}", scores, resamples, seed) if both else None,
        escapes=share(of_bad.ok, len(bad)),
        false_rejects=share(of_good.ng, len(good)),
    )


def verdicts(seen: Sequence[Seen]) -> Verdicts:
    """Count verdicts."""
    counts = Counter(each.verdict for each in seen)
    return Verdicts(*(counts[each] for each in _ORDER))


_ORDER = (Verdict.OK, Verdict.REVIEW, Verdict.NG, Verdict.INVALID)


def _estimate(name: str, scores: Scores, resamples: int, seed: int) -> Estimate:
    metric = METRICS[name]
    value = float(metric(scores, metrics.once(scores))[0])
    found = interval(value, resample(metric, scores, resamples=resamples, seed=seed))
    if name == "auroc":
        return widened(found, min(len(scores.good), len(scores.bad)))
    if name.startswith("recall"):
        return widened(found, len(scores.bad))
    if name.startswith("false_rejects"):
        return widened(found, len(scores.good))
    return found


def _badness(slice_: Group) -> tuple[float, str]:
    """Sort slices by the share of their images that came out wrong, the worst first."""
    stopped = slice_.good - slice_.good_verdicts.ok
    wrong = slice_.bad_verdicts.ok + stopped
    return -wrong / max(1, slice_.good + slice_.bad), slice_.name
