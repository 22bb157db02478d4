"""What `edge-agent commission` says on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import typer

from calibration import figures, twins

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from calibration.commission import Fitted, Plan
    from calibration.figures import Trial
    from calibration.lot import Lot

_T = TypeVar("_T")
_SHOWN = 10
_CELL_PX = 8.0
"""Pixels of the model's input that a defect should cover: half a cell of its map."""


def check_defect(parts: Lot, plan: Plan, defect_px: float) -> None:
    """Warn where the smallest defect wanted all but vanishes in the model's input."""
    height, width = parts.good.shapes[0][:2]
    spec, box = plan.input, plan.input.roi
    if spec.pose is not None:  # the view is as wide as the part is long, whatever the frame's shape
        scale = min(spec.width / (spec.pose.length * box.width * width), 1.0)
    else:
        scale = min(spec.width / (box.width * width), spec.height / (box.height * height), 1.0)
    if 0 < defect_px * scale < _CELL_PX:
        side = (spec.width * spec.height) ** 0.5  # what --input asks for; turned views are as large
        needed = 16 * round(_CELL_PX / (defect_px * scale) * side / 16 + 0.5)
        warn(
            f"a defect of {defect_px:g} px is {defect_px * scale:.1f} px in the model's input, too "
            f"small to be seen reliably: give --input {needed}, or a --roi around the part"
        )


def show_odd(parts: Lot, *, dropped: bool) -> None:
    """List the odd images before anything is fitted to them."""
    if not parts.odd:
        return
    what = "left out" if dropped else "kept; look at them, and give --drop-odd to leave them out"
    warn(f"{len(parts.odd)} of {len(parts.files)} good parts are unlike the others ({what}):")
    for odd in parts.odd[:_SHOWN]:
        file = parts.files[odd.number]
        typer.echo(f"  {file}  score {odd.score:.2f}, {odd.times:.1f} times the median", err=True)
    if len(parts.odd) > _SHOWN:
        typer.echo(f"  and {len(parts.odd) - _SHOWN} more", err=True)


def odd_notes(parts: Lot) -> list[str]:
    """Say for the card which odd images were kept."""
    if not parts.odd:
        return []
    names = ", ".join(parts.files[odd.number].name for odd in parts.odd[:_SHOWN])
    return [f"{len(parts.odd)} good parts are unlike the others and were kept: {names}"]


def tell(plan: Plan, parts: Lot, fitted: Fitted, trial: Trial | None) -> None:
    """Say what is known of false rejects, and of what is caught."""
    limits, scores = fitted.thresholds, fitted.out_of_sample
    above = figures.share_from(scores, limits.ng)
    low, high = above.interval()
    different = twins.count(parts.good.material.twins)
    promised = plan.allowed.by(different).false_rejects
    typer.echo(
        f"False rejects: asked {plan.allowed.false_rejects:.2%}, set for {promised:.2%}; of these "
        f"{above.of} good parts, each by a fit without it, {above.hits} come out ng "
        f"(95 % confidence: {low:.1%} to {high:.1%} of good parts)"
    )
    if promised > plan.allowed.false_rejects:
        typer.echo(
            f"{different} good parts cannot promise less than {promised:.1%}: "
            f"{round(1 / plan.allowed.false_rejects)} would be needed for what was asked"
        )
    if trial is None or not len(trial.bad):
        typer.echo("No bad parts were given: what share of defects is caught is not known")
        return
    area = figures.auroc(trial.good, trial.bad)
    caught = figures.share_from(trial.bad, limits.ng)
    low, high = caught.interval()
    passed = float((trial.bad < limits.review).mean())
    typer.echo(
        f"Of {caught.of} bad parts {caught.value:.0%} come out ng ({low:.0%} to {high:.0%}), "
        f"{1 - passed - caught.value:.0%} go to a person, {passed:.0%} pass as ok; against "
        f"{len(trial.good)} good parts image AUROC {area:.3f}; of those "
        f"{figures.share_from(trial.good, limits.ng).hits} come out ng"
    )


def track(console: Console, items: list[_T], what: str) -> Iterator[_T]:
    """Show how far it is while items are gone through."""
    from rich import progress  # noqa: PLC0415 - heavy

    return iter(progress.track(items, what, len(items), console=console))


def warn(text: str) -> None:
    """Tell what a person should know, beside the results."""
    typer.echo(f"Note: {text}", err=True)
