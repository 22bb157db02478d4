"""What was tuned at a station, on the disk: `tuning.json` beside the slots.

Invariants:
    - The file is there whole or as it was before, whatever happens while it is written.
    - Nothing that it holds keeps a bundle from running: what cannot be used is one warning.
"""

from __future__ import annotations

import logging
import os
import platform
from pathlib import Path

import msgspec

from edge_agent.errors import EngineError, UsageError
from edge_agent.files import write_durably
from edge_agent.inspection.engines import Choice, version_of
from edge_agent.rollout.tuning import Tuned, TuningTable, outdated, processor

log = logging.getLogger(__name__)

NAME = "tuning.json"


def this_processor() -> str:
    """Name the processor of this device; see `edge_agent.rollout.tuning.processor`."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = f"model name: {platform.machine()}"
    return processor(text, os.cpu_count() or 1)


def read_table(folder: Path) -> TuningTable:
    """Read what was tuned at a station; empty where nothing was.

    Args:
        folder: The station's.

    Raises:
        UsageError: The file is damaged or cannot be read.
    """
    path = folder / NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=TuningTable)
    except FileNotFoundError:
        return TuningTable()
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise UsageError(
            f"{path}: cannot be read ({why}): run `edge-agent bundle tune` again"
        ) from error


def keep(folder: Path, tuned: Tuned) -> Path:
    """Keep what was tuned, durably, and return the file; a damaged one is written anew.

    Raises:
        UsageError: It cannot be written.
    """
    path = folder / NAME
    try:
        table = read_table(folder)
    except UsageError:
        table = TuningTable()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_durably(path, msgspec.json.format(msgspec.json.encode(table.with_tuned(tuned))))
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be written: {error.strerror}: run this as the user of the agent"
        ) from error
    return path


def tuned_choices(folder: Path, digest: str, engine: str) -> dict[str, tuple[Choice, ...]]:
    """Return what was tuned for a bundle's stages, where it holds here and is left free.

    Args:
        folder: The station's.
        digest: The bundle's.
        engine: `inspection.engine` of the configuration; anything but `auto` comes first.
    """
    try:
        tuned = read_table(folder).get(digest)
    except UsageError as error:
        log.warning("%s", error)
        return {}
    if tuned is None:
        return {}
    if engine != "auto":
        log.info(
            "inspection.engine = %s in the configuration comes before what was tuned (%s)",
            engine,
            "; ".join(str(each.choice) for each in tuned.stages.values()),
        )
        return {}
    held: dict[str, tuple[Choice, ...]] = {}
    for name, kept in tuned.stages.items():
        if why := _why_not(tuned, name):
            log.warning(
                "%s: what was tuned (%s) is left aside: %s; run `edge-agent bundle tune` again",
                folder / NAME,
                kept.choice,
                why,
            )
        else:
            held[name] = (kept.choice,)
    return held


def _why_not(tuned: Tuned, stage: str) -> str:
    """Say why what was tuned for a stage does not hold here; empty when it does."""
    try:
        version = version_of(tuned.stages[stage].choice.engine)
    except EngineError as error:
        return str(error)
    return outdated(tuned, stage, cpu=this_processor(), version=version)
