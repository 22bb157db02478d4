"""Try one way of running a stage's model in a process of its own, and see what memory it takes.

    python -m edge_agent.rollout.footprint BUNDLE STAGE ENGINE THREADS OPTION

A process of its own, because memory that was used before is used again and hides what is taken;
and because kernels that a processor does not have end the process that calls them.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from edge_agent.errors import EdgeError, EngineError
from edge_agent.inspection.engines import Choice
from edge_agent.rollout.bundle import read_bundle
from edge_agent.rollout.loading import load_choice

_PATIENCE_S = 120.0


def footprint_mb(bundle: Path, stage: str, choice: Choice) -> float:
    """Return the private memory that engine and model take, MiB; 0 where the system does not say.

    Raises:
        EngineError: The choice cannot be run here, or its process died of it.
    """
    command = [sys.executable, "-m", __name__]
    command += [str(bundle), stage, choice.engine, str(choice.threads), choice.option]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"{choice}: no answer within {_PATIENCE_S:.0f} s") from error
    if done.returncode < 0:
        raise EngineError(f"{choice}: its process was killed by signal {-done.returncode}")
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise EngineError(f"{choice}: {reason}")
    return float(done.stdout)


def _private_mb() -> float:
    """Return this process's private memory; libraries, which processes share, do not count."""
    try:
        text = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0.0
    found = re.search(r"^RssAnon:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


def main(path: str, name: str, engine: str, threads: str, option: str) -> None:
    """Load and run one choice, and print what memory it took."""
    try:
        bundle = read_bundle(Path(path))
        stage = next(each for each in bundle.manifest.stages if each.name == name)
        before = _private_mb()
        loaded = load_choice(bundle, stage, Choice(engine, int(threads), option))
        loaded.run(np.zeros(loaded.input_shape, np.uint8))
    except EdgeError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the answer to the process that asked
        sys.exit(1)
    print(max(0.0, _private_mb() - before))  # noqa: T201 - the same


if __name__ == "__main__":
    main(*sys.argv[1:])
