"""`python -m models`: make the trunks, int8 and float, and the reference bundle anew.

Example: python -m models --only bundle
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_agent.cli.errors import run_app

if TYPE_CHECKING:
    from rich.console import Console

    from edge_agent.camera.frame import Frame

FOLDER = Path(__file__).parent
TRUNK = FOLDER / "trunk" / "lite0_int8.onnx"
FLOAT_TRUNK = FOLDER / "trunk" / "lite0_float.onnx"
BUNDLE = FOLDER / "simulated_line.bundle"
CARD = FOLDER / "simulated_line.md"

_PICTURES = 32
_SIZE = 256
_SEED = 1


class Step(StrEnum):
    """What can be made by itself."""

    TRUNK = "trunk"
    BUNDLE = "bundle"


def main(
    only: Annotated[Step | None, typer.Option(help="Make this alone.")] = None,
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = FOLDER,
) -> None:
    """Make the int8 trunk from the weights' package, and the reference bundle on it."""
    from rich.console import Console  # noqa: PLC0415 - as below: --help stays quick

    console = Console(stderr=True)
    if only is not Step.BUNDLE:
        with console.status("Quantizing the trunk"):
            make_trunk(out / TRUNK.relative_to(FOLDER), out / FLOAT_TRUNK.relative_to(FOLDER))
    if only is not Step.TRUNK:
        make_bundle(out / BUNDLE.name, out / CARD.name, console)


def make_trunk(path: Path, plain: Path) -> None:
    """Write the int8 trunk, and the float one that it is compared with."""
    from models import int8, lite0, weights  # noqa: PLC0415 - these need onnx
    from models.pictures import pictures  # noqa: PLC0415

    network = lite0.layers(weights.read_weights(weights.package_weights()))
    quantized = int8.quantize(network, pictures(_PICTURES, _SIZE, seed=_SEED))
    model = int8.int8_graph(network, quantized)
    path.parent.mkdir(parents=True, exist_ok=True)
    for file, made in ((path, model), (plain, lite0.half_graph(network))):
        file.write_bytes(made.SerializeToString(deterministic=True))
        typer.echo(f"{file}: {file.stat().st_size / 1e6:.2f} MB")


def make_bundle(path: Path, card: Path, console: Console) -> None:
    """Write the reference bundle, and its card beside it."""
    from rich.progress import track  # noqa: PLC0415

    from models import simulated_line  # noqa: PLC0415 - imports the engines

    def show(frames: Iterable[Frame], what: str, count: int) -> Iterable[Frame]:
        return track(frames, what, count, console=console)

    bundle = simulated_line.make(path, simulated_line.Counts(), show)
    card.write_bytes(bundle.files[bundle.manifest.card])
    typer.echo(f"{path}: {bundle.label}, {path.stat().st_size / 1e6:.2f} MB; its card: {card}")


if __name__ == "__main__":
    app = typer.Typer()
    app.command()(main)
    run_app(app)
