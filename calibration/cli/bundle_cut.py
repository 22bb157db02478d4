"""`edge-agent bundle cut`: pictures of what a bundle finds, to make the next stage from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_agent.cli.inspect import EngineChoice
from edge_agent.errors import EngineError, ImageError, UsageError

if TYPE_CHECKING:
    from edge_agent.camera.frame import Image

_SOME_LEFT_OUT = 1


def bundle_cut(
    bundle: Annotated[Path, typer.Argument(help="A bundle that finds things: a detector.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with frames.")],
    out: Annotated[Path, typer.Option(help="Folder for the pictures, one of each thing found.")],
    label: Annotated[
        list[str] | None, typer.Option(help="Only things of this label; may be given again.")
    ] = None,
    margin: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Around each, of its longer side.")
    ] = 0.1,
    limit: Annotated[
        int, typer.Option(min=1, max=64, help="Things in a frame, the surest first.")
    ] = 16,
    stage: Annotated[str, typer.Option(help="Which finds them; else the only one.")] = "",
    engine: Annotated[EngineChoice, typer.Option(help="What runs the model.")] = EngineChoice.AUTO,
) -> None:
    """Cut out what a bundle finds, as a stage behind it would see it: to commission that stage.

    Give `bundle join` the same --margin and --limit. A frame that cannot be read is left out and
    named, and the status is then 1.

    Example: edge-agent bundle cut screws.bundle frames/good --out heads/good --label screw
    """
    from calibration.joining.cutting import cut, locator_of  # noqa: PLC0415 - heavy, as are all
    from edge_agent.camera.images import list_images, read_image  # noqa: PLC0415
    from edge_agent.inspection.engines import EngineSettings  # noqa: PLC0415
    from edge_agent.inspection.spec import Source  # noqa: PLC0415
    from edge_agent.rollout.bundle import read_bundle  # noqa: PLC0415
    from edge_agent.rollout.loading import load_pipeline  # noqa: PLC0415

    found = read_bundle(bundle)
    source = Source(
        stage=locator_of(found, stage, label or ()),
        labels=tuple(label or ()),
        margin=margin,
        limit=limit,
    )
    files = list_images(folder) if folder.is_dir() else []
    if not files:
        raise UsageError(f"{folder}: holds no frames: give a folder of images")
    pipeline = load_pipeline(found, engine.value, EngineSettings())
    counts: list[int] = []
    left_out = 0
    with typer.progressbar(files, label="cutting", file=typer.get_text_stream("stderr")) as bar:
        for file in bar:
            try:
                pieces = list(cut(pipeline, source, read_image(file)))
            except (ImageError, EngineError) as error:
                named = "" if str(file) in str(error) else f"{file}: "
                typer.echo(f"left out: {named}{error}", err=True)
                left_out += 1
                continue
            _write_all(pieces, out, "_".join(file.relative_to(folder).with_suffix("").parts))
            counts.append(len(pieces))
    pipeline.close()
    typer.echo(
        f"{out}: {sum(counts)} pictures of {len(counts)} frames"
        + (f"; in {counts.count(0)} frames nothing was found" if 0 in counts else "")
    )
    if left_out:
        raise typer.Exit(_SOME_LEFT_OUT)


def _write_all(pieces: list[Image], out: Path, name: str) -> None:
    """Write what was cut out of one frame, without loss."""
    import cv2  # noqa: PLC0415 - as above

    for number, piece in enumerate(pieces, 1):
        file = out / f"{name}_{number}.png"
        try:
            out.mkdir(parents=True, exist_ok=True)
            file.write_bytes(cv2.imencode(".png", piece)[1].tobytes())
        except OSError as error:
            raise UsageError(f"{file}: cannot be written: {error.strerror}") from error
