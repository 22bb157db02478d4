"""`edge-agent bundle import`: bring a model of another library."""

from __future__ import annotations

import re
from contextlib import contextmanager
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from edge_agent.errors import ImageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.console import Console
    from rich.progress import Progress

    from calibration.importing.bundling import Images, Imported, Named
    from calibration.importing.convert import Converted
    from calibration.importing.facts import Given
    from calibration.importing.reading import ModelFile
    from edge_agent.camera.roi import Roi

_MOST_IMAGES = 200
"""Images of a folder that are read at most; more are thinned out evenly."""


class TaskChoice(StrEnum):
    """What a model does."""

    ANOMALY = "anomaly"
    CLASSIFY = "classify"
    DETECT = "detect"
    SEGMENT = "segment"


class OrderChoice(StrEnum):
    """The order of a model's channels."""

    BGR = "BGR"
    RGB = "RGB"
    GREY = "GREY"


class FitChoice(StrEnum):
    """How an image is made to fit a model's input."""

    STRETCH = "stretch"
    LETTERBOX = "letterbox"
    CROP = "crop"


def bundle_import(  # noqa: PLR0917 - typer reads its options from the signature
    model: Annotated[Path, typer.Argument(help="The model's file: .onnx or .tflite.")],
    out: Annotated[Path, typer.Option(help="The bundle to write.")],
    task: Annotated[
        TaskChoice | None, typer.Option(help="What it does; else as the file says.")
    ] = None,
    labels: Annotated[
        str, typer.Option(help="Labels by class number: a file with one a line, or a,b,c.")
    ] = "",
    good: Annotated[
        list[str] | None, typer.Option(help="Label of good parts; may be given again.")
    ] = None,
    defects: Annotated[
        list[str] | None, typer.Option(help="Label of a defect; may be given again.")
    ] = None,
    expect: Annotated[
        list[str] | None,
        typer.Option(metavar="LABEL=N", help="So many must be found; may be given again."),
    ] = None,
    golden: Annotated[
        Path | None, typer.Option(help="Folder with images of good parts: samples, light limits.")
    ] = None,
    challenge: Annotated[
        Path | None, typer.Option(help="Folder with images of bad parts: samples.")
    ] = None,
    calibrate: Annotated[
        Path | None, typer.Option(help="Folder with images of the station: makes it int8 (ONNX).")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option("--threshold", "--ng", help="Score from which a part is ng.")
    ] = None,
    review: Annotated[float | None, typer.Option(help="Score from which a person decides.")] = None,
    confidence: Annotated[
        float | None, typer.Option(min=0, max=1, help="Of a finding, at least (detect, segment).")
    ] = None,
    overlap: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Boxes that overlap by more are one thing; else 0.45."),
    ] = None,
    size: Annotated[
        str, typer.Option("--input", metavar="HxW", help="Pixels, for a model that takes any size.")
    ] = "",
    scale: Annotated[str, typer.Option(help="Pixels are multiplied by it first, e.g. 1/255.")] = "",
    mean: Annotated[
        str, typer.Option(help="Then it is subtracted: one number, or one a channel: a,b,c.")
    ] = "",
    std: Annotated[str, typer.Option(help="Then it is divided by: the same.")] = "",
    order: Annotated[OrderChoice | None, typer.Option(help="Of the model's channels.")] = None,
    fit: Annotated[
        FitChoice | None, typer.Option(help="How an image is made to fit the input.")
    ] = None,
    roi: Annotated[
        str, typer.Option(help="Where it looks: x,y,width,height in shares of the frame.")
    ] = "",
    name: Annotated[str, typer.Option(help="Name of the bundle; else that of the file.")] = "",
    version: Annotated[str, typer.Option(help="Version of the bundle.")] = "1",
) -> None:
    """Make a bundle of a model that Ultralytics, anomalib, timm, torchvision or Keras exported.

    What the file says of itself is used: task, labels, size, normalisation, threshold. What it
    does not say is asked for, or said aloud. docs/import.md tells how to export from each library.

    Example: edge-agent bundle import best.onnx --out chips.bundle --defects chip --golden good/
    """
    from rich.console import Console  # noqa: PLC0415 - heavy, as are all below

    from calibration.importing.bundling import pack  # noqa: PLC0415
    from calibration.importing.reading import read_model  # noqa: PLC0415
    from edge_agent.topics import is_name  # noqa: PLC0415

    console = Console(stderr=True)
    given = _given(
        task, labels, good, defects, expect,
        size=size, scale=scale, mean=mean, std=std, order=order, fit=fit, roi=roi,
        ng=threshold, review=review, confidence=confidence, overlap=overlap,
    )  # fmt: skip
    name = name or _name_of(model)
    if not is_name(name):
        raise UsageError(f"--name {name}: give letters, digits, dots, dashes and underscores")
    with _steps(console) as steps:
        steps.step("Reading the model")
        file = read_model(model)
        steps.step("Finding out what it is")
        converted = _convert(file, given)
        images = _images(golden, challenge, calibrate, console)
        made = pack(
            out, file, converted, given, images,
            name=name, version=version, step=steps.step, track=steps.track,
        )  # fmt: skip
    _tell(out, converted.reading.source, made)


def _convert(file: ModelFile, given: Given) -> Converted:
    if file.form == "tflite":
        from calibration.importing.convert_lite import convert as convert_lite  # noqa: PLC0415

        return convert_lite(file, given)
    from calibration.importing.convert import convert  # noqa: PLC0415 - as above

    return convert(file, given)


def _given(
    task: TaskChoice | None,
    labels: str,
    good: list[str] | None,
    defects: list[str] | None,
    expect: list[str] | None,
    *,
    size: str,
    scale: str,
    mean: str,
    std: str,
    order: OrderChoice | None,
    fit: FitChoice | None,
    roi: str,
    ng: float | None,
    review: float | None,
    confidence: float | None,
    overlap: float | None,
) -> Given:
    """Put together what a person says of the model."""
    from calibration.importing import labels as naming  # noqa: PLC0415 - as above
    from calibration.importing.facts import Fit, Given, Order, TaskName  # noqa: PLC0415

    return Given(
        task=next((each for each in get_args(TaskName) if task and each == task.value), None),
        labels=naming.given(labels),
        good=_listed(good),
        defects=_listed(defects),
        expected=_expected(expect or []),
        size=_size(size) if size else None,
        scale=_row("--scale", scale)[0] if scale else None,
        mean=_row("--mean", mean),
        std=_row("--std", std),
        order=next((each for each in get_args(Order) if order and each == order.value), None),
        fit=next((each for each in get_args(Fit) if fit and each == fit.value), None),
        roi=_roi(roi),
        ng=ng,
        review=review,
        confidence=confidence,
        overlap=overlap,
    )


def _listed(some: list[str] | None) -> tuple[str, ...]:
    """Return labels given one by one, or with commas between."""
    return tuple(each.strip() for text in some or [] for each in text.split(",") if each.strip())


def _expected(pairs: list[str]) -> dict[str, int]:
    found = {}
    for pair in pairs:
        label, _, count = pair.rpartition("=")
        if not label or not count.isdigit() or not 1 <= int(count) <= 1000:
            raise UsageError(f"--expect {pair}: give LABEL=N, such as screw=4")
        found[label] = int(count)
    return found


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,4})(?:[xX,](\d{1,4}))?", text)
    rows, columns = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not (8 <= rows <= 8192 and 8 <= columns <= 8192):
        raise UsageError(f"--input {text}: give HEIGHTxWIDTH in pixels, such as 224x224")
    return rows, columns


def _roi(text: str) -> Roi:
    from edge_agent.camera.roi import Roi  # noqa: PLC0415 - as above

    try:
        return Roi(*_row("--roi", text)) if text else Roi()
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"--roi {text}: give x,y,width,height in shares of the frame, such as 0.2,0.1,0.6,0.8"
        ) from error


def _row(option: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(Fraction(each.strip())) for each in text.split(",")) if text else ()
    except (ValueError, ZeroDivisionError) as error:
        raise UsageError(
            f"{option} {text}: give one number, or one for each channel, such as 0.485,0.456,0.406"
        ) from error


def _name_of(model: Path) -> str:
    """Name a bundle after a model's file."""
    stem = (
        model.stem if model.stem not in {"model", "best", "last"} else model.resolve().parent.name
    )
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:64] or "imported"


def _images(
    golden: Path | None, challenge: Path | None, calibrate: Path | None, console: Console
) -> Images:
    from calibration.importing.bundling import Images  # noqa: PLC0415 - as above

    return Images(
        golden=_read("--golden", golden, console),
        challenge=_read("--challenge", challenge, console),
        calibrate=_read("--calibrate", calibrate, console),
    )


def _read(option: str, folder: Path | None, console: Console) -> list[Named]:
    """Read the images of a folder; one that cannot be read is named and left out."""
    if folder is None:
        return []
    from calibration.frames import good_files  # noqa: PLC0415 - as above
    from edge_agent.camera.images import read_image  # noqa: PLC0415

    found = []
    for file in good_files(folder, limit=_MOST_IMAGES):
        try:
            found.append((file.name, read_image(file)))
        except ImageError as error:
            console.print(f"left out: {error}", markup=False, soft_wrap=True)
    if not found:
        raise UsageError(f"{option} {folder}: holds no image that can be read")
    return found


class _Steps:
    """What is being done, where a person looks at it."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._line = bar.add_task("", total=None)

    def step(self, what: str) -> None:
        """Say what begins."""
        self._bar.update(self._line, description=what, total=None, completed=0)

    def track(self, names: Iterable[str], what: str, count: int) -> Iterable[str]:
        """Show how far it is while something is gone through."""
        begun = f"Quantizing: {what.lower()}"
        self._bar.update(self._line, description=begun, total=count, completed=0)
        for name in names:
            yield name
            self._bar.advance(self._line)
        self.step("Quantizing")


@contextmanager
def _steps(console: Console) -> Iterator[_Steps]:
    from rich.progress import (  # noqa: PLC0415 - as above
        BarColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        yield _Steps(bar)


def _tell(out: Path, source: str, made: Imported) -> None:
    """Say what the bundle is, and what a person should know of it."""
    stage, limits = made.stage, made.stage.thresholds
    view = stage.input
    kinds = [sample.kind for sample in made.bundle.manifest.samples]
    typer.echo(
        f"{out}: {made.bundle.label}, {out.stat().st_size / 1e6:.1f} MB; {stage.name}, of "
        f"{source}; {view.width} x {view.height} {view.order}, {view.fit}"
    )
    if limits is not None:
        typer.echo(
            f"ng from {limits.ng:.4g}, review from {limits.review:.4g}; "
            f"{kinds.count('golden')} golden and {kinds.count('challenge')} challenge samples"
        )
    if made.int8:
        typer.echo(f"Precision: {made.int8}")
    if made.speed:
        typer.echo(f"Speed: {made.speed}")
    for note in made.notes:
        typer.echo(f"Note: {note}", err=True)
