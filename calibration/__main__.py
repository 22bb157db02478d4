"""`python -m calibration`: make a bundle from good parts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from calibration.thresholds import Allowed
from edge_agent.camera.frame import Image, Truth
from edge_agent.camera.images import read_image
from edge_agent.camera.roi import Roi
from edge_agent.cli.errors import run_app
from edge_agent.errors import ImageError, UsageError
from edge_agent.inspection.spec import Input
from edge_agent.topics import is_name

app = typer.Typer(no_args_is_help=True)
_CONSOLE = Console(stderr=True)


@app.callback()
def calibration() -> None:
    """Commission a station: from good parts to a bundle."""


@app.command()
def fit(
    good: Annotated[Path, typer.Option(help="Folder with images of good parts.")],
    out: Annotated[Path, typer.Option(help="The bundle to write.")],
    test: Annotated[
        Path | None,
        typer.Option(help="Folder with good/ and one folder for each defect: measures the model."),
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the bundle; else that of the folder.")] = "",
    version: Annotated[str, typer.Option(help="Version of the bundle.")] = "1",
    roi: Annotated[
        str, typer.Option(help="Where parts lie: x,y,width,height in shares of the frame.")
    ] = "0,0,1,1",
    size: Annotated[
        int, typer.Option("--input", help="Pixels of the model's input, a multiple of 16.")
    ] = 256,
    false_rejects: Annotated[
        float, typer.Option(help="Share of good parts that the line can bear to lose.")
    ] = 0.003,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
) -> None:
    """Fit an anomaly model to a folder of good parts.

    Example: python -m calibration fit --good parts/good --out gasket.bundle
    """
    from calibration import commission, figures, frames, trials  # noqa: PLC0415 - an extra

    plan = commission.Plan(
        name=name or _name_of(good),
        version=version,
        about=f"Images of good parts from the folder `{good.resolve().name}`.",
        input=Input(height=size, width=size, roi=_roi(roi)),
        seed=seed,
        allowed=Allowed(false_rejects=false_rejects, reviews=max(0.01, 2 * false_rejects)),
    )
    files = frames.good_files(good)
    seen = track(frames.read_good(files), "Good parts", len(files), console=_CONSOLE)
    lot = commission.collect(seen, plan.input)
    with _CONSOLE.status("Fitting"):
        fitted = commission.fit(plan, lot)
    trial = None
    if test:
        labelled = frames.labelled_files(test)
        parts = track(_read(labelled), "Test parts", len(labelled), console=_CONSOLE)
        about = f"Images of the folder `{test.resolve().name}`."
        trial = trials.try_out(plan, fitted, parts, about=about)
    bundle = commission.pack(out, plan, lot, fitted, trial=trial)
    card = out.with_suffix(".md")
    card.write_bytes(bundle.files[bundle.manifest.card])
    limits = bundle.manifest.thresholds
    typer.echo(
        f"{out}: {bundle.label}, {out.stat().st_size / 1e6:.1f} MB; {len(fitted.out_of_sample)} "
        f"good parts; ng from {limits.ng:.2f}, review from {limits.review:.2f}\n"
        f"{card}: its card, with what it can see and what it cannot"
    )
    if trial is not None and len(trial.good) and len(trial.bad):
        caught = float((trial.bad >= limits.ng).mean())
        passed = float((trial.bad < limits.review).mean())
        low, high = figures.auroc_interval(trial.good, trial.bad)
        typer.echo(
            f"On {len(trial.good)} good and {len(trial.bad)} defective parts: image AUROC "
            f"{figures.auroc(trial.good, trial.bad):.3f} ({low:.3f} to {high:.3f}); of the "
            f"defective ones {caught:.0%} ng, {passed:.0%} ok, the rest for a person"
        )


def _read(labelled: list[tuple[Path, Truth]]) -> Iterator[tuple[Image, Truth]]:
    for file, truth in labelled:
        try:
            yield read_image(file), truth
        except ImageError as error:
            typer.echo(f"left out: {error}", err=True)


def _name_of(folder: Path) -> str:
    """Name a bundle after a folder: of `press4/train/good`, `press4`."""
    parts = [part for part in folder.resolve().parts if part not in {"good", "train"}]
    if not is_name(parts[-1]):
        raise UsageError(f"{folder}: its name cannot name a bundle: give --name")
    return parts[-1]


def _roi(text: str) -> Roi:
    try:
        x, y, width, height = (float(number) for number in text.split(","))
        return Roi(x, y, width, height)
    except ValueError as error:
        raise UsageError(
            f"--roi {text}: give x,y,width,height in shares of the frame, such as "
            f"0.2,0.1,0.6,0.8 ({error})"
        ) from error


if __name__ == "__main__":
    run_app(app)
