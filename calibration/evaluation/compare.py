"""Compare two bundles on the same images: paired, so that what the images share cancels out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from calibration.evaluation.bootstrap import Estimate, interval, resample
from calibration.evaluation.figures import METRICS
from calibration.evaluation.metrics import Scores, once
from calibration.evaluation.pixels import estimate_pixels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from calibration.evaluation.run import Run, Seen


class McNemar(msgspec.Struct, frozen=True):
    """Images that only one of two bundles got right, and how likely chance would do that.

    Attributes:
        only_first: Right by the first bundle alone.
        only_second: Right by the second bundle alone.
        p: Two-sided, exact: of a split at least as uneven if both were equally good.
    """

    only_first: int
    only_second: int
    p: float


class Comparison(msgspec.Struct, frozen=True):
    """The second bundle against the first, on the images that both could score.

    Attributes:
        good: How many good images.
        bad: How many defective images.
        differences: Second minus first, by metric; paired bootstrap intervals.
        verdicts: Of all images; right is a good part `ok`, a defective one anything but `ok`.
        good_verdicts: Of good images alone.
        bad_verdicts: Of defective images alone.
    """

    good: int
    bad: int
    differences: dict[str, Estimate]
    verdicts: McNemar
    good_verdicts: McNemar
    bad_verdicts: McNemar


def mcnemar(only_first: int, only_second: int) -> McNemar:
    """Test whether two bundles are right equally often (McNemar, 1947; the exact binomial form).

    Under that hypothesis each image that only one got right goes to either with probability 1/2.

    >>> mcnemar(1, 9).p
    0.021484375
    """
    total, least = only_first + only_second, min(only_first, only_second)
    tail = ways = 1  # ways to choose 0, 1, 2, ... of them: each from the one before
    for count in range(1, least + 1):
        ways = ways * (total - count + 1) // count
        tail += ways
    p = min(1.0, 2 * tail / 2**total)
    return McNemar(only_first, only_second, p)


def compare_runs(first: Run, second: Run, *, resamples: int, seed: int) -> Comparison:
    """Compare two runs over the same set."""
    others = {each.item.path: each for each in second.seen}
    pairs = [(each, others[each.item.path]) for each in first.seen if each.item.path in others]
    scored = [pair for pair in pairs if None not in {pair[0].score, pair[1].score}]
    one, two = (_scores([pair[which] for pair in scored]) for which in (0, 1))
    differences = {}
    for name, metric in METRICS.items():
        values = [float(metric(scores, once(scores))[0]) for scores in (one, two)]
        drawn = [
            resample(metric, scores, resamples=resamples, seed=seed) for scores in (one, two)
        ]  # the same seed draws the same images for both
        differences[name] = interval(values[1] - values[0], drawn[1] - drawn[0])
    differences |= _pixel_differences(first, second, resamples=resamples, seed=seed)
    return Comparison(
        len(one.good),
        len(one.bad),
        differences,
        _test(pairs),
        _test([pair for pair in pairs if pair[0].is_good]),
        _test([pair for pair in pairs if not pair[0].is_good]),
    )


def _pixel_differences(
    first: Run, second: Run, *, resamples: int, seed: int
) -> dict[str, Estimate]:
    """Return the differences of the pixel metrics; none where maps of an image are missing."""
    counts = [(len(run.good_pixels), len(run.bad_pixels)) for run in (first, second)]
    if counts[0] != counts[1]:
        return {}
    one, two = (
        estimate_pixels(run.good_pixels, run.bad_pixels, resamples=resamples, seed=seed)
        for run in (first, second)
    )
    if one is None or two is None:
        return {}
    return {
        name: interval(two.values[at] - one.values[at], two.resampled[at] - one.resampled[at])
        for at, name in enumerate(("pixel_auroc", "aupro"))
    }


def _scores(seen: Sequence[Seen]) -> Scores:
    good = [each.score for each in seen if each.is_good]
    bad = [each.score for each in seen if not each.is_good]
    return Scores(np.array(good, np.float64), np.array(bad, np.float64))


def _test(pairs: Sequence[tuple[Seen, Seen]]) -> McNemar:
    first = sum(one.is_right and not two.is_right for one, two in pairs)
    second = sum(two.is_right and not one.is_right for one, two in pairs)
    return mcnemar(first, second)
