"""How every command ends: results on standard output, one line on standard error when it fails."""

from __future__ import annotations

import os
import sys

import typer

from edge_agent.errors import EdgeError

EXIT_FAILURE = 2
EXIT_INTERRUPTED = 130


def run_app(app: typer.Typer) -> None:
    """Run a command-line app and exit with its status.

    An error that a person can mend is one line, without a traceback; Ctrl-C and a reader that
    went away (`| head`) end quietly.
    """
    try:
        app()
    except EdgeError as error:
        _flush_quietly()
        print(f"{os.path.basename(sys.argv[0])}: {error}", file=sys.stderr)  # noqa: PTH119 - a name, not a path
        sys.exit(EXIT_FAILURE)
    except KeyboardInterrupt:
        _flush_quietly()
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        # Python flushes standard output once more at exit: give it somewhere to flush to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _flush_quietly() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
