"""`python -m calibration fit`: the same as `edge-agent commission`."""

from __future__ import annotations

import typer

from calibration.cli.commission import commission
from edge_agent.cli.errors import run_app

app = typer.Typer(no_args_is_help=True)
app.command("fit")(commission)


@app.callback()
def calibration() -> None:
    """Commission a station: from good parts to a bundle."""


if __name__ == "__main__":
    run_app(app)
