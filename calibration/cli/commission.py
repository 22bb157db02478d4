"""`edge-agent commission`: from good parts to a bundle one can trust."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.console import Console

    from calibration.commission import Fitted, Plan
    from calibration.figures import Trial
    from calibration.lot import Lot
    from calibration.projection import Floats
    from edge_agent.camera.frame import Image, Truth
    from edge_agent.camera.roi import Roi

_T = TypeVar("_T")
_SHOWN = 10
_MOST_PX = 1024
_CELL_PX = 8.0
"""Pixels of the model's input that a defect should cover: half a cell of its map."""


def commission(  # noqa: PLR0917 - typer reads its options from the signature
    out: Annotated[Path, typer.Option(help="The bundle to write.")],
    good: Annotated[
        Path | None, typer.Option(help="Folder with images of good parts; or give --live.")
    ] = None,
    live: Annotated[
        str,
        typer.Option(
            metavar="STATION", help="Take pictures of good parts with this station's camera."
        ),
    ] = "",
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="With --live: the agent's configuration file."),
    ] = None,
    wanted: Annotated[
        int, typer.Option("--parts", help="With --live: good parts to take.", min=5, max=1000)
    ] = 50,
    keep: Annotated[
        Path | None,
        typer.Option(help="With --live: folder for the pictures; else one beside the bundle."),
    ] = None,
    ng: Annotated[
        Path | None,
        typer.Option(help="Folder with images of bad parts: says what share of them is caught."),
    ] = None,
    test: Annotated[
        Path | None,
        typer.Option(help="Folder with good/ and one folder for each defect: measures the model."),
    ] = None,
    false_rejects: Annotated[
        str, typer.Option(help="Share of good parts that the line can bear to lose.")
    ] = "0.5%",
    report: Annotated[
        Path | None, typer.Option(help="Write a page (report.html) and the card to DIR.")
    ] = None,
    drop_odd: Annotated[  # noqa: FBT002 - a flag of the command line
        bool, typer.Option("--drop-odd", help="Leave odd images out; else they are only shown.")
    ] = False,
    defect: Annotated[
        float, typer.Option(help="Pixels of the smallest defect wanted; 0 asks for none.", min=0)
    ] = 0.0,
    name: Annotated[str, typer.Option(help="Name of the bundle; else that of the folder.")] = "",
    version: Annotated[str, typer.Option(help="Version of the bundle.")] = "1",
    roi: Annotated[
        str, typer.Option(help="Where parts lie: x,y,width,height in shares of the frame.")
    ] = "0,0,1,1",
    mask: Annotated[
        Path | None,
        typer.Option(help="A picture of the frame, white where parts are looked at."),
    ] = None,
    size: Annotated[
        str,
        typer.Option(
            "--input", help="Pixels of the model's input: one side, or HxW; multiples of 16."
        ),
    ] = "256",
    turn: Annotated[
        bool | None,
        typer.Option(
            "--turn/--no-turn",
            help="Find each part before its background and turn it level; else it is found out "
            "whether that helps.",
        ),
    ] = None,
    group_by: Annotated[
        str,
        typer.Option(
            help="Which images show one and the same part: a field of meta.json, or a regular "
            "expression with a group for the file name; else it is found out."
        ),
    ] = "",
    by: Annotated[
        str, typer.Option(help="Who makes the bundle, and when: kept in it, and in its card.")
    ] = "",
    seed: Annotated[int, typer.Option(help="Of everything random.", min=0)] = 0,
) -> None:
    """Fit an anomaly model to good parts, and say honestly what it can see.

    Example: edge-agent commission --good parts/good --out gasket.bundle --report gasket-report
    """
    from rich.console import Console  # noqa: PLC0415 - this and what follows: --help stays quick

    from calibration import commission as steps  # noqa: PLC0415
    from calibration import learning, lights, lot, page, precision, precision_told  # noqa: PLC0415
    from calibration.cli import given  # noqa: PLC0415

    console = Console(stderr=True)
    given.check_source(good, live, config, keep)
    plan = _plan(good, name or live, version, size=size, roi=roi, asked=false_rejects, seed=seed)
    given.check_rest(plan, out, report, ng=ng, test=test, mask=mask)
    good = good or given.taken(live, config, keep, out=out, wanted=wanted, console=console)
    parts = lot.read_lot(
        good,
        plan,
        lambda files: _track(console, files, "Good parts"),
        turn=turn,
        group_by=group_by,
        mask=mask,
    )
    plan = parts.plan
    for note in (*parts.notes, *parts.good.notes):
        _warn(note)
    _show_odd(parts, dropped=drop_odd)
    if parts.odd and drop_odd:
        parts = lot.drop_odd(parts)
    _check_defect(parts, plan, defect)
    with console.status("Fitting"):
        fitted = steps.fit(plan, parts.good, unseen=parts.unseen)
    trial, bad = None, None
    if ng:
        fitted, trial, bad = _with_bad(plan, parts, fitted, ng, console)
    if test:
        trial = _tested(plan, fitted, test, console)
    with console.status("Learning curve"):
        points = learning.curve(
            parts.good.material, parts.unseen, bad=bad, dims=plan.dims, seed=plan.seed
        )
    with console.status("Light"):
        light = lights.measure(plan, parts.good, parts.unseen, fitted)
    with console.status("Float and int8"):
        compared = precision.compare(plan, parts.good, fitted, parts=_some(ng, test))
    with console.status("Packing"):
        notes = [*parts.notes, *_odd_notes(parts), learning.advice(points)]
        bundle = steps.pack(
            out,
            plan,
            parts.good,
            fitted,
            trial=trial,
            notes=notes,
            provenance={"by": by} if by else {},
            light=(light.darkest, light.brightest),
            sections=[*lights.card_lines(light), *precision_told.card_lines(compared)],
        )
        card = bundle.files[bundle.manifest.card]
        if report:
            told = page.Told(
                plan=plan, parts=parts, fitted=fitted, trial=trial, points=points,
                notes=[*parts.good.notes, *notes],
                light=light, precision=compared, bad=_bad_files(ng, test),
            )  # fmt: skip
            page.write_report(report, told, card)
    limits = fitted.thresholds
    typer.echo(
        f"{out}: {bundle.label}, {out.stat().st_size / 1e6:.1f} MB; {len(parts.files)} good parts; "
        f"ng from {limits.ng:.3f}, review from {limits.review:.3f}"
    )
    _tell(plan, parts, fitted, trial)
    typer.echo(precision_told.advice(compared))
    typer.echo(lights.note(light).capitalize())
    typer.echo(learning.advice(points))
    if live:
        typer.echo(f"{good}: the pictures of good parts, for another time with --good")
    if report:
        typer.echo(f"{report / page.PAGE}: the report; {report / page.CARD}: the card")


def share(text: str) -> float:
    """Read a share: `0.5%` or `0.005`.

    Raises:
        UsageError: It is none, or not between 0 and 9 %.
    """
    from edge_agent.errors import UsageError  # noqa: PLC0415 - as above

    number = text.strip()
    try:
        value = float(number[:-1]) / 100 if number.endswith("%") else float(number)
    except ValueError:
        value = 0.0
    if not 0.0 < value <= 0.09:
        raise UsageError(f"--false-rejects {text}: give a share up to 9%, such as 0.5% or 0.005")
    return value


def _plan(
    good: Path | None, name: str, version: str, *, size: str, roi: str, asked: str, seed: int
) -> Plan:
    from calibration.commission import Plan  # noqa: PLC0415 - as above
    from calibration.thresholds import Allowed  # noqa: PLC0415
    from edge_agent.errors import UsageError  # noqa: PLC0415
    from edge_agent.inspection.spec import Input  # noqa: PLC0415

    if good and not good.is_dir():
        raise UsageError(f"{good}: no such folder")
    rejects = share(asked)
    wide, high = _size(size)
    origin = f"the folder `{good.resolve().name}`" if good else "the camera of its station"
    return Plan(
        name=name or (_name_of(good) if good else ""),
        version=version,
        about=f"Images of good parts from {origin}.",
        input=Input(height=high, width=wide, roi=_roi(roi)),
        seed=seed,
        allowed=Allowed(false_rejects=rejects, reviews=min(max(0.01, 2 * rejects), 0.095)),
    )


def _with_bad(
    plan: Plan, parts: Lot, fitted: Fitted, folder: Path, console: Console
) -> tuple[Fitted, Trial, Floats | None]:
    """Measure the model on bad parts and let them place the review band."""
    import msgspec  # noqa: PLC0415 - as above
    import numpy as np  # noqa: PLC0415

    from calibration import features, figures, frames, thresholds, trials  # noqa: PLC0415

    labelled = frames.bad_files(folder)
    extractor = features.Extractor(plan.input)
    seen = []

    def read() -> Iterator[tuple[Image, Truth]]:
        for image, truth in _read(_track(console, labelled, "Bad parts")):
            seen.append(extractor.features(image))
            yield image, truth

    tried = trials.try_out(plan, fitted, read(), about="")
    if not len(tried.bad):
        return fitted, tried, None
    limits = thresholds.with_bad(fitted.thresholds, parts.scores, tried.bad)
    about = (
        f"Good parts: those it was fitted on, each scored by a fit without it. Bad parts: "
        f"{len(tried.bad)} images of the folder `{folder.resolve().name}`, which moved `review` "
        "but not `ng`."
    )
    trial = figures.Trial(about, parts.scores, tried.bad, tried.truths, tried.engines_differ)
    return msgspec.structs.replace(fitted, thresholds=limits), trial, np.stack(seen)


def _tested(plan: Plan, fitted: Fitted, folder: Path, console: Console) -> Trial:
    from calibration import frames, trials  # noqa: PLC0415 - as above

    labelled = _track(console, frames.labelled_files(folder), "Test parts")
    about = f"Images of the folder `{folder.resolve().name}`."
    return trials.try_out(plan, fitted, _read(labelled), about=about)


def _bad_files(ng: Path | None, test: Path | None) -> list[tuple[Path, Truth]]:
    """List the bad parts that were given."""
    from calibration import frames  # noqa: PLC0415 - as above

    found = frames.bad_files(ng) if ng else []
    if test:
        found += [(file, truth) for file, truth in frames.labelled_files(test) if truth.defect]
    return found


def _some(ng: Path | None, test: Path | None) -> Iterator[tuple[Image, bool]]:
    """Read some parts of known truth, to compare float and int8 on."""
    from calibration import frames, precision  # noqa: PLC0415 - as above
    from calibration.frames import read_good  # noqa: PLC0415

    labelled = frames.labelled_files(test) if test else frames.bad_files(ng) if ng else []
    for file, bad in precision.chosen(labelled) if labelled else []:
        for image in read_good([file]):
            yield image, bad


def _read(labelled: Iterable[tuple[Path, Truth]]) -> Iterator[tuple[Image, Truth]]:
    from edge_agent.camera.images import read_image  # noqa: PLC0415 - as above
    from edge_agent.errors import ImageError  # noqa: PLC0415

    for file, truth in labelled:
        try:
            yield read_image(file), truth
        except ImageError as error:
            _warn(f"left out: {error}")


def _check_defect(parts: Lot, plan: Plan, defect_px: float) -> None:
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
        _warn(
            f"a defect of {defect_px:g} px is {defect_px * scale:.1f} px in the model's input, too "
            f"small to be seen reliably: give --input {needed}, or a --roi around the part"
        )


def _show_odd(parts: Lot, *, dropped: bool) -> None:
    """List the odd images before anything is fitted to them."""
    if not parts.odd:
        return
    what = "left out" if dropped else "kept; look at them, and give --drop-odd to leave them out"
    _warn(f"{len(parts.odd)} of {len(parts.files)} good parts are unlike the others ({what}):")
    for odd in parts.odd[:_SHOWN]:
        file = parts.files[odd.number]
        typer.echo(f"  {file}  score {odd.score:.2f}, {odd.times:.1f} times the median", err=True)
    if len(parts.odd) > _SHOWN:
        typer.echo(f"  and {len(parts.odd) - _SHOWN} more", err=True)


def _odd_notes(parts: Lot) -> list[str]:
    if not parts.odd:
        return []
    names = ", ".join(parts.files[odd.number].name for odd in parts.odd[:_SHOWN])
    return [f"{len(parts.odd)} good parts are unlike the others and were kept: {names}"]


def _tell(plan: Plan, parts: Lot, fitted: Fitted, trial: Trial | None) -> None:
    """Say what is known of false rejects, and of what is caught."""
    from calibration import figures, twins  # noqa: PLC0415 - as above

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


def _track(console: Console, items: list[_T], what: str) -> Iterator[_T]:
    from rich.progress import track  # noqa: PLC0415 - as above

    return iter(track(items, what, len(items), console=console))


def _warn(text: str) -> None:
    typer.echo(f"Note: {text}", err=True)


def _name_of(folder: Path) -> str:
    """Name a bundle after a folder: of `press4/train/good`, `press4`."""
    from edge_agent.errors import UsageError  # noqa: PLC0415 - as above
    from edge_agent.topics import is_name  # noqa: PLC0415

    parts = [part for part in folder.resolve().parts if part not in {"good", "train"}]
    if not is_name(parts[-1]):
        raise UsageError(f"{folder}: its name cannot name a bundle: give --name")
    return parts[-1]


def _size(text: str) -> tuple[int, int]:
    """Read a size, `256` or `256x512` (height first); return width and height."""
    from calibration.features import STEP  # noqa: PLC0415 - as above
    from edge_agent.errors import UsageError  # noqa: PLC0415

    sides = text.lower().split("x")
    if not all(side.isdecimal() for side in sides) or len(sides) > 2:
        raise UsageError(f"--input {text}: give a side such as 256, or HxW such as 256x512")
    high, wide = int(sides[0]), int(sides[-1])
    if wide % STEP or high % STEP or not 64 <= min(wide, high) <= max(wide, high) <= _MOST_PX:
        raise UsageError(f"--input {text}: give multiples of {STEP} from 64 to {_MOST_PX}")
    return wide, high


def _roi(text: str) -> Roi:
    from edge_agent.camera.roi import Roi  # noqa: PLC0415 - as above
    from edge_agent.errors import UsageError  # noqa: PLC0415

    try:
        x, y, width, height = (float(number) for number in text.split(","))
        return Roi(x, y, width, height)
    except ValueError as error:
        raise UsageError(
            f"--roi {text}: give x,y,width,height in shares of the frame, such as "
            f"0.2,0.1,0.6,0.8 ({error})"
        ) from error
