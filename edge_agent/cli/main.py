"""Where the commands begin: before anything heavy is imported, Ctrl-C already ends quietly."""

from __future__ import annotations

import importlib
import sys

_EXIT_INTERRUPTED = 130


def agent() -> None:
    """Run `edge-agent`."""
    _run("edge_agent.cli.agent")


def collector() -> None:
    """Run `edge-collector`."""
    _run("edge_agent.cli.collector")


def _run(module: str) -> None:
    try:
        importlib.import_module(module).main()
    except KeyboardInterrupt:  # while it was imported; later it is dealt with in `run_app`
        sys.exit(_EXIT_INTERRUPTED)
