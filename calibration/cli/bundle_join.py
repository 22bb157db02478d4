"""`edge-agent bundle join`: make one bundle of several, a pipeline."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_agent.errors import ImageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from calibration.joining.joining import Joined, Named
    from calibration.joining.wiring import Wiring
    from edge_agent.rollout.bundle import Bundle

_MOST_FRAMES = 50
"""Frames of a folder that are read at most; more are thinned out evenly."""

_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
_NAMED = re.compile(r"([A-Za-z0-9_.-]+)=(.+)")


def bundle_join(  # noqa: PLR0917 - typer reads its options from the signature
    bundles: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME=]BUNDLE...",
            help="Two or more, in the order in which they look; NAME is what the stage is called.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The bundle to write.")],
    source: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STAGE=EARLIER",
            help="STAGE looks at the boxes that EARLIER found; EARLIER:LABEL,LABEL for some.",
        ),
    ] = None,
    margin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STAGE=SHARE", help="Around each box, of its longer side; 0.1 unless said."
        ),
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(metavar="STAGE=COUNT", help="Boxes it looks at, the surest; 16 unless said."),
    ] = None,
    when: Annotated[
        list[str] | None,
        typer.Option(
            metavar='"STAGE=EARLIER>=0.5"',
            help="STAGE looks only if EARLIER's score is so; EARLIER:LABEL for its confidence.",
        ),
    ] = None,
    budget_ms: Annotated[
        list[str] | None,
        typer.Option(metavar="STAGE=MS", help="Not begun where less time is left for the part."),
    ] = None,
    no_verdict: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STAGE", help="Its score decides nothing: it only says where to look."
        ),
    ] = None,
    good: Annotated[
        Path | None, typer.Option(help="Folder with frames of the whole scene, good parts.")
    ] = None,
    ng: Annotated[
        Path | None, typer.Option(help="Folder with frames of the whole scene, bad parts.")
    ] = None,
    baseline_from: Annotated[
        str,
        typer.Option(
            metavar="NAME|good",
            help="Whose light limits are kept, or good: from --good; else the first bundle's.",
        ),
    ] = "",
    name: Annotated[str, typer.Option(help="Name of the bundle; else that of the file.")] = "",
    version: Annotated[str, typer.Option(help="Version of the bundle.")] = "1",
) -> None:
    """Join bundles into one whose stages look at each part in turn: locate, then inspect.

    Every option that takes STAGE may be given again. The samples of bundles that look at the whole
    frame are judged anew by all stages; those of a bundle that looks at boxes now show no whole
    scene: give --good and --ng. docs/join.md tells more.

    Example: edge-agent bundle join locate=screws.bundle inspect=heads.bundle --out line.bundle
    --source inspect=locate:screw --margin inspect=0.1 --good frames/good --ng frames/bad
    """
    from rich.console import Console  # noqa: PLC0415 - heavy, as are all below

    from calibration import outputs  # noqa: PLC0415
    from calibration.joining.joining import Scene, join  # noqa: PLC0415
    from edge_agent.topics import is_name  # noqa: PLC0415

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    name = name or re.sub(r"[^A-Za-z0-9._-]+", "-", out.stem).strip("-._")[:64]
    if not is_name(name):
        raise UsageError(f"--name {name}: give letters, digits, dots, dashes and underscores")
    if not _VERSION.fullmatch(version):
        raise UsageError(
            f"--version {version}: use letters, digits, '.', '_', '+' and '-', at most 64"
        )
    outputs.check_file(out, "--out")
    wiring = _wiring(source, margin, limit, when, budget_ms, no_verdict)
    with console.status("Reading the bundles") as status:
        given = [_read_bundle(each) for each in bundles]
        scene = Scene(
            good=list(_read("--good", good, console)), ng=list(_read("--ng", ng, console))
        )
        joined = join(
            out, given, wiring, scene,
            name=name, version=version, baseline_from=baseline_from, step=status.update,
        )  # fmt: skip
    _tell(out, joined)


def _wiring(
    source: list[str] | None,
    margin: list[str] | None,
    limit: list[str] | None,
    when: list[str] | None,
    budget_ms: list[str] | None,
    no_verdict: list[str] | None,
) -> Wiring:
    from calibration.joining import saying  # noqa: PLC0415 - as above
    from calibration.joining.wiring import Wiring  # noqa: PLC0415 - as above

    return Wiring(
        sources=saying.sources(source or []),
        margins=saying.numbers("--margin", margin or [], least=0.0, most=1.0),
        limits=saying.counts("--limit", limit or [], least=1, most=64),
        rules=saying.rules(when or []),
        budgets_ms=saying.numbers("--budget-ms", budget_ms or [], least=0.1, most=3_600_000.0),
        silent=tuple(no_verdict or []),
    )


def _read_bundle(text: str) -> tuple[str, Bundle]:
    """Read `NAME=FILE` or `FILE`; a file whose name holds an equals sign is found all the same."""
    from edge_agent.rollout.bundle import read_bundle  # noqa: PLC0415 - as above

    match = _NAMED.fullmatch(text)
    if match is None or Path(text).exists():
        return "", read_bundle(Path(text))
    return match[1], read_bundle(Path(match[2]))


def _read(option: str, folder: Path | None, console: Console) -> Iterator[Named]:
    """Read frames, each with its file's name; one that cannot be read is named and left out."""
    if folder is None:
        return
    from calibration.frames import bad_files, good_files  # noqa: PLC0415 - as above
    from calibration.samples import spread  # noqa: PLC0415 - as above
    from edge_agent.camera.images import read_image  # noqa: PLC0415 - as above

    if option == "--good":
        files = good_files(folder, limit=_MOST_FRAMES)
    else:
        files = spread([file for file, _ in bad_files(folder)], _MOST_FRAMES)[:_MOST_FRAMES]
    found = 0
    for file in files:
        try:
            yield file.relative_to(folder).as_posix(), read_image(file)
        except ImageError as error:
            console.print(f"left out: {error}", markup=False)
        else:
            found += 1
    if not found:
        raise UsageError(f"{option} {folder}: holds no image that can be read")


def _tell(out: Path, joined: Joined) -> None:
    """Say what the bundle is, and what a person should know of it."""
    from calibration.joining.card import looks_at  # noqa: PLC0415 - as above

    bundle = joined.bundle
    typer.echo(f"{out}: {bundle.label}, {out.stat().st_size / 1e6:.1f} MB")
    for stage in bundle.manifest.stages:
        limits = stage.thresholds
        decides = f"ng from {limits.ng:.4g}" if limits else "decides nothing"
        typer.echo(f"{stage.name}: looks at {looks_at(stage)}; {decides}")
    kinds = [sample.kind for sample in bundle.manifest.samples]
    typer.echo(
        f"{kinds.count('golden')} golden and {kinds.count('challenge')} challenge samples; light: "
        f"{joined.light}"
    )
    for note in (*joined.notes, *([f"On this device {joined.slow}."] if joined.slow else [])):
        typer.echo(f"Note: {note}", err=True)
