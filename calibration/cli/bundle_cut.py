"""`edge-agent bundle cut`: pictures of what a bundle finds, to make the next stage from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge_agent.cli.inspect import EngineChoice
from edge_agent.errors import ImageError, UsageError

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
    import cv2  # noqa: PLC0415 - heavy, as are all below

    from calibration.joining.cutting import cut, locator_of  # noqa: PLC0415
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
    count = empty = left_out = 0
    with typer.progressbar(files, label="cutting", file=typer.get_text_stream("stderr")) as bar:
        for file in bar:
            try:
                image = read_image(file)
            except ImageError as error:
                typer.echo(f"left out: {error}", err=True)
                left_out += 1
                continue
            number = 0
            for number, piece in enumerate(cut(pipeline, source, image), 1):
                name = "_".join(file.relative_to(folder).with_suffix("").parts)
                _write(out / f"{name}_{number}.png", cv2.imencode(".png", piece)[1].tobytes())
            count += number
            empty += number == 0
    pipeline.close()
    typer.echo(
        f"{out}: {count} pictures of {len(files) - left_out} frames"
        + (f"; in {empty} frames nothing was found" if empty else "")
    )
    if left_out:
        raise typer.Exit(_SOME_LEFT_OUT)


def _write(file: Path, content: bytes) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    except OSError as error:
        raise UsageError(f"{file}: cannot be written: {error.strerror}") from error
