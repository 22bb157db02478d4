"""`edge-agent evaluate`: how good is a bundle on images of known truth?"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_agent.cli.inspect import EngineChoice, LightChoice
from edge_agent.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from calibration.evaluation.report import Report
    from calibration.evaluation.run import Run

_SOME_LEFT_OUT = 1
_NAMED = 10
"""Files left out that are named on the terminal; the JSON names all."""


def evaluate(
    bundle: Annotated[Path, typer.Argument(help="The bundle file.")],
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="test/good, test/DEFECT and masks/DEFECT/NAME.png."),
    ],
    by: Annotated[
        str,
        typer.Option(help="Slice by: folder, a field of meta.json, or a regex with a (group)."),
    ] = "",
    compare: Annotated[
        Path | None, typer.Option(help="A second bundle, judged on the same images.")
    ] = None,
    json_file: Annotated[
        str, typer.Option("--json", help="Write the figures to FILE, or - for stdout.")
    ] = "",
    page: Annotated[
        Path | None, typer.Option(help="Write a page with plots and pictures to FILE.html.")
    ] = None,
    overlays: Annotated[
        Path | None, typer.Option(help="Write a picture of each mistake to DIR.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    engine: Annotated[EngineChoice, typer.Option(help="What runs the model.")] = EngineChoice.AUTO,
    threads: Annotated[int, typer.Option(min=1, max=64, help="Processor threads.")] = 1,
    light: Annotated[
        LightChoice, typer.Option(help="Hold the light against the bundle's baseline, if any.")
    ] = LightChoice.ON,
) -> None:
    """Say how good a bundle is on images of known truth, and how sure one can be of that.

    A file that cannot be read is left out and named; the run goes on and ends with status 1.

    Example: edge-agent evaluate gasket.bundle images/ --by folder --page gasket.html --json -
    """
    from rich.console import Console  # noqa: PLC0415 - heavy, as are all below

    from calibration.evaluation.bootstrap import RESAMPLES  # noqa: PLC0415
    from calibration.evaluation.report import Options, make_report, to_json  # noqa: PLC0415
    from calibration.evaluation.run import evaluate_set  # noqa: PLC0415
    from calibration.evaluation.sets import read_set  # noqa: PLC0415
    from calibration.evaluation.summary import show  # noqa: PLC0415
    from edge_agent.inspection.engines import EngineSettings  # noqa: PLC0415
    from edge_agent.rollout.bundle import read_bundle  # noqa: PLC0415

    begin = time.monotonic()
    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    bundles = [read_bundle(file) for file in (bundle, compare) if file]
    images = read_set(folder, by)
    for name in images.empty:
        errors.print(f"{images.folder / name}: holds no images; left out", markup=False)
    with _progress(errors, len(bundles) * len(images.items)) as advance:
        runs = [
            evaluate_set(
                each,
                images,
                engine.value,
                EngineSettings(threads=threads),
                watch=light is LightChoice.ON,
                advance=advance,
            )
            for each in bundles
        ]
    _tell_left_out(runs[0], errors)
    options = Options(folder=str(folder), by=by, resamples=RESAMPLES, seed=seed)
    with errors.status("Working out the figures"):
        report = make_report(runs, options)
    if json_file == "-":
        typer.echo(to_json(report).decode(), nl=False)
    elif json_file:
        _write(Path(json_file), to_json(report))
    width = None if sys.stdout.isatty() else 150
    show(report, Console(width=width, stderr=json_file == "-", highlight=False))
    _pictures(report, page, overlays, errors)
    errors.print(
        f"{len(runs[0].seen)} images in {time.monotonic() - begin:.1f} s; "
        f"{runs[0].per_part_ms:.1f} ms a part ({runs[0].engine}, {threads} thread(s))"
        + ("" if runs[0].watched else "; the light was not watched"),
        markup=False,
    )
    if runs[0].left_out:
        raise typer.Exit(_SOME_LEFT_OUT)


@contextmanager
def _progress(console: Console, total: int) -> Iterator[Callable[[], None]]:
    """Show a progress bar on standard error, where a person looks at it."""
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn  # noqa: PLC0415

    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("judging", total=total)
        yield lambda: bar.advance(task)


def _tell_left_out(run: Run, console: Console) -> None:
    for each in run.left_out[:_NAMED]:
        console.print(f"left out: {each.reason}", markup=False)
    if len(run.left_out) > _NAMED:
        console.print(f"and {len(run.left_out) - _NAMED} more; --json names them all")
    if run.resized_masks:
        console.print(f"{run.resized_masks} masks have another size than their images: made to fit")


def _pictures(report: Report, page: Path | None, overlays: Path | None, console: Console) -> None:
    """Draw the mistakes, where they were asked for."""
    if page is None and overlays is None:
        return
    from calibration.evaluation.page import write_page  # noqa: PLC0415 - heavy
    from calibration.evaluation.sheet import draw_mistakes, draw_worst  # noqa: PLC0415 - heavy

    with console.status("Drawing the mistakes"):
        if overlays is not None:
            for name, picture in draw_mistakes(report.sides[0].run):
                _write(overlays / name, picture)
        if page is not None:
            tiles = [draw_worst(side.run) for side in report.sides]
            _write(page, write_page(report, tiles).encode())


def _write(file: Path, content: bytes) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    except OSError as error:
        raise UsageError(f"{file}: cannot be written: {error.strerror}") from error
