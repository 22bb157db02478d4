"""Where the commands begin: before anything heavy is imported, Ctrl-C already ends quietly."""

from __future__ import annotations

import importlib
import os
import signal

_EXIT_INTERRUPTED = 130


def agent() -> None:
    """Run `edge-agent`."""
    _run("edge_agent.cli.agent")


def collector() -> None:
    """Run `edge-collector`."""
    _run("edge_agent.cli.collector")


def _run(module: str) -> None:
    heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # else it is ignored
    if heard:
        # An exception can get lost while modules are imported; and nothing has begun yet.
        signal.signal(signal.SIGINT, lambda _number, _frame: os._exit(_EXIT_INTERRUPTED))
    # Its threads wait for each other by spinning: on a device with other work to do, one is faster.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    loaded = importlib.import_module(module)
    if heard:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    loaded.main()
