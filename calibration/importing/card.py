"""The card of an imported model: where it is from, what was done to it, what is not known of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from edge_agent.inspection.spec import Anomaly, Classify

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from calibration.importing.facts import Reading
    from edge_agent.inspection.spec import Stage
    from edge_agent.rollout.bundle import Sample

_SHOWN = 30


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a card tells; see `calibration.importing.bundling`."""

    name: str
    version: str
    file: str
    digest: str
    stage: Stage
    reading: Reading
    thresholds: str
    int8: str
    bytes: int
    samples: Sequence[Sample]
    notes: Sequence[str]
    baseline: int


def write_card(told: Told) -> str:
    """Write the card as Markdown."""
    return "\n".join([
        f"# {told.name} {told.version}", "",
        f"A model of another maker, imported: {_what(told)}", "",
        *_origin(told), *_changes(told), *_decides(told), *_samples(told), *_unknown(told),
    ])  # fmt: skip


def _what(told: Told) -> str:
    task = told.stage.task
    if isinstance(task, Anomaly):
        return "it scores how far a part is from good parts. It names no kind of defect."
    shown = ", ".join(task.labels[:_SHOWN]) + (", ..." if len(task.labels) > _SHOWN else "")
    if isinstance(task, Classify):
        return f"it tells {len(task.labels)} labels apart ({shown}); good: {', '.join(task.good)}."
    bad = "all" if task.defects == task.labels else ", ".join(task.defects[:_SHOWN]) or "none"
    return f"it finds {len(task.labels)} labels ({shown}); defects: {bad}."


def _origin(told: Told) -> Iterator[str]:
    yield "## Where it is from"
    yield ""
    yield f"- File `{told.file}`, SHA-256 {told.digest}"
    yield f"- Made by {told.reading.source}"
    for key, value in told.reading.facts.items():
        if value:
            yield f"- {key}: {value}"
    yield ""


def _changes(told: Told) -> Iterator[str]:
    spec, reading = told.stage.input, told.reading
    yield "## What was done to it"
    yield ""
    yield (
        f"- Input: uint8, {spec.height} x {spec.width} x {spec.channels}, {spec.order}; images are "
        f"made to fit by: {spec.fit}"
    )
    yield f"- Normalisation, now in the model: {reading.normalisation}"
    names = ", ".join(
        old if old == new else f"{old} as {new}" for old, new in reading.outputs.items()
    )
    yield f"- Outputs kept: {names}"
    yield f"- Precision: {told.int8 or 'as in the file'}; {told.bytes / 1e6:.2f} MB"
    yield ""


def _decides(told: Told) -> Iterator[str]:
    limits = told.stage.thresholds
    yield "## What it decides"
    yield ""
    if limits is not None:
        yield (
            f"- ng from {limits.ng:g}, review from {limits.review:g}; the thresholds are "
            f"from: {told.thresholds}"
        )
    light = f"learned from {told.baseline} golden images" if told.baseline else "none was learned"
    yield f"- Light limits: {light}"
    yield ""


def _samples(told: Told) -> Iterator[str]:
    yield "## Samples"
    yield ""
    for sample in told.samples:
        score = ", ".join(f"{value:.4g}" for value in sample.scores.values())
        yield f"- {sample.file}: score {score} {sample.truth}".rstrip()
    if not told.samples:
        yield "- none"
    yield ""


def _unknown(told: Told) -> Iterator[str]:
    yield "## What is not known"
    yield ""
    yield "- How good it is: `edge-agent evaluate` says it on images of known truth."
    yield "- What it was trained on, and under which licence it may be used: ask its maker."
    for note in told.notes:
        yield f"- {note}"
    yield ""
