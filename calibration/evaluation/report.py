"""The report: one bundle's figures, or two bundles side by side, as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from calibration.evaluation.compare import Comparison, compare_runs
from calibration.evaluation.figures import Evaluation, evaluate_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from calibration.evaluation.run import Run, Seen

SCHEMA = "edge/evaluation/1"
WORST = 10
"""Mistakes of each sort that a report names and shows."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How an evaluation is made.

    Attributes:
        folder: The set, as given.
        by: What it is sliced by; empty for nothing.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.
    """

    folder: str
    by: str
    resamples: int
    seed: int


class Side(msgspec.Struct, frozen=True):
    """One bundle: what it made of the images, and what that says of it."""

    run: Run
    evaluation: Evaluation


class Report(msgspec.Struct, frozen=True):
    """An evaluation.

    Attributes:
        options: How it was made.
        sides: One bundle, or two.
        comparison: The second against the first; None for one.
    """

    options: Options
    sides: tuple[Side, ...]
    comparison: Comparison | None


def make_report(runs: Sequence[Run], options: Options) -> Report:
    """Work out all figures of one run, or of two over the same set."""
    resamples, seed = options.resamples, options.seed
    sides = tuple(
        Side(run, evaluate_run(run, by=options.by, resamples=resamples, seed=seed)) for run in runs
    )
    paired = None
    if len(runs) == 2:
        paired = compare_runs(runs[0], runs[1], resamples=resamples, seed=seed)
    return Report(options, sides, paired)


def worst_good(run: Run) -> list[Seen]:
    """Return the good images with the highest scores, the worst first."""
    good = [each for each in run.seen if each.is_good and each.score is not None]
    return sorted(good, key=lambda each: -(each.score or 0.0))[:WORST]


def worst_bad(run: Run) -> list[Seen]:
    """Return the defective images with the lowest scores, the worst first."""
    bad = [each for each in run.seen if not each.is_good and each.score is not None]
    return sorted(bad, key=lambda each: each.score or 0.0)[:WORST]


def to_json(report: Report) -> bytes:
    """Write a report as JSON: the first bundle's figures, and the second's below `second`."""
    options = report.options
    content = {"schema": SCHEMA, "set": options.folder, **_side(report.sides[0])}
    if report.comparison:
        content["second"] = _side(report.sides[1])
        content["comparison"] = msgspec.to_builtins(report.comparison)
    content["settings"] = {
        "by": options.by,
        "seed": options.seed,
        "resamples": options.resamples,
        "interval": "95 %, percentile bootstrap, stratified; shares of verdicts after Wilson",
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n"


def _side(side: Side) -> dict[str, Any]:
    run, manifest = side.run, side.run.bundle.manifest
    return {
        "bundle": {
            "name": manifest.name,
            "version": manifest.version,
            "digest": run.bundle.digest,
            "engine": run.engine,
            "thresholds": msgspec.to_builtins(manifest.thresholds),
            "per_part_ms": run.per_part_ms,
        },
        **msgspec.to_builtins(side.evaluation),
        "images": {
            "judged": len(run.seen),
            "light_watched": run.watched,
            "with_masks": len(run.bad_pixels),
            "resized_masks": run.resized_masks,
            "empty_masks": run.empty_masks,
            "left_out": msgspec.to_builtins(run.left_out),
        },
        "worst_good": [_image(each) for each in worst_good(run)],
        "worst_bad": [_image(each) for each in worst_bad(run)],
    }


def _image(seen: Seen) -> dict[str, Any]:
    return {
        "path": str(seen.item.path),
        "kind": seen.item.kind,
        "score": seen.score,
        "verdict": seen.verdict.value,
    }
