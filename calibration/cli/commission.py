"""`edge-agent commission`: from good parts to a bundle one can trust."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from calibration.commission import Plan
    from edge_agent.camera.roi import Roi

_MOST_PX = 1024


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
    from calibration.cli import given, known_truth, telling  # noqa: PLC0415

    console = Console(stderr=True)
    given.check_source(good, live, config, keep)
    plan = _plan(good, name or live, version, size=size, roi=roi, asked=false_rejects, seed=seed)
    given.check_rest(plan, out, report, ng=ng, test=test, mask=mask)
    good = good or given.taken(live, config, keep, out=out, wanted=wanted, console=console)
    parts = lot.read_lot(
        good,
        plan,
        lambda files: telling.track(console, files, "Good parts"),
        turn=turn,
        group_by=group_by,
        mask=mask,
    )
    plan = parts.plan
    for note in (*parts.notes, *parts.good.notes):
        telling.warn(note)
    telling.show_odd(parts, dropped=drop_odd)
    if parts.odd and drop_odd:
        parts = lot.drop_odd(parts)
    telling.check_defect(parts, plan, defect)
    with console.status("Fitting"):
        fitted = steps.fit(plan, parts.good, unseen=parts.unseen)
    measured: list[known_truth.Measured] = []
    if ng:
        measured.append(known_truth.with_bad(plan, parts, fitted, ng, console))
        fitted = measured[0].fitted
    if test:
        measured.append(known_truth.tested(plan, fitted, test, console))
    trial = measured[-1].trial if measured else None
    bad = measured[0].features if measured else None
    with console.status("Learning curve"):
        points = learning.curve(
            parts.good.material, parts.unseen, bad=bad, dims=plan.dims, seed=plan.seed
        )
    with console.status("Light"):
        light = lights.measure(plan, parts.good, parts.unseen, fitted)
    with console.status("Float and int8"):
        compared = precision.compare(plan, parts.good, fitted, parts=known_truth.some(ng, test))
    with console.status("Packing"):
        notes = [*parts.notes, *telling.odd_notes(parts), learning.advice(points)]
        bundle = steps.pack(
            out,
            plan,
            parts.good,
            fitted,
            trial=trial,
            notes=notes,
            provenance={"by": by} if by else {},
            light=(light.darkest, light.brightest),
            corrects=light.corrects,
            sections=[*lights.card_lines(light), *precision_told.card_lines(compared)],
        )
        card = bundle.files[bundle.manifest.card]
        if report:
            told = page.Told(
                plan=plan, parts=parts, fitted=fitted, trial=trial, points=points,
                notes=[*parts.good.notes, *notes],
                light=light, precision=compared,
                bad=[each for one in measured for each in one.bad],
            )  # fmt: skip
            page.write_report(report, told, card)
    limits = fitted.thresholds
    typer.echo(
        f"{out}: {bundle.label}, {out.stat().st_size / 1e6:.1f} MB; {len(parts.files)} good parts; "
        f"ng from {limits.ng:.3f}, review from {limits.review:.3f}"
    )
    telling.tell(plan, parts, fitted, trial)
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
