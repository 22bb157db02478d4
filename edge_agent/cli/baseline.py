"""`edge-agent baseline`: how light and camera look when all is well."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge_agent.camera.images import list_images, read_image
from edge_agent.errors import UsageError
from edge_agent.files import write_durably
from edge_agent.lighting import Baseline
from edge_agent.lighting.baseline import GOOD_FRAMES

app = typer.Typer(no_args_is_help=True, help="Learn how light and camera look when all is well.")


@app.callback()
def _top() -> None:
    """Keep `learn` a verb of its own; others join it."""


@app.command()
def learn(
    paths: Annotated[
        list[Path],
        typer.Argument(help="Good frames taken under correct light, or folders of them."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The baseline file to write.")],
) -> None:
    """Learn a lighting baseline from good frames under correct light.

    Name the file in `lighting.baseline` of the station.

    Example: edge-agent baseline learn good/ --out /etc/edge-agent/press-4.baseline.json
    """
    files = [file for path in paths for file in list_images(path)]
    baseline = Baseline.learn([read_image(file) for file in files])
    try:
        write_durably(out, baseline.encode())
    except OSError as error:
        raise UsageError(f"{out}: cannot be written: {error.strerror}") from error
    few = f"; {GOOD_FRAMES} or more would make it firmer" if len(files) < GOOD_FRAMES else ""
    print(f"{out}: baseline of {len(files)} frames ({baseline.digest[:12]}){few}")
