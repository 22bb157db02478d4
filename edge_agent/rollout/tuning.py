"""Which way of running a model is best on this device: the values, and the rule that chooses.

Invariants:
    - A choice whose scores do not agree with the bundle's own is never chosen, however fast.
    - More threads are chosen only where they save a good share of the time: the others have work.
    - Where nothing is gained, the choice is what `auto` would take.
    - A choice holds only for the bundle, the processor and the engine version it was timed with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec

from edge_agent.inspection.engines import Choice

_EQUAL = 1.05
"""Medians this close together are taken for equal: two runs differ by as much."""

_PAYS = 0.8
"""What more threads may take at most of the time that fewer take, to be worth it."""

_KEPT = 4
"""Bundles whose choice a station remembers: the two in its slots, and what was tried lately."""


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """How one choice did.

    Attributes:
        choice: Which.
        objection: Why it must not be chosen: its scores do not agree, it does not load; empty for
            none.
        runs: How often it was timed; 0 when there is an objection.
        min_ms: Shortest time of one inference.
        p50_ms: Median.
        p99_ms: 99th percentile.
        memory_mb: Private memory that loading and running it took, MiB.
    """

    choice: Choice
    objection: str = ""
    runs: int = 0
    min_ms: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    memory_mb: float = 0.0


class TunedStage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A choice as it is kept.

    Attributes:
        choice: What to run.
        version: Of its engine.
        p50_ms: Its median then.
    """

    choice: Choice
    version: str
    p50_ms: float = 0.0


class Tuned(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was tuned for a bundle.

    Attributes:
        digest: Of the bundle.
        cpu: The processor that it was timed on; see `processor`.
        stages: What was chosen for each stage, by its name.
        time: When, ISO 8601.
    """

    digest: str
    cpu: str
    stages: dict[str, TunedStage]
    time: str = ""


class TuningTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was tuned at a station, the newest first, one for each bundle."""

    schema: Literal["edge/tuning/1"] = "edge/tuning/1"
    tuned: Annotated[tuple[Tuned, ...], msgspec.Meta(max_length=_KEPT)] = ()

    def get(self, digest: str) -> Tuned | None:
        """Return what was tuned for a bundle."""
        return next((each for each in self.tuned if each.digest == digest), None)

    def with_tuned(self, tuned: Tuned) -> TuningTable:
        """Return the table with a choice in place of an older one for the same bundle."""
        others = tuple(each for each in self.tuned if each.digest != tuned.digest)
        return TuningTable(tuned=(tuned, *others)[:_KEPT])


def thread_counts(most: int) -> tuple[int, ...]:
    """Return the thread counts to try: each up to four, then doubling, and the most.

    >>> thread_counts(12)
    (1, 2, 3, 4, 8, 12)
    """
    counts = [count for count in (1, 2, 3, 4, 8, 16, 32, 64) if count <= most]
    if counts[-1] != most:
        counts.append(min(most, 64))
    return tuple(counts)


def choose(trials: Sequence[Trial]) -> Trial | None:
    """Return the trial whose choice to run; None when there is an objection to every one.

    Args:
        trials: In the order in which `auto` would prefer them.
    """
    sound = [trial for trial in trials if not trial.objection and trial.runs]
    best: Trial | None = None
    for threads in sorted({trial.choice.threads for trial in sound}):
        level = [trial for trial in sound if trial.choice.threads == threads]
        fastest = min(trial.p50_ms for trial in level)
        first = next(trial for trial in level if trial.p50_ms <= fastest * _EQUAL)
        if best is None or fastest <= best.p50_ms * _PAYS:
            best = first
    return best


def outdated(tuned: Tuned, stage: str, *, cpu: str, version: str) -> str:
    """Say why the choice that was kept for a stage does not hold here; empty when it does."""
    kept = tuned.stages[stage]
    if tuned.cpu != cpu:
        return f"it was timed on another processor ({tuned.cpu})"
    if kept.version != version:
        return f"it was timed with version {kept.version} of {kept.choice.engine}, not {version}"
    return ""


_FEATURES = (
    "avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimd", "asimddp", "i8mm", "sve",
)  # fmt: skip
"""What kernels for int8 models ask a processor for."""


def processor(cpuinfo: str, count: int) -> str:
    """Name a processor by what decides how fast a model runs, and with which rounding.

    Args:
        cpuinfo: The text of /proc/cpuinfo.
        count: How many processors there are.
    """
    fields: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.strip().lower(), value.strip())
    flags = set(_first(fields, "flags", "features").split())
    known = " ".join(feature for feature in _FEATURES if feature in flags)
    arm = f"implementer {fields.get('cpu implementer', '?')} part {fields.get('cpu part', '?')}"
    name = _first(fields, "model name", "model") or arm
    if "cpu part" in fields:
        name = arm  # a board's name says nothing of its cores
    return f"{name}, {count} processors, {known or 'no known features'}"


def _first(fields: Mapping[str, str], *names: str) -> str:
    return next((fields[name] for name in names if name in fields), "")
